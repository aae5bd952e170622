"""Backfills and their shares."""

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from tasks.schema.base import link_to, metadata, own_id
from tasks.schema.types import Id, Json, Moment, Word

backfill = Table(
    "backfill",
    metadata,
    own_id(),
    link_to("run"),  # that its claims count for
    link_to("recipe"),
    Column("state", Word, nullable=False),  # BackfillState
    Column("mode", Word, nullable=False),
    Column("scope", Json, nullable=False),  # collections, URIs, …: which scans it looks at
    Column("priority", SmallInteger, nullable=False),  # higher first
    Column("max_items", BigInteger),
    Column("max_bytes", BigInteger),
    Column("max_seconds", Float),  # of workers' time, added up
    # Planning walks the scans by id. Where it is comes into the transaction that enqueues, so that
    # whoever goes on after a crash enqueues nothing twice; what is found later is not in the plan.
    Column("looked_at", Id, nullable=False),
    Column("last_scan_id", Id, nullable=False),
    Column("items", BigInteger, nullable=False),  # enqueued
    Column("size_bytes", BigInteger, nullable=False),  # of their scans
    Column("who", Text, nullable=False),
    Column("detail", Text, nullable=False),  # why it is in its state
    Column("created_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False),  # when it came into its state
    Column("ended_at", Moment),
    Column("figures", Json, nullable=False),  # counts by status at its end
    comment="Many scans to be coloured beside the nightly runs",
)
# Those that are under way, a handful: what the flow that keeps them going asks for every minute.
Index(
    "ix_backfill_open",
    backfill.c.priority,
    backfill.c.id,
    sqlite_where=backfill.c.ended_at.is_(None),
)

share = Table(
    "share",
    metadata,
    own_id(),
    link_to("backfill"),
    Column("number", Integer, nullable=False),  # from 1
    Column("flow_run_id", String(36)),
    Column("max_items", Integer),
    Column("max_seconds", Float),
    Column("created_at", Moment, nullable=False),
    Column("begun_at", Moment),
    Column("seen_at", Moment, nullable=False),  # its last heartbeat
    Column("ended_at", Moment),
    Column("ending", Word),  # RunEnding
    Column("detail", Text, nullable=False),
    Column("items", Integer, nullable=False),  # that came to an end in it
    UniqueConstraint("backfill_id", "number"),
    comment="One worker's turn at a backfill",
)
Index(
    "ix_share_open",
    share.c.backfill_id,
    sqlite_where=share.c.ended_at.is_(None),
)

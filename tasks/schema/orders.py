"""Orders and their shares."""

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

# ORDER is a word of SQL's own.
work_order = Table(
    "work_order",
    metadata,
    own_id(),
    Column("kind", Word, nullable=False, server_default="backfill"),  # OrderKind
    link_to("run"),  # that its claims count for
    link_to("recipe"),
    Column("state", Word, nullable=False),  # OrderState
    Column("mode", Word, nullable=False),
    Column("scope", Json, nullable=False),  # collections, URIs, …: which scans it looks at
    Column("priority", SmallInteger, nullable=False),  # higher first
    Column("deadline_at", Moment),  # nothing is claimed later
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
    Column("why", Text, nullable=False, server_default=""),
    Column("detail", Text, nullable=False),  # why it is in its state
    Column("created_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False),  # when it came into its state
    Column("ended_at", Moment),
    Column("figures", Json, nullable=False),  # counts by status at its end
    comment="Scans to be coloured because a person or a schedule asked for it",
)
# Those that are under way, a handful: what whoever keeps them going asks for again and again.
Index(
    "ix_work_order_open",
    work_order.c.priority,
    work_order.c.id,
    sqlite_where=work_order.c.ended_at.is_(None),
)

share = Table(
    "share",
    metadata,
    own_id(),
    link_to("work_order", name="order_id"),
    Column("number", Integer, nullable=False),  # from 1
    Column("flow_run_id", String(36)),
    Column("worker", Text, nullable=False, server_default=""),  # that began it
    Column("max_items", Integer),
    Column("max_seconds", Float),
    Column("created_at", Moment, nullable=False),
    Column("begun_at", Moment),
    Column("seen_at", Moment, nullable=False),  # its last heartbeat
    Column("ended_at", Moment),
    Column("ending", Word),  # RunEnding
    Column("detail", Text, nullable=False),
    Column("items", Integer, nullable=False),  # that came to an end in it
    Column("figures", Json, nullable=False, server_default="{}"),  # ShareFigures
    UniqueConstraint("order_id", "number"),
    comment="What one flow run on one worker takes of an order",
)
Index(
    "ix_share_open",
    share.c.order_id,
    sqlite_where=share.c.ended_at.is_(None),
)

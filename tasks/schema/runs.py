"""Flow runs, as the ledger saw them."""

from sqlalchemy import Column, Index, String, Table, Text

from tasks.schema.base import link_to, metadata, own_id
from tasks.schema.types import Json, Moment, Word

run = Table(
    "run",
    metadata,
    own_id(),
    Column("kind", Word, nullable=False),
    Column("name", Text, nullable=False),
    Column("flow_run_id", String(36)),
    link_to("recipe", nullable=True),
    Column("started_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),  # its last heartbeat
    Column("ended_at", Moment),
    Column("ending", Word),  # RunEnding
    Column("detail", Text),
    Column("figures", Json, nullable=False),
    Index(None, "kind", "started_at"),
    comment="One flow run, as the ledger saw it",
)

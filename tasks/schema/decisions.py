"""What people, and commands in their name, decided about items."""

from sqlalchemy import Column, Float, ForeignKey, Index, Table, Text

from tasks.schema.base import link_to, metadata, own_id
from tasks.schema.types import Id, Json, Moment, Word

decision = Table(
    "decision",
    metadata,
    own_id(),
    Column("kind", Word, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("decided_at", Moment, nullable=False),
    Column("scope", Json, nullable=False),  # the filter, as it was given
    Column("checkpoint_id", Id, ForeignKey("checkpoint.id")),
    Column("previous_checkpoint_id", Id, ForeignKey("checkpoint.id")),
    link_to("work_order", name="order_id", nullable=True),  # that made it, and may take it back
    Column("seconds", Float),  # that a person at the desk looked before deciding
    comment="Who changed what about items or the champion, when and why",
)
# How long people take, of the latest weeks; nothing else measures.
Index("ix_decision_timed", decision.c.decided_at, sqlite_where=decision.c.seconds.is_not(None))

decision_item = Table(
    "decision_item",
    metadata,
    Column("decision_id", Id, ForeignKey("decision.id"), primary_key=True),
    Column("item_id", Id, ForeignKey("item.id"), primary_key=True, index=True),
    Column("was", Word, nullable=False),
    Column("was_reason", Word),
    Column("became", Word, nullable=False),
    comment="The items that a decision moved",
)

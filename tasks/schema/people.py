"""Who may use the desk, their sessions there, and what they think where two must agree."""

from sqlalchemy import Column, Float, ForeignKey, Table, Text

from tasks.schema.base import link_to, metadata, own_id
from tasks.schema.types import Id, Moment, Sha256, Word

person = Table(
    "person",
    metadata,
    own_id(),
    Column("name", Text, nullable=False, unique=True),
    Column("role", Word, nullable=False),  # tasks.ledger.people.Role
    Column("password", Text, nullable=False),  # scrypt's digest with its salt; empty: by proxy only
    Column("added_at", Moment, nullable=False),
    comment="Who may use the desk",
)

desk_session = Table(
    "desk_session",
    metadata,
    Column("digest", Sha256, primary_key=True),  # of the token that the browser holds
    link_to("person", index=True),
    Column("began_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    comment="A person who is signed in at the desk with one browser",
)

opinion = Table(
    "opinion",
    metadata,
    Column("item_id", Id, ForeignKey("item.id"), primary_key=True),
    Column("who", Text, primary_key=True),
    Column("kind", Word, nullable=False),  # DecisionKind: approve or reject
    Column("why", Text, nullable=False),
    Column("seconds", Float),
    Column("given_at", Moment, nullable=False),
    comment="What one of two who must agree has decided about an item that waits for review",
)

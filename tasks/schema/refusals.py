"""A person's no that stands: about scans, about their bytes, about places yet to be discovered."""

from sqlalchemy import Column, Index, Integer, Table, Text

from tasks.schema.base import link_to, metadata, own_id
from tasks.schema.types import Sha256, Word

refusal = Table(
    "refusal",
    metadata,
    own_id(),
    Column("kind", Word, nullable=False),  # DecisionKind: hold, reject or supersede
    link_to("decision"),
    link_to("scan", nullable=True, index=True),  # NULL once a person has approved other bytes of it
    # The bytes that it is about, wherever they lie, and the page of them; NULL while not known.
    Column("sha256", Sha256),
    Column("page", Integer, nullable=False),
    comment="A person's no that stands: the scan, or its bytes elsewhere, wait for a person",
)
Index("ix_refusal_sha256", refusal.c.sha256, refusal.c.page)

held_place = Table(
    "held_place",
    metadata,
    own_id(),
    link_to("decision"),
    Column("place", Text, nullable=False, unique=True),  # a URI, a folder or a pattern
    comment="Where whatever is discovered is held from the start",
)

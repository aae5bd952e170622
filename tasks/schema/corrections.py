"""What people said of the colours of scans."""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from tasks.schema.base import link_to, metadata, own_id
from tasks.schema.types import Json, Moment, Sha256

correction = Table(
    "correction",
    metadata,
    own_id(),
    link_to("scan", index=True),  # that it was made on
    # The bytes that it is about, wherever they lie, and the page of them.
    Column("sha256", Sha256, nullable=False),
    Column("page", Integer, nullable=False),
    Column("frame", BigInteger),  # of a film, from 0
    # colormodel.correction.Correction; of a film, nothing: what *parent_id* said of a frame is
    # withdrawn. Each change of what is said of a film has a number by that.
    Column("said", Json, nullable=False),
    link_to("correction", name="parent_id", nullable=True),  # that it goes on from
    Column("who", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("made_at", Moment, nullable=False),
    Column("withdrawn_by", Text),
    Column("withdrawn_at", Moment),
    Column("withdrawn_why", Text),
    comment="What a person said of a scan's colours; the latest that stands counts (of a film, of "
    "each frame). Never deleted",
)
Index("ix_correction_sha256", correction.c.sha256, correction.c.page, correction.c.id)

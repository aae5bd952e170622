"""Checkpoints, the one in service, references and what was learnt from them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    String,
    Table,
    Text,
)

from tasks.schema.base import link_to, metadata, own_id
from tasks.schema.types import Id, Json, Key, Moment, Sha256, Word

checkpoint = Table(
    "checkpoint",
    metadata,
    own_id(),
    Column("digest", Sha256, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("card", Json, nullable=False),
    Column("registered_by", Text, nullable=False),
    Column("registered_at", Moment, nullable=False),
    comment="Weights that may colour scans, by the digest of their file",
)

champion = Table(
    "champion",
    metadata,
    Column("slot", String(16), primary_key=True),  # one row: "default"
    link_to("checkpoint"),
    link_to("decision"),
    Column("since", Moment, nullable=False),
    comment="The checkpoint in service; its history is in the decisions",
)

reference = Table(
    "reference",
    metadata,
    own_id(),
    link_to("store"),  # our own copy: the curator's may go
    Column("key", Key, nullable=False),
    Column("origin", Text, nullable=False),
    Column("collection", Text, nullable=False),
    Column("sha256", Sha256, nullable=False, unique=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("split", Word, nullable=False),  # train or evaluation: by digest, for ever
    Column("phash", String(16), nullable=False),
    Column("kind", Word, nullable=False),  # ReferenceKind
    Column("certainty", Word, nullable=False),
    Column("rights", Text, nullable=False),
    Column("citation", Text, nullable=False),
    Column("date", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("curator", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("delivery", String(32), nullable=False),  # the call that brought it, with others
    Column("vouched", Boolean, nullable=False),
    link_to("scan", nullable=True),  # that it is the colour version of
    Column("corrects_item_id", Id, ForeignKey("item.id")),
    Column("added_by", Text, nullable=False),
    Column("added_at", Moment, nullable=False),
    Column("withdrawn_by", Text),
    Column("withdrawn_at", Moment),
    Column("withdrawn_why", Text),
    comment="A colour picture that a curator supplied, or a derivative that one has corrected",
)

reference_set = Table(
    "reference_set",
    metadata,
    own_id(),
    Column("digest", Sha256, nullable=False, unique=True),
    Column("frozen_at", Moment, nullable=False),
    Column("frozen_by", Text, nullable=False),
    comment="A frozen list of references, by the digest of its members and their roles",
)

reference_set_member = Table(
    "reference_set_member",
    metadata,
    Column("reference_set_id", Id, ForeignKey("reference_set.id"), primary_key=True),
    Column("reference_id", Id, ForeignKey("reference.id"), primary_key=True),
    Column("role", Word, nullable=False),
    CheckConstraint("role IN ('train', 'evaluation')", name="role"),
)

training = Table(
    "training",
    metadata,
    own_id(),
    link_to("run", nullable=True),
    link_to("reference_set"),
    Column("parent_id", Id, ForeignKey("checkpoint.id"), nullable=False),
    Column("challenger_id", Id, ForeignKey("checkpoint.id")),
    Column("started_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("figures", Json, nullable=False),
    Column("verdict", Word),  # promoted, kept, failed
    Column("why", Text),
    comment="One fine-tuning: from which checkpoint, on which references, to what end",
)

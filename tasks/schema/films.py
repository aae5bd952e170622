"""The shots of films: a film is one scan and one item; its shots are what workers share."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    Index,
    Integer,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    literal_column,
)

from tasks.schema.base import link_to, metadata, own_id
from tasks.schema.types import Id, Key, Moment, Sha256, Word
from tasks.schema.words import ShotStatus

shot = Table(
    "shot",
    metadata,
    own_id(),
    link_to("item"),
    Column("revision", Integer, nullable=False),  # of the scan
    Column("number", Integer, nullable=False),  # from 1
    Column("first_frame", BigInteger, nullable=False),  # from 0
    Column("frames", Integer, nullable=False),
    # Frames of the same take around it that colouring looks at, too; and where reading begins.
    Column("lead", Integer, nullable=False),
    Column("tail", Integer, nullable=False),
    Column("seek", BigInteger),
    Column("status", Word, nullable=False),
    # The order that it was coloured for last: how far that is, in frames.
    link_to("work_order", name="order_id", nullable=True, index=True),
    # Its lease, like a claim's; but it is one shot's, and others than the item's holder have it.
    Column("token", String(32), unique=True),
    Column("worker", Text, nullable=False, server_default=""),
    Column("due_at", Moment, nullable=False),  # from then on it may be leased, once more if need be
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    Column("reason", Word),  # of the last attempt that went wrong, with detail
    Column("detail", Text),
    # What came of it. The segment is in the output until the reel is whole.
    Column("segment_key", Key),
    Column("segment_sha256", Sha256),
    Column("segment_bytes", BigInteger),
    Column("poster_key", Key),
    Column("luma_sha256", Sha256),  # over its frames' digests, which are the film's own
    Column("confidence", Float),
    Column("seconds", Float),
    Column("finished_at", Moment),
    Column("is_grey", Boolean, nullable=False, server_default=false()),  # it was kept grey
    # The correction up to which what people said of frames counts for it; 0: nobody said anything.
    Column("correction_id", Id, nullable=False, server_default="0"),
    Column("verdict", Word),  # ShotVerdict: what a curator said of it
    link_to("decision", nullable=True),
    UniqueConstraint("item_id", "revision", "number"),
    CheckConstraint(f"status IN {tuple(map(str, ShotStatus))}", name="status"),
    comment="A stretch of a film between cuts, which one worker colours",
)
SHOT_UNFINISHED = shot.c.status.in_(
    [literal_column(f"'{status}'") for status in (ShotStatus.OPEN, ShotStatus.CLAIMED)]
)
"""On `shot`, written out: it waits for a worker, or has one."""

# What every worker without items of its own asks for; of films that are in work, a few hundred.
Index("ix_shot_due", shot.c.due_at, sqlite_where=SHOT_UNFINISHED)

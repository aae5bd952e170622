"""Where scans lie, and every scan that was ever found."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)

from tasks.schema.base import link_to, metadata, own_id
from tasks.schema.types import Id, Key, Moment, Sha256

store = Table(
    "store",
    metadata,
    own_id(),
    Column("url", Text, nullable=False, unique=True),
    comment="A place by its normalised URL: a source of scans, or where derivatives go",
)

scan = Table(
    "scan",
    metadata,
    own_id(),
    link_to("store"),
    Column("key", Key, nullable=False),
    Column("page", Integer, nullable=False),  # from 0
    Column("collection", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("etag", Text, nullable=False),
    Column("version", Text),
    Column("modified_at", Moment, nullable=False),
    Column("revision", Integer, nullable=False),  # from 1; counted up when the file changes
    link_to("run", nullable=True),  # that found it
    Column("found_at", Moment, nullable=False),
    Column("vanished_at", Moment),
    # What the first worker to read this revision found out:
    Column("sha256", Sha256),
    Column("width", Integer),
    Column("height", Integer),
    Column("bits", SmallInteger),
    Column("pages", Integer),
    # Discovery asks by key, 5,000 at once; `autochrome item` by the whole of it.
    UniqueConstraint("store_id", "key", "page"),
    # Enqueueing walks a collection in the order of ids, window by window.
    Index(None, "collection", "id"),
    comment="One picture in the archive: a page of an object in a store. Never deleted",
)

scan_revision = Table(
    "scan_revision",
    metadata,
    Column("scan_id", Id, ForeignKey("scan.id"), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("etag", Text, nullable=False),
    Column("version", Text),
    Column("modified_at", Moment, nullable=False),
    Column("sha256", Sha256),
    Column("replaced_at", Moment, nullable=False),
    comment="What a scan was before its file changed",
)

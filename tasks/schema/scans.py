"""Where scans lie, and every scan that was ever found."""

import string

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Float,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    false,
    literal_column,
)

from tasks.schema.base import link_to, metadata, own_id
from tasks.schema.types import Id, Key, Moment, Sha256

store = Table(
    "store",
    metadata,
    own_id(),
    Column("url", Text, nullable=False, unique=True),
    # Scans are looked for in it. None of these lies in another unless it was there first.
    Column("is_source", Boolean, nullable=False, server_default=false()),
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
    Column("revision", Integer, nullable=False),  # from 1; counted up when the bytes change
    link_to("run", nullable=True),  # that found it
    Column("found_at", Moment, nullable=False),
    Column("vanished_at", Moment),
    Column("archived", Boolean, nullable=False, server_default=false()),  # cannot be read now
    # Counted up when the listing tells otherwise of the file; and the count under which its bytes
    # were read last. Where the two differ, the bytes are to be compared.
    Column("listing", Integer, nullable=False, server_default="1"),
    Column("read_listing", Integer, nullable=False, server_default="1"),
    # What the first worker to read this revision found out:
    Column("sha256", Sha256),
    Column("width", Integer),
    Column("height", Integer),
    Column("bits", SmallInteger),
    Column("pages", Integer),
    Column("title", Text),  # what the file calls its subject, for people who look for it
    Column("frames", BigInteger),  # of a film; NULL for a still picture
    Column("film_s", Float),  # how long it plays
    # Discovery asks by key, 5,000 at once; `autochrome item` by the whole of it.
    UniqueConstraint("store_id", "key", "page"),
    # Finding a file by its digest.
    Index(None, "sha256"),
    # Enqueueing walks a collection in the order of ids, window by window.
    Index(None, "collection", "id"),
    comment="One picture in the archive: a page of an object in a store. Never deleted",
)

link = Table(
    "link",
    metadata,
    own_id(),
    link_to("store"),
    Column(
        "key", Key, nullable=False
    ),  # its own; of one to a folder what its scans' keys begin with
    Column("target", Key, nullable=False, index=True),  # the name in full of what it leads to
    UniqueConstraint("store_id", "key"),
    comment="A link that leads out of a source: its scans are known by what it leads to, too",
)

outage = Table(
    "outage",
    metadata,
    own_id(),
    link_to("store"),
    Column("place", Key, nullable=False),  # what its scans' keys begin with; "" is the whole source
    Column("why", Text, nullable=False),
    Column("since", Moment, nullable=False),
    Column("until", Moment, nullable=False),  # then it is tried again
    UniqueConstraint("store_id", "place"),
    comment="A source, or a folder in one, of which nothing can be read now",
)

# Whoever looks for words of names and titles uses an index that each database has in a way of its
# own, so migration 0100 makes it: in SQLite a table of FTS5 (some 20 bytes a scan), in PostgreSQL a
# GIN index of `WORDS`. Both are of scans that were read.
WORDS: ColumnElement[str] = literal_column(
    "to_tsvector('simple', translate(key || ' ' || coalesce(title, ''), "
    f"'{string.punctuation.replace(chr(39), chr(39) * 2)}', '{' ' * len(string.punctuation)}'))"
)
# Pages of files that have several, for a queue of these alone.
PAGE = scan.c.pages > literal_column("1")
Index("ix_scan_page", scan.c.id, sqlite_where=PAGE)
# Films among millions of scans, to count their frames.
Index("ix_scan_film", scan.c.id, sqlite_where=scan.c.frames.is_not(None))
DOUBTED = scan.c.read_listing != scan.c.listing
# What a discovery compares: none of millions, nearly always.
Index("ix_scan_doubted", scan.c.store_id, scan.c.key, sqlite_where=DOUBTED)

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

"""The ledger's tables, and the state machine that its central one follows.

Written as SQLAlchemy Core: every hot statement works on sets of rows, and a command that only asks
for the status starts faster without the ORM. Alembic (`alembic/`) owns the databases; a test
compares the two. The tallies at the end are kept by triggers, which the migration creates.

Indexes are explained where they are defined. What they serve, and how fast, is measured by
`tests/bench/ledger_scale.py`. Which rows a partial index holds is said in SQLite's words only:
migrations say it in PostgreSQL's too, whose dialect would be loaded here for that alone.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
)
from sqlalchemy.sql.elements import ColumnElement

from tasks.schema.types import Id, Json, Key, Moment, Sha256, Word
from tasks.schema.words import ItemStatus

REVISION = "0006"
"""The Alembic revision that this code works with (a test compares it with the scripts)."""

UNCHECKED = frozenset(
    {
        "fk_scan_store_id",
        "fk_scan_run_id",
        "fk_item_claim_id",
        "fk_attempt_claim_id",
        "fk_attempt_item_id",
        "fk_derivative_store_id",
        "fk_derivative_item_id",
    }
)
"""Foreign keys that SQLite has and PostgreSQL has not: migrations 0005 and 0006 say why."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _id() -> Column[int]:
    return Column("id", Id, Identity(), primary_key=True)


def _to(table: str, *, nullable: bool = False, index: bool = False) -> Column[int]:
    return Column(f"{table}_id", Id, ForeignKey(f"{table}.id"), nullable=nullable, index=index)


# --- scans ---------------------------------------------------------------------------------------

store = Table(
    "store",
    metadata,
    _id(),
    Column("url", Text, nullable=False, unique=True),
    comment="A place by its normalised URL: a source of scans, or where derivatives go",
)

scan = Table(
    "scan",
    metadata,
    _id(),
    _to("store"),
    Column("key", Key, nullable=False),
    Column("page", Integer, nullable=False),  # from 0
    Column("collection", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("etag", Text, nullable=False),
    Column("version", Text),
    Column("modified_at", Moment, nullable=False),
    Column("revision", Integer, nullable=False),  # from 1; counted up when the file changes
    _to("run", nullable=True),  # that found it
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

# --- items ---------------------------------------------------------------------------------------

recipe = Table(
    "recipe",
    metadata,
    _id(),
    Column("digest", Sha256, nullable=False, unique=True),
    Column("checkpoint_digest", Sha256, nullable=False),
    Column("outputs", Json, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("used_at", Moment, nullable=False),  # the latest is the recipe in service
    comment="All that decides a derivative's pixels",
)

claim = Table(
    "claim",
    metadata,
    _id(),
    Column("token", String(32), nullable=False, unique=True),
    Column("worker", Text, nullable=False),
    _to("recipe"),
    _to("run", nullable=True, index=True),
    Column("max_attempts", SmallInteger, nullable=False),
    Column("claimed_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("ended_at", Moment),
    # What came of it, for the failure budget: summing these beats counting attempts.
    Column("finished", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    # And how much that was: the rates that plans are made with.
    Column("source_bytes", BigInteger, nullable=False, server_default="0"),
    Column("derivative_bytes", BigInteger, nullable=False, server_default="0"),
    comment="One batch in the hands of one worker: the lease that its items share",
)
# Every claim first looks for leases that ran out; this index holds the open ones only, a few dozen.
Index(
    "ix_claim_open",
    claim.c.expires_at,
    sqlite_where=claim.c.ended_at.is_(None),
)

item = Table(
    "item",
    metadata,
    _id(),
    _to("scan"),
    _to("recipe"),
    Column("collection", Text, nullable=False),  # the scan's, repeated for the claiming index
    Column("revision", Integer, nullable=False),  # of the scan, that this item is about
    Column("status", Word, nullable=False),
    Column("reason", Word),
    Column("detail", Text),
    Column("attempts", SmallInteger, nullable=False),
    Column("alone", Boolean, nullable=False),  # its worker vanished: claim it in a batch of one
    _to("claim", nullable=True),  # while claimed
    Column("not_before", Moment, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False),  # when it came into its status
    Column("confidence", Float),
    _to("backfill", nullable=True),  # that enqueued it last: its shares alone claim it
    # One item a scan and recipe; also finds a scan's items under other recipes.
    UniqueConstraint("scan_id", "recipe_id"),
    CheckConstraint(f"status IN {tuple(map(str, ItemStatus))}", name="status"),
    comment="One scan under one recipe",
)


def status_in(*statuses: ItemStatus) -> ColumnElement[bool]:
    """Condition on an item's status, written out and not bound.

    A database uses a partial index only where it can see that the predicate holds.
    """
    words: list[ColumnElement[str]] = [literal_column(f"'{status}'") for status in statuses]
    return item.c.status == words[0] if len(words) == 1 else item.c.status.in_(words)


def _item_index(name: str, where: ColumnElement[bool], *columns: Column[Any]) -> Index:
    return Index(name, *columns, sqlite_where=where)


LOOKED_AFTER_STATUSES = frozenset(
    {
        ItemStatus.REVIEW,
        ItemStatus.SKIPPED,
        ItemStatus.FAILED,
        ItemStatus.QUARANTINED,
        ItemStatus.HELD,
        ItemStatus.REJECTED,
    }
)
_TOGETHER = status_in(ItemStatus.PENDING) & item.c.alone.is_(False)
PENDING_TOGETHER = _TOGETHER & item.c.backfill_id.is_(None)
PENDING_IN_BACKFILL = _TOGETHER & item.c.backfill_id.is_not(None)
PENDING_ALONE = status_in(ItemStatus.PENDING) & item.c.alone.is_(True)
CLAIMED = status_in(ItemStatus.CLAIMED)
LOOKED_AFTER = status_in(*(status for status in ItemStatus if status in LOOKED_AFTER_STATUSES))

# Claiming takes the first rows of this index, already in order: a claim costs the same among 10 M
# items as among 10. Items that wait for a later time sort behind, so an outage cannot clog it.
_item_index(
    "ix_item_pending",
    PENDING_TOGETHER,
    item.c.recipe_id,
    item.c.collection,
    item.c.not_before,
    item.c.id,
)
# The same for the shares of a backfill. Two indexes, so that a million items of a backfill that is
# paused do not lie in the nightly run's way.
_item_index(
    "ix_item_backfill",
    PENDING_IN_BACKFILL,
    item.c.backfill_id,
    item.c.not_before,
    item.c.id,
)
# The suspects, asked for first; nearly always empty.
_item_index("ix_item_alone", PENDING_ALONE, item.c.recipe_id, item.c.not_before, item.c.id)
# A batch's items, by its claim: for finishing, giving back and sweeping.
_item_index("ix_item_claimed", CLAIMED, item.c.claim_id)
# Lists and filters over what people look after. Pending and claimed items would make it churn, and
# nobody lists a million published ones by reason.
_item_index(
    "ix_item_looked_after",
    LOOKED_AFTER,
    item.c.recipe_id,
    item.c.status,
    item.c.reason,
    item.c.id,
)

attempt = Table(
    "attempt",
    metadata,
    _id(),
    _to("item", index=True),  # `autochrome item`
    _to("claim"),
    Column("revision", Integer, nullable=False),
    Column(
        "number", SmallInteger, nullable=False
    ),  # from 1; repeats after one that was not counted
    Column("ending", Word, nullable=False),
    Column("status", Word, nullable=False),  # that the item went to
    Column("reason", Word),
    Column("detail", Text),
    Column("seconds", Float),
    Column("ended_at", Moment, nullable=False),
    comment="One claim of one item, written when it ends (an open one is the item's claim)",
)

derivative = Table(
    "derivative",
    metadata,
    _id(),
    _to("item"),
    Column("revision", Integer, nullable=False),  # of the scan
    Column("kind", Word, nullable=False),
    _to("store"),
    Column("key", Key, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", Sha256, nullable=False),
    Column("max_delta_l", Float),
    Column("mean_delta_l", Float),
    Column("luma_identical", Boolean),
    Column("written_at", Moment, nullable=False),
    # Writing the same item twice writes the same files: the later row replaces the earlier.
    UniqueConstraint("item_id", "revision", "kind"),
    comment="A file written for an item, read back and verified before it is recorded",
)


def _fixity(subject: str) -> Table:
    return Table(
        f"{subject}_fixity",
        metadata,
        Column(
            "subject_id", Id, ForeignKey(f"{subject}.id"), primary_key=True, autoincrement=False
        ),
        _to("run"),  # that read it
        Column("outcome", Word, nullable=False),  # FixityOutcome
        Column("sha256", Sha256),  # that was found
        Column("detail", Text),
        Column("checked_at", Moment, nullable=False),
        comment=f"The latest audit of each {subject}'s file",
    )


derivative_fixity = _fixity("derivative")
scan_fixity = _fixity("scan")

# --- decisions -----------------------------------------------------------------------------------

decision = Table(
    "decision",
    metadata,
    _id(),
    Column("kind", Word, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("decided_at", Moment, nullable=False),
    Column("scope", Json, nullable=False),  # the filter, as it was given
    Column("checkpoint_id", Id, ForeignKey("checkpoint.id")),
    Column("previous_checkpoint_id", Id, ForeignKey("checkpoint.id")),
    _to("backfill", nullable=True),  # that made it: cancelling takes it back
    comment="Who changed what about items or the champion, when and why",
)

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

# --- models --------------------------------------------------------------------------------------

checkpoint = Table(
    "checkpoint",
    metadata,
    _id(),
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
    _to("checkpoint"),
    _to("decision"),
    Column("since", Moment, nullable=False),
    comment="The checkpoint in service; its history is in the decisions",
)

reference = Table(
    "reference",
    metadata,
    _id(),
    _to("store"),  # our own copy: the curator's may go
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
    _to("scan", nullable=True),  # that it is the colour version of
    Column("corrects_item_id", Id, ForeignKey("item.id")),
    Column("added_by", Text, nullable=False),
    Column("added_at", Moment, nullable=False),
    Column("withdrawn_by", Text),
    Column("withdrawn_at", Moment),
    Column("withdrawn_why", Text),
    comment="A genuine colour picture supplied by a curator",
)

reference_set = Table(
    "reference_set",
    metadata,
    _id(),
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
    _id(),
    _to("run", nullable=True),
    _to("reference_set"),
    Column("parent_id", Id, ForeignKey("checkpoint.id"), nullable=False),
    Column("challenger_id", Id, ForeignKey("checkpoint.id")),
    Column("started_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("figures", Json, nullable=False),
    Column("verdict", Word),  # promoted, kept, failed
    Column("why", Text),
    comment="One fine-tuning: from which checkpoint, on which references, to what end",
)

# --- runs ----------------------------------------------------------------------------------------

run = Table(
    "run",
    metadata,
    _id(),
    Column("kind", Word, nullable=False),
    Column("name", Text, nullable=False),
    Column("flow_run_id", String(36)),
    _to("recipe", nullable=True),
    Column("started_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),  # its last heartbeat
    Column("ended_at", Moment),
    Column("ending", Word),  # RunEnding
    Column("detail", Text),
    Column("figures", Json, nullable=False),
    Index(None, "kind", "started_at"),
    comment="One flow run, as the ledger saw it",
)

# --- backfills -----------------------------------------------------------------------------------

backfill = Table(
    "backfill",
    metadata,
    _id(),
    _to("run"),  # that its claims count for
    _to("recipe"),
    Column("state", Word, nullable=False),  # BackfillState
    Column("mode", Word, nullable=False),
    Column("scope", Json, nullable=False),  # collections, URIs, …: which scans it looks at
    Column("priority", SmallInteger, nullable=False),  # higher first
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
    Column("detail", Text, nullable=False),  # why it is in its state
    Column("created_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False),  # when it came into its state
    Column("ended_at", Moment),
    Column("figures", Json, nullable=False),  # counts by status at its end
    comment="Many scans to be coloured beside the nightly runs",
)
# Those that are under way, a handful: what the flow that keeps them going asks for every minute.
Index(
    "ix_backfill_open",
    backfill.c.priority,
    backfill.c.id,
    sqlite_where=backfill.c.ended_at.is_(None),
)

share = Table(
    "share",
    metadata,
    _id(),
    _to("backfill"),
    Column("number", Integer, nullable=False),  # from 1
    Column("flow_run_id", String(36)),
    Column("max_items", Integer),
    Column("max_seconds", Float),
    Column("created_at", Moment, nullable=False),
    Column("begun_at", Moment),
    Column("seen_at", Moment, nullable=False),  # its last heartbeat
    Column("ended_at", Moment),
    Column("ending", Word),  # RunEnding
    Column("detail", Text, nullable=False),
    Column("items", Integer, nullable=False),  # that came to an end in it
    UniqueConstraint("backfill_id", "number"),
    comment="One worker's turn at a backfill",
)
Index(
    "ix_share_open",
    share.c.backfill_id,
    sqlite_where=share.c.ended_at.is_(None),
)

# --- tallies -------------------------------------------------------------------------------------
# Counting 10 M rows takes seconds, and a status page may ask every few. So triggers keep the
# counts, in the transaction that changes the rows: they cannot be wrong, whoever changes a row, by
# hand too. One row a count would make every worker wait for every other's commit; so each database
# session counts in one of 16 slots, and the sum over the slots is the count.

item_tally = Table(
    "item_tally",
    metadata,
    Column("recipe_id", Id, primary_key=True, autoincrement=False),
    Column("collection", Text, primary_key=True),
    Column("status", Word, primary_key=True),
    Column("reason", Word, primary_key=True),  # "" for none
    Column("slot", SmallInteger, primary_key=True, autoincrement=False),
    Column("n", BigInteger, nullable=False),
    comment="Items by status and reason, kept by triggers on item",
)

backfill_tally = Table(
    "backfill_tally",
    metadata,
    Column("backfill_id", Id, primary_key=True, autoincrement=False),
    Column("status", Word, primary_key=True),
    Column("reason", Word, primary_key=True),  # "" for none
    Column("slot", SmallInteger, primary_key=True, autoincrement=False),
    Column("n", BigInteger, nullable=False),
    comment="A backfill's items by status and reason, kept by triggers on item",
)

scan_tally = Table(
    "scan_tally",
    metadata,
    Column("collection", Text, primary_key=True),
    Column("vanished", Boolean, primary_key=True),
    Column("slot", SmallInteger, primary_key=True, autoincrement=False),
    Column("n", BigInteger, nullable=False),
    comment="Scans by collection, kept by triggers on scan",
)

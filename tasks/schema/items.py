"""Items, the state machine that they follow, their claims, attempts and derivatives."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
)
from sqlalchemy.sql.elements import ColumnElement

from tasks.schema.base import link_to, metadata, own_id
from tasks.schema.types import Id, Json, Key, Moment, Sha256, Word
from tasks.schema.words import ItemStatus

recipe = Table(
    "recipe",
    metadata,
    own_id(),
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
    own_id(),
    Column("token", String(32), nullable=False, unique=True),
    Column("worker", Text, nullable=False),
    link_to("recipe"),
    link_to("run", nullable=True, index=True),
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
    own_id(),
    link_to("scan"),
    link_to("recipe"),
    Column("collection", Text, nullable=False),  # the scan's, repeated for the claiming index
    Column("revision", Integer, nullable=False),  # of the scan, that this item is about
    Column("status", Word, nullable=False),
    Column("reason", Word),
    Column("detail", Text),
    Column("attempts", SmallInteger, nullable=False),
    Column("alone", Boolean, nullable=False),  # its worker vanished: claim it in a batch of one
    link_to("claim", nullable=True),  # while claimed
    Column("not_before", Moment, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False),  # when it came into its status
    Column("confidence", Float),
    Column("notes", Text),  # what a person should know of the scan, a line each
    # What its derivatives in use were made with, or 0 for the network's own colours.
    Column("correction_id", Id, nullable=False, server_default="0"),
    # That enqueued it last: its shares alone claim it, and once it has ended, nobody but the next.
    link_to("work_order", name="order_id", nullable=True),
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
PENDING_IN_ORDER = (
    status_in(ItemStatus.PENDING) & item.c.alone.is_(False) & item.c.order_id.is_not(None)
)
PENDING_FOR_NONE = status_in(ItemStatus.PENDING) & item.c.order_id.is_(None)
PENDING_ALONE = status_in(ItemStatus.PENDING) & item.c.alone.is_(True)
CLAIMED = status_in(ItemStatus.CLAIMED)
#: What has come to an end, and may be looked at.
SETTLED_STATUSES = LOOKED_AFTER_STATUSES | {ItemStatus.PUBLISHED}
SETTLED = status_in(*(status for status in ItemStatus if status in SETTLED_STATUSES))
LOOKED_AFTER = status_in(*(status for status in ItemStatus if status in LOOKED_AFTER_STATUSES))

# Claiming takes the first rows of this index, already in order: a claim costs the same among 10 M
# items as among 10. Items that wait for a later time sort behind, so an outage cannot clog it.
_item_index("ix_item_order", PENDING_IN_ORDER, item.c.order_id, item.c.not_before, item.c.id)
# The suspects, asked for first; nearly always empty.
_item_index("ix_item_alone", PENDING_ALONE, item.c.order_id, item.c.not_before, item.c.id)
# What the next order will find: let go of by a person, or by an order that was cancelled.
_item_index("ix_item_pending", PENDING_FOR_NONE, item.c.not_before)
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
# The queue and the wall of the desk, least sure first or by time: the head of each reason of each
# collection, whatever else there is.
IN_REVIEW = status_in(ItemStatus.REVIEW)
_item_index(
    "ix_item_review_confidence",
    IN_REVIEW,
    item.c.collection,
    item.c.reason,
    item.c.confidence,
    item.c.id,
)
_item_index(
    "ix_item_settled",
    SETTLED,
    item.c.status,
    item.c.collection,
    item.c.reason,
    item.c.changed_at,
    item.c.id,
)
# The same of one night, or another order: what a cell of the desk's archive holds.
_item_index(
    "ix_item_settled_order",
    SETTLED,
    item.c.order_id,
    item.c.status,
    item.c.collection,
    item.c.reason,
    item.c.changed_at,
    item.c.id,
)

attempt = Table(
    "attempt",
    metadata,
    own_id(),
    link_to("item", index=True),  # `autochrome item`
    link_to("claim"),
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
    own_id(),
    link_to("item"),
    Column("revision", Integer, nullable=False),  # of the scan
    Column("correction_id", Id, nullable=False, server_default="0"),  # it was made with; 0: none
    Column("kind", Word, nullable=False),
    link_to("store"),
    Column("key", Key, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", Sha256, nullable=False),
    Column("max_delta_l", Float),
    Column("mean_delta_l", Float),
    Column("luma_identical", Boolean),
    Column("written_at", Moment, nullable=False),
    # Writing the same item twice writes the same files: the later row replaces the earlier.
    UniqueConstraint("item_id", "revision", "kind", "correction_id"),
    comment="A file written for an item, read back and verified before it is recorded",
)


def _fixity(subject: str) -> Table:
    return Table(
        f"{subject}_fixity",
        metadata,
        Column(
            "subject_id", Id, ForeignKey(f"{subject}.id"), primary_key=True, autoincrement=False
        ),
        link_to("run"),  # that read it
        Column("outcome", Word, nullable=False),  # FixityOutcome
        Column("sha256", Sha256),  # that was found
        Column("detail", Text),
        Column("checked_at", Moment, nullable=False),
        comment=f"The latest audit of each {subject}'s file",
    )


derivative_fixity = _fixity("derivative")
scan_fixity = _fixity("scan")

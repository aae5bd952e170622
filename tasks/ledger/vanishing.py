"""Scans that are not there to be read, gone or archived, and those that come back."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, func, null, select, update

from tasks.errors import Reason
from tasks.ledger import sql
from tasks.ledger.decisions import Decision, carry_out
from tasks.schema import DecisionKind, ItemStatus, item, scan, status_in

GONE = ItemStatus.SKIPPED
GONE_REASON = Reason.VANISHED
GONE_DETAIL = "no longer in its source"
ARCHIVED_DETAIL = "in an archive class of its bucket, and not restored there"
_BACK = frozenset({GONE_REASON.value, Reason.LEFT_OUT.value})
_NOT_DONE = (ItemStatus.PENDING, ItemStatus.FAILED, ItemStatus.QUARANTINED)
WHO = "discovery"


def pages_of(
    scan_ids: Sequence[int], *, from_page: int = 0, as_last_read: bool = False
) -> Select[Any]:
    """The pages of the files whose first pages have these ids.

    All that they ever had, or only those that they had when they were last read.
    """
    first, page = scan.alias("first"), scan.alias("page")
    pages = (
        select(page.c.id)
        .select_from(first)
        .join(page, and_(page.c.store_id == first.c.store_id, page.c.key == first.c.key))
        .where(first.c.id.in_(sql.these(scan_ids)), page.c.page >= from_page)
    )
    if as_last_read:
        pages = pages.where(page.c.page < func.coalesce(first.c.pages, 1))
    return pages


def mark_vanished(connection: Connection, scan_ids: Sequence[int]) -> None:
    """Mark files that a complete listing did not bring; what waits for them waits no more.

    The ids here and below are those of the files' first pages.
    """
    _mark(connection, pages_of(scan_ids))


def mark_left_out(connection: Connection, scan_ids: Sequence[int], *, pattern: str) -> None:
    """Mark files that *pattern* leaves out: what is not done with them waits no more.

    What they became before, in review, published or rejected, stays what it is.
    """
    why = f"left out by the pattern {pattern}"
    left = Decision(DecisionKind.SCAN_LEFT_OUT, GONE, WHO, why, reason=Reason.LEFT_OUT)
    _mark(connection, pages_of(scan_ids), left, _NOT_DONE)


def mark_later_pages_vanished(connection: Connection, scan_ids: Sequence[int]) -> None:
    """A file changed: whether its later pages are still there is known when its first is read."""
    _mark(connection, pages_of(scan_ids, from_page=1))


def mark_reappeared(connection: Connection, scan_ids: Sequence[int]) -> None:
    """Files that were gone or left out are back: what ended because of that waits again."""
    pages = pages_of(scan_ids, as_last_read=True)
    connection.execute(
        update(scan)
        .where(scan.c.id.in_(pages), scan.c.vanished_at.is_not(None))
        .values(vanished_at=null())
    )
    again = Decision(DecisionKind.SCAN_REAPPEARED, ItemStatus.PENDING, WHO, "back in its source")
    was_gone = and_(status_in(GONE), item.c.reason.in_(_BACK))
    carry_out(connection, again, and_(was_gone, item.c.scan_id.in_(pages)))
    _shelve(connection, pages)


def mark_archived(connection: Connection, scan_ids: Sequence[int]) -> None:
    """Files went into an archive class: what waits for them is not tried. What has ended stays."""
    pages = pages_of(scan_ids)
    connection.execute(update(scan).where(scan.c.id.in_(pages)).values(archived=True))
    _shelve(connection, pages)


def mark_restored(connection: Connection, scan_ids: Sequence[int]) -> None:
    """Files can be read again: what was not tried, or ended because they could not be, waits."""
    pages = pages_of(scan_ids)
    connection.execute(update(scan).where(scan.c.id.in_(pages)).values(archived=False))
    again = Decision(DecisionKind.SCAN_RESTORED, ItemStatus.PENDING, WHO, "can be read again")
    was_archived = and_(status_in(GONE), item.c.reason == Reason.ARCHIVED)
    carry_out(connection, again, and_(was_archived, item.c.scan_id.in_(pages)))


def _shelve(connection: Connection, pages: Select[Any]) -> None:
    """Of files that are archived nothing is tried."""
    shelved = Decision(
        DecisionKind.SCAN_ARCHIVED, GONE, WHO, ARCHIVED_DETAIL, reason=Reason.ARCHIVED
    )
    is_archived = select(scan.c.id).where(scan.c.id == item.c.scan_id, scan.c.archived.is_(True))
    waiting = and_(status_in(ItemStatus.PENDING), item.c.scan_id.in_(pages), is_archived.exists())
    carry_out(connection, shelved, waiting)


_VANISHED = Decision(DecisionKind.SCAN_VANISHED, GONE, WHO, GONE_DETAIL, reason=GONE_REASON)


def _mark(
    connection: Connection,
    pages: Select[Any],
    made: Decision = _VANISHED,
    statuses: Sequence[ItemStatus] = (ItemStatus.PENDING,),
) -> None:
    waiting = and_(status_in(*statuses), item.c.scan_id.in_(pages))
    carry_out(connection, made, waiting)
    connection.execute(
        update(scan)
        .where(scan.c.id.in_(pages), scan.c.vanished_at.is_(None))
        .values(vanished_at=sql.now())
    )

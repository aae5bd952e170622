"""Scans that are no longer in their source, and those that come back."""

from collections.abc import Sequence

from sqlalchemy import Connection, Select, and_, null, select, update

from tasks.errors import Reason
from tasks.ledger import sql
from tasks.ledger.decisions import decide_on
from tasks.schema import DecisionKind, ItemStatus, item, scan, status_in

GONE = ItemStatus.QUARANTINED
GONE_REASON = Reason.UNREADABLE
GONE_DETAIL = "no longer in its source"
WHO = "discovery"


def mark_vanished(connection: Connection, scan_ids: Sequence[int]) -> int:
    """Mark files that a complete listing did not bring; what waits for them waits no more."""
    return _mark(connection, _pages_of(connection, from_page=0), given=sql.as_ids(scan_ids))


def mark_later_pages_vanished(connection: Connection, scan_ids: Sequence[int]) -> None:
    """A file changed: whether its later pages are still there is known when its first is read."""
    _mark(connection, _pages_of(connection, from_page=1), given=sql.as_ids(scan_ids))


def mark_reappeared(connection: Connection, scan_ids: Sequence[int]) -> int:
    """Files that had vanished are back: what ended because they were gone waits again."""
    given = {"given": sql.as_ids(scan_ids)}
    pages = _pages_of(connection, from_page=0)
    back = (
        update(scan)
        .where(scan.c.id.in_(pages), scan.c.vanished_at.is_not(None))
        .values(vanished_at=null())
    )
    count = sql.affected(connection, back, given)
    decide_on(
        connection,
        DecisionKind.SCAN_REAPPEARED,
        and_(status_in(GONE), item.c.reason == GONE_REASON, item.c.scan_id.in_(pages)),
        target=ItemStatus.PENDING,
        who=WHO,
        why="back in its source",
        parameters=given,
    )
    return count


def _pages_of(connection: Connection, *, from_page: int) -> Select[tuple[int]]:
    """The pages of the files whose first pages are the rows *given*."""
    first, page = scan.alias("first"), scan.alias("page")
    given = sql.ids_table(connection, "given")
    return (
        select(page.c.id)
        .select_from(given)
        .join(first, first.c.id == given.c.id)
        .join(page, and_(page.c.store_id == first.c.store_id, page.c.key == first.c.key))
        .where(page.c.page >= from_page)
    )


def _mark(connection: Connection, pages: Select[tuple[int]], *, given: str) -> int:
    decide_on(
        connection,
        DecisionKind.SCAN_VANISHED,
        and_(status_in(ItemStatus.PENDING), item.c.scan_id.in_(pages)),
        target=GONE,
        who=WHO,
        why=GONE_DETAIL,
        parameters={"given": given},
        reason=GONE_REASON,
    )
    marked = (
        update(scan)
        .where(scan.c.id.in_(pages), scan.c.vanished_at.is_(None))
        .values(vanished_at=sql.now())
    )
    return sql.affected(connection, marked, {"given": given})

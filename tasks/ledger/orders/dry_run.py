"""The dry run of an order: what it would do, counted by SQL window by window."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, or_, select

from tasks.errors import Reason
from tasks.ledger import enqueue
from tasks.ledger.engine import Database
from tasks.ledger.orders.planning import BudgetLeft, DueScans, cut, in_view, is_due
from tasks.ledger.orders.records import LeftOutScans, Order, OrderPlan
from tasks.schema import ItemStatus, item, scan


@dataclass
class _Tally:
    scans: int = 0
    items: int = 0
    size_bytes: int = 0
    largest_bytes: int = 0
    within: DueScans = field(default_factory=lambda: DueScans(0, 0, 0))
    is_full: bool = False


def plan(database: Database, order: Order, recipe_id: int) -> OrderPlan:
    """What such an order would do now. Nothing is changed.

    In bounded memory and short transactions.

    Args:
        database: Of the ledger.
        order: Which scans, and how many at most.
        recipe_id: Under which recipe; 0 for one that the ledger does not know yet.

    Raises:
        UsageError: The scope names a place that no scans were discovered in.
    """
    tally, left_out = _Tally(), Counter[tuple[str | None, str | None]]()
    after: int | None = 0
    while after is not None:
        start = after
        after = database.read(
            lambda c, start=start: _plan_window(c, order, recipe_id, start, tally, left_out)  # type: ignore[misc]  # a default binds the loop's value
        )
    return OrderPlan(
        scans=tally.scans,
        items=tally.within.items,
        size_bytes=tally.within.size_bytes,
        largest_bytes=tally.largest_bytes,
        beyond_budget=tally.items - tally.within.items,
        left_out=tuple(
            LeftOutScans(
                ItemStatus(status) if status else None, Reason(reason) if reason else None, n
            )
            for (status, reason), n in left_out.most_common()
        ),
    )


def _plan_window(  # noqa: PLR0913, PLR0917 - the two last are what it adds to
    connection: Connection,
    order: Order,
    recipe_id: int,
    after: int,
    tally: _Tally,
    left_out: Counter[tuple[str | None, str | None]],
) -> int | None:
    wanted = in_view(connection, order, recipe_id)
    last = enqueue.window_end(connection, wanted=wanted, after=after)
    if last is None:
        return None
    window = and_(wanted, scan.c.id > after, scan.c.id <= last)
    due = is_due(window, recipe_id, order)
    rows = connection.execute(_grouped(window, due, recipe_id)).all()
    room = BudgetLeft.of(order.budget, items=tally.within.items, size_bytes=tally.within.size_bytes)
    items = size_bytes = 0
    for row in rows:
        tally.scans += row.scans
        if not row.due:
            left_out[row.status, row.reason] += row.scans
            continue
        items += row.scans
        size_bytes += int(row.size_bytes)
        tally.largest_bytes = max(tally.largest_bytes, row.largest)
    tally.items += items
    tally.size_bytes += size_bytes
    if tally.is_full:
        return last
    taken = DueScans(items, size_bytes, last)
    if not room.holds(items, size_bytes):
        taken = cut(connection, and_(window, due), room, before=after)
        tally.is_full = True
    tally.within = DueScans(
        tally.within.items + taken.items, tally.within.size_bytes + taken.size_bytes, taken.last
    )
    return last


def _grouped(window: ColumnElement[bool], due: ColumnElement[bool], recipe_id: int) -> Select[Any]:
    """Counts of a window: what is due, and the rest by where it stands.

    A scan stands where its item under this recipe does; without one, where the latest other does.
    """
    mine, other, stands = item.alias("mine"), item.alias("latest"), item.alias("stands")
    latest = (
        select(func.max(other.c.id))
        .where(other.c.scan_id == scan.c.id, other.c.status != ItemStatus.SUPERSEDED)
        .correlate(scan)
        .scalar_subquery()
    )
    is_due = case((due, 1), else_=0)
    is_gone = scan.c.vanished_at.is_not(None)
    is_archived = scan.c.archived.is_(True)
    status = case((or_(is_gone, is_archived), ItemStatus.SKIPPED.value), else_=stands.c.status)
    reason = case(
        (is_gone, Reason.VANISHED.value),
        (is_archived, Reason.ARCHIVED.value),
        else_=stands.c.reason,
    )
    rows = (
        select(
            is_due.label("due"),
            status.label("status"),
            reason.label("reason"),
            scan.c.size_bytes.label("size_bytes"),
        )
        .select_from(scan)
        .outerjoin(mine, and_(mine.c.scan_id == scan.c.id, mine.c.recipe_id == recipe_id))
        .outerjoin(stands, stands.c.id == func.coalesce(mine.c.id, latest))
        .where(window)
        .subquery()
    )
    return select(
        rows.c.due,
        rows.c.status,
        rows.c.reason,
        func.count().label("scans"),
        func.coalesce(func.sum(rows.c.size_bytes), 0).label("size_bytes"),
        func.max(rows.c.size_bytes).label("largest"),
    ).group_by(rows.c.due, rows.c.status, rows.c.reason)

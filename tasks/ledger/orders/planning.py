"""Planning an order: which scans it takes, counted by SQL and enqueued window by window.

A window is one transaction, and where planning is comes into the same transaction: whoever goes on
after a crash, or beside another planner, enqueues nothing twice and leaves nothing out.
"""

from collections import Counter
from dataclasses import dataclass
from functools import reduce
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    func,
    or_,
    select,
    true,
    update,
)

from tasks.errors import Reason, UsageError
from tasks.ledger import enqueue, refusals, sql
from tasks.ledger.engine import Database
from tasks.ledger.filters import scans_at
from tasks.ledger.orders.records import (
    Budget,
    LeftOut,
    Order,
    OrderPlan,
    OrderRow,
    Scope,
)
from tasks.ledger.orders.steering import change_state, lock
from tasks.ledger.records import EnqueueMode
from tasks.schema import (
    ItemStatus,
    OrderKind,
    OrderMode,
    OrderState,
    item,
    scan,
    status_in,
    work_order,
)

_ENQUEUED_AS = {
    OrderMode.MISSING: EnqueueMode.NEW,
    OrderMode.FAILED: EnqueueMode.FAILED,
    OrderMode.CHANGED_RECIPE: EnqueueMode.SUPERSEDING,
    OrderMode.ALL: EnqueueMode.ALL,
}
_ADOPTING = (OrderMode.MISSING, OrderMode.ALL)
"""These take what waits for nobody: left by an order that has ended, or let go of by a person."""
_PASSING_BY = (OrderKind.RETRY, OrderKind.BACKFILL)
"""These leave alone what a person said no to; for the others it is done, and waits for a person."""


@dataclass(frozen=True)
class _Room:
    """What the budget has left."""

    items: int | None
    size_bytes: int | None

    @classmethod
    def of(cls, budget: Budget, *, items: int = 0, size_bytes: int = 0) -> "_Room":
        return cls(
            None if budget.max_items is None else budget.max_items - items,
            None if budget.max_bytes is None else budget.max_bytes - size_bytes,
        )

    def holds(self, items: int, size_bytes: int) -> bool:
        fits = self.items is None or items <= self.items
        return fits and (self.size_bytes is None or size_bytes <= self.size_bytes)


@dataclass(frozen=True)
class _Due:
    """Scans to enqueue in a window, up to the last that the budget allows."""

    items: int
    size_bytes: int
    last: int


# --- which scans ---------------------------------------------------------------------------------


def in_scope(connection: Connection, scope: Scope) -> ColumnElement[bool]:
    """On `scan`: it is looked at.

    Raises:
        UsageError: A URI lies in no store that scans were discovered in.
    """
    conditions: list[ColumnElement[bool]] = [true()]
    if scope.collections:
        conditions.append(scan.c.collection.in_(scope.collections))
    if scope.uris:
        conditions.append(or_(*(scans_at(connection, uri) for uri in scope.uris)))
    return and_(*conditions)


def _in_view(
    connection: Connection, order: Order | OrderRow, recipe_id: int
) -> ColumnElement[bool]:
    """On `scan`: it is looked at. A retry looks at what failed alone: a few of millions."""
    wanted = in_scope(connection, order.scope)
    if order.kind is not OrderKind.RETRY:
        return wanted
    failed = select(item.c.scan_id).where(_failed(recipe_id, order.scope))
    return and_(wanted, scan.c.id.in_(failed))


def has_scans_at(connection: Connection, uri: str) -> bool:
    """Whether scans are known there."""
    try:
        here = scans_at(connection, uri)
    except UsageError:
        return False
    return connection.execute(select(scan.c.id).where(here).limit(1)).first() is not None


def _is_eligible(recipe_id: int, order: Order | OrderRow) -> ColumnElement[bool]:
    """On `scan`: nothing keeps this order from it."""
    conditions: list[ColumnElement[bool]] = [true()]
    if order.kind in _PASSING_BY:
        conditions += [
            enqueue.is_there(),
            ~_is_refused(recipe_id),
            ~refusals.is_held(),
            ~refusals.is_refused_as_it_is(),
        ]
    if order.scope.confidence_below is not None:
        conditions.append(_is_doubted(recipe_id, order.scope.confidence_below))
    if order.mode is OrderMode.FAILED:
        conditions.append(_has_failed(recipe_id, order.scope))
    return and_(*conditions)


def _is_refused(recipe_id: int) -> ColumnElement[bool]:
    """On `scan`: under another recipe it is held, rejected, or another order has it."""
    other = item.alias("other")
    waiting = (ItemStatus.PENDING.value, ItemStatus.CLAIMED.value)
    return (
        select(other.c.id)
        .where(
            other.c.scan_id == scan.c.id,
            other.c.recipe_id != recipe_id,
            or_(
                other.c.status == ItemStatus.HELD,
                and_(other.c.status == ItemStatus.REJECTED, other.c.revision == scan.c.revision),
                and_(other.c.status.in_(waiting), enqueue.is_in_open_order(other)),
            ),
        )
        .correlate(scan)
        .exists()
    )


def _has_failed(recipe_id: int, scope: Scope) -> ColumnElement[bool]:
    """On `scan`: it failed under this recipe, as the scope says."""
    its_own = item.c.scan_id == scan.c.id
    return select(item.c.id).where(its_own, _failed(recipe_id, scope)).correlate(scan).exists()


def _failed(recipe_id: int, scope: Scope) -> ColumnElement[bool]:
    """On `item`: it failed under this recipe, as the scope says."""
    conditions = [item.c.recipe_id == recipe_id, status_in(ItemStatus.FAILED)]
    if scope.reasons:
        conditions.append(item.c.reason.in_(scope.reasons))
    if scope.older_than_s is not None:
        conditions.append(item.c.changed_at <= sql.now(-scope.older_than_s))
    return and_(*conditions)


def _is_doubted(recipe_id: int, below: float) -> ColumnElement[bool]:
    doubted = item.alias("doubted")
    in_use = (ItemStatus.PUBLISHED.value, ItemStatus.REVIEW.value)
    return (
        select(doubted.c.id)
        .where(
            doubted.c.scan_id == scan.c.id,
            doubted.c.recipe_id != recipe_id,
            doubted.c.status.in_(in_use),
            doubted.c.confidence < below,
        )
        .correlate(scan)
        .exists()
    )


def _is_due(
    window: ColumnElement[bool], recipe_id: int, order: Order | OrderRow
) -> ColumnElement[bool]:
    due = enqueue.is_due(window, recipe_id, _ENQUEUED_AS[order.mode])
    if order.mode in _ADOPTING:
        waiting = select(item.c.id).where(
            item.c.scan_id == scan.c.id, enqueue.is_adopted(recipe_id)
        )
        due = or_(due, waiting.correlate(scan).exists())
    return and_(_is_eligible(recipe_id, order), due)


# --- enqueueing ----------------------------------------------------------------------------------


def enqueue_window(connection: Connection, order_id: int) -> OrderState:
    """Enqueue the next window of an order that is being planned; returns its state then."""
    row = lock(connection, order_id)
    if row.state is not OrderState.PLANNING:
        return row.state
    wanted = and_(_in_view(connection, row, row.recipe_id), scan.c.id <= row.last_scan_id)
    last = enqueue.window_end(connection, wanted=wanted, after=row.looked_at)
    if last is None:
        _look_at(connection, row, row.last_scan_id)
        change_state(connection, row.id, OrderState.RUNNING, "")
        return OrderState.RUNNING
    window = and_(wanted, scan.c.id > row.looked_at, scan.c.id <= last)
    room = _Room.of(row.budget, items=row.items, size_bytes=row.size_bytes)
    due = _take(connection, window, row, room, last=last)
    window = and_(window, scan.c.id <= due.last, _is_eligible(row.recipe_id, row))
    items = 0
    if row.mode in _ADOPTING:
        items = enqueue.adopt(connection, window, recipe_id=row.recipe_id, order_id=row.id)
    items += enqueue.enqueue_scans(
        connection,
        window,
        recipe_id=row.recipe_id,
        mode=_ENQUEUED_AS[row.mode],
        order_id=row.id,
    )
    _look_at(connection, row, due.last, items=items, size_bytes=due.size_bytes)
    if due.last < last:  # the budget ends within this window: what was enqueued is worked on
        change_state(connection, row.id, OrderState.RUNNING, "")
        return OrderState.RUNNING
    return OrderState.PLANNING


def _look_at(
    connection: Connection, row: OrderRow, scan_id: int, *, items: int = 0, size_bytes: int = 0
) -> None:
    connection.execute(
        update(work_order)
        .where(work_order.c.id == row.id)
        .values(
            looked_at=scan_id,
            items=work_order.c["items"] + items,
            size_bytes=work_order.c.size_bytes + size_bytes,
        )
    )


def _take(
    connection: Connection,
    window: ColumnElement[bool],
    row: OrderRow,
    room: _Room,
    *,
    last: int,
) -> _Due:
    due = and_(window, _is_due(window, row.recipe_id, row))
    items, size_bytes = connection.execute(
        select(func.count(), func.coalesce(func.sum(scan.c.size_bytes), 0)).where(due)
    ).one()
    if room.holds(items, int(size_bytes)):
        return _Due(items, int(size_bytes), last)
    return _cut(connection, due, room, before=row.looked_at)


def _cut(connection: Connection, due: ColumnElement[bool], room: _Room, *, before: int) -> _Due:
    """The first of the scans that are due, by id, that the budget holds."""
    limit = enqueue.WINDOW_SCANS if room.items is None else max(room.items, 0)
    found = connection.execute(
        select(scan.c.id, scan.c.size_bytes).where(due).order_by(scan.c.id).limit(limit)
    )
    taken = _Due(0, 0, before)
    for scan_id, size_bytes in found:
        if not room.holds(taken.items + 1, taken.size_bytes + size_bytes):
            break
        taken = _Due(taken.items + 1, taken.size_bytes + size_bytes, scan_id)
    return taken


# --- the dry run ---------------------------------------------------------------------------------


@dataclass
class _Tally:
    scans: int = 0
    items: int = 0
    size_bytes: int = 0
    largest_bytes: int = 0
    within: _Due = _Due(0, 0, 0)
    is_full: bool = False


def plan(database: Database, order: Order, recipe_id: int) -> OrderPlan:
    """What an order would do, in bounded memory and short transactions."""
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
            LeftOut(ItemStatus(status) if status else None, Reason(reason) if reason else None, n)
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
    wanted = _in_view(connection, order, recipe_id)
    last = enqueue.window_end(connection, wanted=wanted, after=after)
    if last is None:
        return None
    window = and_(wanted, scan.c.id > after, scan.c.id <= last)
    due = _is_due(window, recipe_id, order)
    rows = connection.execute(_grouped(window, due, recipe_id)).all()
    room = _Room.of(order.budget, items=tally.within.items, size_bytes=tally.within.size_bytes)
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
    taken = _Due(items, size_bytes, last)
    if not room.holds(items, size_bytes):
        taken = _cut(connection, and_(window, due), room, before=after)
        tally.is_full = True
    tally.within = reduce(
        lambda one, other: _Due(
            one.items + other.items, one.size_bytes + other.size_bytes, other.last
        ),
        (tally.within, taken),
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

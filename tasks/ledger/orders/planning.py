"""Planning an order: which scans it takes, counted by SQL and enqueued window by window.

A window is one transaction, and where planning is comes into the same transaction: whoever goes on
after a crash, or beside another planner, enqueues nothing twice and leaves nothing out.
"""

from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    func,
    or_,
    select,
    true,
    update,
)

from tasks.errors import UsageError
from tasks.ledger import corrections, enqueue, refusals, sql
from tasks.ledger.engine import reads, writes
from tasks.ledger.filters import scans_at, scans_at_any
from tasks.ledger.orders.reading import lock
from tasks.ledger.orders.records import (
    Budget,
    Order,
    OrderRow,
    Scope,
)
from tasks.ledger.orders.steering import change_state
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

_PASSING_BY = (OrderKind.RETRY, OrderKind.BACKFILL)
"""These leave alone what a person said no to; for the others it is done, and waits for a person."""


@dataclass(frozen=True)
class BudgetLeft:
    """What the budget has left."""

    items: int | None
    size_bytes: int | None

    @classmethod
    def of(cls, budget: Budget, *, items: int = 0, size_bytes: int = 0) -> "BudgetLeft":
        """What so much leaves."""
        return cls(
            None if budget.max_items is None else budget.max_items - items,
            None if budget.max_bytes is None else budget.max_bytes - size_bytes,
        )

    def holds(self, items: int, size_bytes: int) -> bool:
        """Whether there is room for so much."""
        fits = self.items is None or items <= self.items
        return fits and (self.size_bytes is None or size_bytes <= self.size_bytes)


@dataclass(frozen=True)
class DueScans:
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
        conditions.append(scans_at_any(connection, scope.uris))
    return and_(*conditions)


def in_view(connection: Connection, order: Order | OrderRow, recipe_id: int) -> ColumnElement[bool]:
    """On `scan`: it is looked at. A retry looks at what failed alone: a few of millions."""
    wanted = in_scope(connection, order.scope)
    if order.kind is not OrderKind.RETRY:
        return wanted
    failed = select(item.c.scan_id).where(_failed(recipe_id, order.scope))
    return and_(wanted, scan.c.id.in_(failed))


@reads
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


def _adopting(mode: OrderMode) -> ColumnElement[bool] | None:
    """On `scan`: an order of this mode takes what waits of it for nobody; None: it takes nothing.

    Such items were left by an order that has ended, or let go of by a person.
    """
    if mode is OrderMode.CORRECTED:
        return corrections.is_corrected()
    return true() if mode in {OrderMode.MISSING, OrderMode.ALL} else None


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


def is_due(
    window: ColumnElement[bool], recipe_id: int, order: Order | OrderRow
) -> ColumnElement[bool]:
    """On `scan`, of which *window* holds: the order would enqueue it, or adopt its item."""
    due = enqueue.is_due(window, recipe_id, order.mode)
    if (adopted := _adopting(order.mode)) is not None:
        waiting = select(item.c.id).where(
            item.c.scan_id == scan.c.id, enqueue.is_adopted(recipe_id)
        )
        due = or_(due, and_(adopted, waiting.correlate(scan).exists()))
    return and_(_is_eligible(recipe_id, order), due)


# --- enqueueing ----------------------------------------------------------------------------------


@writes
def enqueue_window(connection: Connection, order_id: int) -> OrderState:
    """Enqueue the next window of its scans; any number may do this at once, or go on later.

    Returns:
        Its state then: `planning` while there is more to enqueue.
    """
    row = lock(connection, order_id)
    if row.state is not OrderState.PLANNING:
        return row.state
    wanted = and_(in_view(connection, row, row.recipe_id), scan.c.id <= row.last_scan_id)
    last = enqueue.window_end(connection, wanted=wanted, after=row.looked_at)
    if last is None:
        _look_at(connection, row, row.last_scan_id)
        change_state(connection, row.id, OrderState.RUNNING, "")
        return OrderState.RUNNING
    window = and_(wanted, scan.c.id > row.looked_at, scan.c.id <= last)
    room = BudgetLeft.of(row.budget, items=row.items, size_bytes=row.size_bytes)
    due = _take(connection, window, row, room, last=last)
    window = and_(window, scan.c.id <= due.last, _is_eligible(row.recipe_id, row))
    items = 0
    if (adopted := _adopting(row.mode)) is not None:
        mine = and_(window, adopted)
        items = enqueue.adopt(connection, mine, recipe_id=row.recipe_id, order_id=row.id)
    items += enqueue.enqueue_scans(
        connection,
        window,
        recipe_id=row.recipe_id,
        mode=row.mode,
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
    room: BudgetLeft,
    *,
    last: int,
) -> DueScans:
    due = and_(window, is_due(window, row.recipe_id, row))
    items, size_bytes = connection.execute(
        select(func.count(), func.coalesce(func.sum(scan.c.size_bytes), 0)).where(due)
    ).one()
    if room.holds(items, int(size_bytes)):
        return DueScans(items, int(size_bytes), last)
    return cut(connection, due, room, before=row.looked_at)


def cut(
    connection: Connection, due: ColumnElement[bool], room: BudgetLeft, *, before: int
) -> DueScans:
    """The first of the scans that are due, by id, that the budget holds."""
    limit = enqueue.WINDOW_SCANS if room.items is None else max(room.items, 0)
    found = connection.execute(
        select(scan.c.id, scan.c.size_bytes).where(due).order_by(scan.c.id).limit(limit)
    )
    taken = DueScans(0, 0, before)
    for scan_id, size_bytes in found:
        if not room.holds(taken.items + 1, taken.size_bytes + size_bytes):
            break
        taken = DueScans(taken.items + 1, taken.size_bytes + size_bytes, scan_id)
    return taken

"""From one state of an order to the next, each on record."""

from sqlalchemy import Connection, ScalarSelect, func, insert, select, update

from tasks.errors import UsageError
from tasks.ledger import decisions, outages, sql
from tasks.ledger.engine import Database, writes
from tasks.ledger.orders.reading import is_late, lock, progress
from tasks.ledger.orders.records import Budget, Order, OrderRow, Progress, Withdrawal
from tasks.ledger.orders.withdrawing import withdraw_window
from tasks.ledger.records import RunEnding, RunFigures
from tasks.ledger.runs import finish_run, start_run
from tasks.ledger.waiting import waits_for_sources_alone
from tasks.schema import (
    DecisionKind,
    ItemStatus,
    OrderKind,
    OrderState,
    run,
    scan,
    share,
    work_order,
)

#: A budget of time with less than this left is spent: no share is worth its start.
SPENT_WITHIN_S = 60.0

#: A source, a retry or a dead worker's lease is waited for by a share up to this long.
PATIENCE_S = 60.0


@writes
def make(
    connection: Connection,
    order: Order,
    recipe_id: int,
    *,
    name: str,
    lists_for: int | None = None,
) -> int:
    """Put an order on record; returns its number.

    Args:
        connection: To the ledger.
        order: What is asked for.
        recipe_id: Under which recipe.
        name: Of its run in the ledger.
        lists_for: The run that its claims count for, which lists its sources first: nothing is
            planned until `end_listing`. None: it is planned at once, and is a run of its own.

    Raises:
        UsageError: Its budget is of nothing.
    """
    _check(order.budget)
    run_id = lists_for or start_run(
        connection, order.kind, name, recipe_id=recipe_id, flow_run_id=None
    )
    order_id: int = connection.execute(
        insert(work_order)
        .values(
            kind=order.kind,
            run_id=run_id,
            recipe_id=recipe_id,
            state=OrderState.PLANNING if lists_for is None else OrderState.LISTING,
            mode=order.mode,
            scope=order.scope.as_json(),
            priority=order.kind.priority if order.priority is None else order.priority,
            deadline_at=None if order.deadline_s is None else sql.now(order.deadline_s),
            **vars(order.budget),
            looked_at=0,
            last_scan_id=_last_scan() if lists_for is None else 0,
            items=0,
            size_bytes=0,
            who=sql.storable(order.who),
            why=sql.storable(order.why),
            detail="",
            created_at=sql.now(),
            changed_at=sql.now(),
            figures={},
        )
        .returning(work_order.c.id)
    ).scalar_one()
    _note(connection, DecisionKind.ORDER, order_id, order.who, order.why)
    return order_id


def _last_scan() -> ScalarSelect[int]:
    """What is found later is not in the plan."""
    return select(func.coalesce(func.max(scan.c.id), 0)).scalar_subquery()


@writes
def end_listing(connection: Connection, order_id: int) -> OrderRow:
    """Listing -> planning: which scans there are is known now."""
    row = lock(connection, order_id)
    if row.state is OrderState.LISTING:
        connection.execute(
            update(work_order)
            .where(work_order.c.id == row.id)
            .values(state=OrderState.PLANNING, last_scan_id=_last_scan(), changed_at=sql.now())
        )
    return lock(connection, order_id)


@writes
def pause(connection: Connection, order_id: int, *, who: str, why: str = "") -> OrderRow:
    """Nothing of it is claimed until it is resumed. What is in work comes to its end.

    listing, planning, running -> paused; in another state, nothing.
    """
    row = lock(connection, order_id)
    if row.state in (OrderState.LISTING, OrderState.PLANNING, OrderState.RUNNING):
        _note(connection, DecisionKind.PAUSE, row.id, who, why)
        change_state(connection, row.id, OrderState.PAUSED, why or f"by {who}")
    return lock(connection, order_id)


@writes
def resume(
    connection: Connection,
    order_id: int,
    budget: Budget | None = None,
    *,
    who: str,
    why: str = "",
) -> OrderRow:
    """Paused -> planning, from where it was; what *budget* gives replaces what it had.

    Raises:
        UsageError: It has ended, or its budget is spent and none is given.
    """
    row = lock(connection, order_id)
    if row.ended_at is not None or row.state is OrderState.CANCELLING:
        raise UsageError(f"{row.name} is {row.state}; `autochrome backfill` orders a new one")
    budget, had_bytes = budget or Budget(), row.budget.max_bytes or 0
    given = {name: value for name, value in vars(budget).items() if value is not None}
    if given:
        _check(budget)
        connection.execute(update(work_order).where(work_order.c.id == row.id).values(given))
        row = lock(connection, order_id)
    reached = progress(connection, row.id)
    spent = "" if reached.shares_open else spent_budget(row, reached)
    if spent and (budget.max_bytes or 0) <= had_bytes:
        raise UsageError(
            f"{spent} spent; give it more with --max-items, --max-bytes or --max-hours"
        )
    if given and row.state is OrderState.RUNNING and not row.is_planned:
        change_state(connection, row.id, OrderState.PLANNING, "")  # its budget had cut that short
    if row.state is OrderState.PAUSED:
        _note(connection, DecisionKind.RESUME, row.id, who, why)
        _begin_new_run(connection, row)
        if not row.last_scan_id:  # it was paused while it listed, and whoever did has gone on
            change_state(connection, row.id, OrderState.LISTING, "")
            return end_listing(connection, order_id)
        change_state(connection, row.id, OrderState.PLANNING, "")
    return lock(connection, order_id)


def _check(budget: Budget) -> None:
    """Refuse what nothing can be done with.

    Raises:
        UsageError: No scan and no byte, or less time than a share is worth.
    """
    if any(most is not None and most < 1 for most in (budget.max_items, budget.max_bytes)):
        raise UsageError("a budget of no scan or no byte is no order; give it some")
    if budget.max_seconds is not None and budget.max_seconds <= SPENT_WITHIN_S:
        raise UsageError(
            f"{budget.max_seconds:.0f} s of work are no budget: to start takes a worker as long; "
            "give it some minutes (--max-hours 0.1)"
        )


def _begin_new_run(connection: Connection, row: OrderRow) -> None:
    """What failed before, and was mended, does not count for the failure budget any more."""
    old = connection.execute(select(run.c.name, run.c.kind).where(run.c.id == row.run_id)).one()
    if old.kind != row.kind:
        return  # a night's, which goes on and reports all of it
    finish_run(connection, row.run_id, RunEnding.CANCELLED, figures=None, detail=row.detail)
    run_id = start_run(connection, row.kind, old.name, recipe_id=row.recipe_id, flow_run_id=None)
    connection.execute(update(work_order).where(work_order.c.id == row.id).values(run_id=run_id))


def cancel(database: Database, order_id: int, *, who: str, why: str = "") -> Withdrawal:
    """End it: what was not begun is as it was before, what is in work comes to its end.

    Returns:
        What was taken back now. Items that workers give back later are taken back by `settle`.
    """
    database.write(lambda c: _begin_to_cancel(c, order_id, who=who, why=why))
    withdrawn = _withdraw(database, order_id)
    settle(database, order_id)
    return withdrawn


def _begin_to_cancel(connection: Connection, order_id: int, *, who: str, why: str) -> None:
    """Any state that is not an end -> cancelling: from now on nothing of it is claimed."""
    row = lock(connection, order_id)
    if row.ended_at is None and row.state is not OrderState.CANCELLING:
        _note(connection, DecisionKind.CANCEL, row.id, who, why)
        change_state(connection, row.id, OrderState.CANCELLING, why or f"by {who}")


@writes
def stop(connection: Connection, order_id: int, ending: RunEnding, *, why: str) -> OrderRow:
    """End it as it is: what is in work comes to its end, the rest waits for the next order.

    Any state that is not an end -> stopped, aborted.
    """
    row = lock(connection, order_id)
    if row.ended_at is None:
        is_abort = ending is RunEnding.ABORTED
        state = OrderState.ABORTED if is_abort else OrderState.STOPPED
        _end(connection, row, state, ending=ending, detail=why)
        _end_shares_not_begun(connection, lock(connection, order_id))
    return lock(connection, order_id)


def settle(database: Database, order_id: int) -> OrderRow:
    """End it if nothing of it is left, take back what is left of a cancelled one.

    Whoever comes by does this: workers at their end, the flow that keeps orders going, the
    command line. Harmless when done twice.
    """
    _withdraw(database, order_id)
    return database.write(lambda c: _settle(c, order_id))


def _withdraw(database: Database, order_id: int) -> Withdrawal:
    total = Withdrawal()
    while (some := database.write(lambda c: withdraw_window(c, order_id))).items:
        total += some
    return total


def _settle(connection: Connection, order_id: int) -> OrderRow:
    """End an order of which nothing is left or whose time is over; pause one out of budget."""
    row = lock(connection, order_id)
    if row.ended_at is not None:
        return row
    reached = progress(connection, row.id)
    if row.state is OrderState.CANCELLING:
        if not reached.left:
            _end(connection, row, OrderState.CANCELLED)
    elif is_late(connection, row):
        if not (reached.shares_open and reached.statuses.get(ItemStatus.CLAIMED)):
            why = f"its deadline has passed; {reached.left:,} items wait for the next order"
            return stop(connection, row.id, RunEnding.CANCELLED, why=why)
    elif row.state is OrderState.RUNNING:
        _settle_running(connection, row, reached)
    row = lock(connection, order_id)
    if row.state not in (OrderState.LISTING, OrderState.PLANNING, OrderState.RUNNING):
        _end_shares_not_begun(connection, row)
    return row


def _settle_running(connection: Connection, row: OrderRow, reached: Progress) -> None:
    spent = spent_budget(row, reached)
    if not spent:
        if not reached.left:
            _end(connection, row, OrderState.COMPLETED)
        elif row.kind is not OrderKind.BACKFILL and not reached.shares_open:
            _stop_if_all_is_away(connection, row, reached)
    elif reached.shares_open:
        return  # they may be at the last of it
    elif row.kind is OrderKind.BACKFILL:
        more = f"`autochrome orders resume {row.id}` with more of it goes on"
        pause(connection, row.id, who="its budget", why=f"{spent} spent; {more}")
    else:
        stop(connection, row.id, RunEnding.COMPLETED, why=f"{spent} spent")


def _stop_if_all_is_away(connection: Connection, row: OrderRow, reached: Progress) -> None:
    """What waits for sources alone is the next order's. A backfill goes on when they are back."""
    if waits_for_sources_alone(connection, row.id, longer_than_s=PATIENCE_S):
        away = ", ".join(sorted({f"{url}/{place}" for url, place in outages.places(connection)}))
        why = f"{reached.left:,} items wait for what cannot be read: {away}"
        stop(connection, row.id, RunEnding.COMPLETED, why=why)


def _end_shares_not_begun(connection: Connection, row: OrderRow) -> None:
    """Nobody need come for them; a flow run that comes all the same finds nothing to do."""
    connection.execute(
        update(share)
        .where(share.c.order_id == row.id, share.c.ended_at.is_(None), share.c.begun_at.is_(None))
        .values(ended_at=sql.now(), ending=RunEnding.CANCELLED, detail=f"the order is {row.state}")
    )


def spent_budget(row: OrderRow, reached: Progress) -> str:
    """Which budget keeps it from going on, in words; empty: none."""
    limit_s = row.budget.max_seconds
    if reached.left:
        is_spent = limit_s is not None and reached.worked_s >= limit_s - SPENT_WITHIN_S
        return f"its {(limit_s or 0) / 3600:g} hours of work are" if is_spent else ""
    if row.is_planned:
        return ""
    if row.budget.max_items is not None and row.items >= row.budget.max_items:
        return f"its budget of {row.budget.max_items:,} scans is"
    if row.budget.max_bytes is not None:
        return f"its budget of {row.budget.max_bytes:,} bytes is"
    return ""  # it was given more meanwhile


def change_state(connection: Connection, order_id: int, state: OrderState, detail: str) -> None:
    """Move a locked order."""
    connection.execute(
        update(work_order)
        .where(work_order.c.id == order_id)
        .values(state=state, detail=sql.storable(detail), changed_at=sql.now())
    )


def _end(
    connection: Connection,
    row: OrderRow,
    state: OrderState,
    *,
    ending: RunEnding = RunEnding.COMPLETED,
    detail: str = "",
) -> None:
    """Keep the counts as they are now: its items may belong to another order later."""
    reached = progress(connection, row.id)
    figures = {status.value: n for status, n in reached.statuses.items()}
    change_state(connection, row.id, state, detail or row.detail)
    connection.execute(
        update(work_order)
        .where(work_order.c.id == row.id)
        .values(ended_at=sql.now(), figures=figures)
    )
    kind = connection.execute(select(run.c.kind).where(run.c.id == row.run_id)).scalar_one()
    if kind != row.kind:
        return  # a night's, which ends with its report
    finish_run(
        connection,
        row.run_id,
        RunEnding.CANCELLED if state is OrderState.CANCELLED else ending,
        figures=RunFigures(enqueued=row.items, finished=figures),
        detail=detail or row.detail,
    )


def _note(connection: Connection, kind: DecisionKind, order_id: int, who: str, why: str) -> None:
    decisions.record(connection, kind, who=who, why=why, order_id=order_id)

"""Keeping orders going: stateless, and safe to be done twice at once or killed anywhere."""

from tasks.batch.recipe import recipe_in_service
from tasks.ledger import Ledger, RunEnding, orders
from tasks.ledger.orders import OrderKind, OrderRow, OrderState, ShareRow, Size
from tasks.ledger.rates import measured_rates
from tasks.orders.planning import plan_order
from tasks.orders.working import give_up
from tasks.settings import Settings

#: Who keeps orders going plans for no longer than this at once.
PLAN_S = 40.0

#: Shares that were silent for this long are lost; their leases have run out long before.
SHARE_LOST_S = 600.0

#: Items that are due later than this are not worth a share yet.
DUE_WITHIN_S = 30.0

#: After so many shares in a row that were aborted or lost, an order cannot go on.
ABORTS_IN_A_ROW = 3


def keep_going(settings: Settings, ledger: Ledger, *, workers: int) -> list[ShareRow]:
    """Plan on, settle what has ended, and open shares, for as many workers as there are.

    What is to be is in the ledger before it is done.

    Args:
        settings: How long a share is.
        ledger: Where all of this is.
        workers: How many can be at it at once.

    Returns:
        The open shares that nobody has been asked to work off yet.
    """
    ledger.sweep()  # what dead workers held is due again, though nobody claims
    orders.end_silent_shares(ledger, after_s=max(SHARE_LOST_S, 2 * settings.lease_s))
    sizes = {}
    for row in orders.list_open(ledger):
        if row.state is OrderState.PLANNING:
            plan_order(ledger, row.id, for_s=PLAN_S)
        _give_up_in_trouble(ledger, row)
        is_running = orders.settle(ledger, row.id).state is OrderState.RUNNING
        is_first = is_running and orders.has_precedence(ledger, row.id) is None
        is_due = is_first and orders.is_due(ledger, row.id, within_s=DUE_WITHIN_S)
        if is_due and not _is_anothers(settings, ledger, row):
            sizes[row.id] = size_of_share(settings, ledger, row, workers=workers)
    orders.open_shares(ledger, window=workers, sizes=sizes)
    return [
        share
        for share in orders.list_open_shares(ledger)
        if share.flow_run_id is None and share.begun_at is None and share.order_id in sizes
    ]


def _is_anothers(settings: Settings, ledger: Ledger, row: OrderRow) -> bool:
    """Whether a process works an order off by itself that workers with these settings cannot."""
    is_at_it = any(
        share.order_id == row.id and share.begun_at is not None and share.flow_run_id is None
        for share in orders.list_open_shares(ledger)
    )
    if not is_at_it:
        return False
    return row.recipe_id != orders.find_recipe(ledger, recipe_in_service(settings, ledger).digest)


def size_of_share(settings: Settings, ledger: Ledger, row: OrderRow, *, workers: int) -> Size:
    """As much as a worker does in the minutes that the settings say, by the measured rate.

    Where nothing is measured yet, time alone ends it. Less is expected where that would leave
    workers without one: all of them take part.
    """
    seconds = settings.share_minutes * 60
    rates = measured_rates(ledger, run_id=row.run_id) or measured_rates(ledger)
    if rates is None:
        return Size(settings.batch_items, None, seconds)
    items = max(round(rates.items_per_worker_s * seconds), settings.batch_items)
    left = orders.progress(ledger, row.id).left
    expected = min(items, max(-(-left // workers), settings.batch_items))
    return Size(expected, items, seconds)


def _give_up_in_trouble(ledger: Ledger, row: OrderRow) -> None:
    """Where share after share is aborted, a person is needed, and not a hundred more of them."""
    if row.state is not OrderState.RUNNING:
        return
    latest = [
        share
        for share in orders.list_shares(ledger, row.id, limit=ABORTS_IN_A_ROW + 10)
        if share.ended_at is not None and share.ended_at >= row.changed_at
    ][:ABORTS_IN_A_ROW]
    aborted = [share for share in latest if share.ending is RunEnding.ABORTED and not share.items]
    if len(aborted) == ABORTS_IN_A_ROW:
        why = f"{ABORTS_IN_A_ROW} shares in a row did nothing: {aborted[0].detail}"
        give_up(ledger, row, why)


def lost_night(ledger: Ledger) -> OrderRow | None:
    """The latest night, if whoever waits for it is gone and its report is missing.

    Its order goes on without: this is about who lists, waits and reports.
    """
    ledger.end_lost_runs()
    for run in ledger.list_runs(kind="nightly", limit=1):
        if run.ending is not RunEnding.LOST:
            return None
        nights = orders.list_of_run(ledger, run.id)
        return next((row for row in reversed(nights) if row.kind is OrderKind.NIGHT), None)
    return None


def is_quiet(ledger: Ledger) -> bool:
    """Whether there is nothing to keep going: no order but paused ones, and no lost night."""
    is_idle = all(row.state is OrderState.PAUSED for row in orders.list_open(ledger))
    return is_idle and lost_night(ledger) is None

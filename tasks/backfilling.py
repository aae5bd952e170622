"""Backfills, from the order to the last share: plain functions over an opened ledger."""

import time
from collections.abc import Callable

from tasks.batch.worker import recipe_in_service
from tasks.errors import UsageError
from tasks.forecast import Forecast
from tasks.ledger import Ledger, RunEnding
from tasks.ledger.backfills import (
    BackfillPlan,
    BackfillRow,
    Backfills,
    BackfillState,
    Order,
    ShareRow,
    Size,
)
from tasks.ledger.rates import measured_rates
from tasks.settings import Settings

#: A turn of the flow that keeps backfills going plans for no longer than this.
PLAN_S = 40.0

#: Shares that were silent for this long are lost; their leases have run out long before.
SHARE_LOST_S = 600.0

#: Items that are due later than this are not worth a share yet.
DUE_WITHIN_S = 30.0

#: After so many shares in a row that were aborted or lost, a backfill waits for a person.
ABORTS_IN_A_ROW = 3


# --- ordering ------------------------------------------------------------------------------------


def forecast(settings: Settings, ledger: Ledger, order: Order) -> Forecast:
    """Say what *order* would do. Neither items nor the recipe in service change.

    Raises:
        UsageError: The scope names a place that no scans were discovered in.
    """
    backfills = Backfills(ledger)
    recipe_id = backfills.find_recipe(recipe_in_service(settings, ledger).digest)
    plan = backfills.plan(order, recipe_id)
    return Forecast(plan, measured_rates(ledger), settings.backfill_window)


def check_size(settings: Settings, plan: BackfillPlan, *, allow_large: bool) -> None:
    """Refuse what may be a slip of the pen.

    Raises:
        UsageError: More scans than the limit, and nobody has said that this is meant.
    """
    limit = settings.backfill_limit_items
    if plan.items > limit and not allow_large:
        raise UsageError(
            f"this would enqueue {plan.items:,} scans of {plan.size_bytes:,} bytes, more than the "
            f"limit of {limit:,}; narrow it (a collection, --max-items), look at it with "
            "--dry-run, or say --allow-large"
        )


def order_backfill(
    settings: Settings, ledger: Ledger, order: Order, *, name: str, allow_large: bool = False
) -> BackfillRow:
    """Put a backfill on record; `plan_backfill` then enqueues its scans.

    Raises:
        UsageError: There is nothing to do, or so much that it must be asked for.
    """
    plan = forecast(settings, ledger, order).plan
    if not plan.items:
        raise UsageError(
            f"nothing to do: none of the {plan.scans:,} scans of {order.scope.in_words()} is due "
            f"in mode {order.mode}; --dry-run says where they stand"
        )
    check_size(settings, plan, allow_large=allow_large)
    recipe_id = ledger.ensure_recipe(recipe_in_service(settings, ledger))
    backfills = Backfills(ledger)
    return backfills.get(backfills.make(order, recipe_id, name=name))


def plan_backfill(
    ledger: Ledger,
    backfill_id: int,
    *,
    for_s: float | None = None,
    on_window: Callable[[BackfillRow], None] = lambda _: None,
) -> BackfillRow:
    """Enqueue a backfill's scans, all or for *for_s* seconds; whoever comes next goes on."""
    backfills = Backfills(ledger)
    until = None if for_s is None else time.monotonic() + for_s
    while backfills.enqueue_window(backfill_id) is BackfillState.PLANNING:
        on_window(backfills.get(backfill_id))
        if until is not None and time.monotonic() >= until:
            break
    return backfills.get(backfill_id)


# --- keeping them going --------------------------------------------------------------------------


def keep_going(settings: Settings, ledger: Ledger, *, nightly_comes_first: bool) -> list[ShareRow]:
    """One turn: plan on, settle what has ended, keep the window of shares full.

    Stateless, and safe to be run twice at once or to be killed anywhere: what is to be is in the
    ledger before it is done.

    Args:
        settings: The window, and how long a share is.
        ledger: Where all of this is.
        nightly_comes_first: Open no share: a nightly run is under way or waits for a worker.

    Returns:
        The open shares that nobody has been asked to work off yet.
    """
    backfills = Backfills(ledger)
    backfills.end_silent_shares(after_s=max(SHARE_LOST_S, 2 * settings.lease_s))
    sizes = {}
    for row in backfills.list_open():
        if row.state is BackfillState.PLANNING:
            plan_backfill(ledger, row.id, for_s=PLAN_S)
        _pause_if_in_trouble(backfills, row)
        is_running = backfills.settle(row.id).state is BackfillState.RUNNING
        if is_running and backfills.is_due(row.id, within_s=DUE_WITHIN_S):
            sizes[row.id] = size_of_share(settings, ledger, row)
    if nightly_comes_first:
        return []
    backfills.open_shares(window=settings.backfill_window, sizes=sizes)
    return [
        share
        for share in backfills.list_open_shares()
        if share.flow_run_id is None and share.begun_at is None and share.backfill_id in sizes
    ]


def size_of_share(settings: Settings, ledger: Ledger, row: BackfillRow) -> Size:
    """As much as a worker does in the minutes that the settings say, by the measured rate.

    Where nothing is measured yet, time alone ends it.
    """
    seconds = settings.backfill_share_minutes * 60
    rates = measured_rates(ledger, run_id=row.run_id) or measured_rates(ledger)
    if rates is None:
        return Size(settings.batch_items, None, seconds)
    items = max(round(rates.items_per_worker_s * seconds), settings.batch_items)
    return Size(items, items, seconds)


def _pause_if_in_trouble(backfills: Backfills, row: BackfillRow) -> None:
    """Where share after share is aborted, a person is needed, and not a hundred more of them."""
    if row.state is not BackfillState.RUNNING:
        return
    latest = [
        share
        for share in backfills.list_shares(row.id, limit=ABORTS_IN_A_ROW + 10)
        if share.ended_at is not None and share.ended_at >= row.changed_at
    ][:ABORTS_IN_A_ROW]
    aborted = [share for share in latest if share.ending is RunEnding.ABORTED and not share.items]
    if len(aborted) == ABORTS_IN_A_ROW:
        why = f"{ABORTS_IN_A_ROW} shares in a row did nothing: {aborted[0].detail}"
        backfills.pause(row.id, who="keep_backfills_going", why=why)

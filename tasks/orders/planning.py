"""Ordering, from what a person names to enqueued scans: plain functions over an opened ledger."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.batch.recipe import recipe_in_service
from tasks.discovery.listing import record_source
from tasks.errors import UsageError
from tasks.ledger import Ledger, orders
from tasks.ledger.orders import Order, OrderKind, OrderPlan, OrderRow, OrderState
from tasks.ledger.rates import Rates, measured_rates
from tasks.ledger.uris import pattern_of, uri_given
from tasks.settings import Settings
from tasks.words import count

#: More scans are ordered only where it is said that this is meant.
LARGE_ITEMS = 100_000


@dataclass(frozen=True)
class Forecast:
    """What an order would do, and what it would take, by what was measured."""

    plan: OrderPlan
    rates: Rates | None  #: None: nothing is measured yet, and nothing is estimated
    workers: int  #: that the time is told for

    @property
    def worker_s(self) -> float | None:
        """One worker's time."""
        if self.rates is None:
            return None
        return self.rates.worker_s(self.plan.items, self.plan.size_bytes)

    @property
    def seconds(self) -> float | None:
        """From beginning to end, if so many workers are at it."""
        return None if self.worker_s is None else self.worker_s / self.workers

    @property
    def storage_bytes(self) -> int | None:
        """What its derivatives take."""
        return None if self.rates is None else self.rates.storage_bytes(self.plan.size_bytes)


def forecast(settings: Settings, ledger: Ledger, order: Order) -> Forecast:
    """Say what *order* would do. Neither items nor the recipe in service change.

    Raises:
        UsageError: The scope names a place that no scans were discovered in.
    """
    recipe_id = orders.find_recipe(ledger, recipe_in_service(settings, ledger).digest)
    plan = orders.plan(ledger, order, recipe_id)
    return Forecast(plan, measured_rates(ledger), settings.order_workers or 1)


def check_size(plan: OrderPlan, *, allow_large: bool) -> None:
    """Refuse what may be a slip of the pen.

    Raises:
        UsageError: More scans than the limit, and nobody has said that this is meant.
    """
    if plan.items > LARGE_ITEMS and not allow_large:
        raise UsageError(
            f"this would enqueue {plan.items:,} scans of {plan.size_bytes:,} bytes, more than the "
            f"limit of {LARGE_ITEMS:,}; narrow it (a collection, --max-items), look at it with "
            "--dry-run, or say --allow-large"
        )


def place_order(
    settings: Settings, ledger: Ledger, order: Order, *, name: str, allow_large: bool = False
) -> OrderRow:
    """Put an order on record; `plan_order` then enqueues its scans.

    Raises:
        UsageError: There is nothing to do, or so much that it must be asked for.
    """
    plan = forecast(settings, ledger, order).plan
    if not plan.items:
        raise UsageError(f"nothing to do: {_why_nothing(plan, order)}")
    check_size(plan, allow_large=allow_large)
    return make_order(settings, ledger, order, name=name)


def _why_nothing(plan: OrderPlan, order: Order) -> str:
    where = order.scope.in_words()
    if plan.beyond_budget:
        return (
            f"of {count(plan.beyond_budget, 'scan')} of {where} that are due, the budget holds not "
            "even the first; give it more with --max-bytes"
        )
    if not plan.scans and order.kind is OrderKind.BACKFILL:
        return f"no scans are known of {where}; `autochrome discover SOURCE` finds what is there"
    stand = ", ".join(f"{one.scans:,} {one.status or 'unknown'}" for one in plan.left_out[:3])
    return (
        f"of {count(plan.scans, 'scan')} of {where}, none is due in mode {order.mode}: {stand}; "
        "--dry-run says why"
    )


def make_order(settings: Settings, ledger: Ledger, order: Order, *, name: str) -> OrderRow:
    """Put an order on record under the recipe in service, however much it turns out to be."""
    recipe_id = ledger.ensure_recipe(recipe_in_service(settings, ledger))
    return orders.get(ledger, orders.make(ledger, order, recipe_id, name=name))


def plan_order(ledger: Ledger, order_id: int, *, for_s: float | None = None) -> OrderRow:
    """Enqueue an order's scans, all or for *for_s* seconds; whoever comes next goes on."""
    until = None if for_s is None else time.monotonic() + for_s
    while orders.enqueue_window(ledger, order_id) is OrderState.PLANNING:
        if until is not None and time.monotonic() >= until:
            break
    return orders.get(ledger, order_id)


def find_sources(settings: Settings, ledger: Ledger, sources: Sequence[str]) -> tuple[str, ...]:
    """The URIs of *sources*; one that the ledger does not know yet is listed first.

    A source that it knows is taken as it was listed last: `autochrome discover` lists it again.

    Raises:
        AutochromeError: One is neither known nor can be listed.
    """
    return tuple(_find(settings, ledger, source) for source in sources)


def _find(settings: Settings, ledger: Ledger, source: str) -> str:
    uri = uri_given(source)
    for known in (uri, f"{uri.rstrip('/')}/"):
        if orders.has_scans_at(ledger, known):
            return known
    if pattern_of(uri):
        raise UsageError(f"no scans are known at {source}; `autochrome discover` its source first")
    record_source(settings, ledger, source)
    return f"{uri.rstrip('/')}/"

"""The flows of orders: ordering a backfill, steering any order, and keeping all of them going."""

import enum
import time

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from flows.keeping import keep, keep_if_served
from flows.prefect_ui import show_forecast, show_order
from tasks.ledger import orders
from tasks.ledger.opening import open_ledger
from tasks.ledger.orders import Budget, Order, OrderMode, Scope
from tasks.orders.planning import find_sources, forecast, place_order, plan_order
from tasks.settings import current_settings

#: Runs of `keep_orders` come every five minutes, and end before the next is due.
KEEPS_FOR_S = 270.0

#: Between two looks of such a run.
LOOK_S = 15.0


class Steer(enum.StrEnum):
    """What can be done to an order."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


@flow(name="backfill", flow_run_name="backfill: {mode}")
def backfill(  # noqa: PLR0913 - a field of the form in Prefect's UI each
    mode: OrderMode = OrderMode.MISSING,
    *,
    sources: tuple[str, ...] = (),
    collections: tuple[str, ...] = (),
    low_confidence_below: float | None = None,
    priority: int = 0,
    max_items: int | None = None,
    max_bytes: int | None = None,
    max_hours: float | None = None,
    dry_run: bool = False,
    allow_large: bool = False,
) -> int | None:
    """Order a backfill and enqueue its scans; the workers colour them when nothing goes first.

    Args:
        mode: missing: what no recipe has dealt with. failed: what failed. changed-recipe: what
            another recipe has coloured. corrected: what a person has corrected since. all:
            everything once more.
        sources: Only what lies there (s3://bucket/prefix, file:///folder); none means all.
        collections: Only these; none means all.
        low_confidence_below: Only derivatives in use that the network doubted by so much.
        priority: Higher goes first.
        max_items: At most so many scans.
        max_bytes: At most so many bytes of scans.
        max_hours: At most so many hours of workers' time, added up.
        dry_run: Only say what it would do: see the artifact `order-plan`.
        allow_large: More scans than AUTOCHROME_ORDER_LIMIT_ITEMS are meant.

    Returns:
        The order's number; None for a dry run.
    """
    settings = current_settings()
    with open_ledger(settings) as ledger:
        order = Order(
            mode=mode,
            scope=Scope(collections, find_sources(settings, ledger, sources), low_confidence_below),
            budget=Budget(max_items, max_bytes, max_hours and max_hours * 3600),
            priority=priority,
            who=f"flow run {flow_run.name}",
        )
        show_forecast(forecast(settings, ledger, order), order)
        if dry_run:
            return None
        row = place_order(settings, ledger, order, name=str(flow_run.name), allow_large=allow_large)
        row = plan_order(ledger, row.id)
        keep_if_served(settings, ledger)
    get_run_logger().info("%s: %d scans enqueued", row.name, row.items)
    return row.id


@flow(name="steer_order", flow_run_name="{action} order {number}")
def steer_order(
    number: int,
    action: Steer,
    why: str = "",
    *,
    max_items: int | None = None,
    max_hours: float | None = None,
) -> str:
    """Pause, resume or cancel an order: a night, a retry, a request or a backfill.

    Args:
        number: Which; the artifacts `backfill-…`, `night-…` show them.
        action: What to do.
        why: For the record.
        max_items: When it is resumed: at most so many scans in all.
        max_hours: When it is resumed: at most so many hours of workers' time in all.

    Returns:
        Its state then.
    """
    who = f"flow run {flow_run.name}"
    settings = current_settings()
    with open_ledger(settings) as ledger:
        if action is Steer.PAUSE:
            orders.pause(ledger, number, who=who, why=why)
        elif action is Steer.RESUME:
            budget = Budget(max_items=max_items, max_seconds=max_hours and max_hours * 3600)
            orders.resume(ledger, number, budget, who=who, why=why)
            plan_order(ledger, number)
        else:
            withdrawn = orders.cancel(ledger, number, who=who, why=why)
            get_run_logger().info("%d items are taken back", withdrawn.items)
        row = orders.get(ledger, number)
        show_order(ledger, row)
        keep_if_served(settings, ledger)
    return row.state.value


@flow(name="keep_orders", flow_run_name="keep orders going")
def keep_orders(for_s: float = KEEPS_FOR_S) -> int:
    """Keep orders going for a few minutes, until the next run of this does, or none is open.

    Args:
        for_s: How long.

    Returns:
        How many runs were created.
    """
    settings = current_settings()
    until = time.monotonic() + for_s
    created = 0
    with open_ledger(settings) as ledger:
        while True:
            kept = keep(settings, ledger)
            created += kept.created
            if kept.is_quiet or time.monotonic() + LOOK_S > until:
                return created
            time.sleep(LOOK_S)

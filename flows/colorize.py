"""The `colorize` flow: one worker's share of an order."""

import threading
import time

from prefect import flow, get_run_logger
from prefect.context import FlowRunContext
from prefect.runtime import flow_run

from flows.fanout import open_fanout
from flows.keeping import keep_if_served
from flows.prefect_ui import UPDATE_EVERY_S, show_order
from tasks.errors import RunAborted
from tasks.ledger import Ledger, orders
from tasks.ledger.opening import open_ledger
from tasks.ledger.orders import Budget, Order, OrderKind, OrderRow, Scope
from tasks.orders.planning import make_order, plan_order
from tasks.orders.working import work_here, work_share
from tasks.settings import Settings, current_settings


@flow(name="colorize", flow_run_name="colorize {label}")
def colorize(
    label: str = "what is missing",
    *,
    collections: tuple[str, ...] = (),
    max_items: int | None = None,
    deadline_s: float | None = None,
    share_id: int | None = None,
) -> dict[str, int]:
    """Colourize batch after batch until none is left or the share is over.

    Without a share, it orders what is missing, and is the first to work at it.

    Args:
        label: How a person recognises the run.
        collections: Only these; none means all.
        max_items: No more than so many scans.
        deadline_s: Begin no batch after this many seconds.
        share_id: A share of an order, in the ledger, which says how much. Whoever keeps orders
            going sets this.

    Returns:
        How many items came into each status.

    Raises:
        RunAborted: Every item would have failed, or too many did. What was begun is finished or
            given back.
    """
    settings = current_settings()
    with open_ledger(settings) as ledger:
        if share_id is None:
            order = Order(
                scope=Scope(tuple(collections)),
                budget=Budget(max_items),
                deadline_s=deadline_s,
                who=f"flow run {flow_run.name}",
                kind=OrderKind.REQUEST,
            )
            row = make_order(settings, ledger, order, name=str(flow_run.name))
            return colorize_order(settings, ledger, plan_order(ledger, row.id))
        summary = work_share(settings, share_id, open_fanout=open_fanout)
        get_run_logger().info("%s: %s", label, summary.in_words())
        if is_served():
            keep_if_served(settings, ledger)
    if summary.aborted:
        raise RunAborted(summary.aborted)
    return summary.by_status


def colorize_order(settings: Settings, ledger: Ledger, row: OrderRow) -> dict[str, int]:
    """Work a planned order off within the current flow run, beside all workers that there are.

    Returns:
        How many of its items came into each status.

    Raises:
        RunAborted: It cannot go on.
    """
    shown_at = 0.0

    def show(*_: object) -> None:
        nonlocal shown_at
        if time.monotonic() - shown_at > UPDATE_EVERY_S:
            show_order(ledger, orders.get(ledger, row.id))
            shown_at = time.monotonic()

    if is_served():
        keep_if_served(settings, ledger)
    aborted = work_here(
        settings,
        ledger,
        row.id,
        stop=threading.Event(),
        open_fanout=open_fanout,
        on_progress=show,
    )
    ended = orders.settle(ledger, row.id)
    show_order(ledger, ended)
    get_run_logger().info("%s: %s", ended.name, ended.state)
    if is_served():
        keep_if_served(settings, ledger)
    if aborted:
        raise RunAborted(aborted)
    return {status: n for status, n in ended.figures.items() if status != "pending"}


def is_served() -> bool:
    """Whether the current flow run is a deployment's: then there are workers beside this one."""
    context = FlowRunContext.get()  # Prefect's runtime module would ask the server each time
    run = None if context is None else context.flow_run
    return run is not None and run.deployment_id is not None

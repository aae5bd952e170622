"""The `nightly` flow: discover, order what is missing, wait until done or the deadline, report."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from flows.colorize import colorize_order, is_served
from flows.keeping import is_taken_up, keep_if_served
from flows.prefect_ui import scheduled_name, show_counts, show_pictures, show_report, tag_run
from tasks.errors import RunAborted
from tasks.ledger import Ledger, RunEnding, orders
from tasks.ledger.orders import OrderRow, OrderState
from tasks.orders.run import (
    Run,
    begin_run,
    end_orders_of_the_dead,
    order_of_night,
)
from tasks.prefect_tasks import discover, plan, report, unsearched
from tasks.report.gathering import write_report
from tasks.settings import Settings, current_settings, sources_of

#: A night that waits looks so often how far its order is.
LOOK_S = 10.0


@dataclass(frozen=True)
class NightSummary:
    """What became of a night."""

    statuses: dict[str, int]
    report: str


def _run_name() -> str:
    collections = flow_run.parameters.get("collections")
    return f"night {scheduled_name()}" + (f" of {', '.join(collections)}" if collections else "")


@flow(name="nightly", flow_run_name=_run_name)
def nightly(collections: tuple[str, ...] = (), resumes: int | None = None) -> NightSummary:
    """Run one night over the archive.

    All workers of the pool of `colorize` take part, and this run waits beside them, without a GPU;
    where it is no deployment's, it colourizes by itself. What the deadline leaves over is the next
    night's. Settings come from the environment: sources, output, database, deadline.

    Args:
        collections: Colourize only these; none means all.
        resumes: The order of a night whose run was lost: this one takes its place.

    Returns:
        How many items came into each status, and where the report is.

    Raises:
        RunAborted: The night could not go on; the report is written all the same.
    """
    settings = current_settings()
    logger = get_run_logger()
    sources = sources_of(settings)
    with begin_run(
        settings, kind="nightly", name=scheduled_name(), resumes=resumes, is_taken_up=is_taken_up
    ) as night:
        tag_run("nightly", *collections)
        if not is_served():
            end_orders_of_the_dead(night.ledger)
        if resumes is None:
            order = order_of_night(settings, collections, in_process=not is_served())
            row = night.order(order)
        else:
            row = orders.get(night.ledger, resumes)
        if is_served():
            keep_if_served(settings, night.ledger)  # from here on, a crash is noticed
        if row.state is OrderState.LISTING:
            _discover(night, row, sources)
            row = plan(unsearched(night), row.id)
            logger.info("%d scans are due", row.items)
        aborted = _colorize(settings, night.ledger, row)
        while aborted and (again := night.order_again(orders.get(night.ledger, row.id))):
            row = again
            logger.info(
                "another recipe is in service: %s takes the %d that are left", row.name, row.items
            )
            aborted = _colorize(settings, night.ledger, row)
        return _end(night, orders.settle(night.ledger, row.id), aborted)


def _discover(night: Run, row: OrderRow, sources: Sequence[str]) -> None:
    """List the sources, each within its share of half of the night: the other is for colouring."""
    left_s = orders.left_s(night.ledger, row.id)
    ends_at = math.inf if left_s is None else time.monotonic() + left_s / 2
    for number, source in enumerate(sources):
        within_s = (ends_at - time.monotonic()) / (len(sources) - number)
        listing = discover(unsearched(night), source, within_s)
        get_run_logger().info("%s: %s", source, listing.in_words())


def _colorize(settings: Settings, ledger: Ledger, row: OrderRow) -> str:
    """Have the order worked off; returns why it could not go on, or nothing."""
    if is_served():
        ended = _wait(settings, ledger, row.id)
        return ended.detail if ended.state is OrderState.ABORTED else ""
    try:
        colorize_order(settings, ledger, row)
    except RunAborted as error:
        return str(error)
    return ""


def _wait(settings: Settings, ledger: Ledger, order_id: int) -> OrderRow:
    """Wait until the order has ended, and keep it going meanwhile."""
    while (row := orders.settle(ledger, order_id)).ended_at is None:
        keep_if_served(settings, ledger)
        time.sleep(LOOK_S)
    return row


def _end(night: Run, row: OrderRow, aborted: str) -> NightSummary:
    summary = night.count()
    summary.aborted = aborted
    if row.ended_at is None:
        orders.stop(night.ledger, row.id, RunEnding.ABORTED, why=aborted or "its night has ended")
    night.end(summary.ending(), detail=aborted)
    make = partial(report, unsearched(night), unsearched(summary), ending=summary.ending())
    place = write_report(make, night)
    show_counts(place.counts, place.samples)
    show_pictures(place.pictures)
    waiting = [outage.in_words() for outage in night.ledger.list_outages()]
    remarks = [*night.figures.incomplete, *waiting, summary.in_words(), place.failure]
    show_report(place.link, "\n\n".join(filter(None, remarks)))
    get_run_logger().info("report: %s", place.link or place.failure)
    if is_served():
        keep_if_served(night.settings, night.ledger)
    if aborted:
        raise RunAborted(aborted)
    return NightSummary(summary.by_status, place.link)

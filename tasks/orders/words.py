"""Orders in words, for the command line and Prefect's UI alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.ledger import ItemStatus, Ledger, film_figures, orders
from tasks.ledger.orders import (
    Budget,
    LeftOutScans,
    Order,
    OrderRow,
    OrderState,
    Progress,
)
from tasks.ledger.rates import measured_rates
from tasks.words import bytes_in_words, count, duration, rate

if TYPE_CHECKING:
    from tasks.orders.planning import Forecast  # which loads torch

_WHY_LEFT_OUT = {
    None: "not enqueued yet, and this mode looks only at what is",
    ItemStatus.PENDING: "belongs to another order",
    ItemStatus.CLAIMED: "is being worked on",
    ItemStatus.PUBLISHED: "is done",
    ItemStatus.REVIEW: "is done, and waits for a curator",
    ItemStatus.SKIPPED: "is not ours to colour",
    ItemStatus.FAILED: "`autochrome retry` or --mode failed is for these",
    ItemStatus.QUARANTINED: "a person looks at these; then `autochrome retry`",
    ItemStatus.HELD: "`autochrome release` ends a hold",
    ItemStatus.REJECTED: "a curator turned it down",
    ItemStatus.SUPERSEDED: "is done under a newer recipe",
}


@dataclass(frozen=True)
class ProgressBar:
    """A backfill's progress bar."""

    percent: float
    description: str


def why_left_out(left: LeftOutScans) -> str:
    """Why scans that stand there are not enqueued."""
    return _WHY_LEFT_OUT[left.status]


def forecast_in_words(forecast: Forecast, order: Order) -> list[str]:
    """What a backfill would do, a line each."""
    plan = forecast.plan
    lines = [
        f"{plan.scans:,} scans in {order.scope.in_words()}",
        f"{plan.items:,} would be coloured: {bytes_in_words(plan.size_bytes)}",
    ]
    if plan.items:
        lines[-1] += f", the largest {bytes_in_words(plan.largest_bytes)}"
    if plan.beyond_budget:
        lines.append(f"{plan.beyond_budget:,} more are due, beyond the budget")
    for left in plan.left_out:
        where = left.status or "unknown"
        reason = f" ({left.reason})" if left.reason else ""
        lines.append(f"{left.scans:,} left out: {where}{reason}, {why_left_out(left)}")
    return [*lines, *_estimate_in_words(forecast)]


def _estimate_in_words(forecast: Forecast) -> list[str]:
    rates, worker_s, seconds = forecast.rates, forecast.worker_s, forecast.seconds
    if rates is None or worker_s is None or seconds is None:
        return ["no estimate of time and storage: no batch has been measured in this ledger yet"]
    basis = (
        f"measured on the latest {rates.items:,} items: {rate(rates.items_per_worker_s)} a worker"
    )
    lines = [
        f"{_about(worker_s)} of one worker's time ({basis})",
        f"{_about(seconds)} with {count(forecast.workers, 'worker')}",
    ]
    if forecast.storage_bytes is not None:
        ratio = rates.derivative_bytes / rates.source_bytes
        lines.append(
            f"about {bytes_in_words(forecast.storage_bytes)} of derivatives ({ratio:.2f} bytes a "
            "byte of scan, measured)"
        )
    return lines


def _about(seconds: float) -> str:
    return duration(seconds) if seconds < 1 else f"about {duration(seconds)}"


def budget_in_words(budget: Budget) -> str:
    """A budget, or that there is none."""
    parts = []
    if budget.max_items is not None:
        parts.append(f"{budget.max_items:,} scans")
    if budget.max_bytes is not None:
        parts.append(bytes_in_words(budget.max_bytes))
    if budget.max_seconds is not None:
        parts.append(f"{budget.max_seconds / 3600:g} h of workers' time")
    return ", ".join(parts) or "none"


def progress_in_words(ledger: Ledger, row: OrderRow) -> ProgressBar:
    """How far an order is: counts, pictures a second, what is left of time."""
    progress = orders.progress(ledger, row.id)
    title = f"{row.name} ({row.mode}, {row.scope.in_words()})"
    lines = [f"**{title[:1].upper()}{title[1:]}**: {row.state}"]
    if row.detail:
        lines[0] += f": {row.detail}"
    if row.ended_at is not None:
        waiting = sum(row.figures.get(status, 0) for status in ("pending", "claimed"))
        total = sum(row.figures.values())
        lines += [f"{total - waiting:,} of {total:,} scans done", _table(row.figures)]
        percent = 100.0 if row.state is OrderState.COMPLETED else _percent(total - waiting, total)
        return ProgressBar(percent, "\n\n".join(lines))
    lines.append(f"{progress.done:,} of {progress.total:,}{_pace(ledger, row, progress)}")
    frames = film_figures.frames_of_order(ledger, row.id)
    if frames.films:
        lines.append(frames.in_words())
    first = orders.has_precedence(ledger, row.id)
    if first is not None:
        lines.append(f"{first.name} goes first.")
    lines.append(f"{progress.shares_open} shares are open, {progress.shares} were in all")
    lines.append(_table({status.value: n for status, n in progress.statuses.items()}))
    # A film under way counts by its frames: it may be all of an order.
    under_way = frames.share if progress.statuses.get(ItemStatus.CLAIMED) else 0.0
    return ProgressBar(_percent(progress.done + under_way, progress.total), "\n\n".join(lines))


def pace_of(ledger: Ledger, row: OrderRow, progress: Progress) -> tuple[float, float] | None:
    """Pictures a second of all workers together, and the seconds left; None before any batch."""
    rates = measured_rates(ledger, run_id=row.run_id)
    return None if rates is None else (rates.items_per_s, rates.eta_s(progress.left))


def _pace(ledger: Ledger, row: OrderRow, progress: Progress) -> str:
    pace = pace_of(ledger, row, progress)
    if pace is None:
        return ""
    left = f", about {duration(pace[1])} left" if progress.left else ""
    return f", {rate(pace[0])}{left}"


def _percent(done: float, total: int) -> float:
    return 100.0 * min(done / total, 1.0) if total else 0.0


def _table(statuses: Mapping[str, int]) -> str:
    rows = [f"| {status} | {n:,} |" for status, n in statuses.items()]
    return "\n".join(["| status | items |", "|---|--:|", *rows])

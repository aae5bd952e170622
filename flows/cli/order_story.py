"""What the command line says of orders: what one would do, how far each is."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from flows.terminal import plain_table, print_json, stdout
from tasks.ledger import orders
from tasks.orders.words import budget_in_words, forecast_in_words, pace_of, why_left_out
from tasks.words import duration, rate

if TYPE_CHECKING:
    from tasks.ledger import Ledger
    from tasks.ledger.orders import Order, OrderRow
    from tasks.orders.planning import Forecast


def tell_forecast(forecast: Forecast, order: Order, *, as_json: bool) -> None:
    """Say what an order would do and take."""
    if as_json:
        print_json(_forecast_as_dict(forecast, order))
        return
    for line in forecast_in_words(forecast, order):
        stdout.print(line)


def _forecast_as_dict(forecast: Forecast, order: Order) -> dict[str, object]:
    plan = forecast.plan
    return {
        "mode": order.mode,
        "scope": order.scope.as_json(),
        "scans": plan.scans,
        "items": plan.items,
        "bytes": plan.size_bytes,
        "largest_bytes": plan.largest_bytes,
        "beyond_budget": plan.beyond_budget,
        "left_out": [{**asdict(left), "why": why_left_out(left)} for left in plan.left_out],
        "estimate": None
        if forecast.rates is None
        else {
            "worker_seconds": forecast.worker_s,
            "seconds": forecast.seconds,
            "workers": forecast.workers,
            "storage_bytes": forecast.storage_bytes,
            "measured_on": asdict(forecast.rates),
        },
    }


def print_list(ledger: Ledger, *, as_json: bool) -> None:
    """The latest orders."""
    rows = [orders.settle(ledger, row.id) for row in orders.list_latest(ledger)]
    if as_json:
        print_json([as_dict(ledger, row) for row in rows])
        return
    table = plain_table("order", "kind", "state", "mode", "scans of", "done", "by", "ordered")
    for row in rows:
        table.add_row(
            str(row.id),
            row.kind,
            row.state,
            row.mode,
            row.scope.in_words(),
            f"{_done(ledger, row):,} of {row.items:,}",
            row.who,
            f"{row.created_at:%Y-%m-%d %H:%M}",
        )
    stdout.print(table)


def print_story(ledger: Ledger, number: int, *, as_json: bool) -> None:
    """One order: how far it is, its shares, who decided what."""
    row = orders.settle(ledger, number)
    if as_json:
        shares = [asdict(share) for share in orders.list_shares(ledger, number)]
        decided = [asdict(one) for one in orders.transitions(ledger, number)]
        print_json({**as_dict(ledger, row), "latest_shares": shares, "decisions": decided})
        return
    print_row(ledger, row)
    stdout.print(f"budget: {budget_in_words(row.budget)}; priority {row.priority}{_until(row)}")
    for one in orders.transitions(ledger, number):
        why = f": {one.why}" if one.why else ""
        stdout.print(f"{one.decided_at:%Y-%m-%d %H:%M} {one.kind} by {one.who}{why}")
    for share in orders.list_shares(ledger, number):
        ending = share.ending or ("under way" if share.begun_at else "waits for a worker")
        by = f" by {share.worker}" if share.worker else ""
        state = f"{ending}, {share.items:,} items {share.detail}"
        stdout.print(f"share {share.number}{by}: {state}")


def tell(ledger: Ledger, row: OrderRow, *, as_json: bool) -> None:
    """How far an order is."""
    if as_json:
        print_json(as_dict(ledger, row))
    else:
        print_row(ledger, row)


def print_row(ledger: Ledger, row: OrderRow) -> None:
    """How far an order is, for people."""
    progress = orders.progress(ledger, row.id)
    detail = f": {row.detail}" if row.detail else ""
    stdout.print(f"{row.name}, {row.scope.in_words()}: {row.state}{detail}")
    pace = None if row.ended_at else pace_of(ledger, row, progress)
    left = f", {rate(pace[0])}, about {duration(pace[1])} left" if pace and progress.left else ""
    stdout.print(f"{_done(ledger, row):,} of {row.items:,} done{left}")
    statuses = row.figures or {status.value: n for status, n in progress.statuses.items()}
    for status, number in statuses.items():
        stdout.print(f"  {status:<12} {number:>9,}")


def _done(ledger: Ledger, row: OrderRow) -> int:
    if row.ended_at is None:
        return orders.progress(ledger, row.id).done
    return sum(n for status, n in row.figures.items() if status not in {"pending", "claimed"})


def _until(row: OrderRow) -> str:
    return f"; until {row.deadline_at:%Y-%m-%d %H:%M} UTC" if row.deadline_at else ""


def as_dict(ledger: Ledger, row: OrderRow) -> dict[str, object]:
    """How far an order is, for programs."""
    progress = orders.progress(ledger, row.id)
    pace = None if row.ended_at else pace_of(ledger, row, progress)
    statuses = row.figures or {status.value: n for status, n in progress.statuses.items()}
    return {
        "order": row.id,
        "kind": row.kind,
        "state": row.state,
        "detail": row.detail,
        "mode": row.mode,
        "scope": row.scope.as_json(),
        "budget": asdict(row.budget),
        "priority": row.priority,
        "deadline_at": row.deadline_at,
        "items": row.items,
        "bytes": row.size_bytes,
        "statuses": statuses,
        "reasons": {reason.value: n for reason, n in progress.reasons.items()},
        "left": 0 if row.ended_at else progress.left,
        "pictures_per_second": pace[0] if pace else None,
        "eta_seconds": pace[1] if pace and progress.left else None,
        "worked_seconds": progress.worked_s,
        "shares": {"open": progress.shares_open, "all": progress.shares},
        "who": row.who,
        "why": row.why,
        "created_at": row.created_at,
        "ended_at": row.ended_at,
    }

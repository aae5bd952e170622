"""What `autochrome backfill` says of backfills: what one would do, how far each is."""

from dataclasses import asdict

from rich.table import Table

from flows.cli.talk import print_json, stdout
from tasks.backfill_words import (
    budget_in_words,
    forecast_in_words,
    pace_of,
    why_left_out,
)
from tasks.forecast import Forecast
from tasks.ledger import Ledger
from tasks.ledger.backfills import BackfillRow, Backfills, Order
from tasks.report.words import duration, rate


def tell_forecast(told: Forecast, order: Order, *, as_json: bool) -> None:
    """Say what a backfill would do and take."""
    if as_json:
        print_json(_forecast_as_dict(told, order))
        return
    for line in forecast_in_words(told, order):
        stdout.print(line)


def _forecast_as_dict(told: Forecast, order: Order) -> dict[str, object]:
    plan = told.plan
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
        if told.rates is None
        else {
            "worker_seconds": told.worker_s,
            "seconds": told.seconds,
            "workers": told.window,
            "storage_bytes": told.storage_bytes,
            "measured_on": asdict(told.rates),
        },
    }


def print_list(ledger: Ledger, *, as_json: bool) -> None:
    """The latest backfills."""
    backfills = Backfills(ledger)
    rows = [backfills.settle(row.id) for row in backfills.list_latest()]
    if as_json:
        print_json([as_dict(ledger, row) for row in rows])
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("backfill", "state", "mode", "scans of", "done", "by", "ordered"):
        table.add_column(heading)
    for row in rows:
        table.add_row(
            str(row.id),
            row.state,
            row.mode,
            row.scope.in_words(),
            f"{_done(backfills, row):,} of {row.items:,}",
            row.who,
            f"{row.created_at:%Y-%m-%d %H:%M}",
        )
    stdout.print(table)


def print_story(ledger: Ledger, number: int, *, as_json: bool) -> None:
    """One backfill: how far it is, its shares, who decided what."""
    backfills = Backfills(ledger)
    row = backfills.settle(number)
    if as_json:
        shares = [asdict(share) for share in backfills.list_shares(number)]
        decided = [asdict(one) for one in backfills.transitions(number)]
        print_json({**as_dict(ledger, row), "latest_shares": shares, "decisions": decided})
        return
    print_row(ledger, row)
    stdout.print(f"budget: {budget_in_words(row.budget)}; priority {row.priority}")
    for one in backfills.transitions(number):
        why = f": {one.why}" if one.why else ""
        stdout.print(f"{one.decided_at:%Y-%m-%d %H:%M} {one.kind} by {one.who}{why}")
    for share in backfills.list_shares(number):
        ending = share.ending or ("under way" if share.begun_at else "waits for a worker")
        stdout.print(f"share {share.number}: {ending}, {share.items:,} items {share.detail}")


def tell(ledger: Ledger, row: BackfillRow, *, as_json: bool) -> None:
    """How far a backfill is."""
    if as_json:
        print_json(as_dict(ledger, row))
    else:
        print_row(ledger, row)


def print_row(ledger: Ledger, row: BackfillRow) -> None:
    """How far a backfill is, for people."""
    backfills = Backfills(ledger)
    told = backfills.progress(row.id)
    detail = f": {row.detail}" if row.detail else ""
    stdout.print(f"backfill {row.id}, {row.scope.in_words()}: {row.state}{detail}")
    pace = None if row.ended_at else pace_of(ledger, row, told)
    left = f", {rate(pace[0])}, about {duration(pace[1])} left" if pace and told.left else ""
    stdout.print(f"{_done(backfills, row):,} of {row.items:,} done{left}")
    statuses = row.figures or {status.value: n for status, n in told.statuses.items()}
    for status, number in statuses.items():
        stdout.print(f"  {status:<12} {number:>9,}")


def _done(backfills: Backfills, row: BackfillRow) -> int:
    return sum(row.figures.values()) if row.ended_at else backfills.progress(row.id).done


def as_dict(ledger: Ledger, row: BackfillRow) -> dict[str, object]:
    """How far a backfill is, for programs."""
    told = Backfills(ledger).progress(row.id)
    pace = None if row.ended_at else pace_of(ledger, row, told)
    statuses = row.figures or {status.value: n for status, n in told.statuses.items()}
    return {
        "backfill": row.id,
        "state": row.state,
        "detail": row.detail,
        "mode": row.mode,
        "scope": row.scope.as_json(),
        "budget": asdict(row.budget),
        "priority": row.priority,
        "items": row.items,
        "bytes": row.size_bytes,
        "statuses": statuses,
        "reasons": {reason.value: n for reason, n in told.reasons.items()},
        "left": 0 if row.ended_at else told.left,
        "pictures_per_second": pace[0] if pace else None,
        "eta_seconds": pace[1] if pace and told.left else None,
        "worked_seconds": told.worked_s,
        "shares": {"open": told.shares_open, "all": told.shares},
        "who": row.who,
        "created_at": row.created_at,
        "ended_at": row.ended_at,
    }

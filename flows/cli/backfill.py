"""`autochrome backfill`: orders, steers and shows backfills, and works them off where no server is.

Ordering loads the model's configuration; the other commands answer at once.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass

from rich.progress import Progress
from rich.table import Table

from flows.cli.stopping import progress_bar, stopping
from flows.cli.talk import ExitCode, print_json, say, stdout
from tasks.backfill_words import (
    budget_in_words,
    forecast_in_words,
    pace_of,
    why_left_out,
)
from tasks.errors import UsageError
from tasks.forecast import Forecast
from tasks.ledger import ItemStatus, Ledger
from tasks.ledger.backfills import BackfillRow, Backfills, BackfillState, Budget, Order
from tasks.ledger.migrate import make_if_missing
from tasks.ledger.opening import open_ledger
from tasks.report.words import count, duration, rate
from tasks.settings import Settings

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}

#: While a nightly run is under way, a backfill that is worked off here looks again so often.
NIGHT_POLL_S = 30.0


@dataclass(frozen=True)
class Choices:
    """What the command line says beside the order itself."""

    sources: tuple[str, ...]
    dry_run: bool
    allow_large: bool
    here: bool | None  #: None: where no Prefect server is named
    as_json: bool


# --- ordering ------------------------------------------------------------------------------------


def budget_of(max_items: int | None, max_bytes: str | None, max_hours: float | None) -> Budget:
    """What the options say that a backfill may take on.

    Raises:
        UsageError: *max_bytes* is no size.
    """
    return Budget(
        max_items,
        None if max_bytes is None else _bytes(max_bytes),
        None if max_hours is None else max_hours * 3600,
    )


def _bytes(text: str) -> int:
    """Read "500GB"; units are powers of ten."""
    number = text.rstrip("BKMGTbkmgt").strip()
    unit = text[len(number) :].strip().upper()
    try:
        return int(float(number) * _UNITS[unit])
    except (KeyError, ValueError):
        raise UsageError(f"{text!r} is no size; write 500GB, 20MB or a number of bytes") from None


def start(settings: Settings, order: Order, choices: Choices) -> ExitCode:
    """Order a backfill, or only say what it would do."""
    from tasks import backfilling  # noqa: PLC0415  loads torch
    from tasks.scope import find_sources  # noqa: PLC0415

    make_if_missing(settings.database_url.get_secret_value())
    with open_ledger(settings) as ledger:
        scope = type(order.scope)(
            order.scope.collections,
            find_sources(settings, ledger, choices.sources),
            order.scope.confidence_below,
        )
        order = type(order)(order.mode, scope, order.budget, order.priority, order.who)
        if choices.dry_run:
            _tell_forecast(backfilling.forecast(settings, ledger, order), order, choices)
            return ExitCode.CLEAN
        here = _is_here(choices)
        row = backfilling.order_backfill(
            settings,
            ledger,
            order,
            name=f"backfill by {order.who}",
            allow_large=choices.allow_large,
        )
        say(f"backfill {row.id}: enqueueing; Ctrl-C leaves the rest to `{_resume(row)}`")
        row = backfilling.plan_backfill(ledger, row.id)
        say(f"backfill {row.id}: {count(row.items, 'scan')} enqueued")
        if here:
            return work_here(settings, ledger, row, as_json=choices.as_json)
        say(f"{_SERVER_GOES_ON}; `autochrome backfill show {row.id}` tells how far it is")
        if choices.as_json:
            print_json(_as_dict(ledger, row))
    return ExitCode.CLEAN


_SERVER_GOES_ON = "the flow keep_backfills_going of the Prefect server has it coloured"


def _is_here(choices: Choices) -> bool:
    if choices.here is not None:
        return choices.here
    return not os.environ.get("PREFECT_API_URL")


def _resume(row: BackfillRow) -> str:
    return f"autochrome backfill resume {row.id}"


def _tell_forecast(told: Forecast, order: Order, choices: Choices) -> None:
    if choices.as_json:
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


# --- working it off here -------------------------------------------------------------------------


def work_here(settings: Settings, ledger: Ledger, row: BackfillRow, *, as_json: bool) -> ExitCode:
    """Work a backfill off in this process; Ctrl-C drains, and `resume` goes on."""
    stop = threading.Event()
    backfills = Backfills(ledger)
    with stopping(stop), progress_bar() as bar:
        aborted = _work(settings, ledger, row.id, stop, bar)
    row = backfills.settle(row.id)
    if as_json:
        print_json(_as_dict(ledger, row))
    else:
        _print_row(ledger, row)
    if aborted:
        say(f"autochrome: {aborted}")
    if row.state is BackfillState.RUNNING:
        say(f"`{_resume(row)}` goes on, `autochrome backfill cancel {row.id}` takes the rest back")
    return _exit_code(backfills, row, is_stopped=stop.is_set() or bool(aborted))


def _work(
    settings: Settings, ledger: Ledger, number: int, stop: threading.Event, bar: Progress
) -> str:
    """Share after share until nothing is left; returns why it could not go on, or nothing."""
    from tasks.backfill_share import work_share  # noqa: PLC0415  loads torch
    from tasks.backfilling import size_of_share  # noqa: PLC0415  loads torch
    from tasks.heartbeat import RUN_LOST_S  # noqa: PLC0415

    backfills = Backfills(ledger)
    line = bar.add_task(f"backfill {number}")
    while not stop.is_set():
        row = backfills.settle(number)
        told = backfills.progress(number)
        bar.update(line, total=told.total, completed=told.done)
        if row.state is not BackfillState.RUNNING:
            return ""
        if backfills.is_nightly_running(seen_within_s=RUN_LOST_S):
            bar.update(line, description=f"backfill {number} waits for the nightly run")
            stop.wait(NIGHT_POLL_S)
            continue
        if not backfills.is_due(number, within_s=NIGHT_POLL_S):
            stop.wait(1.0)  # what is left is in other hands, or tried again later
            continue
        size = size_of_share(settings, ledger, row)
        seconds = _time_left_s(row, told.worked_s, size.max_seconds)
        share = backfills.open_share(number, type(size)(size.expected_items, None, seconds))
        done = told.done
        summary = work_share(
            settings,
            share.id,
            stop=stop,
            on_progress=lambda one, done=done: bar.update(line, completed=done + one.items),  # type: ignore[misc]  # a default binds the loop's value
        )
        if summary.aborted:
            return summary.aborted
    return ""


def _time_left_s(row: BackfillRow, worked_s: float, share_s: float) -> float:
    limit_s = row.budget.max_seconds
    return share_s if limit_s is None else min(share_s, max(limit_s - worked_s, 1.0))


def _exit_code(backfills: Backfills, row: BackfillRow, *, is_stopped: bool) -> ExitCode:
    if is_stopped:
        return ExitCode.ABORTED
    statuses = backfills.progress(row.id).statuses
    faults = (ItemStatus.FAILED, ItemStatus.QUARANTINED)
    if any(statuses.get(status) for status in faults):
        return ExitCode.FINISHED_WITH_FAULTS
    return ExitCode.CLEAN


# --- steering ------------------------------------------------------------------------------------


def pause(settings: Settings, number: int, *, who: str, why: str, as_json: bool) -> ExitCode:
    """Let nothing more of it be claimed."""
    return _steer(settings, number, lambda b: b.pause(number, who=who, why=why), as_json=as_json)


def cancel(settings: Settings, number: int, *, who: str, why: str, as_json: bool) -> ExitCode:
    """Take back what was not begun."""

    def work(backfills: Backfills) -> None:
        if backfills.get(number).ended_at is not None:
            raise UsageError(f"backfill {number} has ended; there is nothing to cancel")
        told = backfills.cancel(number, who=who, why=why)
        say(
            f"{count(told.items, 'item')} taken back: {told.removed:,} removed, "
            f"{told.restored:,} as they were before, {told.kept:,} begun before and left to the "
            "nightly run"
        )
        if left := backfills.progress(number).left:
            say(f"{count(left, 'item')} in work: what is begun is finished, the rest taken back")

    return _steer(settings, number, work, as_json=as_json)


def resume(  # noqa: PLR0913  an option each
    settings: Settings,
    number: int,
    budget: Budget,
    *,
    who: str,
    why: str,
    here: bool | None,
    as_json: bool,
) -> ExitCode:
    """Let it go on, on the server or here."""
    with open_ledger(settings) as ledger:
        from tasks.backfilling import plan_backfill  # noqa: PLC0415  loads torch

        Backfills(ledger).resume(number, budget, who=who, why=why)
        row = plan_backfill(ledger, number)
        choices = Choices((), dry_run=False, allow_large=False, here=here, as_json=as_json)
        if _is_here(choices):
            return work_here(settings, ledger, row, as_json=as_json)
        say(_SERVER_GOES_ON)
        _tell(ledger, row, as_json=as_json)
    return ExitCode.CLEAN


def _steer(
    settings: Settings, number: int, move: Callable[[Backfills], object], *, as_json: bool
) -> ExitCode:
    with open_ledger(settings) as ledger:
        move(Backfills(ledger))
        _tell(ledger, Backfills(ledger).settle(number), as_json=as_json)
    return ExitCode.CLEAN


# --- showing -------------------------------------------------------------------------------------


def list_all(settings: Settings, *, as_json: bool) -> ExitCode:
    """The latest backfills."""
    with open_ledger(settings) as ledger:
        backfills = Backfills(ledger)
        rows = [backfills.settle(row.id) for row in backfills.list_latest()]
        if as_json:
            print_json([_as_dict(ledger, row) for row in rows])
            return ExitCode.CLEAN
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
    return ExitCode.CLEAN


def show(settings: Settings, number: int, *, as_json: bool) -> ExitCode:
    """One backfill: how far it is, its shares, who decided what."""
    with open_ledger(settings) as ledger:
        backfills = Backfills(ledger)
        row = backfills.settle(number)
        if as_json:
            shares = [asdict(share) for share in backfills.list_shares(number)]
            decided = [asdict(one) for one in backfills.transitions(number)]
            print_json({**_as_dict(ledger, row), "latest_shares": shares, "decisions": decided})
            return ExitCode.CLEAN
        _print_row(ledger, row)
        stdout.print(f"budget: {budget_in_words(row.budget)}; priority {row.priority}")
        for one in backfills.transitions(number):
            why = f": {one.why}" if one.why else ""
            stdout.print(f"{one.decided_at:%Y-%m-%d %H:%M} {one.kind} by {one.who}{why}")
        for share in backfills.list_shares(number):
            ending = share.ending or ("under way" if share.begun_at else "waits for a worker")
            stdout.print(f"share {share.number}: {ending}, {share.items:,} items {share.detail}")
    return ExitCode.CLEAN


def _tell(ledger: Ledger, row: BackfillRow, *, as_json: bool) -> None:
    if as_json:
        print_json(_as_dict(ledger, row))
    else:
        _print_row(ledger, row)


def _print_row(ledger: Ledger, row: BackfillRow) -> None:
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


def _as_dict(ledger: Ledger, row: BackfillRow) -> dict[str, object]:
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

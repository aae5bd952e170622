"""A backfill that is worked off in this process, where no Prefect server is."""

import threading

from rich.progress import Progress

from flows.cli.backfill_story import as_dict, print_row
from flows.cli.stopping import progress_bar, stopping
from flows.cli.talk import ExitCode, print_json, say
from tasks.backfill_share import work_share
from tasks.backfilling import size_of_share
from tasks.heartbeat import RUN_LOST_S
from tasks.ledger import ItemStatus, Ledger
from tasks.ledger.backfills import BackfillRow, Backfills, BackfillState
from tasks.settings import Settings

#: While a nightly run is under way, a backfill that is worked off here looks again so often.
NIGHT_POLL_S = 30.0


def work_here(settings: Settings, ledger: Ledger, row: BackfillRow, *, as_json: bool) -> ExitCode:
    """Work a backfill off in this process; Ctrl-C drains, and `resume` goes on."""
    stop = threading.Event()
    backfills = Backfills(ledger)
    with stopping(stop), progress_bar() as bar:
        aborted = _work(settings, ledger, row.id, stop, bar)
    row = backfills.settle(row.id)
    if as_json:
        print_json(as_dict(ledger, row))
    else:
        print_row(ledger, row)
    if aborted:
        say(f"autochrome: {aborted}")
    if row.state is BackfillState.RUNNING:
        say(
            f"`autochrome backfill resume {row.id}` goes on, "
            f"`autochrome backfill cancel {row.id}` takes the rest back"
        )
    return _exit_code(backfills, row, is_stopped=stop.is_set() or bool(aborted))


def _work(
    settings: Settings, ledger: Ledger, number: int, stop: threading.Event, bar: Progress
) -> str:
    """Share after share until nothing is left; returns why it could not go on, or nothing."""
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

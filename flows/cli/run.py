"""`autochrome run`: a whole night in this process, without Prefect."""

import threading
import time
from datetime import datetime

from flows.cli.stopping import progress_bar, stopping
from flows.cli.talk import ExitCode, counts_as_dict, print_counts, print_json, say
from tasks.batch.batch import BatchSummary
from tasks.batch.children import PixelPool
from tasks.batch.worker import open_worker
from tasks.ledger import Counts, ItemStatus
from tasks.night import Night, begin_night, name_of_night
from tasks.report.gathering import write_report
from tasks.settings import Settings
from tasks.share import Share, work_off


def run(settings: Settings, *, as_json: bool, pixels: PixelPool | None = None) -> ExitCode:
    """Discover, colourize and report; Ctrl-C lets what was begun end, a second one does not.

    Args:
        settings: Of the whole run.
        as_json: Whether the counts are printed for programs.
        pixels: A pool whose children are being started already, and that its owner closes.
    """
    began = time.monotonic()
    stop = threading.Event()
    name = name_of_night(datetime.now().astimezone())
    with begin_night(settings, kind="run", name=name) as night, stopping(stop):
        for source in settings.sources:
            say(f"{source}: {night.discover(source).in_words()}")
        night.enqueue()
        summary = _colorize(settings, night, stop, pixels)
        night.count(summary)
        ending = summary.ending(stopped=stop.is_set())
        night.end(ending, detail=summary.aborted)
        report = write_report(night, summary, ending=ending, pixels=pixels)
    seconds = time.monotonic() - began
    if as_json:
        data = counts_as_dict(report.counts)
        print_json(data | {"seconds": round(seconds, 1), "report": report.link})
    else:
        print_counts(report.counts)
        say(f"{summary.items} items ended in {seconds:.0f} s.")
    if report.failure:
        say(f"autochrome: there is no report: {report.failure}")
    elif not as_json:
        say(f"Report: {report.link}")
    if summary.aborted:
        say(f"autochrome: {summary.aborted}")
    if summary.aborted or stop.is_set():
        return ExitCode.ABORTED
    is_listed = not night.figures.incomplete
    return _exit_code(report.counts) if is_listed else ExitCode.FINISHED_WITH_FAULTS


def _exit_code(counts: Counts) -> ExitCode:
    faults = (ItemStatus.FAILED, ItemStatus.QUARANTINED)
    if any(counts.items.get(status) for status in faults):
        return ExitCode.FINISHED_WITH_FAULTS
    return ExitCode.CLEAN


def _colorize(
    settings: Settings, night: Night, stop: threading.Event, pixels: PixelPool | None
) -> BatchSummary:
    with open_worker(settings, stop=stop, pixels=pixels) as worker:
        waiting = worker.ledger.counts(worker.recipe_id).items.get(ItemStatus.PENDING, 0)
        with progress_bar() as bar:
            line = bar.add_task("colourizing", total=waiting)
            return work_off(
                worker,
                Share(run_id=night.run_id),
                on_progress=lambda summary: bar.update(line, completed=summary.items),
            )

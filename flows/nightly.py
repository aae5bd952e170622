"""The `nightly` flow: discover, enqueue, colourize until done or the deadline, report."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from flows.colorize import colorize_share
from flows.watching import show_counts, show_pictures, show_report, tag_run
from tasks.discover import discover, enqueue, report_night
from tasks.errors import RunAborted
from tasks.night import begin_night, name_of_night, sources_of
from tasks.settings import current_settings
from tasks.share import Share
from tasks.unsearched import unsearched


@dataclass(frozen=True)
class NightSummary:
    """What became of a night."""

    statuses: dict[str, int]
    report: str


def _night() -> str:
    started = flow_run.scheduled_start_time or datetime.now(UTC)
    return name_of_night(started.astimezone())


def _run_name() -> str:
    collections = flow_run.parameters.get("collections")
    return f"night {_night()}" + (f" of {', '.join(collections)}" if collections else "")


@flow(name="nightly", flow_run_name=_run_name)
def nightly(collections: tuple[str, ...] = (), resumes: int | None = None) -> NightSummary:
    """Run one night over the archive.

    What the deadline leaves over is carried to the next night. Settings come from the environment:
    sources, output, database, deadline.

    Args:
        collections: Colourize only these; none means all.
        resumes: The number of a lost night in the ledger whose rest is to be done.
            `keep_backfills_going` sets this.

    Returns:
        How many items came into each status, and where the report is.

    Raises:
        RunAborted: The night could not go on; the report is written all the same.
    """
    settings = current_settings()
    logger = get_run_logger()
    with begin_night(settings, kind="nightly", name=_night()) as night:
        tag_run("nightly", *collections)
        only, seconds = night.plan(collections, resumes=resumes)
        deadline = time.monotonic() + seconds
        for source in sources_of(settings):
            logger.info("%s: %s", source, discover(unsearched(night), source).in_words())
        enqueued = enqueue(unsearched(night))
        logger.info("%d scans enqueued", enqueued)
        share = Share(collections=tuple(only), deadline=deadline, run_id=night.run_id)
        summary = colorize_share(settings, share, label=f"night {night.name}")
        night.count(summary)
        night.end(summary.ending(), detail=summary.aborted)
        report = report_night(unsearched(night), unsearched(summary))
        show_counts(report.counts, report.samples, key="counts")
        show_pictures(report.pictures, key="before-after")
        told = [*night.figures.incomplete, summary.in_words(), report.failure]
        show_report(report.link, "\n\n".join(filter(None, told)))
        logger.info("report: %s", report.link or report.failure)
    if summary.aborted:
        raise RunAborted(summary.aborted)
    return NightSummary(summary.by_status, report.link)

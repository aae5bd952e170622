"""Gathering the report of a run from ledger and stores, and putting it where people look."""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tasks.batch.children import PixelPool
from tasks.batch.pool import open_pool
from tasks.batch.recipe import read_limits
from tasks.batch.summary import BatchSummary
from tasks.errors import AutochromeError, DatabaseUnavailable, Reason, UsageError
from tasks.ledger import Counts, ItemRow, ItemStatus, Ledger, RecipeRow, RunEnding, RunRow
from tasks.ledger.checkpoints import list_checkpoints
from tasks.ledger.done import DoneDerivative, list_done
from tasks.ledger.film_figures import frames_of_archive
from tasks.ledger.opening import open_output
from tasks.ledger.rates import measured_rates
from tasks.orders.run import Run, summary_of
from tasks.report import (
    Backlog,
    Confidence,
    Found,
    ItemCounts,
    Outage,
    Picture,
    RecipeFacts,
    ReportFile,
    RunFacts,
    RunReport,
    Sample,
    Speed,
    Trouble,
    render_report,
    report_key,
)
from tasks.report.preview import Preview, PreviewRequest, make_preview
from tasks.scratch import scratch_folder
from tasks.settings import Settings
from tasks.storage import open_store
from tasks.storage.keys import shown
from tasks.storage.streams import naming_errors
from tasks.words import count

logger = logging.getLogger(__name__)

PREVIEW_PX = 400
SAMPLES_PER_REASON = 5
#: Derivatives that a report shows, and scans of which it tells what was noted.
PICTURES, NOTED = 12, 20
_TROUBLED = (ItemStatus.FAILED, ItemStatus.QUARANTINED)

#: A few items of each status and reason.
Samples = Mapping[tuple[ItemStatus, Reason], Sequence[ItemRow]]


@dataclass(frozen=True)
class ReportPlace:
    """A report that has been put."""

    link: str  #: empty where it could not be made
    counts: Counts  #: of the run's recipe, as the report shows them
    samples: Samples
    pictures: tuple[Picture, ...]  #: before and after, as on the contact sheet
    failure: str = ""  #: Why there is none, and what makes it


def write_report(make: Callable[[], "ReportPlace"], run: Run) -> ReportPlace:
    """Make the report of a run that has ended, and put all its forms into the output.

    Whatever keeps it from being made, the run is what it was: the error is told, and
    `autochrome report --again` makes it later.

    Args:
        make: Does it: `make_report`, as it is or as a task.
        run: The run.
    """
    try:
        return make()
    except Exception as error:
        again = f"`autochrome report {run.run_id} --again` makes it, once that is mended"
        logger.debug("no report", exc_info=True)
        return ReportPlace("", _counts(run), {}, (), failure=f"{error}; {again}")


def _counts(run: Run) -> Counts:
    try:
        recipe = run.ledger.recipe_of_run(run.run_id)
        return run.ledger.counts(recipe.id if recipe else None)
    except DatabaseUnavailable:
        return Counts(0, 0, {}, {})


def make_report(
    run: Run, summary: BatchSummary, *, ending: RunEnding, pixels: PixelPool | None = None
) -> ReportPlace:
    """Make a report and put it.

    Args:
        run: The run.
        summary: What became of its items.
        ending: How it ended.
        pixels: A pool to make previews with, which its owner closes; none: one is opened here.

    Raises:
        AutochromeError: Ledger, scratch or output cannot be used.
    """
    row = run.ledger.get_run(run.run_id)
    recipe = run.ledger.recipe_of_run(run.run_id)  # another may be in service by now
    if row is None or recipe is None:
        raise UsageError(f"run {run.run_id} has enqueued nothing: there is nothing to report")
    # What they are counted by may change meanwhile: neither is looked up by the other.
    samples = run.ledger.samples(recipe.id, per_reason=SAMPLES_PER_REASON)
    counts = run.ledger.counts(recipe.id)
    done = list_done(run.ledger, row.id, derivatives=PICTURES, noted=NOTED)
    pictures = _pictures(run, done.derivatives, pixels)
    noted = tuple(Sample(uri, "; ".join(notes)) for uri, notes in done.noted.items())
    report = _gather(run, row, summary, recipe, counts, samples, ending, pictures, noted)
    with scratch_folder(run.settings) as scratch:
        for file in render_report(report):
            _put(run, file, scratch / "report")
    link = _link(run, report_key(row.name, row.id, "html"))
    return ReportPlace(link, counts, samples, report.pictures)


def _put(run: Run, file: ReportFile, path: Path) -> None:
    with naming_errors(f"cannot write {path}"):
        path.write_bytes(file.content)
    digest = hashlib.sha256(file.content).hexdigest()
    run.output.put(file.key, path, content_type=file.content_type, sha256=digest)


def make_report_again(settings: Settings, ledger: Ledger, row: RunRow) -> ReportPlace:
    """The report of a run that has ended, from what the ledger remembers of it.

    Raises:
        UsageError: It has not ended yet.
        AutochromeError: Ledger, scratch or output cannot be used.
    """
    if row.ending is None:
        raise UsageError(f"the run {row.name!r} has not ended; its report is made when it has")
    output = open_output(settings, ledger)
    run = Run(settings, ledger, output, row.id, row.name, row.figures)
    return make_report(run, summary_of(ledger, row), ending=row.ending)


def _link(run: Run, key: str) -> str:
    """Where people open an object of the output."""
    if run.settings.public_url:
        return f"{run.settings.public_url.rstrip('/')}/{quote(key)}"
    return run.output.link(key)


def _gather(  # noqa: PLR0913, PLR0917  what a report is made of
    run: Run,
    row: RunRow,
    summary: BatchSummary,
    recipe: RecipeRow,
    counts: Counts,
    samples: Samples,
    ending: RunEnding,
    pictures: Sequence[Picture],
    noted: tuple[Sample, ...],
) -> RunReport:
    ended_at = row.ended_at or row.seen_at
    seconds = (ended_at - row.started_at).total_seconds()
    listing = run.figures.discovered
    return RunReport(
        title=f"Night of {run.name}" if row.kind == "nightly" else f"Run {run.name}",
        run=RunFacts(
            id=row.id,
            name=row.name,
            kind=row.kind,
            started_at=row.started_at.astimezone(),
            ended_at=ended_at.astimezone(),
            ending=ending,
            detail=summary.aborted,
        ),
        sources=run.settings.sources,
        output=run.output.url,
        recipe=_recipe_facts(run, recipe),
        found=Found(
            found=listing.found,
            new=listing.new,
            changed=listing.changed,
            vanished=listing.vanished,
            incomplete="; ".join(run.figures.incomplete),
            left_out=run.figures.left_out,
        ),
        scans=counts.scans,
        tonight=ItemCounts(dict(summary.statuses), dict(summary.reasons)),
        archive=ItemCounts(counts.items, counts.reasons),
        speed=Speed(summary.items, seconds, dict(summary.seconds)),
        troubles=tuple(_troubles(summary, counts, samples)),
        confidence=Confidence(summary.mean_confidence, _previous_confidence(run)),
        backlog=_backlog(run, counts),
        outages=tuple(
            Outage(shown(one.url), one.why, one.since, one.scans)
            for one in run.ledger.list_outages()
        ),
        noted=noted,
        pictures=tuple(pictures),
        films=frames_of_archive(run.ledger, recipe.id),
    )


def _recipe_facts(run: Run, recipe: RecipeRow) -> RecipeFacts:
    names = {one.digest: one.name for one in list_checkpoints(run.ledger)}
    name = names.get(recipe.checkpoint_digest, "unnamed")
    return RecipeFacts(name, recipe.checkpoint_digest, recipe.digest)


def _troubles(summary: BatchSummary, counts: Counts, samples: Samples) -> list[Trouble]:
    return [
        Trouble(
            status=status,
            reason=reason,
            items=_items(rows, counts.reasons.get(reason, 0)),
            new=summary.reasons[reason],
            samples=tuple(Sample(row.uri, row.detail, row.attempts) for row in rows),
        )
        for (status, reason), rows in samples.items()
        if status in _TROUBLED
    ]


def _items(samples: Sequence[ItemRow], with_reason: int) -> int:
    """How many there are: a short list of samples is the whole of them.

    One reason may stand in two statuses; and it may have come up, or gone, between two looks.
    """
    if len(samples) < SAMPLES_PER_REASON:
        return len(samples)
    return max(len(samples), with_reason)


def _previous_confidence(run: Run) -> float | None:
    for row in run.ledger.list_runs(limit=20):
        if row.id < run.run_id and row.figures.confidence is not None:
            return row.figures.confidence
    return None


def _backlog(run: Run, counts: Counts) -> Backlog:
    waiting = counts.items.get(ItemStatus.PENDING, 0) + counts.items.get(ItemStatus.CLAIMED, 0)
    rates = measured_rates(run.ledger)
    return Backlog(
        items=waiting,
        oldest_since=run.ledger.oldest_pending(),
        eta_s=rates.eta_s(waiting) if waiting and rates else None,
    )


def _pictures(
    run: Run, samples: Sequence[DoneDerivative], pixels: PixelPool | None
) -> list[Picture]:
    if not samples:
        return []
    settings = run.settings
    opened = nullcontext(pixels) if pixels else closing(open_pool(settings, workers=1))
    pictures: list[Picture] = []
    unshown: list[str] = []
    try:
        with opened as pool, scratch_folder(settings) as scratch:
            for sample in samples:
                try:
                    pictures.append(_picture(run, sample, pool, scratch))
                except Exception as error:  # noqa: BLE001  it must not cost the report
                    unshown.append(f"{sample.item.uri}: {error}")
    except AutochromeError as error:
        unshown = [str(error)]
    if unshown:  # once: where a source is away, it is that of all of them
        missing = count(len(samples) - len(pictures), "picture")
        logger.warning("the report is without %s: %s", missing, unshown[0])
    return pictures


def _picture(run: Run, sample: DoneDerivative, pool: PixelPool, scratch: Path) -> Picture:
    preview = _preview(run, sample, pool, scratch)
    return Picture(
        title=sample.item.key,
        before=preview.before,
        after=preview.after,
        status=sample.status,
        confidence=sample.confidence,
        link=_link(run, sample.key),
        reason=sample.reason,
    )


def _preview(run: Run, sample: DoneDerivative, pool: PixelPool, scratch: Path) -> Preview:
    scan, derivative = scratch / "scan", scratch / "derivative"
    if not sample.is_film:
        source = open_store(sample.item.source, settings=run.settings)
        source.fetch(sample.item.key, scan, version=sample.item.version, etag=sample.item.etag)
    run.output.fetch(sample.key, derivative)
    request = PreviewRequest(
        scan=None if sample.is_film else scan,
        page=sample.item.page,
        derivative=derivative,
        height_px=PREVIEW_PX,
        limits=read_limits(run.settings),
    )
    return pool.run(make_preview, request)

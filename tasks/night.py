"""The steps of a night: find scans, enqueue them, colourize them (`tasks.share`), report.

Plain functions over one opened ledger. The flows wrap them into Prefect tasks; `autochrome run`
calls them as they are.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from tasks.batch.batch import BatchSummary
from tasks.batch.worker import recipe_in_service
from tasks.discovery.listing import Listing, record_source
from tasks.errors import DatabaseUnavailable, UsageError
from tasks.heartbeat import RUN_BEAT_S, beating
from tasks.ledger import Discovered, EnqueueMode, Ledger, RunEnding, RunFigures
from tasks.ledger.migrate import make_if_missing
from tasks.ledger.opening import open_ledger
from tasks.settings import Settings
from tasks.storage import ObjectStore, check_apart, open_store


@dataclass
class Night:
    """One run over the archive: its place in the ledger, and what it has done so far."""

    settings: Settings
    ledger: Ledger
    output: ObjectStore
    run_id: int
    name: str
    figures: RunFigures = field(default_factory=RunFigures)

    def plan(self, collections: Sequence[str], *, resumes: int | None) -> tuple[list[str], float]:
        """Record what is to be done until when, for whoever has to take it up.

        Args:
            collections: Only these; none means all.
            resumes: A lost night whose rest this one does, in the time that was left to that one.

        Returns:
            The collections, and the seconds that there are.
        """
        now = datetime.now(UTC)
        until = now + timedelta(hours=self.settings.deadline_hours)
        lost = self.ledger.get_run(resumes) if resumes is not None else None
        if lost is not None:  # it may have come back since this run was ordered
            self.ledger.finish_run(lost.id, RunEnding.LOST, detail="another night does its rest")
        if lost is not None and lost.figures.until is not None:
            until, collections = lost.figures.until, lost.figures.collections
        self._advance(until=until, collections=list(collections))
        return list(collections), (until - now).total_seconds()

    def discover(self, source: str) -> Listing:
        """List *source* and record what is new, changed or gone."""
        listing = record_source(self.settings, self.ledger, source, run_id=self.run_id)
        said = (listing.incomplete,) if listing.incomplete else ()
        self._advance(
            discovered=_sum(self.figures.discovered, listing.discovered),
            incomplete=(*self.figures.incomplete, *said),
            left_out=dict(Counter(self.figures.left_out) + Counter(listing.left_out)),
        )
        return listing

    def enqueue(self) -> int:
        """Make an item of every scan that was never finished under any recipe."""
        recipe_id = self.ledger.ensure_recipe(recipe_in_service(self.settings, self.ledger))
        items = self.ledger.enqueue(recipe_id, mode=EnqueueMode.NEW)
        self.ledger.beat_run(self.run_id, recipe_id=recipe_id)
        self._advance(enqueued=items)
        return items

    def count(self, summary: BatchSummary) -> None:
        """Record what the workers have done."""
        self._advance(
            finished=summary.by_status,
            given_back=summary.given_back,
            confidence=summary.mean_confidence,
            stage_s={stage: round(seconds, 3) for stage, seconds in summary.seconds.items()},
        )

    def end(self, ending: RunEnding, *, detail: str = "") -> None:
        """Record how the run ended."""
        self.ledger.finish_run(self.run_id, ending, detail=detail)

    def _advance(self, **figures: object) -> None:
        self.figures = replace(self.figures, **figures)  # type: ignore[arg-type]  # replace checks the names
        self.ledger.beat_run(self.run_id, self.figures)


@contextmanager
def begin_night(settings: Settings, *, kind: str, name: str) -> Iterator[Night]:
    """Open the ledger and the output for a run, and record how it ended.

    Raises:
        AutochromeError: The database or the output cannot be used; the message says what to do.
    """
    for source in settings.sources:
        check_apart(source, settings.output)
    make_if_missing(settings.database_url.get_secret_value())
    with open_ledger(settings) as ledger:
        output = open_store(settings.output, settings=settings, writable=True)
        run_id = ledger.start_run(kind, name)
        try:
            with beating(lambda: ledger.beat_run(run_id), every_s=RUN_BEAT_S):
                yield Night(settings, ledger, output, run_id, name)
        except BaseException as error:
            ending = RunEnding.ABORTED if isinstance(error, Exception) else RunEnding.CANCELLED
            with suppress(DatabaseUnavailable):
                ledger.finish_run(run_id, ending, detail=str(error) or type(error).__name__)
            raise


def sources_of(settings: Settings) -> tuple[str, ...]:
    """The addresses that the nightly run reads.

    Raises:
        UsageError: None is set.
    """
    if not settings.sources:
        raise UsageError(
            "no source is set; name one in AUTOCHROME_SOURCES (s3://bucket/prefix, file:///folder)"
        )
    return settings.sources


def name_of_night(started: datetime) -> str:
    """How a person calls a run: by when it began. Names folders, too."""
    return started.strftime("%Y-%m-%d-%H%M%S")


def _sum(one: Discovered, other: Discovered) -> Discovered:
    names = Discovered.__dataclass_fields__
    return Discovered(**{name: getattr(one, name) + getattr(other, name) for name in names})

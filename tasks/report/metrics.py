"""Figures for Prometheus, asked from the ledger at each scrape; a scrape costs it a few ms."""

import statistics
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tasks.errors import DatabaseUnavailable, Reason
from tasks.ledger import Ledger, RunEnding, RunRow
from tasks.ledger.film_figures import frames_of_archive
from tasks.ledger.pace import EndedBatch, Pace
from tasks.schema import ItemStatus

#: What "now" means for speed: batches that ended within this time.
RECENT = timedelta(minutes=15)

#: Batches looked at: more than a few GPUs end in that time.
_BATCHES = 500

#: How long a lost night is told of, and nights looked at: more than are begun in that time.
LATELY = timedelta(hours=24)
_NIGHTS = 50

_RUNNING = "running"


def exposition(ledger: Ledger) -> bytes:
    """All figures in Prometheus's text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(LedgerCollector(ledger))
    return generate_latest(registry)


class LedgerCollector(Collector):
    """Reads the tallies and the latest rows; never counts items one by one."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def collect(self) -> Iterator[Metric]:
        """Yield every figure; only `autochrome_ledger_up` when the database does not answer."""
        up = GaugeMetricFamily("autochrome_ledger_up", "Whether the ledger's database answers")
        try:
            found = [
                *_counts(self._ledger),
                *_waiting(self._ledger),
                *_nights(self._ledger),
            ]
        except DatabaseUnavailable:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield from found


def _counts(ledger: Ledger) -> Iterator[Metric]:
    recipe = ledger.current_recipe()
    counts = ledger.counts(recipe.id if recipe else None)
    yield _gauge("autochrome_scans", "Scans known, those that vanished too", counts.scans)
    yield _by(
        "autochrome_items",
        "Items of the recipe in service, by status",
        "status",
        [(status.value, counts.items.get(status, 0)) for status in ItemStatus],
    )
    by_reason = GaugeMetricFamily(
        "autochrome_items_with_reason",
        "Items of the recipe in service that have a reason",
        labels=["reason", "verdict"],
    )
    for reason in Reason:
        by_reason.add_metric([reason.value, reason.verdict.value], counts.reasons.get(reason, 0))
    yield by_reason
    frames = frames_of_archive(ledger, recipe.id if recipe else None)
    yield _gauge("autochrome_films", "Films known", frames.films)
    yield _gauge("autochrome_film_seconds", "How long the films known play", frames.seconds)
    yield _by(
        "autochrome_film_frames",
        "Frames of the films known, and those coloured under the recipe in service",
        "state",
        [("known", frames.frames), ("coloured", frames.done)],
    )


def _waiting(ledger: Ledger) -> Iterator[Metric]:
    pace = ledger.measure_pace(limit=_BATCHES)
    oldest = ledger.oldest_pending()
    age_s = max((pace.now - oldest).total_seconds(), 0.0) if oldest else 0.0
    yield _gauge(
        "autochrome_oldest_pending_age_seconds",
        "How long the longest-waiting item could have been claimed; 0 if none waits",
        age_s,
    )
    yield _gauge(
        "autochrome_scans_waiting_for_source",
        "Items that wait for a source, or a folder in one, of which nothing can be read",
        sum(outage.scans for outage in ledger.list_outages()),
    )
    yield _gauge(
        "autochrome_workers_busy", "Processes that hold a lease", len(ledger.open_workers())
    )
    recent = _recent(pace)
    yield _gauge(
        "autochrome_pictures_per_second",
        "Items that came to an end a second, over the batches of the last 15 minutes",
        _pictures_per_second(pace, recent),
    )
    seconds = GaugeMetricFamily(
        "autochrome_batch_seconds",
        "From the claim of a batch to its end, over the last 15 minutes",
        labels=["quantile"],
    )
    if recent:
        durations = sorted(batch.seconds for batch in recent)
        seconds.add_metric(["0.5"], statistics.median(durations))
        seconds.add_metric(["1"], durations[-1])
    yield seconds


def _recent(pace: Pace) -> list[EndedBatch]:
    return [batch for batch in pace.batches if batch.ended_at > pace.now - RECENT]


def _pictures_per_second(pace: Pace, recent: Sequence[EndedBatch]) -> float:
    if not recent:
        return 0.0
    began = min(batch.claimed_at for batch in recent)
    span_s = max((pace.now - max(began, pace.now - RECENT)).total_seconds(), 1.0)
    return sum(batch.finished for batch in recent) / span_s


def _nights(ledger: Ledger) -> Iterator[Metric]:
    runs = ledger.list_runs(kind="nightly", limit=_NIGHTS)
    since = datetime.now(UTC) - LATELY
    lost = [run for run in runs if run.ending is RunEnding.LOST and run.started_at > since]
    yield _gauge(
        "autochrome_nights_lost", "Nightly runs of the last 24 hours that were lost", len(lost)
    )
    yield from _last_night(runs[:1])


def _last_night(runs: Sequence[RunRow]) -> Iterator[Metric]:
    for run in runs:
        yield _gauge(
            "autochrome_last_night_start_timestamp_seconds",
            "When the last nightly run began",
            run.started_at.timestamp(),
        )
        ended_at = run.ended_at or run.seen_at
        yield _gauge(
            "autochrome_last_night_seconds",
            "How long the last nightly run took, or has taken so far",
            (ended_at - run.started_at).total_seconds(),
        )
        ending = run.ending.value if run.ending else _RUNNING
        yield _by(
            "autochrome_last_night_outcome",
            "1 for how the last nightly run ended",
            "outcome",
            [(one, int(one == ending)) for one in (*(e.value for e in RunEnding), _RUNNING)],
        )
        yield _gauge(
            "autochrome_last_night_incomplete_listings",
            "Sources that the last nightly run could not list whole",
            len(run.figures.incomplete),
        )
        yield _by(
            "autochrome_last_night_items",
            "What the items of the last nightly run came to",
            "status",
            run.figures.finished.items(),
        )


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help_text, value=value)


def _by(name: str, help_text: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=[label])
    for word, value in values:
        family.add_metric([word], value)
    return family

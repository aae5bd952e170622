"""Figures for Prometheus: right, in its format, and still there when the database is not."""

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tasks.ledger import Ledger, RunEnding, RunFigures
from tasks.report.metrics import exposition
from tests.orders import work_off
from tests.workers import MakeSettings, OpenWorker


def figures(ledger: Ledger) -> dict[tuple[str, tuple[str, ...]], float]:
    """Every sample, by name and the values of its labels, read by Prometheus's own parser."""
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(exposition(ledger).decode())
        for sample in family.samples
    }


def test_an_empty_ledger_has_figures(ledger: Ledger) -> None:
    """Zero is a figure: alerts on absent series would cry wolf."""
    found = figures(ledger)
    assert found["autochrome_ledger_up", ()] == 1
    assert found["autochrome_items", ("failed",)] == 0
    assert found["autochrome_items_with_reason", ("timeout", "retry")] == 0
    assert found["autochrome_oldest_pending_age_seconds", ()] == 0
    assert found["autochrome_pictures_per_second", ()] == 0


def test_figures_tell_what_was_done(make_settings: MakeSettings, worker_for: OpenWorker) -> None:
    """Items by status, speed and batches after real work."""
    worker = worker_for(make_settings())
    before = figures(worker.ledger)
    assert before["autochrome_items", ("pending",)] == 6
    assert before["autochrome_oldest_pending_age_seconds", ()] >= 0
    work_off(worker)
    found = figures(worker.ledger)
    assert found["autochrome_scans", ()] == 6
    assert found["autochrome_items", ("review",)] == 6
    assert found["autochrome_items", ("pending",)] == 0
    assert found["autochrome_pictures_per_second", ()] > 0
    half, all_of_them = (found["autochrome_batch_seconds", (q,)] for q in ("0.5", "1"))
    assert 0 < half <= all_of_them


def test_the_last_night_is_told(ledger: Ledger) -> None:
    """Running, then how it ended; an earlier one no more."""
    first = ledger.start_run("nightly", "one")
    ledger.finish_run(first, RunEnding.ABORTED)
    second = ledger.start_run("nightly", "two")
    assert figures(ledger)["autochrome_last_night_outcome", ("running",)] == 1
    ledger.finish_run(second, RunEnding.COMPLETED, figures=RunFigures(finished={"review": 5}))
    found = figures(ledger)
    assert found["autochrome_last_night_outcome", ("completed",)] == 1
    assert found["autochrome_last_night_outcome", ("aborted",)] == 0
    assert found["autochrome_last_night_items", ("review",)] == 5
    assert found["autochrome_last_night_start_timestamp_seconds", ()] > 1e9


def test_a_database_that_is_gone_is_a_figure(
    open_ledger: Callable[[], Ledger], request: pytest.FixtureRequest
) -> None:
    """A scrape that fails tells nothing; one that says `up 0` wakes someone."""
    if "postgresql" not in request.node.name:
        pytest.skip("a SQLite file cannot be unreachable")
    ledger = open_ledger()
    ledger.close()
    server = request.getfixturevalue("postgresql_server")
    name = urlsplit(request.getfixturevalue("ledger_url")).path.lstrip("/")
    server.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
    try:
        assert figures(ledger) == {("autochrome_ledger_up", ()): 0}
    finally:
        server.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")

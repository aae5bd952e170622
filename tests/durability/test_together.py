"""A nightly run, a backfill, a retry and an audit over one ledger, each in its own process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.audit import AuditPlan, run_audit
from tasks.batch.worker import open_worker
from tasks.discovery.listing import record_source
from tasks.errors import Reason
from tasks.ledger import ItemFilter, ItemStatus, Ledger
from tasks.settings import Settings
from tests.durability.checking import check_all
from tests.durability.harness import place_for
from tests.durability.workers import (
    CONTEXT,
    Order,
    make_archive,
    make_checkpoint,
    start,
    usual,
    work,
)
from tests.orders import claim_batch, enqueue
from tests.outcomes import outcome_for

SCANS = 60
FAILED_BEFORE = 12


def night(given: dict[str, object]) -> None:
    """Discover, enqueue, colourize."""
    settings = Settings.model_validate(given)
    with Ledger.open(settings.database_url.get_secret_value()) as ledger:
        for source in settings.sources:
            record_source(settings, ledger, source)
        enqueue(ledger, _recipe(ledger))
    work(Order(given))


def backfill(given: dict[str, object]) -> None:
    """Enqueue what is missing, colourize in small shares."""
    settings = Settings.model_validate(given)
    with Ledger.open(settings.database_url.get_secret_value()) as ledger:
        enqueue(ledger, _recipe(ledger))
    for _ in range(4):
        work(Order(given, max_items=10))


def retry(given: dict[str, object]) -> None:
    """Let what had failed be tried again, and do it."""
    settings = Settings.model_validate(given)
    with Ledger.open(settings.database_url.get_secret_value()) as ledger:
        chosen = ItemFilter(reasons=(Reason.TIMEOUT,))
        ledger.retry(chosen, who="retry_failed", why="tried again after a while")
    work(Order(given, max_items=20))


def audits(given: dict[str, object]) -> None:
    """Read everything again and again while the others write."""
    settings = Settings.model_validate(given)
    with Ledger.open(settings.database_url.get_secret_value()) as ledger:
        for number in range(6):
            summary = run_audit(settings, ledger, AuditPlan(), name=f"audit {number}")
            if not summary.is_clean:
                raise AssertionError(summary.findings)


def _recipe(ledger: Ledger) -> int:
    recipe = ledger.current_recipe()
    if recipe is None:
        raise AssertionError("no recipe")
    return recipe.id


@pytest.fixture(params=["sqlite-folder", "postgresql-s3"])
def given(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, object]]:
    """Settings for an archive of which some scans had failed the night before."""
    database, _, store = request.param.partition("-")
    url: str = request.getfixturevalue(f"{database}_url")
    checkpoint = make_checkpoint(tmp_path / "quick.safetensors")
    archive = make_archive(tmp_path / "archive", FAILED_BEFORE)
    with place_for(store, tmp_path) as (output, reach):
        usually = usual(str(archive), output, url, checkpoint)
        settings = {**usually, **reach, "lease_s": 120.0}
        with Ledger.open(url) as ledger:
            _fail_all(settings, ledger)
            make_archive(archive, SCANS)
        yield settings


def _fail_all(given: dict[str, object], ledger: Ledger) -> None:
    settings = Settings.model_validate(given)
    record_source(settings, ledger, settings.sources[0])
    with open_worker(settings) as worker:
        recipe_id = worker.recipe_id
    enqueue(ledger, recipe_id)
    held = claim_batch(
        ledger, recipe_id, worker="yesterday", limit=SCANS, lease_s=60, max_attempts=1
    )
    assert held is not None
    failed = [outcome_for(one.id, Reason.TIMEOUT) for one in held.items]
    assert len(ledger.finish(held.token, failed)) == FAILED_BEFORE


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_runs_of_every_kind_do_not_disturb_each_other(given: dict[str, object]) -> None:
    """Each ends well; every item is done once, on its first attempt, and no audit is alarmed."""
    settings = Settings.model_validate(given)
    crew = [
        CONTEXT.Process(target=kind, args=(given,), name=kind.__name__)
        for kind in (night, backfill, retry, audits)
    ]
    for process in crew:
        process.start()
    for process in crew:
        process.join()
    assert {process.name: process.exitcode for process in crew} == {
        "night": 0,
        "backfill": 0,
        "retry": 0,
        "audits": 0,
    }
    # What the retry let be tried again after the others had ended.
    start(Order(given), "the last").join()
    with Ledger.open(settings.database_url.get_secret_value()) as ledger:
        verdict = check_all(ledger, settings, items=SCANS)
        assert verdict.wrong == []
        assert verdict.statuses == {ItemStatus.REVIEW: SCANS}
        assert verdict.most_attempts == 1
        assert verdict.anew == FAILED_BEFORE

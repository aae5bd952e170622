"""Real workers over a real store, killed at random moments: each item ends once, and whole."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.ledger import Ledger
from tasks.schema import AttemptEnding
from tasks.settings import Settings
from tests.durability.checking import check_all
from tests.durability.harness import Plan, place_for, run
from tests.durability.workers import (
    Order,
    enqueue_all,
    make_archive,
    make_checkpoint,
    start,
    usual,
)
from tests.orders import next_due_s


@pytest.fixture(params=["sqlite-folder", "postgresql-s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, object]]:
    """Settings for an empty output and an empty ledger, of each kind in turn."""
    database, _, store = request.param.partition("-")
    url: str = request.getfixturevalue(f"{database}_url")
    checkpoint = make_checkpoint(tmp_path / "quick.safetensors")
    with place_for(store, tmp_path) as (output, reach):
        yield {**usual(str(tmp_path / "archive"), output, url, checkpoint), **reach}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_workers_leave_every_item_done_once(
    place: dict[str, object], tmp_path: Path
) -> None:
    """For about a minute; `python -m tests.durability.harness` does it for as long as wanted."""
    make_archive(tmp_path / "archive", 600)
    report = run(place, Plan(items=600, kills=40), store=str(place["output"]))
    assert report.verdict.wrong == []
    assert report.verdict.statuses == {"review": 600}
    assert report.done.total() >= 10
    assert report.verdict.endings[AttemptEnding.EXPIRED] > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_workers_that_are_asked_to_end_give_their_attempts_back(
    place: dict[str, object], tmp_path: Path
) -> None:
    """SIGTERM: what was begun is finished; the rest is pending, with nothing counted."""
    make_archive(tmp_path / "archive", 60)
    place["lease_s"] = 120.0  # a slow machine must not lose one
    settings = Settings.model_validate(place)
    with Ledger.open(settings.database_url.get_secret_value()) as ledger:
        recipe_id = enqueue_all(place, ledger)
        asked = 0
        while next_due_s(ledger, recipe_id) is not None:
            worker = start(Order(place), f"worker-{asked}")
            while not ledger.open_workers() and worker.is_alive():
                worker.join(0.01)
            worker.terminate()
            worker.join()
            # A signal that comes before the worker listens ends it like any process.
            assert worker.exitcode in (0, -15)
            asked += 1
            if asked == 5:  # enough; the last one works to the end
                start(Order(place), "the last").join()
        verdict = check_all(ledger, settings, items=60)
        assert verdict.wrong == []
        assert verdict.most_attempts == 1
        assert set(verdict.endings) == {AttemptEnding.FINISHED, AttemptEnding.GIVEN_BACK}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("off_s", [-6 * 3600.0, 6 * 3600.0], ids=["behind", "ahead"])
def test_a_worker_whose_clock_is_hours_off_disturbs_nobody(
    place: dict[str, object], tmp_path: Path, off_s: float
) -> None:
    """Leases and waits are by the database's clock alone."""
    make_archive(tmp_path / "archive", 40)
    place["lease_s"] = 120.0
    settings = Settings.model_validate(place)
    with Ledger.open(settings.database_url.get_secret_value()) as ledger:
        enqueue_all(place, ledger)
        crew = [start(Order(place), "right"), start(Order(place, clock_off_s=off_s), "wrong")]
        for worker in crew:
            worker.join()
            assert worker.exitcode == 0
        verdict = check_all(ledger, settings, items=40)
        assert verdict.wrong == []
        assert verdict.most_attempts == 1

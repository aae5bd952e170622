"""Scans that crash, hang or exhaust the process that reads them, among sound ones."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.batch.children import PixelPool
from tasks.batch.worker import open_worker
from tasks.errors import Reason
from tasks.ledger import ItemRow, ItemStatus, Ledger
from tasks.schema import AttemptEnding
from tasks.settings import Settings
from tests.durability.workers import (
    Order,
    enqueue_all,
    make_archive,
    make_checkpoint,
    start,
    usual,
)
from tests.orders import next_due_s, work_off
from tests.tasks.batch import childwork
from tests.workers import items_of

pytestmark = pytest.mark.slow

SCANS = 9
MEMORY = 2 << 30


class Poisoned:
    """The real pool, whose children do something terrible with some scans."""

    def __init__(
        self, pool: PixelPool, poisons: dict[bytes, tuple[Callable[..., Any], Any]]
    ) -> None:
        self._pool = pool
        self._poisons = poisons

    def run(self, work: Callable[[Any], Any], request: Any, **_: Any) -> Any:  # noqa: ANN401
        """Do what is asked, or what the scan's bytes bring about."""
        poison = self._poisons.get(request.path.read_bytes())
        return self._pool.run(*poison) if poison else self._pool.run(work, request)


@pytest.fixture
def given(tmp_path: Path, sqlite_url: str) -> dict[str, object]:
    """Settings for a small archive."""
    archive = make_archive(tmp_path / "archive", SCANS)
    checkpoint = make_checkpoint(tmp_path / "quick.safetensors")
    usually = usual(str(archive), str(tmp_path / "colour"), sqlite_url, checkpoint)
    return {**usually, "max_attempts": 3, "lease_s": 120.0}


def named(ledger: Ledger, number: int) -> ItemRow:
    """The item of a scan."""
    return next(row for name, row in items_of(ledger).items() if name.startswith(f"{number:05d}"))


@pytest.mark.timeout(600)
def test_a_scan_that_ends_or_exhausts_its_child_costs_itself_only(
    given: dict[str, object], tmp_path: Path
) -> None:
    """A real crash, a real hang and a real shortage of memory, in one run."""
    settings = Settings.model_validate(given)
    files = sorted((tmp_path / "archive").rglob("*.jpg"))
    crash, hang, hog = (path.read_bytes() for path in files[:3])
    with Ledger.open(settings.database_url.get_secret_value()) as ledger:
        enqueue_all(given, ledger)
        pool = PixelPool(1, timeout_s=20.0, memory_bytes=MEMORY)
        poisons: dict[bytes, tuple[Callable[..., Any], Any]] = {
            crash: (childwork.crash, None),
            hang: (childwork.hang, None),
            hog: (childwork.hoard, 2 * MEMORY),
        }
        with open_worker(settings) as worker:
            poisoned = Poisoned(pool, poisons)
            work_off(replace(worker, pixels=poisoned))  # type: ignore[arg-type]
        pool.close()
        found = [named(ledger, number) for number in (1, 2, 3)]
        assert [(item.status, item.reason, item.attempts) for item in found] == [
            (ItemStatus.QUARANTINED, Reason.KILLED_WORKER, 3),
            (ItemStatus.FAILED, Reason.TIMEOUT, 3),
            (ItemStatus.FAILED, Reason.OUT_OF_MEMORY, 3),
        ]
        assert "exit code" in found[0].detail
        assert "did not end within" in found[1].detail
        others = [
            item for item in items_of(ledger).values() if item.id not in {i.id for i in found}
        ]
        assert {(item.status, item.attempts) for item in others} == {(ItemStatus.REVIEW, 1)}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_scan_that_kills_whole_workers_is_found_alone_and_quarantined(
    given: dict[str, object], tmp_path: Path
) -> None:
    """As one that brings the kernel's out-of-memory killer on: its neighbours are done."""
    settings = Settings.model_validate(given)
    poison = sorted((tmp_path / "archive").rglob("*.jpg"))[3].read_bytes()
    killed = 0
    with Ledger.open(settings.database_url.get_secret_value()) as ledger:
        recipe_id = enqueue_all(given, ledger)
        while next_due_s(ledger, recipe_id) is not None:
            worker = start(Order(given, poison=poison), f"worker-{killed}")
            worker.join()
            killed += worker.exitcode != 0
            assert killed <= 3
        victim = named(ledger, 4)
        assert (victim.status, victim.reason) == (ItemStatus.QUARANTINED, Reason.KILLED_WORKER)
        assert (victim.attempts, killed) == (3, 3)
        history = ledger.get_story(victim.uri).items[0]
        assert [one.ending for one in history.attempts] == [AttemptEnding.EXPIRED] * 3
        others = [item for item in items_of(ledger).values() if item.id != victim.id]
        assert {item.status for item in others} == {ItemStatus.REVIEW}
        assert {item.attempts for item in others} <= {1, 2}

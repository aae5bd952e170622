"""A worker that was away for too long stores nothing, and its neighbours' work is not lost."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from colormodel.device import DeviceError
from tasks.batch.batch import colorize_batch
from tasks.batch.lease import Lease, LeaseLost, now
from tasks.errors import DatabaseUnavailable, Reason
from tasks.ledger import Ledger
from tasks.schema import AttemptEnding, ItemStatus
from tests.orders import work_off
from tests.tasks.batch.test_batch import VICTIM, claim_all, with_fault
from tests.tasks.ledger.building import claim, derivatives, enqueued
from tests.workers import MakeSettings, OpenWorker, files_under, items_of


def test_a_lease_that_was_renewed_lately_is_not_asked_about(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Storing a file costs no query; after half of the lease it costs one."""
    held = claim(ledger, enqueued(ledger, 1))
    lease = Lease(ledger, held.token, lease_s=60)
    lease.renew()
    monkeypatch.setattr(ledger, "renew", lambda *_, **__: pytest.fail("asked"))
    lease.make_sure()
    monkeypatch.undo()
    later = now() + 31
    monkeypatch.setattr("tasks.batch.lease.now", lambda: later)
    asked = []
    monkeypatch.setattr(ledger, "renew", lambda token, **_: asked.append(token) or 1)
    lease.make_sure()
    lease.make_sure()
    assert asked == [held.token]


def test_a_suspended_machine_asks(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The monotonic clock stood still meanwhile, as Linux's does; the lease did not."""
    held = claim(ledger, enqueued(ledger, 1))
    lease = Lease(ledger, held.token, lease_s=0.4)
    lease.renew()
    ledger.expire_leases(["worker"])
    stands = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: stands)
    time.sleep(0.3)
    with pytest.raises(LeaseLost):
        lease.make_sure()


def test_a_lost_lease_is_lost_for_good(ledger: Ledger) -> None:
    """Whoever asks is told."""
    held = claim(ledger, enqueued(ledger, 1))
    lease = Lease(ledger, held.token, lease_s=60)
    ledger.expire_leases(["worker"])
    for _ in range(2):
        with pytest.raises(LeaseLost):
            lease.make_sure()
    assert lease.is_lost


def test_a_worker_that_was_away_stores_nothing(
    make_settings: MakeSettings,
    worker_for: OpenWorker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was stopped between encoding and storing, and meanwhile another did its scans."""
    worker = worker_for(make_settings(lease_s=60.0))
    held = claim_all(worker)
    asleep = threading.Lock()  # all its threads are stopped at once
    slept: list[bool] = []

    def sleep_over(real: Any, asked: Any, request: Any, **named: Any) -> Any:  # noqa: ANN401
        result = real(asked, request, **named)
        with asleep:
            if asked.__name__ == "write_scan" and not slept:
                slept.append(True)
                worker.ledger.expire_leases(["a test"])
                with ThreadPoolExecutor(2) as threads:
                    work_off(replace(worker, io=threads))
                # As after a stopped process goes on: no heartbeat for longer than the lease.
                awake = now() + 61
                monkeypatch.setattr("tasks.batch.lease.now", lambda: awake)
        return result

    late = with_fault(worker, "pixels", "run", sleep_over)
    summary = colorize_batch(late, held)
    assert slept
    assert (summary.items, summary.lost_leases) == (0, 6)
    stored = files_under(tmp_path / "colour")
    rows = derivatives(worker.ledger)
    assert {row.key for row in rows} == set(stored)
    for row in rows:
        assert worker.output.digest(row.key) == row.sha256
    assert {item.status for item in items_of(worker.ledger).values()} == {ItemStatus.REVIEW}


def test_a_batch_that_cannot_begin_gives_its_attempts_back(
    make_settings: MakeSettings, worker_for: OpenWorker, tmp_path: Path
) -> None:
    """The scratch folder is gone."""
    worker = replace(worker_for(make_settings()), scratch=tmp_path / "gone")
    summary = work_off(worker)
    assert "scratch" in summary.aborted
    assert {(i.status, i.attempts) for i in items_of(worker.ledger).values()} == {
        (ItemStatus.PENDING, 0)
    }


def test_a_defect_of_ours_in_the_middle_gives_attempts_back(
    make_settings: MakeSettings, worker_for: OpenWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody foresaw ends the run, and is not held against the scans."""
    worker = worker_for(make_settings())
    monkeypatch.setattr("tasks.batch.batch._Batch._next_minibatch", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        work_off(worker)
    items = items_of(worker.ledger)
    assert {(item.status, item.attempts) for item in items.values()} == {(ItemStatus.PENDING, 0)}
    history = worker.ledger.get_story(items[VICTIM].uri).items[0]
    assert [one.ending for one in history.attempts] == [AttemptEnding.GIVEN_BACK]


def test_a_gpu_that_is_gone_stops_the_run(
    make_settings: MakeSettings, worker_for: OpenWorker
) -> None:
    """With its cause; every attempt is given back."""
    worker = worker_for(make_settings())

    class Gone:
        negativity = worker.colorizer.negativity

        def predict(self, *_: object, **__: object) -> Any:  # noqa: ANN401
            raise DeviceError("cuda:0 failed: unspecified launch failure")

    summary = work_off(replace(worker, colorizer=Gone()))  # type: ignore[arg-type]
    assert "launch failure" in summary.aborted
    assert {(i.status, i.attempts) for i in items_of(worker.ledger).values()} == {
        (ItemStatus.PENDING, 0)
    }


def test_a_defect_that_one_picture_brings_out_is_its_own(
    make_settings: MakeSettings, worker_for: OpenWorker
) -> None:
    """Its neighbours in the minibatch are done without it."""
    worker = worker_for(make_settings())
    calls = 0
    real = worker.colorizer

    class Picky:
        negativity = real.negativity

        def predict(self, lightness: list[Any], *, neutral: list[Any]) -> Any:  # noqa: ANN401
            nonlocal calls
            calls += 1
            if any(one.shape[0] > one.shape[1] for one in lightness):
                raise ZeroDivisionError("a defect")
            return real.predict(lightness, neutral=neutral)

    work_off(replace(worker, colorizer=Picky()))  # type: ignore[arg-type]
    items = items_of(worker.ledger)
    upright = items.pop("flat.tif")
    assert (upright.status, upright.reason) == (ItemStatus.FAILED, Reason.UNEXPECTED)
    assert {item.status for item in items.values()} == {ItemStatus.REVIEW}


def test_a_ledger_that_cannot_be_asked_stops_the_run(
    make_settings: MakeSettings, worker_for: OpenWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is stored on a lease that nobody confirms."""
    worker = worker_for(make_settings())

    def refuse(*_: Any, **__: Any) -> int:  # noqa: ANN401
        raise DatabaseUnavailable("no answer")

    monkeypatch.setattr(worker.ledger, "renew", refuse)
    summary = work_off(worker)
    assert summary.aborted == "no answer"
    assert not derivatives(worker.ledger)


def test_the_failure_budget_is_the_runs(
    make_settings: MakeSettings, worker_for: OpenWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shares of an order have one: what failed in the first stops the second."""
    monkeypatch.setattr("tasks.ledger.records.claims.LEAST_FINISHED", 3)
    settings = make_settings(batch_items=1, max_attempts=1)
    worker = worker_for(settings)

    def refuse(*_: Any, **__: Any) -> Any:  # noqa: ANN401
        raise TimeoutError("timed out")

    bad = with_fault(worker, "output", "put", refuse)
    first = work_off(bad, max_items=2)
    assert not first.aborted
    second = work_off(bad, max_items=1)
    assert "3 of 3 items failed" in second.aborted
    other = work_off(bad, max_items=1)  # of another order
    assert not other.aborted

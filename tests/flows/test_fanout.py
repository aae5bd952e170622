"""Nights whose batches are done in threads, and by a Dask and a Ray cluster of two processes."""

import os
import threading
from pathlib import Path

import pytest

from flows.fanout import open_fanout
from flows.nightly import nightly
from tasks.errors import UsageError
from tasks.ledger import orders
from tasks.ledger.opening import open_ledger
from tasks.ledger.orders import OrderState
from tasks.processes import pid_of
from tasks.settings import Settings
from tests.ports import free_port
from tests.scanfiles import codes_of, photograph, write_jpeg
from tests.workers import MakeSettings, attempts_of

pytestmark = [pytest.mark.usefixtures("prefect_api"), pytest.mark.timeout(400)]

ROOT = Path(__file__).parents[2]
SCANS = 24


@pytest.fixture
def settings(
    request: pytest.FixtureRequest,
    archive: Path,
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    """An archive of some batches; settings are in the environment, as on a cluster's machines."""
    for number in range(3, SCANS - 3):
        write_jpeg(archive / f"{number:03}.jpg", codes_of(photograph(48, 64, seed=number)))
    made = make_settings(task_runner=request.param, batches_in_flight=2, batch_items=3)
    for name, value in made.as_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return made


@pytest.mark.parametrize("settings", ["threads", "dask", "ray"], indirect=True)
def test_each_scan_is_done_once_wherever_batches_run(settings: Settings) -> None:
    """By this process where it is threads; by both of a cluster's, and not by this one."""
    summary = nightly()
    assert summary.statuses == {"review": SCANS}
    with open_ledger(settings) as ledger:
        attempts = attempts_of(ledger)
        (row,) = orders.list_latest(ledger)
    assert (row.state, row.items) == (OrderState.COMPLETED, SCANS)
    assert len(attempts) == SCANS
    workers = {pid_of(one.worker) for one in attempts}
    if settings.task_runner == "threads":
        assert workers == {os.getpid()}
    else:
        assert len(workers) == 2
        assert os.getpid() not in workers


def test_without_a_scheduler_there_is_a_remedy(make_settings: MakeSettings) -> None:
    """Nobody listens there."""
    address = f"tcp://127.0.0.1:{free_port()}"
    settings = make_settings(task_runner="dask", task_runner_address=address)
    with (
        pytest.raises(UsageError, match="AUTOCHROME_TASK_RUNNER_ADDRESS"),
        open_fanout(settings, threading.Event()),
    ):
        pass

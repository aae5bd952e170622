"""Nights whose batches are done in threads, and by a Dask and a Ray cluster of two processes."""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from flows.fanout import _on_cluster, open_fanout
from flows.nightly import nightly
from tasks.errors import UsageError
from tasks.ledger import orders
from tasks.ledger.opening import open_ledger
from tasks.ledger.orders import OrderState, Size
from tasks.orders.batches import claim_and_colorize
from tasks.orders.dispatch import Fanout
from tasks.orders.working import work_share
from tasks.processes import pid_of, worker_name
from tasks.settings import Settings
from tests.orders import order_for
from tests.ports import free_port
from tests.scanfiles import codes_of, photograph, write_jpeg
from tests.workers import MakeSettings, OpenWorker, attempts_of

ROOT = Path(__file__).parents[2]
SCANS = 12


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
    made = make_settings(task_runner=request.param, batches_in_flight=2, batch_items=1)
    for name, value in made.as_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "0")  # what others need is no fault here
    return made


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("prefect_api")
@pytest.mark.parametrize("settings", ["threads", "dask", "ray"], indirect=True)
def test_each_scan_is_done_once_wherever_batches_run(settings: Settings) -> None:
    """By this process where it is threads; by both of a cluster's, and not by this one."""
    own = Path("/tmp")  # noqa: S108 - where Ray's sockets are
    before = {*own.glob("autochrome-*/session*"), *own.glob("ray/session*")}
    summary = nightly()
    assert {*own.glob("autochrome-*/session*"), *own.glob("ray/session*")} <= before
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


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("prefect_api")
@pytest.mark.parametrize("settings", ["ray"], indirect=True)
def test_a_night_ends_where_ray_kills_its_processes_for_memory(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine that has too little: it says so, rather than begin them again for ever."""
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "250")
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.01")
    with pytest.raises(Exception, match="running low on memory"):
        nightly()
    with open_ledger(settings) as ledger:
        (row,) = orders.list_latest(ledger)
        assert (row.items, attempts_of(ledger)) == (SCANS, [])


def test_people_hear_that_nobody_takes_up_what_is_asked_for(
    worker_for: OpenWorker,
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The only thread has other work to do; when it is free, all is done."""
    monkeypatch.setattr("tasks.orders.watch.IDLE_S", 0.5)
    worker = worker_for(make_settings())
    order = order_for(worker.ledger, worker.recipe_id)
    share = orders.open_share(worker.ledger, order.id, Size(1, None, None), worker=worker.name)
    is_free = threading.Event()

    @contextmanager
    def one_thread(_: Settings, stop: threading.Event) -> Iterator[Fanout]:
        with ThreadPoolExecutor(1) as executor:
            executor.submit(is_free.wait)
            yield Fanout(
                lambda request: executor.submit(claim_and_colorize, worker, request),
                2,
                worker.recipe_id,
                worker.recipe_digest,
                stop,
            )

    threading.Timer(2.5, is_free.set).start()
    with caplog.at_level(logging.WARNING, "tasks.orders"):
        summary = work_share(worker.settings, share.id, open_fanout=one_thread)
    assert summary.statuses == {"review": 6}
    told = caplog.messages[0]
    assert order.name in told
    assert "nobody has taken up any of the 2 batches" in told


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.usefixtures("prefect_api")
@pytest.mark.parametrize("settings", ["dask", "ray"], indirect=True)
def test_a_signal_that_ends_a_run_leaves_its_cluster_to_drain(settings: Settings) -> None:
    """Prefect sends it to all of the run's group: who holds scans would be gone with them."""
    before = psutil.Process().children(recursive=True)
    with _on_cluster(settings) as runner, runner as opened:
        if settings.task_runner == "dask":
            pids = [pid_of(name) for name in opened.client.run(worker_name).values()]
        else:
            pids = [one.pid for one in psutil.Process().children(recursive=True)]
            pids = [pid for pid in pids if pid not in {one.pid for one in before}]
        assert len(pids) >= 2
        for pid in pids:
            with suppress(ProcessLookupError, FileNotFoundError):  # it has ended meanwhile
                assert os.getpgid(pid) != os.getpgrp() or _is_deaf(pid)


def _is_deaf(pid: int) -> bool:
    """Whether a process blocks SIGTERM, or ignores it."""
    status = Path(f"/proc/{pid}/status").read_text()
    masks = [line.split()[1] for line in status.splitlines() if line[:7] in {"SigBlk:", "SigIgn:"}]
    return any(int(mask, 16) >> (signal.SIGTERM - 1) & 1 for mask in masks)


def test_without_a_scheduler_there_is_a_remedy(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens there."""
    monkeypatch.setattr("flows.fanout.CONNECT_S", 1.0)
    address = f"tcp://127.0.0.1:{free_port()}"
    settings = make_settings(task_runner="dask", task_runner_address=address)
    with (
        pytest.raises(UsageError, match="AUTOCHROME_TASK_RUNNER_ADDRESS"),
        open_fanout(settings, threading.Event()),
    ):
        pass

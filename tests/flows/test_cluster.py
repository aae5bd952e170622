"""Nights whose batches are done by the workers of a Dask cluster, each a real process."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from distributed import Client

from flows import cluster
from flows.nightly import nightly
from tasks.errors import RunAborted, UsageError
from tasks.ledger.opening import open_ledger
from tasks.processes import pid_of
from tasks.schema import AttemptEnding
from tasks.settings import Settings, settings_in_force
from tests.ports import free_port
from tests.scanfiles import codes_of, photograph, write_jpeg
from tests.workers import MakeSettings, attempts_of

pytestmark = pytest.mark.usefixtures("prefect_api")

ROOT = Path(__file__).parents[2]
SCANS = 40


@dataclass
class Cluster:
    """A scheduler, and workers that were started one by one."""

    folder: Path
    opened: ExitStack
    port: int = field(default_factory=free_port)
    workers: int = 0

    @property
    def address(self) -> str:
        """Of the scheduler."""
        return f"tcp://127.0.0.1:{self.port}"

    def start(self, *command: str, settings: Settings | None = None) -> int:
        """Start a process that lives as long as the test; its id."""
        ours = settings.as_environment() if settings else {}
        with (self.folder / "dask.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "distributed.cli." + command[0], *command[1:]],
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **ours},
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        self.opened.callback(process.wait)
        self.opened.callback(process.kill)
        return process.pid

    def start_worker(self, settings: Settings) -> int:
        """Start a worker as the runbook says; its process id."""
        options = ("--no-nanny", "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1")
        pid = self.start("dask_worker", self.address, *options, settings=settings)
        self.workers += 1
        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(self.workers, timeout=120)
        return pid


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Cluster]:
    """A scheduler without workers."""
    with ExitStack() as opened:
        started = Cluster(tmp_path, opened)
        options = ("--host", "127.0.0.1", "--port", str(started.port), "--no-dashboard")
        started.start("dask_scheduler", *options)
        yield started


@pytest.fixture
def settings(dask: Cluster, archive: Path, make_settings: MakeSettings) -> Settings:
    """An archive of some batches for each worker."""
    for number in range(3, SCANS - 3):
        write_jpeg(archive / f"{number:03}.jpg", codes_of(photograph(48, 64, seed=number)))
    return make_settings(dask_scheduler=dask.address, batch_items=4, lease_s=5.0)


@pytest.mark.slow
def test_all_workers_take_part(dask: Cluster, settings: Settings) -> None:
    """Each item is done once, by one of them; the run itself colours nothing."""
    workers = {dask.start_worker(settings) for _ in range(2)}
    with settings_in_force(settings):
        assert nightly().statuses == {"review": SCANS}
        assert nightly().statuses == {}
    with open_ledger(settings) as ledger:
        attempts = attempts_of(ledger)
    assert len(attempts) == SCANS
    assert {pid_of(one.worker) for one in attempts} == workers


@pytest.mark.slow
def test_what_a_lost_worker_held_is_done_by_the_others(dask: Cluster, settings: Settings) -> None:
    """After its lease has run out; nothing is finished twice."""
    workers = {dask.start_worker(settings) for _ in range(2)}
    killed: list[int] = []
    killer = threading.Thread(target=_kill_at_work, args=(settings, workers, killed))
    with settings_in_force(settings):
        killer.start()
        assert nightly().statuses["review"] >= SCANS - 2 * settings.batch_items
    killer.join()
    with open_ledger(settings) as ledger:
        assert {status.value for status in ledger.counts().items} == {"review"}
        endings = [(pid_of(one.worker), one.ending) for one in attempts_of(ledger)]
    finished = [pid for pid, ending in endings if ending is AttemptEnding.FINISHED]
    assert len(finished) == SCANS
    assert {pid for pid, ending in endings if ending is AttemptEnding.EXPIRED} == set(killed)
    assert workers - set(killed) <= set(finished)


def _kill_at_work(settings: Settings, workers: set[int], killed: list[int]) -> None:
    """Kill the first worker that holds a batch."""
    with open_ledger(settings) as ledger:

        def holder() -> int | None:
            pids = {pid_of(worker) for worker in ledger.open_workers()}
            return next(iter(pids & workers), None)

        end = time.monotonic() + 120
        while (pid := holder()) is None:
            assert time.monotonic() < end
            time.sleep(0.005)
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)


@pytest.mark.slow
def test_a_worker_with_other_settings_takes_no_part(
    dask: Cluster, settings: Settings, make_settings: MakeSettings
) -> None:
    """Its pictures would be others than the run says."""
    dask.start_worker(make_settings(grey_jpeg="lossless"))
    with settings_in_force(settings), pytest.raises(RunAborted, match="give all the same AUTO"):
        nightly()


@pytest.mark.slow
def test_a_cluster_without_workers_is_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And how to start one."""
    monkeypatch.setattr(cluster, "_CONNECT_S", 5)
    with (
        settings_in_force(settings),
        pytest.raises(UsageError, match=r"dask worker tcp:.* --no-nanny"),
    ):
        nightly()


def test_without_a_scheduler_there_is_a_remedy(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens there."""
    monkeypatch.setattr(cluster, "_CONNECT_S", 1)
    settings = make_settings(dask_scheduler=f"tcp://127.0.0.1:{free_port()}")
    with settings_in_force(settings), pytest.raises(UsageError, match="AUTOCHROME_DASK_SCHEDULER"):
        nightly()

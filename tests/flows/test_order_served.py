"""An order on a real Prefect server with a real process worker: paused, killed, resumed, done."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

import pytest

from tasks.ledger import ItemFilter, Ledger, orders
from tasks.ledger.orders import OrderMode, OrderState
from tasks.processes import pid_of
from tests.films import SHOT_FRAMES, write_reel
from tests.scanfiles import codes_of, photograph, write_jpeg

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

SCANS = 80
REEL_SHOTS = 40
ITEMS = SCANS + 1  # the reel
PATIENCE_S = 900.0
YAML = """
name: autochrome
pull: []
deployments:
  - name: colorize
    entrypoint: flows.colorize.colorize
    work_pool: {name: backfills}
  - name: backfill
    entrypoint: flows.backfill.backfill
    work_pool: {name: backfills}
  - name: steer_order
    entrypoint: flows.backfill.steer_order
    work_pool: {name: backfills}
  - name: keep_orders
    entrypoint: flows.backfill.keep_orders
    parameters: {for_s: 20}
    schedules: [{interval: 30, active: false}]
    concurrency_limit: {limit: 1, collision_strategy: CANCEL_NEW}
    work_pool: {name: backfills}
"""


def until(what: Callable[[], bool], *, patience_s: float = PATIENCE_S) -> None:
    """Wait for something to become true."""
    give_up_at = time.monotonic() + patience_s
    while not what():
        assert time.monotonic() < give_up_at, "nothing happened"
        time.sleep(0.5)


@contextmanager
def process(*command: str, env: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process with its own group, ended with all that it started."""
    with log.open("ab") as file:
        started = subprocess.Popen(
            command, env=env, stdout=file, stderr=file, start_new_session=True
        )
        try:
            yield started
        finally:
            started.terminate()
            try:
                started.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(started.pid, signal.SIGKILL)
                started.wait()


@pytest.fixture
def environment(tmp_path: Path, sqlite_url: str, quick_checkpoint: Path) -> dict[str, str]:
    """What every process gets: shares of seconds, so that there are several."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}",
        "OMP_NUM_THREADS": "1",
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "AUTOCHROME_DATABASE_URL": sqlite_url,
        "AUTOCHROME_OUTPUT": str(tmp_path / "colour"),
        "AUTOCHROME_CHECKPOINT": str(quick_checkpoint),
        "AUTOCHROME_DEVICE": "cpu",
        "AUTOCHROME_THREADS": "1",
        "AUTOCHROME_BATCH_ITEMS": "4",
        "AUTOCHROME_LEASE_S": "15",
        "AUTOCHROME_ORDER_WORKERS": "2",
        "AUTOCHROME_SHARE_MINUTES": "0.1",
    }


@pytest.fixture
def served(environment: dict[str, str], tmp_path: Path) -> Iterator[None]:
    """A server, the deployments, and a worker that takes three runs at once."""
    port = environment["PREFECT_API_URL"].split(":")[2].split("/")[0]
    log = tmp_path / "prefect.log"
    with process("prefect", "server", "start", "--port", port, env=environment, log=log):
        until(lambda: _answers(f"{environment['PREFECT_API_URL']}/health"))
        file = tmp_path / "prefect.yaml"
        file.write_text(YAML)
        for command in (
            ["work-pool", "create", "backfills", "--type", "process"],
            ["--no-prompt", "deploy", "--all", "--prefect-file", str(file)],
        ):
            done = subprocess.run(
                ["prefect", *command],
                env=environment,
                check=False,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
            )
            assert done.returncode == 0, done.stdout + done.stderr
        worker = ("prefect", "worker", "start", "--pool", "backfills", "--limit", "3")
        with process(*worker, env=environment, log=log):
            yield


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  this test's own server
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def autochrome(environment: dict[str, str], *arguments: str) -> str:
    """Run a command of ours; its stdout."""
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def share_processes(environment: dict[str, str]) -> list[int]:
    """The processes that hold leases of this test's ledger."""
    with Ledger.open(environment["AUTOCHROME_DATABASE_URL"]) as ledger:
        return [pid_of(worker) for worker in ledger.open_workers()]


def test_a_backfill_is_done_once_whatever_happens(
    served: None, environment: dict[str, str], tmp_path: Path
) -> None:
    """Ordered by the command line, worked off by the worker; paused, killed, resumed meanwhile.

    A film is among the scans: whoever has nothing left to claim colours shots of it.
    """
    archive = tmp_path / "box"
    archive.mkdir()
    for number in range(SCANS):
        write_jpeg(archive / f"{number:03}.jpg", codes_of(photograph(96, 128, seed=number)))
    write_reel(archive / "reel.mkv", shots=REEL_SHOTS)
    autochrome(environment, "backfill", str(archive))
    with Ledger.open(environment["AUTOCHROME_DATABASE_URL"]) as ledger:
        (row,) = orders.list_open(ledger)
        assert (row.state, row.items) == (OrderState.RUNNING, ITEMS)

        until(lambda: orders.progress(ledger, row.id).done >= 8)
        autochrome(environment, "orders", "pause", str(row.id), "--why", "lunch")
        until(lambda: not orders.list_open_shares(ledger))
        done = orders.progress(ledger, row.id).done
        assert done < ITEMS
        time.sleep(40)  # two looks of keep_orders
        assert orders.progress(ledger, row.id).done == done

        autochrome(environment, "orders", "resume", str(row.id))
        until(lambda: bool(share_processes(environment)))
        for pid in share_processes(environment):
            os.kill(pid, signal.SIGKILL)
        until(lambda: orders.get(ledger, row.id).state is OrderState.COMPLETED)

        assert orders.get(ledger, row.id).figures == {"review": ITEMS}
        assert orders.progress(ledger, row.id).shares >= 3
        ended = [
            len(
                [
                    one
                    for one in ledger.get_story(item.uri).items[0].attempts
                    if one.ending == "finished"
                ]
            )
            for item in ledger.list_items(ItemFilter(), limit=1000)
        ]
        assert ended == [1] * ITEMS
        film = ledger.get_story((archive / "reel.mkv").as_uri()).items[0]
        assert sum(shot.frames for shot in film.shots) == REEL_SHOTS * SHOT_FRAMES
        assert len({shot.worker for shot in film.shots}) > 1, "several have shared the reel"


def test_what_people_correct_goes_through_the_same_workers(
    served: None, environment: dict[str, str], tmp_path: Path
) -> None:
    """Several people's words become orders that the worker's processes work off, a batch of each.

    The network's own result stays; nobody but a served process has touched the scans.
    """
    archive, hints = tmp_path / "box", tmp_path / "hints.json"
    archive.mkdir()
    scans = [archive / f"{number}.jpg" for number in range(3)]
    for number, path in enumerate(scans):
        write_jpeg(path, codes_of(photograph(96, 128, seed=number)))
    hints.write_text('[{"x": 0.5, "y": 0.5, "rgb": [190, 40, 50]}]')
    autochrome(environment, "backfill", str(archive))
    with Ledger.open(environment["AUTOCHROME_DATABASE_URL"]) as ledger:

        def is_done() -> bool:
            return not orders.list_open(ledger)

        until(is_done)
        for path in scans[:2]:
            said = ("correct", path.as_uri(), "--hints", str(hints), "--who", "Ann")
            autochrome(environment, *said)
        until(lambda: all(_corrected(ledger, path) for path in scans[:2]))
        until(is_done)
        assert not _corrected(ledger, scans[2])
        for path in scans[:2]:
            (history,) = ledger.get_story(path.as_uri()).items
            assert history.item.status == "review"
            masters = [one for one in history.derivatives if one.kind == "master"]
            assert len(masters) == 2
            workers = {attempt.worker for attempt in history.attempts}
            assert os.getpid() not in {pid_of(worker) for worker in workers}
        corrected = [one for one in orders.list_latest(ledger) if one.mode is OrderMode.CORRECTED]
        assert {one.state for one in corrected} == {OrderState.COMPLETED}
        assert sum(one.items for one in corrected) == 2


def _corrected(ledger: Ledger, path: Path) -> bool:
    """Whether the derivative in use was made by what a person said."""
    return bool(ledger.get_story(path.as_uri()).items[-1].item.correction_id)

"""`autochrome serve` as a person runs it: started, watched, interrupted, started again."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from flows.serving.processes import descendants
from tasks.ledger import Ledger, RunEnding
from tests.ports import free_port
from tests.scanfiles import codes_of, photograph, write_jpeg
from tests.workers import items_of

ROOT = Path(__file__).parents[3]
SCANS = 300
T = TypeVar("T")


def wait_for(look: Callable[[], T | None], *, seconds: float, what: str) -> T:
    """Ask until there is an answer.

    Raises:
        TimeoutError: There is none.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found is not None:
            return found
        time.sleep(0.5)
    raise TimeoutError(what)


@dataclass
class Machine:
    """A folder with an archive, and ports."""

    folder: Path
    checkpoint: Path
    port: int = field(default_factory=free_port)
    web_port: int = field(default_factory=free_port)

    @property
    def database(self) -> str:
        """The ledger."""
        return f"sqlite:///{self.folder / 'ledger.db'}"

    @property
    def auth(self) -> tuple[str, str]:
        """Name and password: the one that `serve` made."""
        return "autochrome", (self.folder / "home" / "password").read_text()

    def prefect(self, *words: str) -> str:
        """What Prefect's command line says, told but the PREFECT_HOME that `serve` prints."""
        environment = {"PATH": os.environ["PATH"], "PREFECT_HOME": f"{self.folder}/home/prefect"}
        command = [sys.executable, "-m", "prefect", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def command(self) -> list[str]:
        """What a person types; relative paths are meant from where it is typed."""
        return [
            *(sys.executable, "-m", "flows.cli", "serve", "archive", "--out", "colour"),
            *("--db", "sqlite:///ledger.db", "--home", "home"),
            *("--port", str(self.port), "--web-port", str(self.web_port)),
        ]

    def environment(self) -> dict[str, str]:
        """Small batches, so that there is a middle to interrupt."""
        return os.environ | {
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "AUTOCHROME_CHECKPOINT": str(self.checkpoint),
            "AUTOCHROME_DEVICE": "cpu",
            "AUTOCHROME_THREADS": "1",
            "AUTOCHROME_MINIBATCH": "2",
            "AUTOCHROME_BATCH_ITEMS": "8",
        }

    @contextmanager
    def serving(self) -> Iterator[subprocess.Popen[bytes]]:
        """Start it and wait until it says where the UI is; killed in the end if it still runs."""
        log = self.folder / "serve.log"
        with (
            log.open("wb") as out,
            subprocess.Popen(
                self.command(), cwd=self.folder, env=self.environment(), stderr=out
            ) as process,
        ):
            try:
                wait_for(
                    lambda: "Prefect's UI" in log.read_text() or process.poll() or None,
                    seconds=600,
                    what=f"no start: {log.read_text()}",
                )
                assert process.poll() is None, log.read_text()
                yield process
            finally:
                process.kill()

    def post(self, path: str, body: dict[str, Any]) -> Any:  # noqa: ANN401  JSON
        """Ask Prefect's API."""
        url = f"http://127.0.0.1:{self.port}/api/{path}"

        def asked() -> httpx.Response | None:
            answer = httpx.post(url, json=body, auth=self.auth, timeout=60)
            return None if answer.status_code == 503 else answer  # SQLite is busy: ask again

        answer = wait_for(asked, seconds=60, what=f"{path} is not answered")
        return answer.raise_for_status().json()

    def get(self, path: str) -> Any:  # noqa: ANN401  JSON
        """Ask Prefect's API."""
        url = f"http://127.0.0.1:{self.port}/api/{path}"
        return httpx.get(url, auth=self.auth, timeout=60).raise_for_status().json()

    def begin_night(self) -> str:
        """Run the deployment, as the button in the UI does."""
        deployment = self.get("deployments/name/nightly/nightly")
        state = {"state": {"type": "SCHEDULED"}}
        run = self.post(f"deployments/{deployment['id']}/create_flow_run", state)
        return str(run["id"])

    def resumed_night(self) -> str:
        """The run that goes on with a night where `serve` was ended; it is made by itself."""
        body = {"deployments": {"name": {"any_": ["nightly"]}}}

        def found() -> str | None:
            runs = self.post("flow_runs/filter", body)
            return next((str(run["id"]) for run in runs if run["parameters"].get("resumes")), None)

        return wait_for(found, seconds=300, what="the night does not go on")

    def wait_for_end(self, run_id: str) -> dict[str, Any]:
        """Wait until a run is in a final state."""

        def ended() -> dict[str, Any] | None:
            run: dict[str, Any] = self.get(f"flow_runs/{run_id}")
            final = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
            return run if run["state_type"] in final else None

        return wait_for(ended, seconds=600, what="the night does not end")

    def figure(self, name: str) -> float:
        """One of the figures for Prometheus."""
        url = f"http://127.0.0.1:{self.web_port}/metrics"
        text = httpx.get(url, auth=self.auth).raise_for_status().text
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name:
                    return sample.value
        raise KeyError(name)


@pytest.fixture
def machine(archive: Path, quick_checkpoint: Path) -> Machine:
    """So many scans that the night is in its middle when it hears that it should end."""
    for number in range(3, SCANS - 3):
        write_jpeg(archive / f"{number}.jpg", codes_of(photograph(96, 128, seed=number)))
    return Machine(archive.parent, quick_checkpoint)


def check_nothing_tells(machine: Machine, process: subprocess.Popen[bytes]) -> None:
    """No password in what everyone can see of processes, and none in a log."""
    password = machine.auth[1]
    for pid in (process.pid, *descendants(process.pid)):
        with suppress(FileNotFoundError):
            assert password not in Path(f"/proc/{pid}/cmdline").read_text()
    logs = [machine.folder / "serve.log", *(machine.folder / "home").glob("*.log")]
    assert len(logs) > 2
    for log in logs:
        assert password not in log.read_text(), log


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_an_archive_is_served_interrupted_and_served_again(machine: Machine) -> None:
    """Each scan is coloured once, nothing stays claimed, and the server knows what it knew."""
    with machine.serving() as process:
        assert httpx.get(f"http://127.0.0.1:{machine.port}/api/flow_runs/count").status_code == 401
        interrupted = machine.begin_night()
        wait_for(
            lambda: len(list(machine.folder.glob("colour/*/master/*.jpg"))) >= 3 or None,
            seconds=600,
            what="the night does not get on",
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(300) == 0
    with Ledger.open(machine.database) as ledger:
        stopped = ledger.counts().items
        assert stopped.get("claimed", 0) == 0
        assert stopped.get("pending", 0) > 0, "interrupted too late to prove anything"
        assert {item.attempts for item in items_of(ledger).values()} <= {0, 1}

    with machine.serving() as process:
        run = machine.get(f"flow_runs/{interrupted}")
        assert run["state_type"] == "CANCELLED"
        names = [one["name"] for one in machine.post("deployments/filter", {})]
        assert len(names) == len(set(names))
        assert "autochrome-gpu" in machine.prefect("work-pool", "inspect", "autochrome-gpu")
        check_nothing_tells(machine, process)
        automations = machine.post("automations/filter", {})
        assert len(automations) == 1
        scheduled = {"state": {"type": {"any_": ["SCHEDULED"]}}}
        body = {"flow_runs": scheduled, "deployments": {"name": {"any_": ["nightly"]}}}
        wait_for(
            lambda: machine.post("flow_runs/count", body) or None,
            seconds=180,
            what="the schedule makes no runs",
        )
        night = machine.wait_for_end(machine.resumed_night())
        assert night["state_type"] == "COMPLETED", night["state"]["message"]
        assert night["name"].startswith("night 20")
        assert machine.figure("autochrome_ledger_up") == 1
        assert machine.figure("autochrome_scans") == SCANS
        shown = {a["key"]: a for a in machine.post("artifacts/latest/filter", {})}
        assert {"night-1", "counts", "before-after", "report"} <= set(shown)
        assert "data:image/jpeg;base64," in shown["before-after"]["data"]
        link = shown["report"]["data"].partition("](")[2].rstrip(")")
        assert link.startswith(f"http://127.0.0.1:{machine.web_port}/files/reports/")
        assert "Night of" in httpx.get(link, auth=machine.auth).raise_for_status().text
        process.send_signal(signal.SIGTERM)
        assert process.wait(300) == 0
    with Ledger.open(machine.database) as ledger:
        (run,) = ledger.list_runs(kind="nightly")
        assert run.ending is RunEnding.COMPLETED
        items = items_of(ledger)
        assert Counter(item.status for item in items.values()) == {"review": SCANS}
        for item in items.values():
            endings = [one.ending for one in ledger.get_story(item.uri).items[0].attempts]
            assert endings.count("finished") == 1


def refused(machine: Machine, *more: str, **variables: str) -> str:
    """What `serve` says when it cannot start: one line, exit code 2."""
    done = subprocess.run(
        [*machine.command(), *more],
        cwd=machine.folder,
        env=machine.environment() | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()
    return line


@pytest.mark.slow
def test_what_cannot_work_is_said_in_one_line(archive: Path, quick_checkpoint: Path) -> None:
    """With the remedy, and before anything is started."""
    machine = Machine(archive.parent, quick_checkpoint)
    assert "as name:password" in refused(machine, AUTOCHROME_API_AUTH="no password")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", machine.port))
        taken.listen()
        assert "AUTOCHROME_PORT" in refused(machine)
    (archive.parent / "archive").rename(archive.parent / "elsewhere")
    assert "archive" in refused(machine)
    assert not (archive.parent / "home" / "server.log").exists()

"""An archive as it is run in earnest, on one machine: everything real, and a host that dies.

Prefect's server with a password, the ledger on PostgreSQL, scans and colour behind an S3 endpoint,
two hosts with a process worker each, and the deployments of `deploy/prefect.yaml`. A host is a
folder: its own home, settings, scratch and checkpoint. One has its S3 credentials in variables, the
other where the AWS tools look for them.
"""

import base64
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import pytest

from flows.deploying.pools import GPU_POOL, LIGHT_POOL
from flows.serving.environment import client_environment, server_environment
from flows.serving.processes import descendants, end_tree
from flows.serving.serve import server_command
from flows.web.addresses import api_url, ui_url
from tasks.ledger import Ledger, orders
from tasks.ledger.orders import OrderState
from tasks.processes import pid_of
from tasks.schema import AttemptEnding
from tasks.settings import Settings
from tests.browser import Page, browsing, find_browser
from tests.databases import Server
from tests.durability.checking import check_all
from tests.ports import free_port
from tests.s3server import (
    ACCESS_KEY_ID,
    REGION,
    SECRET_ACCESS_KEY,
    S3Bucket,
    make_test_client,
    settings_for,
)
from tests.scanfiles import codes_of, photograph, write_jpeg
from tests.workers import attempts_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
AUTH = ("curator", "a secret")
NIGHT, BACKLOG = 30, 200
PATIENCE_S = 600.0
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
T = TypeVar("T")


def wait_for(look: Callable[[], T | None], what: str) -> T:
    """Ask until there is an answer.

    Raises:
        TimeoutError: There is none.
    """
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.5)
    raise TimeoutError(what)


class Host:
    """A machine: a folder with all that is its own, and the processes that were started there."""

    def __init__(self, name: str, folder: Path, settings: Settings) -> None:
        self.name = name
        self.folder = folder / name
        self.folder.mkdir()
        given = {"home": self.folder, "scratch": self.folder / "scratch"}
        (self.folder / "scratch").mkdir()
        if settings.checkpoint is not None:
            given["checkpoint"] = self.folder / "network.safetensors"
            shutil.copy(settings.checkpoint, given["checkpoint"])
        self.settings = settings.model_copy(update=given)
        self.processes: list[subprocess.Popen[bytes]] = []

    def environment(self) -> dict[str, str]:
        """Nothing of whoever runs the tests but the interpreter."""
        return (
            {
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                "LANG": "C.UTF-8",
                "HOME": str(self.folder),
                "OMP_NUM_THREADS": "1",
                "PREFECT_WORKER_QUERY_SECONDS": "2",
            }
            | client_environment(self.settings)
            | self.settings.as_environment()
        )

    def start(self, *command: str, environment: dict[str, str] | None = None) -> None:
        """Start a process that goes on; what it says is in the host's log."""
        with (self.folder / "log").open("ab") as log:
            self.processes.append(
                subprocess.Popen(
                    command,
                    cwd=self.folder,
                    env=environment or self.environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def start_worker(self, pool: str, *, limit: int) -> None:
        """Start a worker as the runbook says."""
        worker = ("prefect", "worker", "start", "--pool", pool, "--name", self.name)
        self.start(sys.executable, "-m", "flows.serving.worker", *worker, "--limit", str(limit))

    def run(self, *arguments: str) -> str:
        """Run a command of ours to its end; its output."""
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", *arguments],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def pids(self) -> set[int]:
        """All processes of the host."""
        started = [one.pid for one in self.processes]
        return {pid for one in started for pid in (one, *descendants(one))}

    def freeze(self) -> set[int]:
        """Let nothing go on; what a process starts meanwhile is caught in the next round."""
        frozen: set[int] = set()
        while more := self.pids() - frozen:
            for pid in more:
                os.kill(pid, signal.SIGSTOP)
            frozen |= more
        return frozen

    def thaw(self) -> None:
        """Let everything go on."""
        for pid in self.pids():
            os.kill(pid, signal.SIGCONT)

    def lose_power(self) -> None:
        """Kill everything at once, the runs with their worker."""
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)
        for process in self.processes:
            process.wait()
        self.processes.clear()

    def shut_down(self) -> None:
        """End what was started."""
        for process in reversed(self.processes):
            end_tree(process.pid, hurry=True, reap=process)


class Api:
    """Prefect's API, as the UI uses it."""

    def __init__(self, settings: Settings) -> None:
        self.client = httpx.Client(base_url=f"{api_url(settings)}/", auth=AUTH, timeout=60)

    def is_up(self) -> bool:
        """Whether it answers."""
        try:
            return self.client.get("health").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def get(self, path: str) -> Any:  # noqa: ANN401  JSON
        """Ask for something."""
        return self._ask("GET", path)

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401  JSON
        """Ask for something, or for something to be done."""
        return self._ask("POST", path, body or {})

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401  JSON
        """Ask again where the server's database was busy, as Prefect's own client does."""

        def answer() -> httpx.Response | None:
            got = self.client.request(method, path, json=body)
            return None if got.status_code == httpx.codes.SERVICE_UNAVAILABLE else got

        return wait_for(answer, f"{path} stays busy").raise_for_status().json()

    def begin(self, name: str, **parameters: object) -> str:
        """Run a deployment, as the button in the UI does."""
        deployment = self.get(f"deployments/name/{name}")
        body = {
            "state": {"type": "SCHEDULED"},
            "parameters": parameters,
            "idempotency_key": uuid4().hex,
        }
        return str(self.post(f"deployments/{deployment['id']}/create_flow_run", body)["id"])

    def wait_for_end(self, run_id: str) -> dict[str, Any]:
        """Wait until a run has ended, however."""

        def ended() -> dict[str, Any] | None:
            run: dict[str, Any] = self.get(f"flow_runs/{run_id}")
            return run if run["state_type"] in ENDED else None

        return wait_for(ended, f"run {run_id} does not end")

    def runs_of(self, flow: str) -> list[dict[str, Any]]:
        """The runs of a flow, the latest first."""
        body = {"flows": {"name": {"any_": [flow]}}, "sort": "EXPECTED_START_TIME_DESC"}
        found: list[dict[str, Any]] = self.post("flow_runs/filter", body)
        return found

    def artifacts(self) -> dict[str, dict[str, Any]]:
        """The latest of each key."""
        return {one["key"]: one for one in self.post("artifacts/latest/filter")}


@dataclass
class Archive:
    """An archive, and who works on it."""

    settings: Settings
    scans: S3Bucket
    folder: Path
    office: Host  #: where the server is, and what needs no GPU runs
    hosts: tuple[Host, Host]

    def deliver(self, prefix: str, scans: int) -> str:
        """Put scans into the bucket, as a digitization line does; returns the source."""
        for number in range(scans):
            path = self.folder / f"{number:03}.jpg"
            write_jpeg(path, codes_of(photograph(48, 64, seed=number)))
            key = f"{prefix}/box {number // 100}/{path.name}"
            self.scans.client.put_object(Bucket=self.scans.name, Key=key, Body=path.read_bytes())
        return f"{self.scans.url}/{prefix}"


@pytest.fixture(scope="module")
def archive(
    tmp_path_factory: pytest.TempPathFactory,
    postgresql_server: Server,
    s3_endpoint: str,
    quick_checkpoint: Path,
) -> Iterator[Archive]:
    """Databases, buckets, folders of hosts; nothing of ours runs yet."""
    folder = tmp_path_factory.mktemp("archive")
    name = f"end_to_end_{os.getpid()}"
    postgresql_server.execute(f"CREATE DATABASE {name}")
    scans, colour = (
        _bucket(f"end-to-end-{kind}-{os.getpid()}", s3_endpoint) for kind in ("scans", "colour")
    )
    settings = settings_for(
        s3_endpoint,
        s3_timeout_s=30.0,
        database_url=postgresql_server.url(name),
        port=free_port(),
        api_auth=":".join(AUTH),
        sources=(f"{scans.url}/tonight",),
        output=colour.url,
        checkpoint=quick_checkpoint,
        device="cpu",
        threads=1,
        minibatch=4,
        batch_items=8,
        lease_s=15.0,
        share_minutes=0.25,
        # Not while the test runs: it begins its night itself.
        nightly_cron=f"0 {(datetime.now(UTC) + timedelta(hours=12)).hour} * * *",
    )
    # The second finds its credentials where the AWS tools look.
    without = {"s3_access_key_id": None, "s3_secret_access_key": None, "s3_region": None}
    hosts = (
        Host("host-1", folder, settings),
        Host("host-2", folder, settings.model_copy(update=without)),
    )
    _write_credentials(hosts[1].folder / ".aws")
    office = Host("office", folder, settings)
    yield Archive(settings, scans, folder, office, hosts)
    postgresql_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _bucket(name: str, endpoint: str) -> S3Bucket:
    bucket = S3Bucket(name, endpoint, make_test_client(endpoint))
    bucket.client.create_bucket(Bucket=name)
    return bucket


def _write_credentials(folder: Path) -> None:
    folder.mkdir()
    (folder / "config").write_text(f"[default]\nregion = {REGION}\n")
    (folder / "credentials").write_text(
        f"[default]\naws_access_key_id = {ACCESS_KEY_ID}\n"
        f"aws_secret_access_key = {SECRET_ACCESS_KEY}\n"
    )


@pytest.fixture(scope="module")
def api(archive: Archive) -> Iterator[Api]:
    """The server, with the deployments, and all workers."""
    api = Api(archive.settings)
    office = archive.office
    with ExitStack() as opened:
        for host in (office, *archive.hosts):
            opened.callback(host.shut_down)
        environment = office.environment() | {
            name: value
            for name, value in server_environment(office.settings).items()
            if name.startswith("PREFECT_")
        }
        office.start(*server_command(office.settings), environment=environment)
        office.run("db", "upgrade")
        wait_for(api.is_up, "Prefect's server does not answer")
        office.run("deploy")
        office.start_worker(LIGHT_POOL, limit=4)
        for host in archive.hosts:
            host.start_worker(GPU_POOL, limit=1)
        yield api


@dataclass
class Story:
    """What happened."""

    night: dict[str, Any]  #: the run of nightly
    lost: str  #: the flow run that was killed with its worker
    killed: set[int]  #: the processes that went with it


@pytest.fixture(scope="module")
def story(archive: Archive, api: Api) -> Story:
    """A night; then a backfill, during which a host goes and comes back."""
    archive.deliver("tonight", NIGHT)
    night = api.wait_for_end(api.begin("nightly/nightly"))
    assert night["state_type"] == "COMPLETED", night["state"]["message"]

    backlog = archive.deliver("backlog", BACKLOG)
    ordered = api.wait_for_end(api.begin("backfill/backfill", sources=[backlog]))
    assert ordered["state_type"] == "COMPLETED", ordered["state"]["message"]
    with Ledger.open(archive.settings.database_url.get_secret_value()) as ledger:
        row = orders.list_latest(ledger)[0]
        assert row.items == BACKLOG
        lost, killed = _lose(archive.hosts[1], ledger, api)
        archive.hosts[1].start_worker(GPU_POOL, limit=1)
        wait_for(
            lambda: orders.get(ledger, row.id).state is OrderState.COMPLETED,
            "the backfill does not end",
        )
    api.wait_for_end(lost)
    return Story(night, lost, killed)


def _lose(host: Host, ledger: Ledger, api: Api) -> tuple[str, set[int]]:
    """Kill a host whose run holds scans; which run it was, and the processes that are gone."""

    def caught() -> tuple[str, set[int]] | None:
        if not host.pids() & _holders(ledger):
            return None
        run = next((run for run in api.runs_of("colorize") if _is_at_work(run, host)), None)
        pids = host.freeze()
        if run is None or not pids & _holders(ledger):
            host.thaw()
            return None
        host.lose_power()
        return str(run["id"]), pids

    return wait_for(caught, f"{host.name} gets no work")


def _holders(ledger: Ledger) -> set[int]:
    """The processes that hold scans."""
    return {pid_of(worker) for worker in ledger.open_workers()}


def _is_at_work(run: dict[str, Any], host: Host) -> bool:
    return (run["state_type"], run["labels"].get("prefect.worker.name")) == ("RUNNING", host.name)


def test_every_scan_is_done_once(archive: Archive, story: Story) -> None:
    """What the lost host held, and nothing else, was claimed again."""
    items = NIGHT + BACKLOG
    with Ledger.open(archive.settings.database_url.get_secret_value()) as ledger:
        verdict = check_all(ledger, archive.settings, items=items)
        attempts = attempts_of(ledger)
    assert not verdict.wrong
    assert verdict.statuses == {"review": items}
    assert verdict.derivatives == items, "one colour JPEG of each grey one"
    lost = [one for one in attempts if one.ending is AttemptEnding.EXPIRED]
    assert lost
    assert {pid_of(one.worker) for one in lost} <= story.killed
    assert verdict.endings == {"finished": items, "expired": len(lost)}


def test_the_lost_run_is_marked_and_the_host_works_again(
    archive: Archive, api: Api, story: Story
) -> None:
    """By the automation; and both hosts took part."""
    lost = api.get(f"flow_runs/{story.lost}")
    assert (lost["state_type"], lost["state"]["message"]) == (
        "CRASHED",
        "Its worker is lost: no sign of life any more.",
    )
    done = [run for run in api.runs_of("colorize") if run["state_type"] == "COMPLETED"]
    workers = {run["labels"]["prefect.worker.name"] for run in done}
    assert workers == {host.name for host in archive.hosts}
    again = [run for run in done if run["labels"]["prefect.worker.name"] == archive.hosts[1].name]
    assert any(run["start_time"] > lost["start_time"] for run in again)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A browser that has logged in to the UI."""
    if find_browser() is None:
        pytest.skip("the UI was not looked at: no Chromium (apt-get install chromium)")
    with browsing(tmp_path_factory.mktemp("browser")) as opened:
        password = base64.b64encode(":".join(AUTH).encode()).decode()
        opened.remember("prefect-password", password)  # where the UI's login page puts it
        yield opened


def test_the_ui_names_runs_by_night_and_backfill(
    archive: Archive, story: Story, page: Page
) -> None:
    """And the one that was lost is there as crashed."""
    address = ui_url(archive.settings)
    page.open(f"{address}/runs")
    shown = page.wait_for(story.night["name"], "colorize backfill 2, share 1", "Crashed")
    assert story.night["name"].startswith("night 20")
    page.take_picture(archive.folder / "runs.png")
    page.open(f"{address}/runs/flow-run/{story.night['id']}")
    page.wait_for(story.night["name"], f"{NIGHT} found, {NIGHT} new, 0 changed", "report: ")
    page.take_picture(archive.folder / "night.png")
    assert "Login" not in shown


def _when_told(api: Api) -> dict[str, dict[str, Any]] | None:
    """The artifacts, once the backfill's says that it is over: it is renewed by the minute."""
    found = api.artifacts()
    return found if "completed" in found["backfill-2"]["description"] else None


def test_the_ui_shows_progress_counts_report_and_pictures(
    archive: Archive, api: Api, story: Story, page: Page
) -> None:
    """As a person sees them, rendered: the pictures are there, and the report can be opened."""
    address = ui_url(archive.settings)
    found = wait_for(lambda: _when_told(api), "the backfill's artifact does not say it is over")
    page.open(f"{address}/artifacts")
    page.wait_for("backfill-2", "night-1", "counts", "before-after", "report")
    page.take_picture(archive.folder / "artifacts.png")

    def show(key: str, *texts: str) -> None:
        page.open(f"{address}/artifacts/artifact/{found[key]['latest_id']}")
        page.wait_for(key, *texts)
        page.take_picture(archive.folder / f"{key}.png")

    show("night-1", f"{NIGHT} of {NIGHT}", "Progress: 100%")
    show("backfill-2", f"{BACKLOG} of {BACKLOG}", "Progress: 100%", "completed")
    show("counts", "what to do", "review", f"{NIGHT} items", "autochrome approve")
    show("before-after", "before", "after", "The colours are a machine's guess.")
    pictures = "[...document.querySelectorAll('img[alt=before], img[alt=after]')]"
    widths = page.run(f"{pictures}.map(picture => picture.naturalWidth)")
    assert len(widths) == 8
    assert min(widths) > 0, "a picture does not show"
    show("report", f"{NIGHT} items ended: {NIGHT} review", "Open the report")
    link = page.run("[...document.links].find(a => a.innerText == 'Open the report').href")
    page.open(link)
    page.wait_for("Night of", str(NIGHT))
    page.take_picture(archive.folder / "report-opened.png")

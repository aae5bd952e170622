"""The form by which a person lets a challenger take over, filled in in a real browser."""

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from flows.serving.environment import client_environment, server_environment
from flows.serving.processes import end_tree
from flows.serving.serve import server_command
from flows.web.addresses import api_url, ui_url
from tasks.ledger.checkpoints import champion_checkpoint
from tasks.ledger.opening import open_ledger
from tasks.ledger.reference_records import TrainingVerdict
from tasks.ledger.trainings import list_trainings
from tasks.settings import Settings
from tests.browser import Page, browsing, find_browser
from tests.ports import free_port
from tests.schools import School

AUTH = ("curator", "a secret")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(find_browser() is None, reason="needs Chromium: apt-get install chromium"),
]

ROOT = Path(__file__).parents[2]
RUN = "from flows.finetune import finetune; finetune()"
T = TypeVar("T")


def wait_for(look: Callable[[], T | None], what: str, *, seconds: float = 300.0) -> T:
    """Ask until there is an answer.

    Raises:
        TimeoutError: There is none.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (found := look()) is not None:
            return found
        time.sleep(0.5)
    raise TimeoutError(what)


@contextmanager
def running(
    command: list[str], environment: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block, if not before."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=log.parent, env=environment, stdout=out, stderr=out, start_new_session=True
        )
    try:
        yield process
    finally:
        end_tree(process.pid, hurry=True, reap=process)


@pytest.fixture
def settings(trained_school: School, tmp_path: Path) -> Settings:
    """A challenger about to be judged, and a policy that asks a person."""
    return trained_school(
        finetune_approval=True, port=free_port(), home=tmp_path / "home", api_auth=":".join(AUTH)
    )


@pytest.fixture
def server(settings: Settings, tmp_path: Path) -> Iterator[None]:
    """Prefect's server with its UI."""
    environment = server_environment(settings)
    Path(environment["PREFECT_HOME"]).mkdir(parents=True)
    log = tmp_path / "server.log"
    with running([*server_command(settings)], environment, log) as process:
        wait_for(
            lambda: process.poll() is not None or is_up(settings) or None,
            "Prefect's server does not answer",
        )
        assert process.poll() is None, log.read_text()
        yield


def is_up(settings: Settings) -> bool:
    """Whether the server answers."""
    try:
        return httpx.get(f"{api_url(settings)}/health", timeout=10).is_success
    except httpx.TransportError:
        return False


def paused_run(settings: Settings) -> str | None:
    """The id of the run that waits for a person."""
    runs: list[dict[str, Any]] = httpx.post(
        f"{api_url(settings)}/flow_runs/filter",
        json={"flow_runs": {"state": {"type": {"any_": ["PAUSED"]}}}},
        auth=AUTH,
        timeout=60,
    ).json()
    return str(runs[0]["id"]) if runs else None


def do_with(page: Page, found: str, action: str) -> None:
    """Do something with the element that an expression finds, as soon as it is there."""
    script = f"(() => {{ const it = {found}; if (!it) return false; {action}; return true }})()"
    wait_for(lambda: page.run(script) or None, f"{found} is not on the page", seconds=60)


def click(page: Page, text: str) -> None:
    """Click on what bears that text."""
    bearing = "button, [role=option], .p-select-option"
    elements = f"[...document.querySelectorAll('{bearing}')]"
    words = json.dumps(text)
    do_with(page, f"{elements}.find(one => one.innerText.trim() == {words})", "it.click()")


def choose(page: Page, text: str) -> None:
    """Choose what is called so from a list."""
    option = (
        f"[...document.querySelectorAll('option')].find(one => one.value == {json.dumps(text)})"
    )
    event = "it.parentNode.dispatchEvent(new Event('change', {bubbles: true}))"
    do_with(page, option, f"it.selected = true; {event}")


def write(page: Page, label: str, text: str) -> None:
    """Write into the field of that label."""
    fields = "[...document.querySelectorAll('.p-modal textarea')]"
    heading = "it.closest('.p-label').innerText"
    setter = "Object.getOwnPropertyDescriptor(Object.getPrototypeOf(it), 'value').set"
    event = "it.dispatchEvent(new Event('input', {bubbles: true}))"
    do_with(
        page,
        f"{fields}.find(it => {heading}.startsWith('{label}'))",
        f"{setter}.call(it, {json.dumps(text)}); {event}",
    )


def test_a_person_promotes_in_the_form(settings: Settings, server: None, tmp_path: Path) -> None:
    """Table and pictures are to be seen; name and reason go on record, and the pointer moves."""
    environment = os.environ | client_environment(settings) | settings.as_environment()
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    log = tmp_path / "run.log"
    with (
        running([sys.executable, "-c", RUN], environment, log) as process,
        browsing(tmp_path) as page,
    ):
        run_id = wait_for(lambda: paused_run(settings), f"no run is paused: {log.read_text()}")
        page.remember("prefect-password", base64.b64encode(":".join(AUTH).encode()).decode())
        page.open(f"{ui_url(settings)}/runs/flow-run/{run_id}")
        click(page, "Resume")
        page.wait_for("Promote it?", "on the references held out", "Decision", "Who", "Why")
        page.take_picture(tmp_path / "form.png")
        picture = "document.querySelector('.p-modal img')"
        wait_for(lambda: page.run(f"{picture}?.naturalWidth || null"), "no pictures", seconds=60)
        page.run(f"{picture}.scrollIntoView()")
        choose(page, "promote the challenger")
        write(page, "Who", "Mme B")
        write(page, "Why", "the skies")
        page.take_picture(tmp_path / "filled.png")
        click(page, "Submit")
        assert process.wait(300) == 0, log.read_text()
        page.wait_for("Promoted")
        page.take_picture(tmp_path / "promoted.png")
    with open_ledger(settings) as ledger:
        (training,) = list_trainings(ledger)
        champion = champion_checkpoint(ledger)
    assert training.verdict is TrainingVerdict.PROMOTED
    assert training.why.startswith("approved by Mme B (the skies): ")
    assert champion is not None
    assert champion.digest == training.challenger

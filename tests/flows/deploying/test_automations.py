"""Automations, by a real server: who is told, what is marked as crashed, nothing doubled."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events import emit_event
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.states import Failed, Running, State
from pydantic import SecretStr

from flows.deploying import automations
from flows.deploying.automations import LOST_RUNS, TELL_BY_MAIL, ensure_automations
from flows.deploying.pools import GPU_POOL, QUEUES, ensure_pools
from flows.serving.environment import server_environment
from flows.serving.processes import Children
from flows.serving.serve import server_command
from flows.serving.watch import is_healthy
from flows.web.addresses import api_url
from tasks.settings import Settings
from tests.ports import free_port
from tests.receivers import mail_server, webhook

AUTH = "me:a secret"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def wait_until(look: Callable[[], bool], *, seconds: float) -> None:
    """Ask until it is so."""
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end
        time.sleep(0.5)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Prefect's server, as `serve` starts it."""
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=home, port=free_port(), api_auth=SecretStr(AUTH))
    children = Children(home)
    children.start("server", server_command(settings), server_environment(settings))
    try:
        wait_until(lambda: is_healthy(settings), seconds=400)
        found = {PREFECT_API_URL: api_url(settings), PREFECT_API_AUTH_STRING: AUTH}
        with temporary_settings(found):
            yield settings
    finally:
        children.end_all(hurry=True)


def ensure(settings: Settings) -> list[str]:
    """Make what the settings ask for."""

    async def run() -> list[str]:
        async with get_client() as client:
            return await ensure_automations(client, settings)

    return asyncio.run(run())


def known() -> dict[str, bool]:
    """The server's automations, and whether they are on."""

    async def run() -> dict[str, bool]:
        async with get_client() as client:
            found = await client.read_automations()
            assert len({one.name for one in found}) == len(found)
            return {one.name: one.enabled for one in found}

    return asyncio.run(run())


@flow(name="a flow")
def a_flow() -> None:
    """Never runs: its runs are put into states by hand."""


def make_run(name: str, state: State) -> UUID:
    """A run in a state."""
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(a_flow, name=name, state=Running())
        if not state.is_running():
            client.set_flow_run_state(run.id, state, force=True)
        return run.id


def state_of(run_id: UUID) -> StateType | None:
    """Where a run stands."""
    with get_client(sync_client=True) as client:
        return client.read_flow_run(run_id).state_type


def test_again_and_again_without_harm(server: Settings, tmp_path: Path) -> None:
    """One of each; what someone switched off stays off; what is not asked for any more goes."""
    told = server.model_copy(
        update={"notify_email_url": SecretStr("mailto://127.0.0.1:9?from=a@b.cd&to=e@f.gh")}
    )
    assert set(ensure(told)) == {LOST_RUNS, TELL_BY_MAIL}

    async def switch_off() -> None:
        async with get_client() as client:
            (one,) = await client.read_automations_by_name(LOST_RUNS)
            await client.pause_automation(one.id)

    asyncio.run(switch_off())
    ensure(told)
    assert known() == {LOST_RUNS: False, TELL_BY_MAIL: True}
    asyncio.run(_switch_on())
    ensure(server)
    assert known() == {LOST_RUNS: True}


async def _switch_on() -> None:
    async with get_client() as client:
        (one,) = await client.read_automations_by_name(LOST_RUNS)
        await client.resume_automation(one.id)


def test_pools_have_their_queues_in_order(server: Settings) -> None:
    """Twice, too."""

    async def run() -> dict[str, int | None]:
        async with get_client() as client:
            await ensure_pools(client)
            await ensure_pools(client)
            queues = await client.read_work_queues(work_pool_name=GPU_POOL)
            return {queue.name: queue.priority for queue in queues if queue.name != "default"}

    wanted = {queue.name: queue.priority for queue in QUEUES if queue.pool == GPU_POOL}
    assert asyncio.run(run()) == wanted


def test_failures_are_told_once_by_webhook_and_mail(server: Settings) -> None:
    """With the run's name, what it said, and a link; the second within minutes is not."""
    with webhook() as (url, posted), mail_server() as (port, mails):
        mail = f"mailto://127.0.0.1:{port}?from=autochrome@example.org&to=you@example.org"
        both = {"notify_webhook_url": SecretStr(url), "notify_email_url": SecretStr(mail)}
        ensure(server.model_copy(update=both))
        time.sleep(5)  # the server's triggers learn of new automations by an event
        make_run("night one", Failed(message="no room is left; free some"))
        wait_until(lambda: bool(posted and mails), seconds=120)
        make_run("night two", Failed(message="again"))
        time.sleep(10)
    (text,) = [post["text"] for post in posted]
    assert 'The run "night one"' in text
    assert "no room is left; free some" in text
    assert "/runs/flow-run/" in text
    (message,) = mails
    assert "Autochrome: a flow failed" in message
    ensure(server)


def test_a_run_without_a_sign_of_life_is_marked_as_crashed(
    server: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that lives goes on."""
    monkeypatch.setattr(automations, "LOST_AFTER_S", 20)
    ensure(server)
    time.sleep(5)
    lost, alive = make_run("lost", Running()), make_run("alive", Running())

    def beat(run_id: UUID) -> None:
        resource = {"prefect.resource.id": f"prefect.flow-run.{run_id}"}
        emit_event("prefect.flow-run.heartbeat", resource=resource)

    beat(lost)

    def is_marked() -> bool:
        beat(alive)
        time.sleep(3)
        return state_of(lost) is StateType.CRASHED

    wait_until(is_marked, seconds=240)
    assert state_of(alive) is StateType.RUNNING

"""A lost night's rest is taken up: by one run, in the time that was left, over what it was for."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelled

from flows.backfill import keep_backfills_going
from flows.lost_nights import take_up_lost_night
from flows.nightly import nightly
from tasks.ledger import Ledger, RunEnding
from tasks.ledger.opening import open_ledger
from tasks.night import begin_night
from tasks.settings import Settings, settings_in_force
from tests.tasks.ledger.test_lost_runs import silence
from tests.workers import MakeSettings, items_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_api")]


@pytest.fixture
def settings(make_settings: MakeSettings, prefect_api: None) -> Settings:
    """Settings beside a deployment of the nightly flow that no worker serves."""
    with get_client(sync_client=True) as client:
        client.create_deployment(client.create_flow(nightly), "nightly")
        for run in runs():
            client.set_flow_run_state(run.id, Cancelled(), force=True)
    return make_settings(deadline_hours=2)


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    """Its ledger."""
    with open_ledger(settings) as opened:
        yield opened


def runs() -> list[FlowRun]:
    """The runs of the deployment that wait."""
    with get_client(sync_client=True) as client:
        return [
            run
            for run in client.read_flow_runs()
            if run.deployment_id is not None and run.state is not None and run.state.is_scheduled()
        ]


def lose_night(settings: Settings, *collections: str, ago: timedelta = timedelta()) -> int:
    """A night whose process was killed after it had said what it was for; its number."""
    with begin_night(settings, kind="nightly", name="a night") as night:
        night.plan(collections, resumes=None)
        until = night.figures.until
        assert until is not None
        night._advance(until=until - ago)
        silence(night.ledger, night.run_id)
    return night.run_id


def test_its_rest_is_done_by_one_run(settings: Settings, ledger: Ledger) -> None:
    """With the time and the collections of the lost one; what that one left, it colours."""
    lost = lose_night(settings, "archive", ago=timedelta(minutes=90))
    assert asyncio.run(take_up_lost_night(ledger))
    (run,) = runs()
    assert run.parameters["resumes"] == lost
    assert not asyncio.run(take_up_lost_night(ledger)), "it is on its way"
    with settings_in_force(settings):
        nightly(resumes=lost)
    resumed, before = ledger.list_runs(kind="nightly", limit=2)
    assert before.ending is RunEnding.LOST
    assert resumed.ending is RunEnding.COMPLETED
    assert resumed.figures.until == before.figures.until
    assert resumed.figures.collections == ["archive"]
    assert {item.status for item in items_of(ledger).values()} == {"review"}
    assert not asyncio.run(take_up_lost_night(ledger)), "it is done"


def test_one_that_prefect_turned_down_is_asked_for_again(
    settings: Settings, ledger: Ledger
) -> None:
    """It believes for a while that the lost run lives, and never lets two run at once."""
    lose_night(settings)
    assert asyncio.run(take_up_lost_night(ledger))
    (run,) = runs()
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run.id, Cancelled(), force=True)
    assert asyncio.run(take_up_lost_night(ledger))
    assert len(runs()) == 1


def test_without_a_deployment_of_nights_backfills_go_on(
    settings: Settings, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    """A turn says once what is missing, and ends as any other."""
    lost = lose_night(settings)
    with get_client(sync_client=True) as client:
        client.delete_deployment(client.read_deployment_by_name("nightly/nightly").id)
    with settings_in_force(settings):
        assert asyncio.run(keep_backfills_going()) == {"created": 0}
    (told,) = [one.getMessage() for one in caplog.records if "nightly/nightly" in one.getMessage()]
    assert told.startswith("night a night was lost")
    assert "`autochrome deploy`" in told
    (night,) = ledger.list_runs(kind="nightly", limit=1)
    assert (night.id, night.ending) == (lost, RunEnding.LOST)


def test_nothing_is_begun_where_no_time_is_left(settings: Settings, ledger: Ledger) -> None:
    """The next night takes it; nor where the last night ended by itself, or lives."""
    lose_night(settings, ago=timedelta(hours=3))
    assert not asyncio.run(take_up_lost_night(ledger))
    ledger.finish_run(ledger.start_run("nightly", "aborted"), RunEnding.ABORTED)
    assert not asyncio.run(take_up_lost_night(ledger))
    ledger.start_run("nightly", "alive")
    assert not asyncio.run(take_up_lost_night(ledger))
    assert runs() == []


def test_a_night_of_its_own_has_all_its_time(settings: Settings, ledger: Ledger) -> None:
    """Also after a lost one: whoever orders a night gets a whole one."""
    lose_night(settings, ago=timedelta(minutes=90))
    with settings_in_force(settings):
        nightly()
    (night,) = ledger.list_runs(kind="nightly", limit=1)
    assert night.figures.until is not None
    assert night.figures.until - datetime.now(UTC) > timedelta(minutes=100)

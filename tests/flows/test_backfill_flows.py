"""The flows of backfills against Prefect's own API: the window, its runs, who goes first."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.artifacts import Artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.objects import FlowRun
from prefect.states import Crashed, Scheduled

from flows import shares as share_runs
from flows.backfill import Steer, backfill, keep_backfills_going, steer_backfill
from flows.colorize import colorize
from flows.nightly import nightly
from tasks.errors import UsageError
from tasks.ledger import ItemFilter, Ledger, RunEnding
from tasks.ledger.backfills import BackfillMode, Backfills, BackfillState
from tasks.ledger.opening import open_ledger
from tasks.settings import Settings, settings_in_force
from tests.workers import MakeSettings

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_api")]


@pytest.fixture
def deployment_id(prefect_api: None) -> UUID:
    """A deployment of `colorize` of this test's own, which no worker serves."""
    with get_client(sync_client=True) as client:
        pool = f"pool-{uuid4().hex[:8]}"
        client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
        flow_id = client.create_flow(colorize)
        return client.create_deployment(
            flow_id, name=f"colorize-{pool}", work_pool_name=pool, parameter_openapi_schema={}
        )


@pytest.fixture
def settings(make_settings: MakeSettings, deployment_id: UUID) -> Iterator[Settings]:
    """Six scans that are discovered, batches of two, a window of two shares of two items."""
    with get_client(sync_client=True) as client:
        name = client.read_deployment(deployment_id).name
    made = make_settings(
        colorize_deployment=f"colorize/{name}", backfill_window=2, batch_items=2, lease_s=60
    )
    with settings_in_force(made):
        yield made


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    """The test's ledger."""
    with open_ledger(settings) as opened:
        yield opened


def tick() -> dict[str, Any]:
    """One turn of the flow that a schedule starts every minute."""
    return asyncio.run(keep_backfills_going())


def runs_of(deployment_id: UUID) -> list[FlowRun]:
    """The flow runs that were created, oldest first."""
    chosen = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment_id]))
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=chosen)
    return sorted(runs, key=lambda run: run.created or datetime.now(UTC))


def work_off(run: FlowRun) -> None:
    """Do what a worker does with such a run."""
    colorize(**run.parameters)


def order(settings: Settings, **given: object) -> int:
    """A backfill of the archive, by its flow."""
    number = backfill(sources=settings.sources, **given)  # type: ignore[arg-type]  # its parameters
    assert number is not None
    return number


def test_a_backfill_from_order_to_end(
    settings: Settings, ledger: Ledger, deployment_id: UUID
) -> None:
    """The window is kept full and never over; one progress bar; every scan is done once."""
    number = order(settings)
    assert Backfills(ledger).get(number).items == 6
    assert tick() == {"created": 2, "waits_for_nightly": False}
    assert tick()["created"] == 0
    first, second = runs_of(deployment_id)
    assert first.name == f"colorize backfill {number}, share 1"
    assert {"backfill", f"backfill-{number}"} <= set(first.tags)
    assert first.work_queue_name == "backfill"
    bar = Artifact.get(f"backfill-{number}")
    assert bar is not None
    work_off(first)
    assert Backfills(ledger).progress(number).done == 6  # nothing measured: time alone ends it
    row = Backfills(ledger).get(number)
    assert (row.state, row.figures) == (BackfillState.COMPLETED, {"review": 6})
    work_off(second)  # came late: there is nothing to do
    assert tick()["created"] == 0
    shown = Artifact.get(f"backfill-{number}")
    assert shown is not None
    assert shown.id == bar.id
    assert float(str(shown.data)) == 100.0
    assert "| review | 6 |" in str(shown.description)
    assert {item.attempts for item in ledger.list_items(ItemFilter(), limit=9)} == {1}


def test_shares_are_sized_by_the_measured_rate(
    settings: Settings, ledger: Ledger, deployment_id: UUID
) -> None:
    """So many items as a worker does in the minutes of a share; no share without work."""
    order(settings, max_items=2)
    tick()
    work_off(runs_of(deployment_id)[0])
    number = order(settings)
    tick()
    latest = Backfills(ledger).list_shares(number)
    assert len(latest) == 1  # 20 minutes are enough for four small scans
    assert latest[0].max_items is not None
    assert latest[0].max_items >= 4


def test_a_turn_that_is_killed_leaves_no_second_run(
    settings: Settings, ledger: Ledger, deployment_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the run that it created and the record of it."""
    number = order(settings)

    def killed(self: Backfills, share_id: int, flow_run_id: str) -> None:
        raise KeyboardInterrupt

    real: Callable[..., None] = Backfills.name_flow_run
    monkeypatch.setattr(Backfills, "name_flow_run", killed)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(keep_backfills_going.fn())
    assert len(runs_of(deployment_id)) == 1
    monkeypatch.setattr(Backfills, "name_flow_run", real)
    tick()
    assert len(runs_of(deployment_id)) == 2
    assert len(Backfills(ledger).list_open_shares()) == 2
    assert all(share.flow_run_id for share in Backfills(ledger).list_shares(number))


def test_a_crashed_share_gives_its_place_to_another(
    settings: Settings, ledger: Ledger, deployment_id: UUID
) -> None:
    """And after three that did nothing, the backfill waits for a person."""
    number = order(settings)
    crashed: set[UUID] = set()
    for _ in range(3):
        tick()
        for run in runs_of(deployment_id):
            if run.id not in crashed:
                crashed.add(run.id)
                with get_client(sync_client=True) as client:
                    client.set_flow_run_state(run.id, Crashed(message="lost node"), force=True)
    tick()
    row = Backfills(ledger).get(number)
    assert row.state is BackfillState.PAUSED
    assert "3 shares in a row did nothing" in row.detail
    assert "lost node" in row.detail
    assert Backfills(ledger).list_open_shares() == []
    steer_backfill(number, Steer.RESUME)
    tick()
    work_off(runs_of(deployment_id)[-1])
    assert Backfills(ledger).get(number).state is BackfillState.COMPLETED


def test_nightly_runs_go_first(settings: Settings, ledger: Ledger, deployment_id: UUID) -> None:
    """No share is opened while one works, and one that is under way ends at its next batch."""
    number = order(settings)
    tick()
    run_id = ledger.start_run("nightly", "tonight")
    assert tick()["waits_for_nightly"]
    work_off(runs_of(deployment_id)[0])
    assert Backfills(ledger).progress(number).done == 0
    ledger.finish_run(run_id, RunEnding.COMPLETED)
    assert not tick()["waits_for_nightly"]
    work_off(runs_of(deployment_id)[-1])
    assert Backfills(ledger).progress(number).done == 6


def test_a_nightly_run_that_waits_for_a_worker_goes_first(settings: Settings) -> None:
    """It is late because shares hold the workers; one that is due tomorrow is not."""
    with get_client(sync_client=True) as client:
        later = client.create_flow_run(
            nightly, state=Scheduled(scheduled_time=datetime(2099, 1, 1, tzinfo=UTC))
        )

    async def waits() -> bool:
        async with get_client() as client:
            return await share_runs.nightly_waits(client)

    assert not asyncio.run(waits())
    with get_client(sync_client=True) as client:
        late = client.create_flow_run(nightly, state=Scheduled())
    assert asyncio.run(waits())
    with get_client(sync_client=True) as client:
        client.delete_flow_run(late.id)
        client.delete_flow_run(later.id)


def test_steered_from_prefects_ui(settings: Settings, ledger: Ledger, deployment_id: UUID) -> None:
    """Paused: no share, and those that come do nothing. Resumed: it goes on. Cancelled: gone."""
    number = order(settings)
    tick()
    assert steer_backfill(number, Steer.PAUSE, "the disk is nearly full") == "paused"
    work_off(runs_of(deployment_id)[0])
    assert tick()["created"] == 0
    assert Backfills(ledger).progress(number).done == 0
    assert steer_backfill(number, Steer.RESUME) == "running"
    tick()
    assert steer_backfill(number, Steer.CANCEL, "wrong box") == "cancelled"
    work_off(runs_of(deployment_id)[-1])
    assert ledger.counts().items == {}
    assert tick()["created"] == 0
    told = [(one.kind, one.why) for one in Backfills(ledger).transitions(number)]
    assert ("pause", "the disk is nearly full") in told
    assert ("cancel", "wrong box") in told


def test_spent_budget_pauses(settings: Settings, ledger: Ledger, deployment_id: UUID) -> None:
    """And a larger one goes on."""
    number = order(settings, max_items=2)
    tick()
    work_off(runs_of(deployment_id)[0])
    tick()
    row = Backfills(ledger).get(number)
    assert (row.state, row.items) == (BackfillState.PAUSED, 2)
    assert steer_backfill(number, Steer.RESUME, max_items=4) == "running"
    assert Backfills(ledger).get(number).items == 4


def test_dry_run_and_refusals(
    settings: Settings, ledger: Ledger, make_settings: MakeSettings
) -> None:
    """A dry run enqueues nothing; a slip of the pen is refused with its counts."""
    assert backfill(sources=settings.sources, dry_run=True) is None
    plan = Artifact.get("backfill-plan")
    assert plan is not None
    assert "6 would be enqueued" in str(plan.data)
    assert "no estimate" in str(plan.data)
    assert ledger.counts().items == {}
    strict = settings.model_copy(update={"backfill_limit_items": 5})
    with settings_in_force(strict):
        with pytest.raises(UsageError, match=r"6 scans of .* more than the limit of 5"):
            backfill(sources=settings.sources)
        assert backfill(sources=settings.sources, max_items=5) is not None
        assert backfill(sources=settings.sources, allow_large=True) is not None
    with pytest.raises(UsageError, match="nothing to do"):
        backfill(sources=settings.sources, mode=BackfillMode.FAILED)


def test_another_recipe_pauses_and_colours_nothing(
    settings: Settings, ledger: Ledger, deployment_id: UUID
) -> None:
    """Its pictures would be others than were ordered."""
    number = order(settings)
    tick()
    other = settings.model_copy(update={"access_jpeg_quality": 50})
    with settings_in_force(other), pytest.raises(Exception, match="have changed"):
        work_off(runs_of(deployment_id)[0])
    row = Backfills(ledger).get(number)
    assert row.state is BackfillState.PAUSED
    assert Backfills(ledger).progress(number).done == 0

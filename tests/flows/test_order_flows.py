"""The flows of orders against Prefect's own API: shares and their runs, who goes first, the end."""

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from prefect.artifacts import Artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.schedules import CronSchedule
from prefect.states import Crashed

from flows.backfill import Steer, backfill, keep_orders, steer_order
from flows.colorize import colorize
from flows.nightly import nightly
from flows.retry_failed import retry_failed
from tasks.errors import UsageError
from tasks.ledger import ItemFilter, Ledger, RunEnding, orders
from tasks.ledger.opening import open_ledger
from tasks.ledger.orders import OrderMode, OrderState
from tasks.orders.run import begin_run, order_of_night
from tasks.settings import Settings, settings_in_force
from tests.tasks.ledger.test_lost_runs import silence
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
def settings(
    make_settings: MakeSettings, deployment_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    """Six scans, batches of two, two workers."""
    with get_client(sync_client=True) as client:
        name = client.read_deployment(deployment_id).name
    monkeypatch.setattr("flows.keeping.COLORIZE", f"colorize/{name}")
    made = make_settings(order_workers=2, batch_items=2, lease_s=60)
    with settings_in_force(made):
        yield made


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    """The test's ledger."""
    with open_ledger(settings) as opened:
        yield opened


def tick() -> int:
    """One look of the flow that a schedule starts while an order is open."""
    return keep_orders(for_s=0.0)


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


def test_an_order_from_its_beginning_to_its_end(
    settings: Settings, ledger: Ledger, deployment_id: UUID
) -> None:
    """A share for each worker and no more; one progress bar; every scan is done once."""
    number = order(settings)
    assert orders.get(ledger, number).items == 6
    assert tick() == 0, "whoever ordered has asked already"
    first, second = runs_of(deployment_id)
    assert first.name == f"colorize backfill {number}, share 1"
    assert {"backfill", f"order-{number}"} <= set(first.tags)
    assert first.work_queue_name == "backfill"
    bar = Artifact.get(f"backfill-{number}")
    assert bar is not None
    work_off(first)
    assert orders.progress(ledger, number).done == 6  # nothing measured: time alone ends it
    row = orders.get(ledger, number)
    assert (row.state, row.figures) == (OrderState.COMPLETED, {"review": 6})
    work_off(second)  # came late: there is nothing to do
    assert tick() == 0
    shown = Artifact.get(f"backfill-{number}")
    assert shown is not None
    assert shown.id == bar.id
    assert float(str(shown.data)) == 100.0
    assert "| review | 6 |" in str(shown.description)
    assert {item.attempts for item in ledger.list_items(ItemFilter(), limit=9)} == {1}


def test_shares_are_for_all_workers(
    settings: Settings, ledger: Ledger, deployment_id: UUID
) -> None:
    """By the measured rate one would do; each worker has one all the same, if it has a batch."""
    order(settings, max_items=2)
    work_off(runs_of(deployment_id)[0])
    number = order(settings)
    latest = orders.list_shares(ledger, number)
    assert len(latest) == 2
    assert latest[0].max_items is not None
    assert latest[0].max_items >= 4


def test_a_look_that_is_killed_leaves_no_second_run(
    settings: Settings, ledger: Ledger, deployment_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the run that it created and the record of it."""

    def killed(_: Ledger, share_id: int, flow_run_id: str) -> None:
        raise KeyboardInterrupt

    real = orders.name_flow_run
    monkeypatch.setattr(orders, "name_flow_run", killed)
    with pytest.raises(KeyboardInterrupt):
        backfill.fn(sources=settings.sources)
    assert len(runs_of(deployment_id)) == 1
    monkeypatch.setattr(orders, "name_flow_run", real)
    tick()
    assert len(runs_of(deployment_id)) == 2
    shares = orders.list_open_shares(ledger)
    assert len(shares) == 2
    assert all(share.flow_run_id for share in shares)


def test_a_crashed_share_gives_its_place_to_another(
    settings: Settings, ledger: Ledger, deployment_id: UUID
) -> None:
    """And after three that did nothing, the order waits for a person."""
    number = order(settings)
    crashed: set[UUID] = set()
    for _ in range(3):
        for run in runs_of(deployment_id):
            if run.id not in crashed:
                crashed.add(run.id)
                with get_client(sync_client=True) as client:
                    client.set_flow_run_state(run.id, Crashed(message="lost node"), force=True)
        tick()
    row = orders.get(ledger, number)
    assert row.state is OrderState.PAUSED
    assert "3 shares in a row did nothing" in row.detail
    assert "lost node" in row.detail
    assert orders.list_open_shares(ledger) == []
    steer_order(number, Steer.RESUME)
    work_off(runs_of(deployment_id)[-1])
    assert orders.get(ledger, number).state is OrderState.COMPLETED


def test_a_night_goes_first(settings: Settings, ledger: Ledger, deployment_id: UUID) -> None:
    """A share of a backfill that comes meanwhile does nothing, and its worker is free for it."""
    number = order(settings, max_items=3)
    late = runs_of(deployment_id)[0]
    with begin_run(settings, kind="nightly", name="tonight") as night:
        tonight = night.order(order_of_night(settings, ()))
        night.plan(tonight.id)
        tick()
        first = runs_of(deployment_id)[-1]
        assert (first.work_queue_name, first.name) == (
            "nightly",
            f"colorize night {tonight.id}, share 2",
        )
        work_off(late)
        assert orders.progress(ledger, number).done == 0
        work_off(first)
        assert night.count().by_status == {"review": 3}
        night.end(RunEnding.COMPLETED)
    tick()
    work_off(runs_of(deployment_id)[-1])
    assert orders.progress(ledger, number).done == 3


def test_steered_from_prefects_ui(settings: Settings, ledger: Ledger, deployment_id: UUID) -> None:
    """Paused: no share, and those that come do nothing. Resumed: it goes on. Cancelled: gone."""
    number = order(settings)
    assert steer_order(number, Steer.PAUSE, "the disk is nearly full") == "paused"
    work_off(runs_of(deployment_id)[0])
    assert tick() == 0
    assert orders.progress(ledger, number).done == 0
    assert steer_order(number, Steer.RESUME) == "running"
    assert steer_order(number, Steer.CANCEL, "wrong box") == "cancelled"
    work_off(runs_of(deployment_id)[-1])
    assert ledger.counts().items == {}
    assert tick() == 0
    told = [(one.kind, one.why) for one in orders.transitions(ledger, number)]
    assert ("pause", "the disk is nearly full") in told
    assert ("cancel", "wrong box") in told


def test_spent_budget_pauses(settings: Settings, ledger: Ledger, deployment_id: UUID) -> None:
    """And a larger one goes on."""
    number = order(settings, max_items=2)
    work_off(runs_of(deployment_id)[0])
    tick()
    row = orders.get(ledger, number)
    assert (row.state, row.items) == (OrderState.PAUSED, 2)
    assert steer_order(number, Steer.RESUME, max_items=4) == "running"
    assert orders.get(ledger, number).items == 4


def test_dry_run_and_refusals(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dry run enqueues nothing; a slip of the pen is refused with its counts."""
    assert backfill(sources=settings.sources, dry_run=True) is None
    plan = Artifact.get("order-plan")
    assert plan is not None
    assert "6 would be coloured" in str(plan.data)
    assert "no estimate" in str(plan.data)
    assert ledger.counts().items == {}
    monkeypatch.setattr("tasks.orders.planning.LARGE_ITEMS", 5)
    with pytest.raises(UsageError, match=r"6 scans of .* more than the limit of 5"):
        backfill(sources=settings.sources)
    assert backfill(sources=settings.sources, max_items=5) is not None
    assert backfill(sources=settings.sources, allow_large=True) is not None
    with pytest.raises(UsageError, match="nothing to do"):
        backfill(sources=settings.sources, mode=OrderMode.FAILED)


def test_another_recipe_pauses_and_colours_nothing(
    settings: Settings, ledger: Ledger, deployment_id: UUID
) -> None:
    """Its pictures would be others than were ordered."""
    number = order(settings)
    other = settings.model_copy(update={"access_jpeg_quality": 50})
    with settings_in_force(other), pytest.raises(Exception, match="have changed"):
        work_off(runs_of(deployment_id)[0])
    row = orders.get(ledger, number)
    assert row.state is OrderState.PAUSED
    assert orders.progress(ledger, number).done == 0


# --- at rest -------------------------------------------------------------------------------------


@pytest.fixture
def keeper_id(prefect_api: None) -> Iterator[UUID]:
    """A deployment of `keep_orders` as it is deployed: its schedule is off."""
    schedule = DeploymentScheduleCreate(schedule=CronSchedule(cron="*/5 * * * *"), active=False)
    with get_client(sync_client=True) as client:
        made = client.create_deployment(
            client.create_flow(keep_orders), "keep_orders", schedules=[schedule]
        )
        yield made
        client.delete_deployment(made)


def is_on(keeper_id: UUID) -> bool:
    """Whether the keeper comes by."""
    with get_client(sync_client=True) as client:
        return client.read_deployment(keeper_id).schedules[0].active


def test_the_keeper_is_scheduled_while_an_order_is_open(
    settings: Settings, deployment_id: UUID, keeper_id: UUID
) -> None:
    """Whoever orders switches it on, whoever ends the order off; what a crash leaves, heals."""
    assert not is_on(keeper_id)
    number = order(settings)
    assert is_on(keeper_id)
    _switch(keeper_id, on=False)  # whoever ordered was killed before this
    assert retry_failed() == {}
    tick()
    assert is_on(keeper_id)
    steer_order(number, Steer.CANCEL)
    assert not is_on(keeper_id)
    _switch(keeper_id, on=True)  # whoever ended it was killed before this
    tick()
    assert not is_on(keeper_id)


def _switch(keeper_id: UUID, *, on: bool) -> None:
    with get_client(sync_client=True) as client:
        (schedule,) = client.read_deployment_schedules(keeper_id)
        client.update_deployment_schedule(keeper_id, schedule.id, active=on)


# --- lost nights ---------------------------------------------------------------------------------


def test_a_lost_nights_order_goes_on_and_another_run_reports(
    settings: Settings, ledger: Ledger, deployment_id: UUID
) -> None:
    """The order never noticed; the second run waits and reports in the first one's place."""
    with get_client(sync_client=True) as client:
        nights = client.create_deployment(client.create_flow(nightly), "nightly")
    with begin_run(settings, kind="nightly", name="a night") as night:
        for source in settings.sources:
            night.discover(source)
        tonight = night.order(order_of_night(settings, ()))
        night.plan(tonight.id)
    silence(ledger, night.run_id)
    tick()
    work_off(runs_of(deployment_id)[0])
    (resumed,) = runs_of(nights)
    assert resumed.parameters["resumes"] == tonight.id
    tick()
    assert len(runs_of(nights)) == 1, "it is on its way"
    summary = nightly(**resumed.parameters)
    assert summary.statuses == {"review": 6}
    run = ledger.get_run(night.run_id)
    assert run is not None
    assert (run.ending, run.name) == (RunEnding.COMPLETED, "a night")
    tick()
    assert len(runs_of(nights)) == 1, "it is done"
    with get_client(sync_client=True) as client:
        client.delete_deployment(nights)


def test_without_a_deployment_of_nights_that_is_told_once(
    settings: Settings, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    """And orders go on."""
    with begin_run(settings, kind="nightly", name="a night") as night:
        night.order(order_of_night(settings, ()))
    silence(ledger, night.run_id)
    tick()
    tick()
    (told,) = [one.getMessage() for one in caplog.records if "nightly/nightly" in one.getMessage()]
    assert "`autochrome deploy`" in told

"""deploy/prefect.yaml: it names what exists, and settings change what they may."""

from pathlib import Path

import pytest
from prefect.client.schemas.schedules import CronSchedule
from prefect.flows import Flow, load_flow_from_entrypoint

from flows.deploying.definitions import definitions, definitions_file, names
from flows.deploying.pools import GPU_POOL, LIGHT_POOL, QUEUES
from tasks.settings import Settings

DEPLOYMENTS = definitions(Settings())["deployments"]
IDS = [one["name"] for one in DEPLOYMENTS]


def test_the_file_is_the_one_in_deploy() -> None:
    """One source of truth."""
    assert definitions_file() == Path(__file__).parents[3] / "deploy" / "prefect.yaml"


def test_every_flow_that_runs_by_itself_is_deployed() -> None:
    """By the names that README and other flows use."""
    assert names(definitions(Settings())) == [
        "nightly/nightly",
        "colorize/colorize",
        "retry_failed/retry_failed",
        "backfill/backfill",
        "steer_order/steer_order",
        "keep_orders/keep_orders",
        "finetune/finetune",
        "audit/audit",
    ]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=IDS)
def test_a_deployment_names_a_flow_and_a_queue_that_exist(deployment: dict[str, object]) -> None:
    """Its entry point can be imported, and its parameters are the flow's."""
    flow = load_flow_from_entrypoint(str(deployment["entrypoint"]), use_placeholder_flow=False)
    assert isinstance(flow, Flow)
    assert str(deployment["entrypoint"]).endswith(f".{flow.name}")
    pool = deployment["work_pool"]
    assert isinstance(pool, dict)
    assert (pool["name"], pool["work_queue_name"]) in {(q.pool, q.name) for q in QUEUES}
    assert pool["job_variables"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
    given = deployment.get("parameters", {})
    assert isinstance(given, dict)
    assert set(given) <= set(flow.parameters.properties)
    if deployment.get("schedules"):
        flow.validate_parameters(given)  # nobody is there to be asked for what is missing


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=IDS)
def test_what_is_scheduled_has_a_time_zone_and_never_runs_twice(
    deployment: dict[str, object],
) -> None:
    """A second run of the same thing does not start while one runs."""
    schedules = deployment.get("schedules")
    if not schedules:
        return
    assert isinstance(schedules, list)
    for schedule in schedules:
        CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])  # checks both
        assert schedule["timezone"]
    assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}


def test_nightly_and_requests_go_before_backfill() -> None:
    """By the queues' priorities; what needs no GPU does not wait for one."""
    priorities = {queue.name: queue.priority for queue in QUEUES if queue.pool == GPU_POOL}
    assert priorities["nightly"] < priorities["requests"] < priorities["backfill"]
    pools = {one["name"]: one["work_pool"]["name"] for one in DEPLOYMENTS}
    assert pools["colorize"] == GPU_POOL
    assert pools["keep_orders"] == LIGHT_POOL


def test_settings_change_the_schedule() -> None:
    """Of the nightly run, and the time zone of all."""
    found = definitions(Settings(nightly_cron="5 1 * * *", timezone="Europe/Paris"))
    schedules = {one["name"]: one.get("schedules", []) for one in found["deployments"]}
    assert schedules["nightly"] == [{"cron": "5 1 * * *", "timezone": "Europe/Paris"}]
    assert schedules["audit"][0]["timezone"] == "Europe/Paris"
    assert schedules["audit"][0]["cron"] != "5 1 * * *"

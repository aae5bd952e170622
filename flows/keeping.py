"""Keeping orders going on a Prefect server: shares as runs of `colorize`, on all its workers.

Whoever comes by does it: who orders, who ends a share, who waits for a night, and while an order is
open `keep_orders`, whose schedule the first of them switches on and the last switches off. Kill any
of them at any moment: the next one finds in the ledger what is to be done.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType, WorkerStatus
from prefect.client.schemas.responses import DeploymentResponse
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from flows.deploying.deploy import KEEPER
from flows.deploying.pools import LIGHT_POOL
from flows.prefect_ui import show_order
from tasks.errors import UsageError
from tasks.ledger import Ledger, RunEnding, orders
from tasks.ledger.orders import OrderKind, OrderRow, ShareRow
from tasks.orders.keeping import is_quiet, keep_going, lost_night
from tasks.settings import Settings

logger = logging.getLogger(__name__)

NIGHTLY = "nightly/nightly"
COLORIZE = "colorize/colorize"

#: The work queue of the GPU pool that an order's shares wait in: see `flows.deploying.pools`.
QUEUES = {
    OrderKind.NIGHT: "nightly",
    OrderKind.REQUEST: "requests",
    OrderKind.RETRY: "requests",
    OrderKind.BACKFILL: "backfill",
}

#: The end of an order is shown by whoever comes by within this time.
SHOWN_AFTER_END_S = 600.0


@dataclass(frozen=True)
class KeepResult:
    """What one look has come to."""

    created: int  #: runs
    is_quiet: bool  #: nothing is left to keep going


def keep(settings: Settings, ledger: Ledger) -> KeepResult:
    """Take one look: plan on, have as many shares worked off as there are workers, show how far.

    Raises:
        UsageError: There is no deployment to make runs of.
    """
    with get_client(sync_client=True) as client:
        _end_shares_without_runs(client, ledger)
        created = 0
        if orders.list_open(ledger):
            shares = keep_going(settings, ledger, workers=_count_workers(client, settings))
            created = _create_runs(client, ledger, shares)
        _take_up_lost_night(client, ledger)
        if FlowRunContext.get() is not None:  # an artifact is a run's; the command line has none
            for row in orders.list_shown(ledger, ended_within_s=SHOWN_AFTER_END_S):
                show_order(ledger, row)
        return KeepResult(created, switch_keeper(client, ledger))


def keep_if_served(settings: Settings, ledger: Ledger) -> bool:
    """Take a look for an order that has just been given or ended; whether there is a server.

    One that does not answer now is no error: once it does, whoever comes by next takes the look.
    """
    try:
        keep(settings, ledger)
    except (httpx.HTTPError, PrefectHTTPStatusError, UsageError) as error:
        logger.warning("nobody has the order worked off yet: %s", error)
        return False
    return True


def switch_keeper(client: SyncPrefectClient, ledger: Ledger) -> bool:
    """Switch the schedule of `keep_orders` on while an order is open, and off when none is.

    Looked at again after switching off: what is ordered meanwhile has switched it on before.

    Returns:
        Whether nothing is left to keep going.
    """
    try:
        deployment = client.read_deployment_by_name(KEEPER)
    except ObjectNotFound:
        return is_quiet(ledger)
    is_on = any(schedule.active for schedule in deployment.schedules)
    for _ in range(2):
        is_wanted = not is_quiet(ledger)
        if is_wanted == is_on:
            break
        for schedule in deployment.schedules:
            client.update_deployment_schedule(deployment.id, schedule.id, active=is_wanted)
        is_on = is_wanted
    return not is_wanted


def _count_workers(client: SyncPrefectClient, settings: Settings) -> int:
    """How many can be at shares at once: workers that are online, or the pool's own limit."""
    if settings.order_workers:
        return settings.order_workers
    pool = _colorize(client).work_pool_name
    if not pool:
        return 1
    limit = client.read_work_pool(pool).concurrency_limit
    workers = client.read_workers_for_work_pool(pool)
    online = sum(worker.status == WorkerStatus.ONLINE for worker in workers)
    return max(1, online if limit is None else limit)


def _colorize(client: SyncPrefectClient) -> DeploymentResponse:
    try:
        return client.read_deployment_by_name(COLORIZE)
    except ObjectNotFound:
        raise UsageError(
            f"there is no deployment {COLORIZE}; make it with `autochrome deploy`"
        ) from None


def _create_runs(client: SyncPrefectClient, ledger: Ledger, shares: Sequence[ShareRow]) -> int:
    """Have shares worked off; returns for how many a run was created.

    Whoever is killed between creating a run and recording it leaves no second one: the share's key
    gives the next one the same run.
    """
    if not shares:
        return 0
    deployment_id = _colorize(client).id
    for share in shares:
        row = orders.get(ledger, share.order_id)
        label = f"{row.name}, share {share.number}"
        run = client.create_flow_run_from_deployment(
            deployment_id,
            parameters={"label": label, "share_id": share.id},
            name=f"colorize {label}",
            tags=[row.kind.value, f"order-{row.id}"],
            idempotency_key=_key(share),
            work_queue_name=QUEUES[row.kind],
        )
        orders.name_flow_run(ledger, share.id, str(run.id))
    return len(shares)


def _key(share: ShareRow) -> str:
    """The share's own: also beside a ledger that was made anew, which counts from 1 again."""
    return f"order-{share.order_id}:share-{share.number}:{share.created_at.isoformat()}"


def _end_shares_without_runs(client: SyncPrefectClient, ledger: Ledger) -> None:
    """End shares whose flow run has ended, or is gone, without saying so in the ledger."""
    shares = {
        UUID(share.flow_run_id): share
        for share in orders.list_open_shares(ledger)
        if share.flow_run_id is not None
    }
    if not shares:
        return
    found = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=list(shares)))
    )
    runs = {run.id: run for run in found}
    for run_id, share in shares.items():
        ended = _ending_of(runs.get(run_id))
        if ended is not None:
            ending, detail = ended
            orders.end_share(ledger, share.id, ending, detail=detail)


def _ending_of(run: FlowRun | None) -> tuple[RunEnding, str] | None:
    """How a share ended whose flow run this is; None while it may still work."""
    if run is None:
        return RunEnding.CANCELLED, "its flow run was deleted"
    if run.state is None or not run.state.is_final():
        return None
    if run.state.is_completed():
        return RunEnding.COMPLETED, ""
    if run.state.is_cancelled():
        return RunEnding.CANCELLED, "its flow run was cancelled"
    return RunEnding.ABORTED, f"its flow run is {run.state.name}: {run.state.message or 'no word'}"


# --- nights whose run was lost -------------------------------------------------------------------


def _take_up_lost_night(client: SyncPrefectClient, ledger: Ledger) -> None:
    """Have another run list, wait and report for a night whose own was lost.

    Done again at each look until a run has begun: Prefect may turn one down as long as it believes
    that the lost one lives.
    """
    row = lost_night(ledger)
    if row is None or _is_night_under_way(client):
        return
    try:
        deployment = client.read_deployment_by_name(NIGHTLY)
    except ObjectNotFound:
        _report_nothing(ledger, row)
        return
    logger.warning("the run of %s was lost; another one takes its place", row.name)
    client.create_flow_run_from_deployment(
        deployment.id, parameters={"resumes": row.id}, tags=["nightly", "resumed"]
    )


def is_taken_up() -> bool:
    """Whether another run takes the current one's place, which is told to end.

    Of a deployment's, where its worker ends, or all of `autochrome serve`, which pauses the pools
    first: the order goes on without it. What a person cancels has ended.
    """
    context = FlowRunContext.get()
    run = None if context is None else context.flow_run
    if run is None or run.deployment_id is None:
        return False
    try:
        with get_client(sync_client=True) as client:
            now = client.read_flow_run(run.id)
            if now.state_type not in {StateType.CANCELLING, StateType.CANCELLED}:
                return True
            return client.read_work_pool(now.work_pool_name or LIGHT_POOL).is_paused
    except httpx.HTTPError:
        return True  # the server has ended, too


def _report_nothing(ledger: Ledger, row: OrderRow) -> None:
    logger.warning(
        "the run of %s was lost, and nobody takes its place: there is no deployment %s; make it "
        "with `autochrome deploy`, or its report with `autochrome report %d --again`",
        row.name,
        NIGHTLY,
        row.run_id,
    )
    ledger.finish_run(row.run_id, RunEnding.ABORTED, detail="its run was lost")


def _is_night_under_way(client: SyncPrefectClient) -> bool:
    """Whether a nightly run works, or waits for a worker; one that is due tomorrow does not."""
    now, types = datetime.now(UTC), [StateType.PENDING, StateType.RUNNING]
    found = client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=["nightly"])),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(
                type=FlowRunFilterStateType(any_=[*types, StateType.SCHEDULED])
            )
        ),
        limit=200,
    )
    return any(
        run.state_type in types or run.expected_start_time is None or run.expected_start_time <= now
        for run in found
    )

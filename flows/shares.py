"""Shares of backfills as runs of the `colorize` deployment."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.deployments import arun_deployment

from tasks.ledger import RunEnding
from tasks.ledger.backfills import Backfills, ShareRow
from tasks.settings import Settings

#: A nightly run that has begun is in the ledger, and says that it lives, within this time.
BEGINS_WITHIN = timedelta(minutes=10)

#: A nightly run that is late for longer than this does not wait for shares to end.
WAITS_FOR = timedelta(hours=1)


async def create_runs(
    client: PrefectClient, settings: Settings, backfills: Backfills, shares: Sequence[ShareRow]
) -> int:
    """Have shares worked off; returns for how many a run was created.

    Whoever is killed between creating a run and recording it leaves no second one: the share's key
    gives the next one the same run.

    Raises:
        UsageError: There is no such deployment.
    """
    for share in shares:
        label = f"backfill {share.backfill_id}, share {share.number}"
        run = await arun_deployment(
            settings.colorize_deployment,
            client=client,
            parameters={"label": label, "share_id": share.id},
            flow_run_name=f"colorize {label}",
            tags=["backfill", f"backfill-{share.backfill_id}"],
            idempotency_key=_key(share),
            work_queue_name=settings.backfill_queue or None,
            timeout=0,
            as_subflow=False,
        )
        backfills.name_flow_run(share.id, str(run.id))
    return len(shares)


def _key(share: ShareRow) -> str:
    """The share's own: also beside a ledger that was made anew, which counts from 1 again."""
    return f"backfill-{share.backfill_id}:share-{share.number}:{share.created_at.isoformat()}"


async def end_shares_without_runs(client: PrefectClient, backfills: Backfills) -> None:
    """End shares whose flow run has ended, or is gone, without saying so in the ledger."""
    shares = {
        UUID(share.flow_run_id): share
        for share in backfills.list_open_shares()
        if share.flow_run_id is not None
    }
    if not shares:
        return
    found = await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=list(shares)))
    )
    runs = {run.id: run for run in found}
    for run_id, share in shares.items():
        told = _ending_of(runs.get(run_id))
        if told is not None:
            ending, detail = told
            backfills.end_share(share.id, ending, detail=detail)


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


async def nightly_waits(client: PrefectClient) -> bool:
    """Whether a nightly run begins, or is late because all workers are busy.

    One that was lost, or that no worker ever takes, does not stop backfills for ever: once it runs,
    its heartbeat in the ledger tells.
    """
    state = FlowRunFilterState(
        type=FlowRunFilterStateType(
            any_=[StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING]
        )
    )
    found = await client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=["nightly"])),
        flow_run_filter=FlowRunFilter(state=state),
        limit=200,
    )
    now = datetime.now(UTC)
    return any(_comes_first(run, now) for run in found)


def _comes_first(run: FlowRun, now: datetime) -> bool:
    if run.state_type is StateType.RUNNING:
        return run.start_time is not None and now - run.start_time < BEGINS_WITHIN
    due = run.expected_start_time
    return due is not None and timedelta(0) <= now - due < WAITS_FOR

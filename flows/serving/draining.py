"""Ending the runs of a server that is about to stop, in order."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelled, Cancelling

from flows.deploying.pools import GPU_POOL, LIGHT_POOL

#: Prefect kills a run's processes 30 s after it has asked them to end, and then runs its hooks.
_PATIENCE_S = 90.0

_ACTIVE = (StateType.RUNNING, StateType.PENDING, StateType.CANCELLING)


def _marker(home: Path) -> Path:
    """Says that it was `serve` that paused the work pools, and not a person."""
    return home / "paused-while-stopped"


async def drain(home: Path, *, is_hurried: Callable[[], bool]) -> None:
    """Start no more runs, and cancel those under way: what they began is finished first.

    Prefect's worker, when it is ended itself, would leave its runs as crashed, and people would be
    told of it.
    """
    async with get_client() as client:
        _marker(home).touch()
        await _pause(client, paused=True)
        for run in await _runs(client, _ACTIVE):
            message = "`autochrome serve` was stopped; the next run takes up what is left."
            await client.set_flow_run_state(run.id, Cancelling(message=message))
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                while not is_hurried() and await _runs(client, _ACTIVE):
                    await asyncio.sleep(0.5)


async def resume(home: Path) -> None:
    """Let the work pools go on that `drain` has paused, and end what it had no time to see end."""
    async with get_client() as client:
        for run in await _runs(client, [StateType.CANCELLING]):
            message = "`autochrome serve` was stopped while it was being cancelled."
            await client.set_flow_run_state(run.id, Cancelled(message=message), force=True)
        if _marker(home).exists():
            await _pause(client, paused=False)
            _marker(home).unlink()


async def _pause(client: PrefectClient, *, paused: bool) -> None:
    for pool in (GPU_POOL, LIGHT_POOL):
        known = await client.read_work_pool(pool)
        if known.is_paused != paused:
            await client.update_work_pool(pool, WorkPoolUpdate(is_paused=paused))


async def _runs(client: PrefectClient, states: Sequence[StateType]) -> list[FlowRun]:
    return await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(states)))
        ),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[GPU_POOL, LIGHT_POOL])),
    )

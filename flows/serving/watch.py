"""What a person at the terminal sees of the runs."""

from datetime import UTC, datetime
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterStartTime,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import PrefectHTTPStatusError

from flows.deploying.pools import GPU_POOL, LIGHT_POOL
from flows.terminal import say
from flows.web.addresses import api_url
from tasks.settings import Settings


def is_healthy(settings: Settings) -> bool:
    """Whether Prefect's server answers."""
    try:
        answer = httpx.get(f"{api_url(settings)}/health", timeout=10)  # asks for no password
    except httpx.TransportError:
        return False
    return answer.status_code == httpx.codes.OK


#: A run has its own name only once it runs.
_NO_NEWS = {StateType.SCHEDULED, StateType.PENDING}


class Watch:
    """Tells each change of state of a run: a line a change.

    It asks by one client for as long as it is there: to make one takes longer than to ask.
    """

    def __init__(self, client: SyncPrefectClient) -> None:
        self._client = client
        self._since = datetime.now(UTC)
        self._told: dict[UUID, str] = {}

    def tell(self) -> None:
        """Say what has changed since the last call; a server that does not answer is no news."""
        try:
            self._tell()
        except (httpx.TransportError, PrefectHTTPStatusError):
            return

    def _tell(self) -> None:
        runs = self._client.read_flow_runs(
            flow_run_filter=FlowRunFilter(start_time=FlowRunFilterStartTime(after_=self._since)),
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[GPU_POOL, LIGHT_POOL])),
            sort=FlowRunSort.START_TIME_DESC,
            limit=20,
        )
        for run in reversed(runs):
            state = run.state_name or ""
            if "orders" in run.tags or run.state_type in _NO_NEWS:
                continue  # nobody need know who keeps orders going
            if self._told.get(run.id) == state:
                continue
            self._told[run.id] = state
            message = run.state.message if run.state and run.state.message else ""
            why = f" ({message})" if message and state not in {"Completed", "Running"} else ""
            say(f"{datetime.now().astimezone():%H:%M:%S} {run.name}: {state.lower()}{why}")

"""Everything that a Prefect server must know of Autochrome, put there by one call."""

from dataclasses import dataclass

from prefect.client.orchestration import get_client

from flows.deploying.automations import ensure_automations
from flows.deploying.definitions import apply_definitions
from flows.deploying.pools import ensure_pools
from tasks.settings import Settings

#: Keeps orders going: see `flows.keeping`.
KEEPER = "keep_orders/keep_orders"


@dataclass(frozen=True)
class DeployResult:
    """What the server knows now."""

    deployments: list[str]
    automations: list[str]


async def deploy(settings: Settings, *, again: bool = True) -> DeployResult:
    """Make work pools, queues, deployments and automations; again and again without harm.

    Args:
        settings: Schedule, and whom to tell of failures.
        again: Deploy also what has not changed since the last time.

    Raises:
        RunAborted: Prefect refused the deployments.
    """
    async with get_client() as client:
        await ensure_pools(client)
        deployments = await apply_definitions(client, settings, again=again)
        automations = await ensure_automations(client, settings)
        # Its schedule is off as it is deployed: where an order is open, this run switches it on.
        keeper = await client.read_deployment_by_name(KEEPER)
        await client.create_flow_run_from_deployment(keeper.id)
    return DeployResult(deployments, automations)

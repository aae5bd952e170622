"""Everything that a Prefect server must know of Autochrome, put there by one call."""

from dataclasses import dataclass

from prefect.client.orchestration import get_client

from flows.deploying.automations import ensure_automations
from flows.deploying.definitions import apply_definitions
from flows.deploying.pools import ensure_pools
from tasks.settings import Settings


@dataclass(frozen=True)
class Deployed:
    """What the server knows now."""

    deployments: list[str]
    automations: list[str]


async def deploy(settings: Settings, *, again: bool = True) -> Deployed:
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
    return Deployed(deployments, automations)

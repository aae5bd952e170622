"""Work pools and their queues: who may run what, and what goes first."""

from dataclasses import dataclass

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound

#: Where scans are coloured and networks trained: one run at a time on each worker.
GPU_POOL = "autochrome-gpu"

#: Where runs go that need no GPU.
LIGHT_POOL = "autochrome"


@dataclass(frozen=True)
class Queue:
    """A queue of a work pool. Lower priorities go first."""

    pool: str
    name: str
    priority: int
    description: str


QUEUES = (
    Queue(GPU_POOL, "nightly", 1, "Shares of the night, before everything else."),
    Queue(GPU_POOL, "requests", 2, "What people ask for, and failed scans tried again."),
    Queue(GPU_POOL, "training", 3, "Fine-tuning."),
    Queue(GPU_POOL, "backfill", 4, "Long work: only when nothing else waits."),
    Queue(LIGHT_POOL, "default", 1, "Listing, ordering, waiting, reporting and checking."),
)


async def ensure_pools(client: PrefectClient) -> None:
    """Make the work pools and queues that are missing, and set the queues' priorities.

    A pool that exists stays as it is: on a cluster it is of another kind, with its own template.
    """
    for pool in (GPU_POOL, LIGHT_POOL):
        try:
            await client.read_work_pool(pool)
        except ObjectNotFound:
            await client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
    for queue in QUEUES:
        await _ensure_queue(client, queue)


async def _ensure_queue(client: PrefectClient, queue: Queue) -> None:
    try:
        found = await client.read_work_queue_by_name(queue.name, work_pool_name=queue.pool)
    except ObjectNotFound:
        found = await client.create_work_queue(
            queue.name, description=queue.description, work_pool_name=queue.pool
        )
    if found.priority != queue.priority or found.description != queue.description:
        await client.update_work_queue(
            found.id, priority=queue.priority, description=queue.description
        )

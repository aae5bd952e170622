"""The Prefect task that colourizes one batch: a task run is a batch, never an item."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.batch.batch import BatchSummary, colorize_batch
from tasks.batch.worker import Worker
from tasks.ledger import Claim
from tasks.unsearched import unsearched


@task(name="colorize batch", task_run_name="{label}", cache_policy=NO_CACHE, persist_result=False)
def colorize_one_batch(label: str, worker: Worker, claim: Claim) -> BatchSummary:
    """Colourize the claimed items. Retries are the ledger's, so this task has none."""
    del label
    return colorize_batch(worker, claim)


def run_batch_as_task(worker: Worker, claim: Claim) -> BatchSummary:
    """Colourize a batch as a task run of the flow run that this is called in."""
    first = claim.items[0]
    label = f"{len(claim.items)} from {first.collection}/{first.key}"
    return colorize_one_batch(label, unsearched(worker), unsearched(claim))

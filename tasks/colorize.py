"""The Prefect task that colourizes one batch: a task run is a batch, never an item."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.batch import BatchSummary, colorize_batch
from tasks.ledger import Claim
from tasks.unsearched import unsearched
from tasks.workshop import Workshop


@task(name="colorize batch", task_run_name="{label}", cache_policy=NO_CACHE, persist_result=False)
def colorize_one_batch(label: str, workshop: Workshop, claim: Claim) -> BatchSummary:
    """Colourize the claimed items. Retries are the ledger's, so this task has none."""
    del label
    return colorize_batch(workshop, claim)


def run_batch_as_task(workshop: Workshop, claim: Claim) -> BatchSummary:
    """Colourize a batch as a task run of the flow run that this is called in."""
    first = claim.items[0]
    label = f"{len(claim.items)} from {first.collection}/{first.key}"
    return colorize_one_batch(label, unsearched(workshop), unsearched(claim))

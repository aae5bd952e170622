"""Prefect tasks that find scans and enqueue them."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.ledger import Discovered
from tasks.night import Night


@task(name="discover", task_run_name="discover {source}", cache_policy=NO_CACHE)
def discover(night: Night, source: str) -> Discovered:
    """List *source* and record what is new, changed or gone."""
    return night.discover(source)


@task(name="enqueue", cache_policy=NO_CACHE)
def enqueue(night: Night) -> int:
    """Make an item of every scan that has none under the recipe in service."""
    return night.enqueue()

"""Prefect tasks for the steps of a night around its batches.

Call them with `unsearched` arguments.
"""

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.batch.batch import BatchSummary
from tasks.discovery.listing import Listing
from tasks.night import Night
from tasks.report.gathering import ReportPlace, write_report


@task(name="discover", task_run_name="discover {source}", cache_policy=NO_CACHE)
def discover(night: Night, source: str) -> Listing:
    """List *source* and record what is new, changed or gone."""
    return night.discover(source)


@task(name="enqueue", cache_policy=NO_CACHE)
def enqueue(night: Night) -> int:
    """Make an item of every scan that was never finished."""
    return night.enqueue()


@task(name="report", cache_policy=NO_CACHE)
def report_night(night: Night, summary: BatchSummary) -> ReportPlace:
    """Write the report of a night and put it into the output."""
    return write_report(night, summary, ending=summary.ending())

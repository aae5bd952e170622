"""The `colorize` flow: one worker's share of the pending items."""

import time

from prefect import flow, get_run_logger

from flows.cluster import spread
from flows.watching import Progress
from tasks.backfill_share import work_share
from tasks.batch.batch import BatchSummary
from tasks.batch.worker import open_worker, recipe_in_service
from tasks.colorize import run_batch_as_task
from tasks.errors import RunAborted
from tasks.ledger import ItemStatus, Ledger
from tasks.ledger.opening import open_ledger
from tasks.settings import Settings, current_settings
from tasks.share import Share, work_off


@flow(name="colorize", flow_run_name="colorize {label}")
def colorize(
    label: str = "what is pending",
    *,
    collections: tuple[str, ...] = (),
    max_items: int | None = None,
    deadline_s: float | None = None,
    share_id: int | None = None,
) -> dict[str, int]:
    """Claim batches and colourize them until none is left or the share is over.

    Args:
        label: How a person recognises the run.
        collections: Only these; none means all.
        max_items: Claim no more than this many items.
        deadline_s: Begin no batch after this many seconds.
        share_id: A share of a backfill, in the ledger: it says how much. `keep_backfills_going`
            sets this.

    Returns:
        How many items came into each status.

    Raises:
        RunAborted: Every item would have failed, or too many did. What was begun is finished or
            given back.
    """
    settings = current_settings()
    if share_id is not None:
        summary = colorize_share_of_backfill(settings, share_id, label=label)
    else:
        deadline = None if deadline_s is None else time.monotonic() + deadline_s
        share = Share(collections=collections, max_items=max_items, deadline=deadline)
        summary = colorize_share(settings, share, label=label)
    if summary.aborted:
        raise RunAborted(summary.aborted)
    return summary.by_status


def colorize_share(settings: Settings, share: Share, *, label: str) -> BatchSummary:
    """Work a share off within the current flow run, with a progress bar in the UI.

    In this process, a task run a batch; or, where the settings name a Dask cluster, on that.
    """
    if settings.dask_scheduler:
        return _colorize_share_on_cluster(settings, share, label=label)
    with open_worker(settings) as worker:
        progress = _begin_progress(worker.ledger, worker.recipe_id, label=label)
        summary = work_off(worker, share, run_batch=run_batch_as_task, on_progress=progress.update)
    return _end_progress(progress, summary, label=label)


def _colorize_share_on_cluster(settings: Settings, share: Share, *, label: str) -> BatchSummary:
    with open_ledger(settings) as ledger:
        in_service = recipe_in_service(settings, ledger)
        ledger.ensure_recipe(in_service)
        recipe = ledger.find_recipe(in_service.digest)
        progress = _begin_progress(ledger, recipe.id, label=label)
        summary = spread(settings, ledger, share, recipe=recipe, on_progress=progress.update)
    return _end_progress(progress, summary, label=label)


def _begin_progress(ledger: Ledger, recipe_id: int, *, label: str) -> Progress:
    waiting = ledger.counts(recipe_id).items.get(ItemStatus.PENDING, 0)
    get_run_logger().info("%s: %d items wait", label, waiting)
    return Progress.begin(waiting, label=label)


def _end_progress(progress: Progress, summary: BatchSummary, *, label: str) -> BatchSummary:
    progress.finish(summary)
    get_run_logger().info("%s: %s", label, summary.in_words())
    return summary


def colorize_share_of_backfill(settings: Settings, share_id: int, *, label: str) -> BatchSummary:
    """Work off a share of a backfill within the current flow run.

    How far the backfill is, `keep_backfills_going` shows.
    """
    summary = work_share(settings, share_id, run_batch=run_batch_as_task)
    get_run_logger().info("%s: %s", label, summary.in_words())
    return summary

"""The `colorize` flow: one worker's share of the pending items."""

import time

from prefect import flow, get_run_logger

from flows.watching import Progress
from tasks.backfill_share import work_share
from tasks.batch import BatchSummary
from tasks.colorize import run_batch_as_task
from tasks.errors import RunAborted
from tasks.ledger import ItemStatus
from tasks.settings import Settings, current_settings
from tasks.share import Share, work_off
from tasks.workshop import open_workshop


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
    """Work a share off within the current flow run: a task run a batch, and a progress bar."""
    with open_workshop(settings) as workshop:
        waiting = workshop.ledger.counts(workshop.recipe_id).items.get(ItemStatus.PENDING, 0)
        get_run_logger().info(
            "%s: %d items wait for recipe %s", label, waiting, workshop.recipe_digest[:12]
        )
        progress = Progress.begin(waiting, label=label)
        summary = work_off(
            workshop, share, run_batch=run_batch_as_task, on_progress=progress.update
        )
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

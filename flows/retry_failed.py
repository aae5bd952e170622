"""The `retry_failed` flow: let failed items be tried again, and colourize them."""

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from flows.colorize import colorize_share
from tasks.errors import Reason, RunAborted
from tasks.ledger import ItemFilter, ItemStatus
from tasks.ledger.opening import open_ledger
from tasks.settings import current_settings
from tasks.share import Share


def _run_name() -> str:
    reasons = flow_run.parameters.get("reasons")
    return f"retry {', '.join(reasons)}" if reasons else "retry what failed"


@flow(name="retry_failed", flow_run_name=_run_name)
def retry_failed(
    reasons: tuple[Reason, ...] = (),
    collections: tuple[str, ...] = (),
    older_than_hours: float = 1.0,
) -> dict[str, int]:
    """Try failed items again. Quarantined ones are a person's to decide on.

    Args:
        reasons: Only items that failed for these; none means all.
        collections: Only these; none means all.
        older_than_hours: Only items that failed at least so long ago: what broke them may last.

    Returns:
        How many items came into each status.

    Raises:
        RunAborted: Every item would have failed again, or too many did.
    """
    settings = current_settings()
    chosen = ItemFilter(
        statuses=(ItemStatus.FAILED,),
        reasons=reasons,
        collections=collections,
        older_than_s=older_than_hours * 3600,
    )
    with open_ledger(settings) as ledger:
        retried = ledger.retry(chosen, who="retry_failed", why="tried again after a while")
    get_run_logger().info("%d failed items are pending again", retried)
    if not retried:
        return {}
    summary = colorize_share(settings, Share(collections=collections), label="retry")
    if summary.aborted:
        raise RunAborted(summary.aborted)
    return summary.by_status

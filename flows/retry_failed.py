"""The `retry_failed` flow: order that failed items be tried again."""

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from flows.colorize import colorize_order, is_served
from flows.keeping import keep_if_served
from tasks.errors import Reason
from tasks.ledger.opening import open_ledger
from tasks.ledger.orders import Order, OrderKind, OrderMode, Scope
from tasks.orders.planning import forecast, make_order, plan_order
from tasks.settings import current_settings


def _run_name() -> str:
    reasons = flow_run.parameters.get("reasons")
    return f"retry {', '.join(reasons)}" if reasons else "retry what failed"


@flow(name="retry_failed", flow_run_name=_run_name)
def retry_failed(
    reasons: tuple[Reason, ...] = (),
    collections: tuple[str, ...] = (),
    older_than_hours: float = 1.0,
) -> dict[str, int]:
    """Try failed items again, and nothing else. Quarantined ones are a person's to decide on.

    Args:
        reasons: Only items that failed for these; none means all.
        collections: Only these; none means all.
        older_than_hours: Only items that failed at least so long ago: what broke them may last.

    Returns:
        How many items came into each status; where workers do it, how many are ordered.

    Raises:
        RunAborted: Every item would have failed again, or too many did.
    """
    settings = current_settings()
    scope = Scope(
        tuple(collections),
        reasons=tuple(reason.value for reason in reasons),
        older_than_s=older_than_hours * 3600,
    )
    order = Order(OrderMode.FAILED, scope, who="retry_failed", kind=OrderKind.RETRY)
    with open_ledger(settings) as ledger:
        if not forecast(settings, ledger, order).plan.items:
            if is_served():
                keep_if_served(settings, ledger)  # takes up what a crash has left alone
            return {}
        row = make_order(settings, ledger, order, name=str(flow_run.name))
        row = plan_order(ledger, row.id)
        get_run_logger().info("%s: %d failed items are tried again", row.name, row.items)
        if is_served():
            keep_if_served(settings, ledger)
            return {"pending": row.items}
        return colorize_order(settings, ledger, row)

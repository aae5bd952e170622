"""Outcomes of items, made up."""

from tasks.errors import Reason
from tasks.ledger import STATUS_AFTER, Outcome


def outcome_for(item_id: int, reason: Reason, *, detail: str = "") -> Outcome:
    """The outcome of an item that ended for *reason* without a derivative.

    Raises:
        ValueError: The reason's verdict is WAIT or ABORT: give the items back instead.
    """
    if reason.verdict not in STATUS_AFTER:
        raise ValueError(f"{reason} ends no item: give the items back")
    return Outcome(item_id, STATUS_AFTER[reason.verdict], reason=reason, detail=detail)

"""Which queue a URL means, and what a page says of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, cast, get_args

from fastapi import HTTPException

from flows.desk.desk import Desk
from flows.desk.identity import Visitor
from tasks.errors import Reason, UsageError
from tasks.ledger import ItemRow, ItemStatus, RunRow
from tasks.ledger.curating import Place, Queue
from tasks.ledger.curating.queue import NO_REASON, Order, order_of_run
from tasks.ledger.people import Role
from tasks.schema import SETTLED_STATUSES

#: The parameters of a URL that say which queue is meant.
PARAMETERS = ("status", "collection", "reason", "least", "most", "night", "what", "within", "order")
#: Where what is listed stands: first what waits for a curator.
STATUSES = (
    ItemStatus.REVIEW,
    *(status for status in ItemStatus if status in SETTLED_STATUSES - {ItemStatus.REVIEW}),
)
#: What may be looked at alone.
WHAT = {"film": "films", "page": "pages of a file"}
ORDERS = {"unsure": "least sure first", "oldest": "oldest first", "newest": "newest first"}
_NIGHTS = 30

#: Reasons that a curator gives by a key; whatever else there is to say is written.
WHY = {
    "reject": (
        "the colours are wrong",
        "colour where there should be none",
        "blotches or bleeding edges",
        "not a photograph",
        "the scan is at fault",
    ),
    "hold": (
        "rights are not clear",
        "sensitive: people who could be hurt",
        "sensitive: a place or custom",
        "somebody else should look first",
    ),
    "approve": (),
}


@dataclass(frozen=True)
class QueueView:
    """A queue as a page asks for it, and the choices that there are."""

    chosen: Queue
    parameters: Mapping[str, str]  #: of the URL; those that say nothing are left out
    items: int | None  #: how many are in it; None where that is not counted
    collections: Mapping[str, int]
    reasons: Mapping[str, int]  #: "none" for what waits for none
    nights: tuple[RunRow, ...]


def read_queue(desk: Desk, visitor: Visitor, given: Mapping[str, str]) -> QueueView:
    """The queue that parameters of a URL mean, as far as this person may see it.

    Raises:
        HTTPException: It is of what is held, and the person has not the role for that.
        UsageError: One of them makes no sense; the message names it.
    """
    said = {name: given[name] for name in PARAMETERS if given.get(name)}
    reason = said.get("reason", "")
    if reason and reason != NO_REASON and reason not in set(Reason):
        raise UsageError(f"there is no reason {reason[:60]!r}")
    try:
        status = ItemStatus(said.get("status", ItemStatus.REVIEW))
    except ValueError:
        status = ItemStatus.PENDING
    if status not in STATUSES:
        raise UsageError(f"status {said['status'][:40]!r} is none of {', '.join(STATUSES)}")
    if status is ItemStatus.HELD and not visitor.may(Role.RUN):
        raise HTTPException(403, "what is held is shown to the role run alone")
    order = said.get("order", "unsure" if status is ItemStatus.REVIEW else "newest")
    if order not in get_args(Order):
        raise UsageError(f"there is no order {order[:60]!r}: {', '.join(ORDERS)}")
    if (what := said.get("what", "")) and what not in WHAT:
        raise UsageError(f"there is no {what[:40]!r}: {', '.join(WHAT)}")
    night = _night(desk, said["night"]) if "night" in said else None
    order_id = order_of_run(desk.ledger, night.id) if night else None
    nights = [
        run for run in desk.ledger.list_runs(limit=_NIGHTS) if run.figures.finished.get(status)
    ]
    if night and night.id not in {run.id for run in nights}:
        nights.append(night)
    chosen = Queue(
        collection=said.get("collection", ""),
        reason=cast("Reason", reason),
        least=_share(said, "least"),
        most=_share(said, "most"),
        since=night.started_at if night and order_id is None else None,
        until=night.ended_at if night and order_id is None else None,
        within=said.get("within", ""),
        order=cast("Order", order),
        status=status,
        order_id=order_id,
        what=cast("Any", what),
        with_held=visitor.may(Role.RUN),
    )
    return QueueView(chosen, said, _count(desk, chosen), *_choices(desk, chosen), tuple(nights))


def place_of(row: ItemRow, view: QueueView) -> Place | None:
    """Where an item stands in a queue; None in one by place, which only its listing knows."""
    if view.chosen.within:
        return None
    if view.chosen.is_by_time:
        return Place(row.changed_at.isoformat(), row.id)
    return Place("" if row.confidence is None else repr(row.confidence), row.id)


def _share(said: Mapping[str, str], name: str) -> float | None:
    if name not in said:
        return None
    try:
        value = float(said[name])
    except ValueError:
        value = float("nan")
    if not isfinite(value) or not 0 <= value <= 1:
        raise UsageError(f"{name} is {said[name][:40]!r}: a confidence lies between 0 and 1")
    return value


def _night(desk: Desk, text: str) -> RunRow:
    is_number = text.isascii() and text.isdecimal() and len(text) < 18
    run = desk.ledger.get_run(int(text)) if is_number else None
    if run is None:
        raise UsageError(f"there is no night {text[:40]!r}")
    return run


def _count(desk: Desk, chosen: Queue) -> int | None:
    """How many wait, where tallies tell: by collection and reason alone."""
    if chosen.within or chosen.what or chosen.since or (chosen.least, chosen.most) != (None, None):
        return None
    wanted = "" if chosen.reason == NO_REASON else chosen.reason
    return sum(
        heap.items
        for heap in desk.waiting(chosen.status, chosen.order_id)
        if (not chosen.collection or heap.collection == chosen.collection)
        and (not chosen.reason or heap.reason == wanted)
    )


def _choices(desk: Desk, chosen: Queue) -> tuple[dict[str, int], dict[str, int]]:
    collections: dict[str, int] = {}
    reasons: dict[str, int] = {}
    for heap in desk.waiting(chosen.status, chosen.order_id):
        reason = heap.reason or NO_REASON
        collections[heap.collection] = collections.get(heap.collection, 0) + heap.items
        reasons[reason] = reasons.get(reason, 0) + heap.items
    return collections, reasons

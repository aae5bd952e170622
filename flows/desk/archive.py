"""Archive: collections by nights as a grid, from there to items, reports, retries and backfills."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from starlette.responses import Response

from flows.desk.desk import Desk
from flows.desk.identity import Looking, OpenDesk, Visitor
from flows.desk.pages import render
from flows.web.addresses import ui_url
from tasks.ledger import ItemStatus
from tasks.ledger.curating.archive import (
    Cell,
    Night,
    get_night,
    list_cells,
    list_collections,
    list_nights,
)
from tasks.ledger.people import Role
from tasks.report.forms import report_key
from tasks.schema import SETTLED_STATUSES, OrderMode

router = APIRouter(include_in_schema=False)

_NIGHTS = 12
_COLLECTIONS = 200
#: In which order a cell's bar shows them: what is done first, what went wrong last.
STATUSES = (
    ItemStatus.PUBLISHED,
    ItemStatus.REVIEW,
    ItemStatus.PENDING,
    ItemStatus.CLAIMED,
    ItemStatus.SUPERSEDED,
    ItemStatus.SKIPPED,
    ItemStatus.HELD,
    ItemStatus.REJECTED,
    ItemStatus.FAILED,
    ItemStatus.QUARANTINED,
)
#: Those that somebody has to do something about are written out, and not only coloured.
ALARMING = (ItemStatus.FAILED, ItemStatus.QUARANTINED)


@dataclass(frozen=True)
class Part:
    """A part of a cell's bar: where it begins, and how wide it is, of 100."""

    status: ItemStatus
    begin: float
    width: float


def bar(cell: Cell) -> list[Part]:
    """A cell's statuses as parts of a bar; few among many are still to be seen."""
    shown = [(status, cell.statuses[status]) for status in STATUSES if cell.statuses.get(status)]
    least = [max(4.0, 100.0 * n / cell.items) for _, n in shown]
    parts, begin = [], 0.0
    for (status, _), width in zip(shown, least, strict=True):
        share = 100.0 * width / sum(least)
        parts.append(Part(status, begin, share))
        begin += share
    return parts


def in_words(cell: Cell) -> str:
    """A cell for those who do not see its colours."""
    said = []
    for status in STATUSES:
        if n := cell.statuses.get(status):
            reasons = [
                f"{reason.replace('_', ' ')} {m:,}"
                for (of, reason), m in cell.reasons.items()
                if of is status
            ]
            said.append(f"{n:,} {status}" + (f" ({', '.join(reasons)})" if reasons else ""))
    return ", ".join(said)


@router.get("/archive")
def archive(
    request: Request,
    desk: OpenDesk,
    visitor: Looking,
    before: Annotated[int | None, Query(ge=1, lt=1 << 60)] = None,
    start: Annotated[str, Query(max_length=1000)] = "",
) -> Response:
    """The grid: the latest orders, or those before one; collections by name."""
    del visitor
    found = list_nights(desk.ledger, before=before, limit=_NIGHTS + 1)
    nights = found[:_NIGHTS]
    collections = list_collections(desk.ledger)
    named = [name for name in collections if name >= start]
    return render(
        request,
        "archive.html.j2",
        nights=nights[::-1],
        older=nights[-1].order.id if len(found) > _NIGHTS else None,
        newest=before is None,
        cells=list_cells(desk.ledger, [night.order.id for night in nights]),
        collections={name: collections[name] for name in named[:_COLLECTIONS]},
        start=start,
        onward=named[_COLLECTIONS] if len(named) > _COLLECTIONS else "",
        statuses=STATUSES,
        alarming=ALARMING,
        bar=bar,
        in_words=in_words,
    )


@router.get("/archive/cell")
def cell(
    request: Request,
    desk: OpenDesk,
    visitor: Looking,
    collection: Annotated[str, Query(max_length=1000)] = "",
    order: Annotated[int | None, Query(ge=1, lt=1 << 60)] = None,
) -> Response:
    """What an order has come to in a collection, or either of them in all; and the ways on."""
    night = None if order is None else get_night(desk.ledger, order)
    if order is not None and night is None:
        raise HTTPException(404, f"there is no order {order}")
    found = _cell(desk, collection, night)
    if found is None:
        raise HTTPException(404, "there is nothing of that")
    return render(
        request,
        "archive_cell.html.j2",
        collection=collection,
        night=night,
        cell=found,
        parts=bar(found),
        said=in_words(found),
        statuses=STATUSES,
        listed=_listed(visitor),
        modes=[mode for mode in OrderMode if mode is not OrderMode.CORRECTED],
        report=_report(desk, visitor, night),
        flow_run=_flow_run(desk, night),
    )


def _cell(desk: Desk, collection: str, night: Night | None) -> Cell | None:
    if night is None:
        return list_collections(desk.ledger).get(collection)
    of_order = list_cells(desk.ledger, [night.order.id])[night.order.id]
    if collection:
        return of_order.get(collection)
    return _sum(list(of_order.values()))


def _sum(cells: Sequence[Cell]) -> Cell:
    total = Cell()
    for one in cells:
        for status, n in one.statuses.items():
            total.statuses[status] = total.statuses.get(status, 0) + n
        for key, n in one.reasons.items():
            total.reasons[key] = total.reasons.get(key, 0) + n
    return total


def _listed(visitor: Visitor) -> Mapping[ItemStatus, bool]:
    """Whether the wall shows this person what stands there."""
    return {
        status: status in SETTLED_STATUSES
        and (status is not ItemStatus.HELD or visitor.may(Role.RUN))
        for status in STATUSES
    }


def _report(desk: Desk, visitor: Visitor, night: Night | None) -> str:
    """The address of the night's report; empty where there is none for this person."""
    if night is None or not visitor.may(Role.RUN):
        return ""
    key = report_key(night.run_name, night.order.run_id, "html")
    return "" if desk.output.stat(key) is None else f"/files/{key}"


def _flow_run(desk: Desk, night: Night | None) -> str:
    if night is None or not night.flow_run_id:
        return ""
    return f"{ui_url(desk.settings)}/runs/flow-run/{night.flow_run_id}"

"""Wall: many derivatives at once; decisions about those that are chosen, or about a whole filter.

What is decided is counted first, confirmed, and then done as one decision of the ledger's.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter, BackgroundTasks, Depends, HTTPException, Path, Request
from starlette.responses import RedirectResponse, Response

from flows.desk.desk import Desk
from flows.desk.identity import Deciding, Form, Looking, OpenDesk, Visitor
from flows.desk.pages import render
from flows.desk.queues import ORDERS, STATUSES, WHAT, WHY, QueueView, read_queue
from flows.desk.review import number_in, reasons_in
from flows.desk.views import may_see, seen_item
from tasks.errors import AutochromeError, UsageError
from tasks.ledger import ItemFilter, ItemStatus
from tasks.ledger.curating import Place, deciders_of, queue, undo
from tasks.ledger.curating.deciding import TWO_AGREE
from tasks.ledger.curating.many import (
    DECIDED_ABOUT_MANY,
    MOST,
    CountChanged,
    count_agreeing,
    count_many,
    database_time,
    decide_many,
    latest_decisions,
)
from tasks.ledger.people import Role
from tasks.pictures.showing import small_file
from tasks.schema import DecisionKind

router = APIRouter(include_in_schema=False)

_TILES = 120
_SAMPLE = 18
_BY_THOSE_WHO_RUN_IT = {DecisionKind.RETRY, DecisionKind.RELEASE}
#: Pictures are made beside what people wait for, not in its place.
_PICTURES_AT_ONCE = 8
_limiter: list[anyio.CapacityLimiter] = []
#: The address changes with the item.
_KEPT = {"Cache-Control": "private, max-age=86400, immutable"}
#: What a decision about many does, for those who confirm it.
MEANING = {
    DecisionKind.APPROVE: "They are published: open to users.",
    DecisionKind.REJECT: "They are not published, and the same bytes wait for a person from now "
    "on, under whatever network.",
    DecisionKind.HOLD: "Nobody colours or shows them, or copies of them, until somebody who runs "
    "the archive ends the hold.",
    DecisionKind.RETRY: "They are coloured anew in the next night.",
    DecisionKind.RELEASE: "What was coloured waits for a curator again; all else is to be "
    "coloured. Nothing is published by this.",
}


async def read_items(request: Request) -> list[int]:
    """The items that a form chooses: boxes that are ticked, or their numbers in one field.

    Raises:
        UsageError: They are no numbers, or too many.
    """
    body = (await request.body()).decode("utf-8", "replace")
    texts = [text for name, text in parse_qsl(body) if name == "item"]
    numbers = [text for one in texts for text in one.split(",")]
    if not all(text.isascii() and text.isdecimal() and len(text) < 18 for text in numbers):
        raise UsageError("what is chosen are no numbers of items; load the page again")
    if len(numbers) > MOST:
        raise UsageError(f"more than {MOST:,} at once")
    return [int(text) for text in numbers]


Items = Annotated[list[int], Depends(read_items)]


@router.get("/wall")
def wall(
    request: Request, desk: OpenDesk, visitor: Looking, after: str = "", done: str = ""
) -> Response:
    """What a filter finds, in a grid."""
    view = read_queue(desk, visitor, request.query_params)
    return render(
        request,
        "wall.html.j2",
        **_tiles(desk, view, after),
        statuses=STATUSES,
        orders=ORDERS,
        WHAT=WHAT,
        kinds=_kinds(visitor, view.chosen.status),
        as_of=database_time(desk.ledger).isoformat(),
        done=done,
        undone=request.query_params.get("undone", ""),
        latest=latest_decisions(desk.ledger, visitor.name),
    )


@router.get("/wall/more")
def more(request: Request, desk: OpenDesk, visitor: Looking, after: str = "") -> Response:
    """What comes behind a place, for the script that shows it without a new page."""
    view = read_queue(desk, visitor, request.query_params)
    return render(request, "wall_tiles.html.j2", **_tiles(desk, view, after))


@router.get("/wall/pictures/{item_id}")
async def picture(
    item_id: Annotated[int, Path(ge=1, lt=1 << 60)], desk: OpenDesk, visitor: Looking
) -> Response:
    """An item, small."""
    if not _limiter:
        _limiter.append(anyio.CapacityLimiter(_PICTURES_AT_ONCE))
    jpeg = await run_sync(_small, desk, visitor, item_id, limiter=_limiter[0])
    return Response(jpeg, media_type="image/jpeg", headers=_KEPT)


@router.post("/wall/confirm")
def confirm(
    request: Request, desk: OpenDesk, visitor: Deciding, form: Form, items: Items
) -> Response:
    """Count what a decision would move, and ask."""
    view = read_queue(desk, visitor, form)
    kind = _kind(visitor, view.chosen.status, form)
    counted = count_many(desk.ledger, kind, _chosen(view, form, items))
    agreed = _agreed(desk, visitor, kind, _chosen(view, form, items))
    return _ask(request, desk, visitor, view, form, items, kind, counted, agreed)


@router.post("/wall/decide")
def decide(  # noqa: PLR0913, PLR0917  what FastAPI gives
    request: Request,
    desk: OpenDesk,
    visitor: Deciding,
    form: Form,
    items: Items,
    later: BackgroundTasks,
) -> Response:
    """Do what was confirmed, if it is still as many."""
    view = read_queue(desk, visitor, form)
    kind = _kind(visitor, view.chosen.status, form)
    chosen = _chosen(view, form, items)
    confirmed = number_in(form, "confirmed")
    try:
        made = decide_many(
            desk.ledger,
            kind,
            chosen,
            who=visitor.name,
            why=reasons_in(form),
            confirmed=confirmed,
            must_agree=desk.settings.desk_agreement,
        )
    except CountChanged as error:
        agreed = _agreed(desk, visitor, kind, chosen)
        return _ask(
            request, desk, visitor, view, form, items, kind, error.now, agreed, changed=str(error)
        )
    desk.decided()
    if kind is DecisionKind.HOLD:
        later.add_task(desk.read_held)
    said = f"{made.decision_id}-{kind}-{made.moved}-{made.noted}"
    return RedirectResponse(f"/wall?{urlencode(dict(view.parameters) | {'done': said})}", 303)


@router.post("/wall/undo")
def undo_many(desk: OpenDesk, visitor: Deciding, form: Form) -> Response:
    """Take a decision back: one's own, or anybody's by whoever runs the archive."""
    view = read_queue(desk, visitor, form)
    number = number_in(form, "decision")
    by = deciders_of(desk.ledger, number)
    if visitor.name not in by.names and not visitor.may(Role.RUN):
        raise HTTPException(403, f"{by.who} decided that; the role run takes back others'")
    undone = undo(desk.ledger, number, who=visitor.name)
    desk.decided()
    said = f"{len(undone.items)}-{undone.passed_over}"
    return RedirectResponse(f"/wall?{urlencode(dict(view.parameters) | {'undone': said})}", 303)


def _tiles(desk: Desk, view: QueueView, after: str) -> dict[str, Any]:
    there = Place.read(after) if after else None
    rows = queue(desk.ledger, view.chosen, after=there, limit=_TILES + 1)
    shown = rows[:_TILES]
    return {
        "queue": view,
        "rows": [row for _, row in shown],
        "after": str(shown[-1][0]) if len(rows) > _TILES else "",
    }


def _small(desk: Desk, visitor: Visitor, item_id: int) -> bytes:
    file = small_file(seen_item(desk, visitor, item_id, fresh=False))
    if file is None:
        raise HTTPException(404, "there is no picture of it")
    try:
        return desk.pictures.small(file)
    except (AutochromeError, OSError) as error:
        raise HTTPException(404, str(error)) from error


def _kinds(visitor: Visitor, status: ItemStatus) -> list[DecisionKind]:
    """What this person may decide about many of those that stand there."""
    return [
        kind
        for kind in DECIDED_ABOUT_MANY[status]
        if visitor.may(Role.RUN if kind in _BY_THOSE_WHO_RUN_IT else Role.DECIDE)
    ]


def _kind(visitor: Visitor, status: ItemStatus, form: Form) -> DecisionKind:
    """What a form decides.

    Raises:
        HTTPException: It is not this person's to decide.
    """
    kind = form.get("kind", "")
    allowed = _kinds(visitor, status)
    if kind in allowed:
        return DecisionKind(kind)
    raise HTTPException(
        403, f"{kind[:20] or 'nothing'} is not yours to decide about what is {status}"
    )


def _chosen(view: QueueView, form: Form, items: list[int]) -> ItemFilter:
    """The items that a form means: as they were when the page was made, and no others.

    Raises:
        UsageError: None is chosen, or the page's time is none.
    """
    try:
        as_of = datetime.fromisoformat(form.get("as_of", "")).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError("the page does not say of when it is; load it again") from None
    whole = view.chosen.as_filter()
    if form.get("all"):
        return replace(whole, until=min(filter(None, (whole.until, as_of))))
    if not items:
        raise UsageError("nothing is chosen: tick pictures, or say that all of them are meant")
    return ItemFilter(statuses=[view.chosen.status], ids=items, until=as_of)


def _agreed(desk: Desk, visitor: Visitor, kind: DecisionKind, chosen: ItemFilter) -> int | None:
    """For how many somebody else has wanted the same; None where one person is enough."""
    if desk.settings.desk_agreement < 2 or kind not in TWO_AGREE:
        return None
    return count_agreeing(desk.ledger, kind, chosen, who=visitor.name)


def _ask(  # noqa: PLR0913, PLR0917  what is confirmed
    request: Request,
    desk: Desk,
    visitor: Visitor,
    view: QueueView,
    form: Form,
    items: list[int],
    kind: DecisionKind,
    counted: int,
    agreed: int | None,
    *,
    changed: str = "",
) -> Response:
    ids = items[:_SAMPLE]
    if form.get("all"):
        ids = [row.id for _, row in queue(desk.ledger, view.chosen, limit=_SAMPLE)]
    found = [one for one in map(desk.item, ids) if one is not None]
    sample = [one.row for one in found if may_see(visitor, one)]
    return render(
        request,
        "wall_confirm.html.j2",
        status=409 if changed else 200,
        queue=view,
        WHAT=WHAT,
        kind=kind,
        meaning=MEANING[kind],
        counted=counted,
        agreed=agreed,
        chosen=None if form.get("all") else len(set(items)),
        sample=sample,
        items=",".join(map(str, items)),
        form=form,
        reasons=WHY.get(kind.value, ()),
        changed=changed,
    )

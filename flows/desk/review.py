"""Review: one item of the queue after another, seen and decided; all of it without scripts, too."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, BackgroundTasks, HTTPException, Query, Request
from starlette.responses import RedirectResponse, Response

from flows.desk.desk import Desk
from flows.desk.identity import Deciding, Form, Looking, OpenDesk, Visitor
from flows.desk.pages import render
from flows.desk.queues import ORDERS, WHAT, WHY, QueueView, place_of, read_queue
from flows.desk.views import seen_item, view_of
from tasks.errors import UsageError
from tasks.ledger.curating import (
    DeskItem,
    Judgement,
    Place,
    decide,
    deciders_of,
    queue,
    take_back_opinion,
    undo,
)
from tasks.ledger.people import Role
from tasks.schema import DecisionKind, ItemStatus

router = APIRouter(include_in_schema=False)

_MOST_WHY = 1000


@router.get("/")
def home(visitor: Looking) -> Response:
    """The first page."""
    del visitor
    return RedirectResponse("/review", 303)


@router.get("/review")
def review(  # noqa: PLR0913, PLR0917  what a URL may say
    request: Request,
    desk: OpenDesk,
    visitor: Looking,
    item: Annotated[int | None, Query(ge=1, lt=1 << 60)] = None,
    after: str = "",
    before: str = "",
) -> Response:
    """An item of the queue: the one that is named, or the first behind or before a place."""
    view = read_queue(desk, visitor, request.query_params)
    place, one = _find(desk, visitor, view, item=item, after=after, before=before)
    return render(
        request, "review.html.j2", **_context(desk, visitor, view, place, one, request, after)
    )


@router.get("/review/pane")
def pane(
    request: Request,
    desk: OpenDesk,
    visitor: Looking,
    item: Annotated[int, Query(ge=1, lt=1 << 60)],
) -> Response:
    """The part of the page that is about one item, for the script that steps."""
    view = read_queue(desk, visitor, request.query_params)
    place, one = _find(desk, visitor, view, item=item)
    return render(request, "pane.html.j2", **_context(desk, visitor, view, place, one, request))


@router.get("/review/end")
def end(request: Request, desk: OpenDesk, visitor: Looking) -> Response:
    """What is said where nothing comes any more."""
    view = read_queue(desk, visitor, request.query_params)
    context = _context(desk, visitor, view, None, None, request, after="the last one")
    return render(request, "pane.html.j2", **context)


@router.post("/review/decide")
def decide_by_form(
    desk: OpenDesk, visitor: Deciding, form: Form, later: BackgroundTasks
) -> Response:
    """Decide by the form of the page, and go on behind the item."""
    view = read_queue(desk, visitor, form)
    judged = judgement(visitor, form)
    made = decide(desk.ledger, judged, must_agree=desk.settings.desk_agreement)
    number = int(form["item"])
    desk.decided(number)
    if judged.kind is DecisionKind.HOLD:
        later.add_task(desk.read_held)
    onward = dict(view.parameters) | {"after": form.get("place", "")}
    onward |= {"done": str(made.decision_id or 0), "item_done": str(number)}
    return RedirectResponse(f"/review?{urlencode(onward)}", 303)


@router.post("/review/undo")
def undo_by_form(desk: OpenDesk, visitor: Deciding, form: Form) -> Response:
    """Take back what the form before decided, and show the item again."""
    view = read_queue(desk, visitor, form)
    number = number_in(form, "item")
    undo_own(desk, visitor, number_in(form, "decision"), item_id=number)
    onward = dict(view.parameters) | {"item": str(number)}
    return RedirectResponse(f"/review?{urlencode(onward)}", 303)


def judgement(visitor: Visitor, form: Form) -> Judgement:
    """What a form decides.

    Raises:
        UsageError: Something is missing in it.
    """
    try:
        kind = DecisionKind(form.get("kind", ""))
    except ValueError:
        raise UsageError("which decision? approve, reject or hold") from None
    return Judgement(
        item_id=number_in(form, "item"),
        kind=kind,
        who=visitor.name,
        why=reasons_in(form),
        seen=form.get("seen", ""),
    )


def reasons_in(form: Form) -> str:
    """Why, as a form says it: a reason of the list, and words."""
    said = (form.get("reason", ""), form.get("why", "").strip())
    return ": ".join(filter(None, said))[:_MOST_WHY]


def undo_own(desk: Desk, visitor: Visitor, decision_id: int, *, item_id: int) -> int:
    """Take a decision back: one's own, or anybody's by whoever runs the archive.

    Returns:
        How many items are what they were before.

    Raises:
        HTTPException: It is another's, or it is taken back and others hold the scan.
        UsageError: There is no such decision.
    """
    if decision_id == 0:
        is_there = take_back_opinion(desk.ledger, item_id, who=visitor.name)
        desk.decided(item_id)
        return int(is_there)
    one = desk.item(item_id)
    made = [found for found in one.decisions if found.id == decision_id] if one else []
    if not made:
        raise UsageError(f"decision {decision_id} is not about item {item_id}")
    if visitor.name not in (by := deciders_of(desk.ledger, decision_id)).names:
        seen_item(desk, visitor, item_id)  # one's own hold is taken back, though it hides the item
        if not visitor.may(Role.RUN):
            raise HTTPException(403, f"{by.who} decided that; the role run takes back others'")
    undone = undo(desk.ledger, decision_id, who=visitor.name)
    for number in undone.items:
        desk.decided(number)
    if undone.items.get(item_id) is ItemStatus.HELD:
        raise HTTPException(409, "that is taken back, and the scan stays held: by others, too")
    return len(undone.items)


def number_in(form: Form, name: str) -> int:
    """A number in a form.

    Raises:
        UsageError: It is none.
    """
    text = form.get(name, "")
    if not (text.isascii() and text.isdecimal() and len(text) < 18):
        raise UsageError(f"{name} is {text[:40]!r}: not a number")
    return int(text)


def _find(  # noqa: PLR0913  one way each to say which
    desk: Desk,
    visitor: Visitor,
    view: QueueView,
    *,
    item: int | None = None,
    after: str = "",
    before: str = "",
) -> tuple[Place | None, DeskItem | None]:
    if item is not None:
        one = seen_item(desk, visitor, item)
        return place_of(one.row, view), one
    there = Place.read(after or before) if after or before else None
    found = queue(
        desk.ledger, view.chosen, after=there, limit=1, backwards=bool(before and not after)
    )
    if not found:
        return None, None
    place, row = found[0]
    return place, seen_item(desk, visitor, row.id)


def _context(  # noqa: PLR0913, PLR0917  what the page is made of
    desk: Desk,
    visitor: Visitor,
    view: QueueView,
    place: Place | None,
    one: DeskItem | None,
    request: Request,
    after: str = "",
) -> dict[str, Any]:
    return {
        "queue": view,
        "orders": ORDERS,
        "WHAT": WHAT,
        "why": WHY,
        "place": str(place) if place else "",
        "view": view_of(desk, one) if one else None,
        "may_decide": visitor.may(Role.DECIDE),
        "is_at_head": not after,
        "done": request.query_params.get("done", ""),
        "item_done": request.query_params.get("item_done", ""),
    }

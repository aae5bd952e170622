"""Item: the whole story of a scan. Search: by number, name, title or sha256."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Request
from starlette.responses import RedirectResponse, Response

from flows.desk.identity import Looking, OpenDesk
from flows.desk.outputs import send_file
from flows.desk.pages import render
from flows.desk.views import seen_item, view_of
from tasks.ledger.curating.search import search
from tasks.ledger.people import Role
from tasks.ledger.story import story_of
from tasks.storage import open_for_reading

router = APIRouter(include_in_schema=False)

_MOST_FOUND = 100
Number = Annotated[int, Path(ge=1, lt=1 << 60)]


@router.get("/items/{item_id}")
def item(request: Request, item_id: Number, desk: OpenDesk, visitor: Looking) -> Response:
    """All that happened to a scan, under every recipe."""
    one = seen_item(desk, visitor, item_id)
    return render(
        request,
        "item.html.j2",
        view=view_of(desk, one),
        story=story_of(desk.ledger, one.row.scan_id),
        may_decide=visitor.may(Role.DECIDE),
    )


@router.get("/items/{item_id}/files/{kind}")
def file(
    request: Request, item_id: Number, kind: str, desk: OpenDesk, visitor: Looking
) -> Response:
    """A derivative as it is stored, to be downloaded."""
    made = seen_item(desk, visitor, item_id).derivative(kind)
    if made is None:
        raise HTTPException(404)
    output = open_for_reading(made.store, settings=desk.settings)
    answer = send_file(output, made.key, request)
    answer.headers["Content-Disposition"] = "attachment"
    return answer


@router.get("/search")
def find(
    request: Request,
    desk: OpenDesk,
    visitor: Looking,
    q: Annotated[str, Query(max_length=2000)] = "",
) -> Response:
    """Items by what is known of them; straight to the item where there is one alone."""
    text = q.strip()
    found = search(desk.ledger, text, limit=_MOST_FOUND) if text else []
    seen = [one for one in found if visitor.may(Role.RUN) or not one.is_held]
    if len(seen) == 1:
        return RedirectResponse(f"/items/{seen[0].row.id}", 303)
    return render(request, "search.html.j2", q=text, found=seen, most=_MOST_FOUND)

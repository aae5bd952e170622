"""Pace: how long decisions take, for those who plan."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from flows.desk.identity import Looking, OpenDesk
from flows.desk.pages import render
from tasks.ledger.curating.pace import decision_pace

router = APIRouter(include_in_schema=False)

_DAYS = 30


@router.get("/pace")
def pace(request: Request, desk: OpenDesk, visitor: Looking) -> Response:
    """The median of seconds by person and by day, and how long what waits will take."""
    del visitor
    measured = decision_pace(desk.ledger, days=_DAYS)
    waits = sum(heap.items for heap in desk.waiting())
    return render(request, "pace.html.j2", pace=measured, days=_DAYS, waits=waits)

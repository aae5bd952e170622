"""Orders: how far each is, steering them, and ordering more; a dry run is shown first."""

import os
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import RedirectResponse, Response

from flows.desk.archive import STATUSES
from flows.desk.desk import Desk
from flows.desk.identity import Form, Looking, OpenDesk, Running, Visitor
from flows.desk.pages import render
from flows.desk.review import number_in, reasons_in
from tasks.errors import UsageError
from tasks.ledger import orders
from tasks.ledger.film_figures import frames_of_order
from tasks.ledger.holds import list_all_held
from tasks.ledger.orders import Budget, Order, OrderKind, OrderMode, Scope
from tasks.ledger.people import Role
from tasks.orders.planning import forecast, place_order, plan_order
from tasks.orders.words import budget_in_words, forecast_in_words, pace_of

router = APIRouter(include_in_schema=False)

_LATEST = 60
#: So long the page waits while scans are enqueued; whoever keeps orders going does the rest.
_PLAN_S = 3.0
Number = Annotated[int, Path(ge=1, lt=1 << 60)]


@router.get("/orders")
def list_orders(request: Request, desk: OpenDesk, visitor: Looking) -> Response:
    """The latest orders."""
    rows = orders.list_latest(desk.ledger, limit=_LATEST)
    going = {row.id: orders.progress(desk.ledger, row.id) for row in rows if row.ended_at is None}
    unnamed = _unnamed(desk, visitor, rows)
    return render(request, "orders.html.j2", rows=rows, going=going, unnamed=unnamed)


@router.get("/orders/{order_id}")
def story(request: Request, order_id: Number, desk: OpenDesk, visitor: Looking) -> Response:
    """How far an order is, its shares, and who decided what about it."""
    row = orders.get(desk.ledger, order_id)
    told = orders.progress(desk.ledger, order_id)
    pace = None if row.ended_at else pace_of(desk.ledger, row, told)
    return render(
        request,
        "order.html.j2",
        row=row,
        unnamed=_unnamed(desk, visitor, [row]),
        told=told,
        pace=pace,
        frames=frames_of_order(desk.ledger, order_id),
        budget=budget_in_words(row.budget),
        transitions=orders.transitions(desk.ledger, order_id),
        shares=orders.list_shares(desk.ledger, order_id),
        statuses=STATUSES,
        is_served=_is_served(),
    )


@router.post("/orders/{order_id}/{move}")
def steer(order_id: Number, move: str, desk: OpenDesk, visitor: Running, form: Form) -> Response:
    """Pause, resume or cancel an order, as the commands of these names do."""
    why = reasons_in(form)
    row = orders.get(desk.ledger, order_id)
    if row.ended_at is not None:
        raise UsageError(f"order {order_id} has ended")
    if move == "pause":
        orders.pause(desk.ledger, order_id, who=visitor.name, why=why)
    elif move == "resume":
        orders.resume(desk.ledger, order_id, Budget(), who=visitor.name, why=why)
        _go_on(desk, order_id)
    elif move == "cancel":
        orders.cancel(desk.ledger, order_id, who=visitor.name, why=why)
    else:
        raise UsageError(f"an order cannot be {move[:20]!r}; pause, resume or cancel it")
    return RedirectResponse(f"/orders/{order_id}", 303)


@router.post("/orders/forecast")
def ask(request: Request, desk: OpenDesk, visitor: Running, form: Form) -> Response:
    """What an order would do and take. Nothing is changed."""
    order = _order(form, who=visitor.name)
    planned = forecast(desk.settings, desk.ledger, order)
    return render(
        request,
        "order_forecast.html.j2",
        order=order,
        lines=forecast_in_words(planned, order),
        items=planned.plan.items,
        form=form,
        is_served=_is_served(),
    )


@router.post("/orders/place")
def place(desk: OpenDesk, visitor: Running, form: Form) -> Response:
    """Order what was shown."""
    order = replace(_order(form, who=visitor.name), why=reasons_in(form))
    name = f"{order.kind} by {visitor.name}"
    row = place_order(
        desk.settings, desk.ledger, order, name=name, allow_large=bool(form.get("large"))
    )
    _go_on(desk, row.id)
    return RedirectResponse(f"/orders/{row.id}", 303)


def _unnamed(desk: Desk, visitor: Visitor, rows: Iterable[orders.OrderRow]) -> Collection[str]:
    """What orders were given for and this person may not learn the names of."""
    if visitor.may(Role.RUN):
        return ()
    return list_all_held(desk.ledger, {uri for row in rows for uri in row.scope.named_uris})


def _order(form: Form, *, who: str) -> Order:
    """The order that a form asks for.

    Raises:
        UsageError: It names no collection, or something that makes no sense.
    """
    if not form.get("collection"):
        raise UsageError("which collection? Go on from the archive's grid")
    try:
        mode = OrderMode(form.get("mode", ""))
    except ValueError:
        raise UsageError(f"there is no mode {form.get('mode', '')[:40]!r}") from None
    most = number_in(form, "max_items") if form.get("max_items") else None
    if most == 0:
        raise UsageError("at most no scans: that is no order")
    return Order(
        mode=mode,
        scope=Scope((form["collection"],)),
        budget=Budget(most),
        who=who,
        kind=OrderKind.RETRY if mode is OrderMode.FAILED else OrderKind.BACKFILL,
    )


def _is_served() -> bool:
    """Whether a Prefect server's workers do what is ordered."""
    return bool(os.environ.get("PREFECT_API_URL"))


def _go_on(desk: Desk, order_id: int) -> None:
    """Enqueue, and let the server's workers know; without one, orders wait for a command."""
    plan_order(desk.ledger, order_id, for_s=_PLAN_S)
    desk.decided()
    if _is_served():
        from flows.keeping import keep_if_served  # noqa: PLC0415  Prefect takes seconds

        keep_if_served(desk.settings, desk.ledger)

"""Orders: nights, requests, retries, backfills. `Orders` is the way in."""

from tasks.ledger.orders.book import Orders
from tasks.ledger.orders.records import (
    Budget,
    LeftOut,
    Order,
    OrderPlan,
    OrderRow,
    Progress,
    Scope,
    ShareFigures,
    ShareRow,
    Transition,
    Withdrawn,
)
from tasks.ledger.orders.shares import Size
from tasks.schema import OrderKind, OrderMode, OrderState

__all__ = [
    "Budget",
    "LeftOut",
    "Order",
    "OrderKind",
    "OrderMode",
    "OrderPlan",
    "OrderRow",
    "OrderState",
    "Orders",
    "Progress",
    "Scope",
    "ShareFigures",
    "ShareRow",
    "Size",
    "Transition",
    "Withdrawn",
]

"""Backfills: many scans beside the nightly runs. `Backfills` is the way in."""

from tasks.ledger.backfills.book import Backfills
from tasks.ledger.backfills.records import (
    BackfillPlan,
    BackfillRow,
    Budget,
    LeftOut,
    Order,
    Progress,
    Scope,
    ShareRow,
    Transition,
    Withdrawn,
)
from tasks.ledger.backfills.shares import Size
from tasks.schema import BackfillMode, BackfillState

__all__ = [
    "BackfillMode",
    "BackfillPlan",
    "BackfillRow",
    "BackfillState",
    "Backfills",
    "Budget",
    "LeftOut",
    "Order",
    "Progress",
    "Scope",
    "ShareRow",
    "Size",
    "Transition",
    "Withdrawn",
]

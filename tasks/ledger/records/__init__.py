"""What goes into the ledger and comes out of it: plain, frozen, typed."""

from tasks.ledger.records.claims import (
    FINISHED,
    STATUS_AFTER,
    Backoff,
    Claim,
    ClaimedItem,
    DerivativeRecord,
    Ending,
    Failures,
    OutageRow,
    Outcome,
    outcome_for,
)
from tasks.ledger.records.discovery import Digest, Discovered, Doubt, ListedObject, Missing
from tasks.ledger.records.fixity import FixityCheck, FixityFilter, FixitySubject, SourceRow
from tasks.ledger.records.reading import (
    AttemptRow,
    Counts,
    DecisionRow,
    DerivativeRow,
    ItemFilter,
    ItemHistory,
    ItemRow,
    ItemStory,
    RevisionRow,
    ScanRow,
)
from tasks.ledger.records.recipes import Recipe, RecipeRow
from tasks.ledger.records.runs import RunEnding, RunFigures, RunRow

__all__ = [
    "FINISHED",
    "STATUS_AFTER",
    "AttemptRow",
    "Backoff",
    "Claim",
    "ClaimedItem",
    "Counts",
    "DecisionRow",
    "DerivativeRecord",
    "DerivativeRow",
    "Digest",
    "Discovered",
    "Doubt",
    "Ending",
    "Failures",
    "FixityCheck",
    "FixityFilter",
    "FixitySubject",
    "ItemFilter",
    "ItemHistory",
    "ItemRow",
    "ItemStory",
    "ListedObject",
    "Missing",
    "OutageRow",
    "Outcome",
    "Recipe",
    "RecipeRow",
    "RevisionRow",
    "RunEnding",
    "RunFigures",
    "RunRow",
    "ScanRow",
    "SourceRow",
    "outcome_for",
]

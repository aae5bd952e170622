"""The ledger: what became of every scan. `Ledger` is the way in, `records` goes through it."""

from tasks.ledger.ledger import Ledger
from tasks.ledger.records import (
    STATUS_AFTER,
    Backoff,
    Claim,
    ClaimedItem,
    ClaimRequest,
    CorrectionRow,
    Counts,
    DerivativeRecord,
    Digest,
    Doubt,
    Ending,
    Failures,
    ItemFilter,
    ItemRow,
    ItemStory,
    ListingCounts,
    MissingScans,
    OutageRow,
    Outcome,
    Recipe,
    RecipeRow,
    RunEnding,
    RunFigures,
    RunRow,
)
from tasks.schema import ItemStatus

"""What goes into the ledger and comes out of it: plain, frozen, typed."""

from tasks.ledger.records.claims import (
    FINISHED,
    STATUS_AFTER,
    Backoff,
    Claim,
    ClaimedItem,
    ClaimRequest,
    DerivativeRecord,
    Ending,
    Failures,
    OutageRow,
    Outcome,
)
from tasks.ledger.records.discovery import Digest, Doubt, ListingCounts, MissingScans
from tasks.ledger.records.films import (
    FilmFacts,
    FilmProgress,
    FoundShot,
    FrameCount,
    LeasedShot,
    ShotRequest,
    ShotResult,
)
from tasks.ledger.records.fixity import FixityCheck, FixityFilter, FixitySubject, SourceRow
from tasks.ledger.records.reading import (
    AttemptRow,
    CorrectionRow,
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
from tasks.ledger.records.shots import ShotRow

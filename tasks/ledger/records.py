"""What goes into the ledger and comes out of it: plain, frozen, typed."""

import enum
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Protocol

from tasks.errors import Reason, Verdict
from tasks.schema import AttemptEnding, DecisionKind, FixityOutcome, ItemStatus

STATUS_AFTER = {
    Verdict.SKIP: ItemStatus.SKIPPED,
    Verdict.QUARANTINE: ItemStatus.QUARANTINED,
    Verdict.RETRY: ItemStatus.FAILED,  # once the attempts are used up; until then pending
    Verdict.REVIEW: ItemStatus.REVIEW,
    Verdict.FAIL: ItemStatus.FAILED,
}
"""Where an item goes for a reason with this verdict. ABORT is missing: its items are given back."""


# --- discovery -----------------------------------------------------------------------------------


class ListedObject(Protocol):
    """What discovery needs to know of an object (`tasks.storage.ObjectInfo` has it)."""

    @property
    def key(self) -> str:
        """Relative to the source."""

    @property
    def size_bytes(self) -> int:
        """Of the file."""

    @property
    def etag(self) -> str:
        """Differs when the content does."""

    @property
    def modified_at(self) -> datetime:
        """When it was written; aware."""

    @property
    def version(self) -> str | None:
        """Where the store keeps versions."""


@dataclass(frozen=True)
class Discovered:
    """What a listing brought: found = new + changed + unchanged."""

    found: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    vanished: int = 0  # known before, not in this (complete) listing
    reappeared: int = 0  # among changed and unchanged: had vanished


# --- recipes and enqueueing ----------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """All that decides a derivative's pixels: the checkpoint, and the output settings."""

    checkpoint_digest: str
    outputs: Mapping[str, object]

    @property
    def digest(self) -> str:
        """The recipe's name: a SHA-256 of its canonical JSON."""
        canonical = json.dumps(
            {"checkpoint": self.checkpoint_digest, "outputs": dict(self.outputs)},
            sort_keys=True,
            separators=(",", ":"),
        )
        return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True)
class RecipeRow:
    """A recipe that the ledger knows."""

    id: int
    digest: str
    checkpoint_digest: str
    outputs: Mapping[str, object]
    created_at: datetime
    used_at: datetime


class EnqueueMode(enum.StrEnum):
    """Which scans get a pending item. A scan whose file changed always counts as not done yet."""

    #: Scans that were never finished under any recipe: the nightly run after a new champion.
    NEW = "new"
    #: Scans that have no item under this recipe.
    MISSING = "missing"
    #: Items of this recipe that failed.
    FAILED = "failed"
    #: Scans with a derivative of another recipe: bring what is published or in review up to date.
    SUPERSEDING = "superseding"
    #: Everything but what is pending, claimed, held or rejected, done before or not.
    ALL = "all"


@dataclass(frozen=True)
class EnqueuePlan:
    """What enqueueing would do."""

    items: int
    size_bytes: int  # of the scans' files, to fetch
    largest_bytes: int


# --- claims --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClaimedItem:
    """One item in a worker's hands."""

    id: int
    scan_id: int
    uri: str
    source: str
    key: str
    page: int  # from 0
    revision: int
    size_bytes: int
    etag: str
    version: str | None
    sha256: str | None  # of the file, where an earlier attempt read this revision
    attempt: int  # from 1
    collection: str


@dataclass(frozen=True)
class Claim:
    """A batch, and the right to it until *expires_at* by the database's clock."""

    token: str
    expires_at: datetime
    items: tuple[ClaimedItem, ...]


@dataclass(frozen=True)
class DerivativeRecord:
    """A file that was written for an item, read back and found whole."""

    kind: str
    store: str  # the store's URL
    key: str
    content_type: str
    size_bytes: int
    sha256: str
    max_delta_l: float | None = None
    mean_delta_l: float | None = None
    luma_identical: bool | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one claimed item.

    A reason with verdict RETRY takes the item back to pending, with a delay, until its attempts are
    used up: the ledger decides that, whatever *status* says.
    """

    item_id: int
    status: ItemStatus
    reason: Reason | None = None
    detail: str = ""
    retry_in_s: float | None = None  # None: the ledger's backoff
    scan_sha256: str | None = None
    width: int | None = None
    height: int | None = None
    bits: int | None = None
    pages: int | None = None
    confidence: float | None = None
    derivatives: tuple[DerivativeRecord, ...] = ()
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.status not in FINISHED:
            raise ValueError(f"item {self.item_id} cannot finish as {self.status}")


FINISHED = frozenset(
    {
        ItemStatus.PUBLISHED,
        ItemStatus.REVIEW,
        ItemStatus.SKIPPED,
        ItemStatus.FAILED,
        ItemStatus.QUARANTINED,
    }
)
"""Where a claimed item may be finished to."""


def outcome_for(item_id: int, reason: Reason, *, detail: str = "") -> Outcome:
    """The outcome of an item that ended for *reason* without a derivative.

    Raises:
        ValueError: The reason's verdict is ABORT: give the items back instead.
    """
    if reason.verdict is Verdict.ABORT:
        raise ValueError(f"{reason} stops the run: give the items back")
    return Outcome(item_id, STATUS_AFTER[reason.verdict], reason=reason, detail=detail)


@dataclass(frozen=True)
class Backoff:
    """How long a failed item waits: doubling from *base_s*, never over *cap_s*, with jitter."""

    base_s: float = 30.0
    cap_s: float = 3600.0

    def delay_s(self, attempt: int, *, fraction: float) -> float:
        """Between half and all of the doubled delay, by a random *fraction* in [0, 1]."""
        full = min(self.cap_s, self.base_s * 2.0 ** (attempt - 1))
        return full * (0.5 + 0.5 * fraction)


@dataclass(frozen=True)
class Failures:
    """How many items a run finished, and how many of them failed through no fault of their own."""

    finished: int
    failed: int

    def exceed(self, budget: float, *, min_items: int) -> bool:
        """Whether more than *budget* of at least *min_items* finished items failed."""
        return self.finished >= min_items and self.failed > budget * self.finished


# --- reading -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ItemFilter:
    """Which items: every field that is given must hold. An empty one means all."""

    statuses: Sequence[ItemStatus] = ()
    reasons: Sequence[Reason] = ()
    collections: Sequence[str] = ()
    recipe_id: int | None = None
    older_than_s: float | None = None  # in their status for at least so long
    uri: str | None = None  # exact; ending in "/" a prefix; with * or ? a pattern
    ids: Sequence[int] | None = None

    def as_json(self) -> dict[str, object]:
        """The fields that are given, for the decision's record."""
        return {name: value for name, value in asdict(self).items() if value not in (None, (), [])}


@dataclass(frozen=True)
class Counts:
    """How many, by status and by reason. Statuses and reasons without items are left out."""

    scans: int  # known, those that vanished too
    vanished: int
    items: Mapping[ItemStatus, int]
    reasons: Mapping[Reason, int]

    @property
    def enqueued(self) -> int:
        """Items in all."""
        return sum(self.items.values())


@dataclass(frozen=True)
class ItemRow:
    """One item in a list."""

    id: int
    scan_id: int
    recipe_id: int
    uri: str
    page: int
    collection: str
    revision: int
    status: ItemStatus
    reason: Reason | None
    detail: str
    attempts: int
    confidence: float | None
    not_before: datetime
    changed_at: datetime


@dataclass(frozen=True)
class AttemptRow:
    """One claim of an item, ended (or open: then *ending* and *ended_at* are None)."""

    number: int
    revision: int
    worker: str
    run_id: int | None
    claimed_at: datetime
    ended_at: datetime | None
    ending: AttemptEnding | None
    status: ItemStatus
    reason: Reason | None
    detail: str
    seconds: float | None


@dataclass(frozen=True)
class DerivativeRow:
    """One derivative on record, with the scan and the recipe that it was made of."""

    id: int
    item_id: int
    recipe_id: int
    scan_uri: str
    revision: int
    kind: str
    store: str
    key: str
    content_type: str
    size_bytes: int
    sha256: str
    max_delta_l: float | None
    mean_delta_l: float | None
    luma_identical: bool | None
    written_at: datetime


@dataclass(frozen=True)
class DecisionRow:
    """One decision; for an item, with what it did to it."""

    id: int
    kind: DecisionKind
    who: str
    why: str
    decided_at: datetime
    was: ItemStatus | None = None
    was_reason: Reason | None = None
    became: ItemStatus | None = None


@dataclass(frozen=True)
class ScanRow:
    """One scan."""

    id: int
    uri: str
    source: str
    key: str
    page: int
    collection: str
    size_bytes: int
    etag: str
    version: str | None
    modified_at: datetime
    revision: int
    run_id: int | None
    found_at: datetime
    vanished_at: datetime | None
    sha256: str | None
    width: int | None
    height: int | None
    bits: int | None
    pages: int | None


@dataclass(frozen=True)
class RevisionRow:
    """What a scan was before its file changed."""

    revision: int
    size_bytes: int
    etag: str
    version: str | None
    modified_at: datetime
    sha256: str | None
    replaced_at: datetime


@dataclass(frozen=True)
class ItemHistory:
    """One item with all that happened to it, oldest first."""

    item: ItemRow
    recipe: RecipeRow
    attempts: tuple[AttemptRow, ...]
    derivatives: tuple[DerivativeRow, ...]
    decisions: tuple[DecisionRow, ...]


@dataclass(frozen=True)
class ItemStory:
    """The whole story of a scan: what it is and was, and its items, the latest recipe's last."""

    scan: ScanRow
    revisions: tuple[RevisionRow, ...]
    items: tuple[ItemHistory, ...]


@dataclass(frozen=True)
class SourceRow:
    """A scan's file with the digest on record, for auditing sources."""

    scan_id: int
    source: str
    key: str
    version: str | None
    etag: str
    size_bytes: int
    sha256: str


class FixitySubject(enum.StrEnum):
    """Whose files are audited."""

    DERIVATIVE = "derivative"
    SOURCE = "source"


@dataclass(frozen=True)
class FixityFilter:
    """Which files are due."""

    older_than_s: float  # their last check, if there was one
    collections: Sequence[str] = ()


@dataclass(frozen=True)
class FixityCheck:
    """What was found when a file was read."""

    id: int  # of the derivative, or of the scan
    expected: str  # the digest on record when it was read
    outcome: FixityOutcome
    sha256: str | None
    detail: str


# --- runs ----------------------------------------------------------------------------------------


class RunEnding(enum.StrEnum):
    """How a run ended."""

    COMPLETED = "completed"
    ABORTED = "aborted"  #: It could not go on: no database, no GPU, too many failures.
    CANCELLED = "cancelled"  #: A person or the deadline ended it.


@dataclass(frozen=True)
class RunFigures:
    """What a run did so far; stored as JSON, and shown by `status` and the report."""

    discovered: Discovered = field(default_factory=Discovered)
    enqueued: int = 0
    finished: Mapping[str, int] = field(default_factory=dict)  # by status
    given_back: int = 0
    confidence: float | None = None  # mean over the derivatives made
    stage_s: Mapping[str, float] = field(default_factory=dict)  # time spent, by stage

    def as_json(self) -> dict[str, object]:
        """Plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, object]) -> "RunFigures":
        """Read what `as_json` wrote, by this version or another."""
        known = {name: value for name, value in stored.items() if name in cls.__dataclass_fields__}
        listing = known.pop("discovered", None)
        if isinstance(listing, Mapping):
            fields = Discovered.__dataclass_fields__
            known["discovered"] = Discovered(**{k: v for k, v in listing.items() if k in fields})
        return cls(**known)  # type: ignore[arg-type] # JSON of this class, by the line above


@dataclass(frozen=True)
class RunRow:
    """One run."""

    id: int
    kind: str
    name: str
    flow_run_id: str | None
    recipe_id: int | None
    started_at: datetime
    seen_at: datetime
    ended_at: datetime | None
    ending: RunEnding | None
    detail: str
    figures: RunFigures

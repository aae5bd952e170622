"""What a backfill is ordered with, and what is told of it: plain, frozen, typed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime

from tasks.errors import Reason
from tasks.ledger.records import RunEnding
from tasks.schema import BackfillMode, BackfillState, ItemStatus


@dataclass(frozen=True)
class Scope:
    """Which scans are looked at: every field that is given must hold."""

    collections: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()  #: sources, folders or patterns: any of these
    confidence_below: float | None = None  #: of the derivative in use

    def as_json(self) -> dict[str, object]:
        """The fields that are given."""
        return {name: value for name, value in asdict(self).items() if value not in (None, ())}

    @classmethod
    def from_json(cls, stored: Mapping[str, object]) -> "Scope":
        """Read what `as_json` wrote."""
        given = {n: tuple(v) if isinstance(v, list) else v for n, v in stored.items()}
        return cls(**given)  # type: ignore[arg-type]  # JSON of this class

    def in_words(self) -> str:
        """Say it, for people."""
        parts = [*self.uris, *(f"collection {name}" for name in self.collections)]
        if self.confidence_below is not None:
            parts.append(f"confidence below {self.confidence_below:g}")
        return ", ".join(parts) or "the archive"


@dataclass(frozen=True)
class Budget:
    """How much a backfill may take on; None: no limit."""

    max_items: int | None = None
    max_bytes: int | None = None  #: of scans to fetch
    max_seconds: float | None = None  #: of workers' time, added up


@dataclass(frozen=True)
class Order:
    """A backfill, as somebody asks for it."""

    mode: BackfillMode = BackfillMode.MISSING
    scope: Scope = field(default_factory=Scope)
    budget: Budget = field(default_factory=Budget)
    priority: int = 0  #: higher first
    who: str = ""


@dataclass(frozen=True)
class LeftOut:
    """Scans in the scope that are not enqueued, and where they stand instead."""

    status: ItemStatus | None  #: None: no recipe has an item of them
    reason: Reason | None
    scans: int


@dataclass(frozen=True)
class BackfillPlan:
    """What a backfill would do now."""

    scans: int  #: in the scope
    items: int  #: that it would enqueue, its budget respected
    size_bytes: int
    largest_bytes: int
    beyond_budget: int  #: that are due, and that the budget leaves out
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True)
class BackfillRow:
    """One backfill."""

    id: int
    run_id: int
    recipe_id: int
    state: BackfillState
    mode: BackfillMode
    scope: Scope
    budget: Budget
    priority: int
    looked_at: int  #: the last scan that planning has been at
    last_scan_id: int  #: the last that is in the plan
    items: int  #: enqueued
    size_bytes: int
    who: str
    detail: str  #: why it is in its state
    created_at: datetime
    changed_at: datetime
    ended_at: datetime | None
    figures: Mapping[str, int]  #: items by status, when it had ended

    @property
    def is_planned(self) -> bool:
        """Whether planning has been at every scan; else a budget cut it short, or it goes on."""
        return self.looked_at >= self.last_scan_id


@dataclass(frozen=True)
class Progress:
    """How far a backfill is. Items that its scans' further pages brought along are in."""

    statuses: Mapping[ItemStatus, int]
    reasons: Mapping[Reason, int]
    worked_s: float  #: of workers' time, added up
    shares_open: int
    shares: int

    @property
    def total(self) -> int:
        """Items in all."""
        return sum(self.statuses.values())

    @property
    def left(self) -> int:
        """Items that have not come to an end."""
        waiting = (ItemStatus.PENDING, ItemStatus.CLAIMED)
        return sum(self.statuses.get(status, 0) for status in waiting)

    @property
    def done(self) -> int:
        """Items that have."""
        return self.total - self.left


@dataclass(frozen=True)
class ShareRow:
    """One worker's turn at a backfill."""

    id: int
    backfill_id: int
    number: int
    flow_run_id: str | None
    max_items: int | None
    max_seconds: float | None
    created_at: datetime
    begun_at: datetime | None
    seen_at: datetime
    ended_at: datetime | None
    ending: RunEnding | None
    detail: str
    items: int


@dataclass(frozen=True)
class Transition:
    """What was decided about a backfill, by whom and why."""

    kind: str
    who: str
    why: str
    decided_at: datetime


@dataclass(frozen=True)
class Withdrawn:
    """What became of the items of a cancelled backfill that had not come to an end."""

    removed: int = 0  #: the backfill had made them, and nobody had worked on them
    restored: int = 0  #: are what they were before
    kept: int = 0  #: had been begun: they wait for the nightly run

    def __add__(self, other: "Withdrawn") -> "Withdrawn":
        return Withdrawn(
            self.removed + other.removed, self.restored + other.restored, self.kept + other.kept
        )

    @property
    def items(self) -> int:
        """All of them."""
        return self.removed + self.restored + self.kept

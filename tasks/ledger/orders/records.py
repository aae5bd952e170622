"""What an order is ordered with, and what is told of it: plain, frozen, typed."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime

from tasks.errors import Reason
from tasks.ledger.records import RunEnding
from tasks.schema import ItemStatus, OrderKind, OrderMode, OrderState

#: URIs of a scope that are said: a list may be of thousands.
_NAMED = 10


@dataclass(frozen=True)
class Scope:
    """Which scans are looked at: every field that is given must hold."""

    collections: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()  #: sources, folders or patterns: any of these
    confidence_below: float | None = None  #: of the derivative in use
    reasons: tuple[str, ...] = ()  #: of those that failed: only for these
    older_than_s: float | None = None  #: of those that failed: only if it is so long ago

    def as_json(self) -> dict[str, object]:
        """The fields that are given."""
        return {name: value for name, value in asdict(self).items() if value not in (None, ())}

    @classmethod
    def from_json(cls, stored: Mapping[str, object]) -> "Scope":
        """Read what `as_json` wrote."""
        given = {n: tuple(v) if isinstance(v, list) else v for n, v in stored.items()}
        return cls(**given)  # type: ignore[arg-type]  # JSON of this class

    @property
    def named_uris(self) -> tuple[str, ...]:
        """Those that are said of all."""
        return self.uris[:_NAMED]

    def in_words(self, unnamed: Collection[str] = ()) -> str:
        """Say it, for people: of many URIs the first, but for the *unnamed*."""
        named = [uri for uri in self.named_uris if uri not in unnamed]
        left = len(self.uris) - len(self.named_uris)
        held = len(self.named_uris) - len(named)
        parts = named + [f"{n:,} {what}" for n, what in ((left, "more"), (held, "held")) if n]
        parts += [f"collection {name}" for name in self.collections]
        if self.confidence_below is not None:
            parts.append(f"confidence below {self.confidence_below:g}")
        if self.reasons:
            parts.append(f"failed for {' or '.join(self.reasons)}")
        return ", ".join(parts) or "the archive"


@dataclass(frozen=True)
class Budget:
    """How much an order may take on; None: no limit."""

    max_items: int | None = None
    max_bytes: int | None = None  #: of scans to fetch
    max_seconds: float | None = None  #: of workers' time, added up


@dataclass(frozen=True)
class Order:
    """What somebody asks for."""

    mode: OrderMode = OrderMode.MISSING
    scope: Scope = field(default_factory=Scope)
    budget: Budget = field(default_factory=Budget)
    priority: int | None = None  #: higher first; none: as its kind has it
    deadline_s: float | None = None  #: from when it is given; nothing is claimed later
    who: str = ""
    why: str = ""
    kind: OrderKind = OrderKind.BACKFILL


@dataclass(frozen=True)
class LeftOutScans:
    """Scans in the scope that are not enqueued, and where they stand instead."""

    status: ItemStatus | None  #: None: no recipe has an item of them
    reason: Reason | None
    scans: int


@dataclass(frozen=True)
class OrderPlan:
    """What an order would do now."""

    scans: int  #: in the scope
    items: int  #: that it would enqueue, its budget respected
    size_bytes: int
    largest_bytes: int
    beyond_budget: int  #: that are due, and that the budget leaves out
    left_out: tuple[LeftOutScans, ...]


@dataclass(frozen=True)
class OrderRow:
    """One order."""

    id: int
    kind: OrderKind
    run_id: int
    recipe_id: int
    state: OrderState
    mode: OrderMode
    scope: Scope
    budget: Budget
    priority: int
    deadline_at: datetime | None
    looked_at: int  #: the last scan that planning has been at
    last_scan_id: int  #: the last that is in the plan
    items: int  #: enqueued
    size_bytes: int
    who: str
    why: str
    detail: str  #: why it is in its state
    created_at: datetime
    changed_at: datetime
    ended_at: datetime | None
    figures: Mapping[str, int]  #: items by status, when it had ended

    @property
    def name(self) -> str:
        """How people call it: "backfill 3", "night 4"."""
        return f"{self.kind} {self.id}"

    @property
    def is_planned(self) -> bool:
        """Whether planning has been at every scan; else a budget cut it short, or it goes on."""
        return self.looked_at >= self.last_scan_id


@dataclass(frozen=True)
class Progress:
    """How far an order is. Items that its scans' further pages brought along are in."""

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
class ShareFigures:
    """What a share came to, beside its items' outcomes, which their attempts tell."""

    given_back: int = 0
    coloured: int = 0  #: items with a derivative
    confidence_sum: float = 0.0  #: over these
    stage_s: Mapping[str, float] = field(default_factory=dict)  #: time spent, by stage


@dataclass(frozen=True)
class ShareRow:
    """What one flow run on one worker takes of an order."""

    id: int
    order_id: int
    number: int
    flow_run_id: str | None
    worker: str  #: that began it
    max_items: int | None
    max_seconds: float | None
    created_at: datetime
    begun_at: datetime | None
    seen_at: datetime
    ended_at: datetime | None
    ending: RunEnding | None
    detail: str
    items: int
    figures: ShareFigures


@dataclass(frozen=True)
class Transition:
    """What was decided about an order, by whom and why."""

    kind: str
    who: str
    why: str
    decided_at: datetime


@dataclass(frozen=True)
class Withdrawal:
    """What became of the items of a cancelled order that had not come to an end."""

    removed: int = 0  #: the order had made them, and nobody had worked on them
    restored: int = 0  #: are what they were before
    kept: int = 0  #: had been begun: they wait for the next order

    def __add__(self, other: "Withdrawal") -> "Withdrawal":
        return Withdrawal(
            self.removed + other.removed, self.restored + other.restored, self.kept + other.kept
        )

    @property
    def items(self) -> int:
        """All of them."""
        return self.removed + self.restored + self.kept

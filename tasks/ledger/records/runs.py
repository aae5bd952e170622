"""Runs, and what they did."""

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime

from tasks.ledger.records.discovery import ListingCounts


class RunEnding(enum.StrEnum):
    """How a run ended."""

    COMPLETED = "completed"
    ABORTED = "aborted"  #: It could not go on: no database, no GPU, too many failures.
    CANCELLED = "cancelled"  #: A person or the deadline ended it.
    LOST = "lost"  #: Its heartbeat ended, and nobody has said why.


@dataclass(frozen=True)
class RunFigures:
    """What a run did so far; stored as JSON, and shown by `status` and the report."""

    discovered: ListingCounts = field(default_factory=ListingCounts)
    incomplete: Sequence[str] = ()  # sources that could not be listed whole, and why
    left_out: Mapping[str, int] = field(default_factory=dict)  # files, by pattern
    enqueued: int = 0
    collections: Sequence[str] = ()  # that it was limited to
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
        for name in ("incomplete", "collections"):
            if isinstance(listed := known.pop(name, ()), Iterable):
                known[name] = tuple(listed)  # JSON knows lists only
        listing = known.pop("discovered", None)
        if isinstance(listing, Mapping):
            fields = ListingCounts.__dataclass_fields__
            known["discovered"] = ListingCounts(**{k: v for k, v in listing.items() if k in fields})
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

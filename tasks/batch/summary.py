"""What became of the items of batches."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from tasks.batch.stages import StageSeconds
from tasks.errors import Reason
from tasks.ledger import ItemStatus, RunEnding
from tasks.words import count


@dataclass
class BatchSummary:
    """What became of the items of one or more batches."""

    statuses: Counter[ItemStatus] = field(default_factory=Counter)
    reasons: Counter[Reason] = field(default_factory=Counter)
    seconds: StageSeconds = field(default_factory=lambda: defaultdict(float))  #: over all threads
    shots: int = 0  #: of films that others hold
    tried_again: int = 0  #: failed for now, and pending again
    given_back: int = 0
    lost_leases: int = 0
    coloured: int = 0  #: items with a derivative
    confidence_sum: float = 0.0  #: over these
    aborted: str = ""  #: Why nothing more can be done, or empty

    @property
    def items(self) -> int:
        """How many items have an outcome."""
        return self.statuses.total()

    @property
    def mean_confidence(self) -> float | None:
        """Of the derivatives made; None where there are none."""
        return self.confidence_sum / self.coloured if self.coloured else None

    def ending(self, *, stopped: bool = False) -> RunEnding:
        """How a run with this total has ended."""
        if self.aborted:
            return RunEnding.ABORTED
        return RunEnding.CANCELLED if stopped else RunEnding.COMPLETED

    def in_words(self) -> str:
        """Say it in a line, for logs."""
        parts = [f"{number:,} {status}" for status, number in self.statuses.most_common()]
        if self.tried_again:
            parts.append(f"{self.tried_again:,} to be tried again")
        if self.given_back:
            parts.append(f"{self.given_back:,} given back")
        if self.shots:
            parts.append(f"{count(self.shots, 'shot')} of films in other hands")
        return f"{count(self.items, 'item')} ended" + (f": {', '.join(parts)}" if parts else "")

    @property
    def by_status(self) -> dict[str, int]:
        """How many items came into each status, in plain words."""
        return {status.value: number for status, number in self.statuses.items()}

    def add_seconds(self, seconds: StageSeconds) -> None:
        """Count time in, stage by stage."""
        for stage, spent in seconds.items():
            self.seconds[stage] += spent

    def add(self, other: "BatchSummary") -> None:
        """Count *other* in."""
        self.statuses.update(other.statuses)
        self.reasons.update(other.reasons)
        self.add_seconds(other.seconds)
        self.shots += other.shots
        self.tried_again += other.tried_again
        self.given_back += other.given_back
        self.lost_leases += other.lost_leases
        self.confidence_sum += other.confidence_sum
        self.coloured += other.coloured
        self.aborted = self.aborted or other.aborted

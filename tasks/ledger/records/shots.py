"""A shot of a film, as it stands."""

from dataclasses import dataclass
from datetime import datetime

from tasks.errors import Reason
from tasks.schema import ShotStatus, ShotVerdict


@dataclass(frozen=True)
class ShotRow:
    """A shot as it stands."""

    id: int
    number: int
    first: int
    frames: int
    status: ShotStatus
    worker: str
    attempts: int
    reason: Reason | None
    detail: str
    segment_key: str | None
    segment_sha256: str | None
    segment_bytes: int | None
    poster_key: str | None
    luma_sha256: str | None
    confidence: float | None
    seconds: float | None
    finished_at: datetime | None
    is_grey: bool
    verdict: ShotVerdict | None

    @property
    def is_to_be_made_anew(self) -> bool:
        """Whether it is not what a curator has said: turned down, and in colour, or grey again."""
        return (self.verdict is ShotVerdict.REJECTED) != self.is_grey

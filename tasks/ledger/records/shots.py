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
    lead: int
    tail: int
    seek: int | None
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
    correction_id: int

    def shows(self, frame: int) -> bool:
        """Whether a frame of the film is one of its own."""
        return self.first <= frame < self.first + self.frames

    def looks_at(self, frame: int) -> bool:
        """Whether what is said of a frame of the film has a part in it."""
        return self.first - self.lead <= frame < self.first + self.frames + self.tail

    @property
    def is_to_be_made_anew(self) -> bool:
        """Whether it is not what a curator has said: turned down, and in colour, or grey again."""
        return (self.verdict is ShotVerdict.REJECTED) != self.is_grey

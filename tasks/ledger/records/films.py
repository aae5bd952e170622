"""Shots of films, and how far films are."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tasks.errors import Reason
from tasks.ledger.records.claims import ClaimedItem
from tasks.schema import ShotStatus, ShotVerdict


class FoundShot(Protocol):
    """A stretch of a film between cuts, as whoever looked at the film found it."""

    @property
    def first(self) -> int:
        """Its first frame, from 0."""

    @property
    def frames(self) -> int:
        """How many they are."""

    @property
    def lead(self) -> int:
        """Frames of the same take before it that colouring looks at, too."""

    @property
    def tail(self) -> int:
        """The same after it."""

    @property
    def seek(self) -> int | None:
        """Where reading begins; None: at the film's start."""


@dataclass(frozen=True)
class FilmFacts:
    """What a film is."""

    frames: int
    seconds: float
    width: int
    height: int
    bits: int


@dataclass(frozen=True)
class ShotRequest:
    """What a worker asks for: a shot of this film, or of any film that is in work for an order."""

    order_id: int
    worker: str
    lease_s: float
    max_attempts: int  #: after so many, a shot is not tried again, and its item fails
    item_id: int | None = None


@dataclass(frozen=True)
class LeasedShot:
    """A shot in a worker's hands, for as long as it is renewed."""

    id: int
    number: int  #: from 1
    first: int
    frames: int
    lead: int
    tail: int
    seek: int | None
    token: str
    attempt: int  #: from 1
    grey: bool  #: it is to be kept grey
    film: ClaimedItem


@dataclass(frozen=True)
class ShotDone:
    """A shot that was coloured: its segment is stored, read back and found whole."""

    segment_key: str
    segment_sha256: str
    segment_bytes: int
    luma_sha256: str
    confidence: float
    seconds: float
    poster_key: str | None = None
    is_grey: bool = False


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
        """Whether a curator has turned it down as it is in the reel."""
        return self.verdict is ShotVerdict.REJECTED and not self.is_grey


@dataclass(frozen=True)
class FilmStanding:
    """How far the shots of one film are."""

    shots: int
    done: int
    frames: int
    frames_done: int
    due_in_s: float | None  #: until one can be leased; 0 for now; None where none is left
    failed: ShotRow | None = None  #: the first that cannot be coloured

    @property
    def is_done(self) -> bool:
        """Whether all are there."""
        return self.shots > 0 and self.done == self.shots


@dataclass(frozen=True)
class FrameCount:
    """Frames of films: of an order, or of the archive."""

    films: int = 0
    frames: int = 0
    done: int = 0
    seconds: float = 0.0  #: how long they play

    @property
    def share(self) -> float:
        """How much of them is done, in [0, 1]."""
        return self.done / self.frames if self.frames else 0.0

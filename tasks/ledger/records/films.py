"""Shots of films, and how far films are."""

from dataclasses import dataclass
from typing import Protocol

from tasks.ledger.records.claims import ClaimedItem
from tasks.ledger.records.shots import ShotRow
from tasks.words import count, duration, playing_time


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
    revision: int | None = None  #: of the bytes that whoever asks has of it
    without: frozenset[int] = frozenset()  #: items whose films whoever asks cannot have now


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
    correction_id: int  #: up to which what people said of frames counts; 0: nobody did
    film: ClaimedItem


@dataclass(frozen=True)
class ShotResult:
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
class FilmProgress:
    """How far the shots of one film are."""

    is_held: bool  #: by the claim that was asked for; nobody has taken it away
    shots: int
    done: int
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
    eta_s: float | None = None  #: for the frames that are left, as fast as lately; None: unknown

    @property
    def share(self) -> float:
        """How much of them is done, in [0, 1]."""
        return self.done / self.frames if self.frames else 0.0

    def in_words(self) -> str:
        """Say it in a line."""
        said = f"{self.done:,} of {self.frames:,} frames of {count(self.films, 'film')}"
        said += f", {playing_time(self.seconds)}" if self.seconds else ""
        return f"{said}, about {duration(self.eta_s)} left" if self.eta_s else said

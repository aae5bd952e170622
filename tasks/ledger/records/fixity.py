"""What an audit asks for, and what it found."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.schema import FixityOutcome


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

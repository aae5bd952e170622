"""What a listing gives, and what it brought."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ListingCounts:
    """What a listing brought: found = new + changed + unchanged."""

    found: int = 0
    new: int = 0
    changed: int = 0  # they hold other bytes
    unchanged: int = 0
    vanished: int = 0  # known before, not in this (complete) listing
    left_out: int = 0  # known before, and left out of this listing
    reappeared: int = 0  # among changed and unchanged: had vanished
    doubted: int = 0  # among unchanged: listed otherwise, so that their bytes are to be compared


@dataclass(frozen=True)
class MissingScans:
    """Known scans that a listing did not bring, before anything is made of that.

    Attributes:
        known: How many were known, those that are left out not counted.
        folders: How many of them are missing, by folder: "" or ending in "/".
    """

    known: int = 0
    folders: Mapping[str, int] = field(default_factory=dict)

    @property
    def scans(self) -> int:
        """How many are missing."""
        return sum(self.folders.values())


@dataclass(frozen=True)
class Doubt:
    """A known file of which the listing tells otherwise: are its bytes still those on record?"""

    scan_id: int
    key: str
    listing: int  # counted up whenever the listing tells otherwise
    size_bytes: int


@dataclass(frozen=True)
class Digest:
    """The digest of a file that was in doubt, and the listing that it was read under."""

    scan_id: int
    listing: int
    sha256: str

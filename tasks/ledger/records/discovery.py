"""What a listing gives, and what it brought."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class ListedObject(Protocol):
    """What discovery needs to know of an object (`tasks.storage.ObjectInfo` has it)."""

    @property
    def key(self) -> str:
        """Relative to the source."""

    @property
    def size_bytes(self) -> int:
        """Of the file."""

    @property
    def etag(self) -> str:
        """Differs when the content does."""

    @property
    def modified_at(self) -> datetime:
        """When it was written; aware."""

    @property
    def version(self) -> str | None:
        """Where the store keeps versions."""


@dataclass(frozen=True)
class Discovered:
    """What a listing brought: found = new + changed + unchanged."""

    found: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    vanished: int = 0  # known before, not in this (complete) listing
    reappeared: int = 0  # among changed and unchanged: had vanished

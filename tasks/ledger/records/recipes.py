"""Recipes, and which scans get an item under one."""

import enum
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Recipe:
    """All that decides a derivative's pixels: the checkpoint, and the output settings."""

    checkpoint_digest: str
    outputs: Mapping[str, object]

    @property
    def digest(self) -> str:
        """The recipe's name: a SHA-256 of its canonical JSON."""
        canonical = json.dumps(
            {"checkpoint": self.checkpoint_digest, "outputs": dict(self.outputs)},
            sort_keys=True,
            separators=(",", ":"),
        )
        return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True)
class RecipeRow:
    """A recipe that the ledger knows."""

    id: int
    digest: str
    checkpoint_digest: str
    outputs: Mapping[str, object]
    created_at: datetime
    used_at: datetime


class EnqueueMode(enum.StrEnum):
    """Which scans get a pending item. A scan whose file changed always counts as not done yet."""

    #: Scans that were never finished under any recipe: the nightly run after a new champion.
    NEW = "new"
    #: Scans that have no item under this recipe.
    MISSING = "missing"
    #: Items of this recipe that failed.
    FAILED = "failed"
    #: Scans with a derivative of another recipe: bring what is published or in review up to date.
    SUPERSEDING = "superseding"
    #: Everything but what is pending, claimed, held or rejected, done before or not.
    ALL = "all"


@dataclass(frozen=True)
class EnqueuePlan:
    """What enqueueing would do."""

    items: int
    size_bytes: int  # of the scans' files, to fetch
    largest_bytes: int

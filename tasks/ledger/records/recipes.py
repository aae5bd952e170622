"""Recipes."""

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

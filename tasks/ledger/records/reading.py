"""What people ask for: counts, items, the whole story of a scan."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Literal

from tasks.errors import Reason
from tasks.ledger.records.recipes import RecipeRow
from tasks.ledger.records.shots import ShotRow
from tasks.schema import AttemptEnding, DecisionKind, ItemStatus


@dataclass(frozen=True)
class ItemFilter:
    """Which items: every field that is given must hold. An empty one means all."""

    statuses: Sequence[ItemStatus] = ()
    reasons: Sequence[Reason] = ()
    collections: Sequence[str] = ()
    recipe_id: int | None = None
    older_than_s: float | None = None  # in their status for at least so long
    uri: str | None = None  # exact; ending in "/" a prefix; with * or ? a pattern
    ids: Sequence[int] | None = None
    without_reason: bool = False  # only those that have none
    least: float | None = None  # confidence from here on
    most: float | None = None  # confidence up to here
    since: datetime | None = None  # in their status since then or later
    until: datetime | None = None  # since before then
    order_id: int | None = None  # that enqueued them last
    what: Literal["", "film", "page"] = ""  # films alone, or pages of files that have several

    def as_json(self) -> dict[str, object]:
        """The fields that are given, for the decision's record."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in asdict(self).items()
            if value not in (None, (), [], "") and value is not False
        }

    @property
    def is_about_items(self) -> bool:
        """Whether it says something of items, and not only where scans lie."""
        return bool(self.as_json().keys() - {"collections", "uri"})


@dataclass(frozen=True)
class Counts:
    """How many, by status and by reason. Statuses and reasons without items are left out."""

    scans: int  # known, those that vanished too
    vanished: int
    items: Mapping[ItemStatus, int]
    reasons: Mapping[Reason, int]

    @property
    def enqueued(self) -> int:
        """Items in all."""
        return sum(self.items.values())


@dataclass(frozen=True)
class ItemRow:
    """One item in a list."""

    id: int
    scan_id: int
    recipe_id: int
    uri: str
    page: int
    collection: str
    revision: int
    status: ItemStatus
    reason: Reason | None
    detail: str
    attempts: int
    confidence: float | None
    not_before: datetime
    changed_at: datetime
    notes: tuple[str, ...] = ()  # what a person should know of the scan
    correction_id: int = 0  # that its derivatives in use were made with; 0: none

    @property
    def seen(self) -> str:
        """What whoever decides says that he saw: it changes when the item does."""
        return f"{self.status}@{self.changed_at.isoformat()}"


@dataclass(frozen=True)
class AttemptRow:
    """One claim of an item, ended (or open: then *ending* and *ended_at* are None)."""

    number: int
    revision: int
    worker: str
    run_id: int | None
    claimed_at: datetime
    ended_at: datetime | None
    ending: AttemptEnding | None
    status: ItemStatus
    reason: Reason | None
    detail: str
    seconds: float | None


@dataclass(frozen=True)
class DerivativeRow:
    """One derivative on record, with the scan and the recipe that it was made of."""

    id: int
    item_id: int
    recipe_id: int
    scan_uri: str
    revision: int
    kind: str
    store: str
    key: str
    content_type: str
    size_bytes: int
    sha256: str
    max_delta_l: float | None
    mean_delta_l: float | None
    luma_identical: bool | None
    written_at: datetime
    correction_id: int = 0  # that it was made with; 0: none


@dataclass(frozen=True)
class DecisionRow:
    """One decision; for an item, with what it did to it."""

    id: int
    kind: DecisionKind
    who: str
    why: str
    decided_at: datetime
    was: ItemStatus | None = None
    was_reason: Reason | None = None
    became: ItemStatus | None = None


@dataclass(frozen=True)
class CorrectionRow:
    """What a person said of the colours of some bytes."""

    id: int
    scan_id: int  # that it was made on
    sha256: str
    page: int  # from 0
    # As `colormodel.correction.Correction` has it; a mapping has no hash, its number has.
    said: Mapping[str, object] = field(hash=False)
    parent_id: int | None  # that it goes on from
    who: str
    note: str
    made_at: datetime
    withdrawn_by: str | None = None
    withdrawn_at: datetime | None = None
    withdrawn_why: str | None = None
    frame: int | None = None  # of a film, from 0

    @property
    def is_withdrawal(self) -> bool:
        """Whether it says nothing: what its parent said of a frame of a film is withdrawn."""
        return not self.said


@dataclass(frozen=True)
class ScanRow:
    """One scan."""

    id: int
    uri: str
    source: str
    key: str
    page: int
    collection: str
    size_bytes: int
    etag: str
    version: str | None
    modified_at: datetime
    revision: int
    run_id: int | None
    found_at: datetime
    vanished_at: datetime | None
    sha256: str | None
    width: int | None
    height: int | None
    bits: int | None
    pages: int | None
    frames: int | None = None  # of a film
    film_s: float | None = None  # how long it plays
    title: str | None = None  # what its file calls its subject


@dataclass(frozen=True)
class RevisionRow:
    """What a scan was before its file changed."""

    revision: int
    size_bytes: int
    etag: str
    version: str | None
    modified_at: datetime
    sha256: str | None
    replaced_at: datetime


@dataclass(frozen=True)
class ItemHistory:
    """One item with all that happened to it, oldest first."""

    item: ItemRow
    recipe: RecipeRow
    attempts: tuple[AttemptRow, ...]
    derivatives: tuple[DerivativeRow, ...]
    decisions: tuple[DecisionRow, ...]
    shots: tuple[ShotRow, ...] = ()  # of a film


@dataclass(frozen=True)
class ItemStory:
    """The whole story of a scan: what it is and was, and its items, the latest recipe's last."""

    scan: ScanRow
    revisions: tuple[RevisionRow, ...]
    items: tuple[ItemHistory, ...]
    corrections: tuple[CorrectionRow, ...] = ()  # of the bytes that it holds, the latest last

"""Batches that workers hold, and what became of their items."""

from dataclasses import dataclass
from datetime import datetime

from tasks.errors import Reason, Verdict
from tasks.ledger.records.reading import CorrectionRow
from tasks.schema import ItemStatus
from tasks.words import count


@dataclass(frozen=True)
class ClaimRequest:
    """What a worker asks for; see `Ledger.claim`."""

    worker: str  #: who claims, for people
    recipe_id: int
    order_id: int  #: whose items
    run_id: int  #: whose failure budget this counts for
    limit: int  #: items at most
    lease_s: float  #: how long the claim lasts unless renewed
    max_attempts: int  #: after so many, an item is not tried again


@dataclass(frozen=True)
class OutageRow:
    """A place of which nothing can be read, and what waits for it."""

    source: str  # its URL
    place: str  # what the keys of its scans begin with; "" for the whole source
    since: datetime
    until: datetime  # then it is tried again
    why: str
    scans: int  # items that wait for it, under any recipe

    @property
    def url(self) -> str:
        """The place's address."""
        return f"{self.source}/{self.place}" if self.place else self.source

    def in_words(self) -> str:
        """Say it in a line."""
        verb = "waits" if self.scans == 1 else "wait"
        return f"{count(self.scans, 'scan')} {verb}, since {self.since:%Y-%m-%d %H:%M}: {self.why}"


STATUS_AFTER = {
    Verdict.SKIP: ItemStatus.SKIPPED,
    Verdict.QUARANTINE: ItemStatus.QUARANTINED,
    Verdict.RETRY: ItemStatus.FAILED,  # once the attempts are used up; until then pending
    Verdict.REVIEW: ItemStatus.REVIEW,
    Verdict.FAIL: ItemStatus.FAILED,
}
"""Where an item goes for a reason with this verdict. Of WAIT and ABORT, items are given back."""


@dataclass(frozen=True)
class ClaimedItem:
    """One item in a worker's hands."""

    id: int
    scan_id: int
    uri: str
    source: str
    key: str
    page: int  # from 0
    revision: int
    size_bytes: int
    etag: str
    version: str | None
    sha256: str | None  # of the file, where an earlier attempt read this revision
    attempt: int  # from 1
    collection: str
    listing: int = 1  # of the file; to be said when its digest is
    is_doubted: bool = False  # the listing tells otherwise since *sha256* was read
    correction: CorrectionRow | None = None  # that stands for these bytes
    may_be_corrected: bool = False  # nobody has read the scan; its bytes may be known elsewhere


@dataclass(frozen=True)
class Claim:
    """A batch, and the right to it until *expires_at* by the database's clock."""

    token: str
    expires_at: datetime
    items: tuple[ClaimedItem, ...]
    # Places that were away, by source, and are tried again: who reads a scan there ends the outage.
    tried_again: frozenset[tuple[str, str]] = frozenset()
    order_id: int = 0  # whose items they are


@dataclass(frozen=True)
class DerivativeRecord:
    """A file that was written for an item, read back and found whole."""

    kind: str
    store: str  # the store's URL
    key: str
    content_type: str
    size_bytes: int
    sha256: str
    max_delta_l: float | None = None
    mean_delta_l: float | None = None
    luma_identical: bool | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one claimed item.

    A reason with verdict RETRY takes the item back to pending, with a delay, until its attempts are
    used up: the ledger decides that, whatever *status* says.
    """

    item_id: int
    status: ItemStatus
    reason: Reason | None = None
    detail: str = ""
    retry_in_s: float | None = None  # None: the ledger's backoff
    scan_sha256: str | None = None
    listing: int | None = None  # that the digest was read under; None: the latest
    width: int | None = None
    height: int | None = None
    bits: int | None = None
    pages: int | None = None
    title: str | None = None  # what the file calls its subject
    confidence: float | None = None
    notes: tuple[str, ...] | None = None  # of the scan, a sentence each; None: it was not read
    derivatives: tuple[DerivativeRecord, ...] = ()
    seconds: float | None = None
    correction_id: int = 0  # that was in force, whatever came of it
    is_final: bool = False  # it was tried as often as it may be: whatever the reason, not again

    def __post_init__(self) -> None:
        if self.status not in FINISHED:
            raise ValueError(f"item {self.item_id} cannot finish as {self.status}")


@dataclass(frozen=True)
class Ending:
    """Where a finished item stands: the ledger decides, an outcome only proposes."""

    status: ItemStatus
    reason: Reason | None


FINISHED = frozenset(
    {
        ItemStatus.PUBLISHED,
        ItemStatus.REVIEW,
        ItemStatus.SKIPPED,
        ItemStatus.FAILED,
        ItemStatus.QUARANTINED,
    }
)
"""Where a claimed item may be finished to."""


@dataclass(frozen=True)
class Backoff:
    """How long a failed item waits: doubling from *base_s*, never over *cap_s*, with jitter."""

    base_s: float = 30.0
    cap_s: float = 3600.0

    def delay_s(self, attempt: int, *, fraction: float) -> float:
        """Between half and all of the doubled delay, by a random *fraction* in [0, 1]."""
        full = min(self.cap_s, self.base_s * 2.0 ** (attempt - 1))
        return full * (0.5 + 0.5 * fraction)


#: Of fewer items, no share is told.
LEAST_FINISHED = 50


@dataclass(frozen=True)
class Failures:
    """How many items a run finished, and how many of them failed through no fault of their own."""

    finished: int
    failed: int

    def exceed(self, budget: float) -> bool:
        """Whether more than *budget* failed, of enough to tell."""
        return self.finished >= LEAST_FINISHED and self.failed > budget * self.finished

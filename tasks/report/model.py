"""What the report of a run is made of. Plain values: whoever fills them in decides where from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tasks.errors import Reason
from tasks.ledger.records import FrameCount, RunEnding
from tasks.schema import ItemStatus

COLOURED = (ItemStatus.PUBLISHED, ItemStatus.REVIEW)
WAITING = (ItemStatus.PENDING, ItemStatus.CLAIMED)


@dataclass(frozen=True)
class RunFacts:
    """When the run was, and how it ended. Times are aware; they are shown in their own zone."""

    id: int  # in the ledger: names are not unique
    name: str
    kind: str  # "nightly", "run", "backfill", …
    started_at: datetime
    ended_at: datetime
    ending: RunEnding
    detail: str = ""  # why it was aborted


@dataclass(frozen=True)
class RecipeFacts:
    """What coloured: the checkpoint's name and digest, and the recipe's digest."""

    checkpoint_name: str
    checkpoint_digest: str
    recipe_digest: str


@dataclass(frozen=True)
class Found:
    """What discovery brought.

    *incomplete* says what could not be listed, *left_out* what patterns left out, by pattern.
    """

    found: int = 0
    new: int = 0
    changed: int = 0
    vanished: int = 0
    incomplete: str = ""
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ItemCounts:
    """Items by status, and those that have a reason by reason."""

    statuses: Mapping[ItemStatus, int] = field(default_factory=dict)
    reasons: Mapping[Reason, int] = field(default_factory=dict)

    @property
    def items(self) -> int:
        """Items in all."""
        return sum(self.statuses.values())

    def of(self, *statuses: ItemStatus) -> int:
        """Items in any of these statuses."""
        return sum(self.statuses.get(status, 0) for status in statuses)


@dataclass(frozen=True)
class Speed:
    """How much was done in how long. Stages overlap: their seconds may add up to more."""

    items: int = 0
    seconds: float = 0.0
    stage_s: Mapping[str, float] = field(default_factory=dict)

    @property
    def pictures_per_s(self) -> float:
        """Items ended a second of the run; 0 where nothing was done."""
        return self.items / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class Sample:
    """One scan as an example of a trouble, or of what is odd about scans."""

    uri: str
    detail: str
    attempts: int = 1


@dataclass(frozen=True)
class Trouble:
    """All items that stand failed or quarantined for one reason."""

    status: ItemStatus
    reason: Reason
    items: int
    new: int  # of these, since this run
    samples: tuple[Sample, ...] = ()

    @property
    def still(self) -> int:
        """Of these, from earlier runs."""
        return self.items - self.new


@dataclass(frozen=True)
class Confidence:
    """The mean of this run's scores in [0, 1], and of the run before; None where there is none."""

    mean: float | None = None
    previous: float | None = None

    @property
    def drift(self) -> float | None:
        """How much the mean has moved; None where there is nothing to compare."""
        if self.mean is None or self.previous is None:
            return None
        return self.mean - self.previous


@dataclass(frozen=True)
class Backlog:
    """What waits. *oldest_since*: when the longest-waiting item could have been claimed."""

    items: int = 0
    oldest_since: datetime | None = None
    eta_s: float | None = None


@dataclass(frozen=True)
class Outage:
    """A source, or a folder in one, of which nothing can be read, and how many scans wait."""

    url: str
    why: str
    since: datetime
    scans: int


@dataclass(frozen=True)
class Picture:
    """A scan and its derivative, side by side on the contact sheet.

    Attributes:
        title: What people call it; the key's last part if nothing better is known.
        before: JPEG or PNG, small: about 400 pixels high.
        after: The same size.
        status: Where its item stands.
        confidence: The score in [0, 1].
        link: Where the derivative can be opened: `ObjectStore.link`.
        reason: Why it waits for a curator, if it does.
    """

    title: str
    before: bytes
    after: bytes
    status: ItemStatus
    confidence: float | None = None
    link: str = ""
    reason: Reason | None = None


@dataclass(frozen=True)
class RunReport:
    """Everything that the report of one run tells."""

    title: str
    run: RunFacts
    sources: tuple[str, ...]
    output: str
    recipe: RecipeFacts
    found: Found
    scans: int  # known to the ledger, those that vanished too
    tonight: ItemCounts  # what this run's items came to
    archive: ItemCounts  # all items of the current recipe, as they stand now
    speed: Speed = field(default_factory=Speed)
    troubles: tuple[Trouble, ...] = ()
    confidence: Confidence = field(default_factory=Confidence)
    backlog: Backlog = field(default_factory=Backlog)
    outages: tuple[Outage, ...] = ()
    noted: tuple[Sample, ...] = ()  # scans of this run with something odd about them, a few
    pictures: tuple[Picture, ...] = ()
    films: FrameCount = field(default_factory=FrameCount)  # all that are known

    @property
    def without_item(self) -> int:
        """Scans that have no item under this recipe: found = sum over statuses + these."""
        return self.scans - self.archive.items

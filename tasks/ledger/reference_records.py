"""What the ledger keeps of references and trainings: plain, frozen, typed."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


class ReferenceKind(enum.StrEnum):
    """What a reference is."""

    PERIOD = "period"  #: A colour photograph of the time.
    PAIR = "pair"  #: The colour version of one of the archive's scans.
    CORRECTION = "correction"  #: One of our derivatives, corrected by a curator: no evidence.
    HAND_TINTED = "hand_tinted"  #: A print coloured by hand: what its maker saw or wanted.

    @property
    def is_evidence(self) -> bool:
        """Whether it tells of colours that were there: only by such are challengers judged."""
        return self is not ReferenceKind.CORRECTION


class Certainty(enum.StrEnum):
    """How sure the curator is that the colours are those of the time."""

    CERTAIN = "certain"
    PROBABLE = "probable"
    DOUBTFUL = "doubtful"


class Split(enum.StrEnum):
    """What a reference is for. It follows from its digest, and never changes."""

    TRAIN = "train"
    EVALUATION = "evaluation"  #: Held out: challengers are judged on it, and never see it before.


@dataclass(frozen=True)
class Description:
    """What a curator says of a reference."""

    kind: ReferenceKind = ReferenceKind.PERIOD
    rights: str = ""
    citation: str = ""
    date: str = ""
    place: str = ""
    curator: str = ""
    certainty: Certainty = Certainty.PROBABLE
    note: str = ""
    scan: str = ""  #: URI of the scan that it is the colour version of
    corrects: str = ""  #: the item whose derivative it corrects: its id or its scan's URI


@dataclass(frozen=True)
class NewReference:
    """A reference that passed every check, to be recorded."""

    store: str
    key: str
    origin: str  #: where the curator's file was
    collection: str
    sha256: str
    size_bytes: int
    width: int
    height: int
    split: Split
    phash: str
    described: Description
    delivery: str  #: names the call that brought it, with others
    vouched: bool  #: a person says that the colours are right though they look wrong
    scan_id: int | None = None
    corrects_item_id: int | None = None


@dataclass(frozen=True)
class ReferenceRow:
    """A reference on record."""

    id: int
    store: str
    key: str
    origin: str
    collection: str
    sha256: str
    size_bytes: int
    width: int
    height: int
    split: Split
    phash: str
    described: Description
    delivery: str
    vouched: bool
    scan_id: int | None
    corrects_item_id: int | None
    added_by: str
    added_at: datetime
    withdrawn_by: str | None
    withdrawn_at: datetime | None
    withdrawn_why: str | None

    @property
    def stands(self) -> bool:
        """Whether it has not been withdrawn."""
        return self.withdrawn_at is None


class Exposure(enum.StrEnum):
    """How a checkpoint came to know a reference."""

    LEARNT = "learnt"  #: It was trained on it.
    INHERITED = "inherited"  #: One that it descends from was.
    JUDGED = "judged"  #: It was judged on it, and learnt nothing from it.


@dataclass(frozen=True)
class Witness:
    """A checkpoint that saw a reference."""

    digest: str
    name: str
    exposure: Exposure
    training_id: int
    is_champion: bool


@dataclass(frozen=True)
class ReferenceSetRow:
    """A frozen list of references: which to learn from, which to judge on."""

    id: int
    digest: str
    train: tuple[int, ...]
    evaluation: tuple[int, ...]
    frozen_at: datetime


class TrainingVerdict(enum.StrEnum):
    """What came of a fine-tuning."""

    PROMOTED = "promoted"  #: The challenger is, or was, the champion.
    KEPT = "kept"  #: The champion stays.
    FAILED = "failed"  #: It could not be finished.


@dataclass(frozen=True)
class TrainingRow:
    """A fine-tuning; without a verdict it is under way, or its process was killed."""

    id: int
    run_id: int | None
    reference_set_id: int
    set_digest: str
    parent: str  #: digest
    challenger: str | None  #: digest
    started_at: datetime
    ended_at: datetime | None
    figures: Mapping[str, object]
    verdict: TrainingVerdict | None
    why: str

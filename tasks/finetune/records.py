"""What a fine-tuning is at, and what came of it."""

from dataclasses import dataclass
from pathlib import Path

from colormodel.checkpoint import Checkpoint
from colormodel.finetune import FinetuneRecipe
from tasks.finetune.judging import Judgement
from tasks.ledger import Ledger
from tasks.ledger.checkpoints import CheckpointRow
from tasks.ledger.reference_records import ReferenceRow, ReferenceSetRow, TrainingRow
from tasks.settings import Settings


@dataclass(frozen=True)
class NoTraining:
    """There is no reason to train now; *why* says what is missing."""

    why: str


@dataclass(frozen=True)
class Finetuning:
    """A fine-tuning that has begun."""

    settings: Settings
    ledger: Ledger
    training: TrainingRow
    parent: CheckpointRow
    parent_file: Checkpoint
    reference_set: ReferenceSetRow
    references: tuple[ReferenceRow, ...]
    recipe: FinetuneRecipe
    folder: Path


@dataclass(frozen=True)
class TrainingReport:
    """Where what people look at is, and what it holds."""

    table: str  #: Markdown
    examples: bytes  #: JPEG; empty where there is no challenger
    link: str  #: address of the report


@dataclass(frozen=True)
class TrainingResult:
    """A challenger, judged; without one there is a reason instead."""

    judgement: Judgement
    challenger: Checkpoint | None
    shown: TrainingReport
    figures: dict[str, object]


@dataclass(frozen=True)
class Approval:
    """What a person said of a promotion."""

    promote: bool
    who: str
    why: str

"""The course of a fine-tuning: begin, train, judge, conclude. Killed, it goes on where it was.

Plain functions; the `finetune` flow wraps them into Prefect's tasks, `autochrome finetune` calls
them as they are. Between the steps, everything that is needed to go on is in the ledger and in the
settings' folder for fine-tunings.
"""

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from colormodel.checkpoint import (
    Card,
    Checkpoint,
    CheckpointError,
    TrainingData,
    read_checkpoint,
    with_metrics,
)
from colormodel.finetune import Finetuned, FinetuneRecipe, Look, finetune
from colormodel.infer import Colorizer, DeviceError
from colormodel.photos import DataError
from colormodel.recipe import RecipeError
from tasks.checkpoints import fetch_checkpoint, find_champion, register_file
from tasks.errors import NoCheckpoint, NoDevice, RunAborted, UsageError
from tasks.finetune.judging import Check, Judgement, Rules, Scores, judge, measure
from tasks.finetune.material import (
    Gathered,
    base_photographs,
    check_base,
    freeze,
    gather,
    held_out_photographs,
    material_of,
    source_weights,
    suspect,
)
from tasks.finetune.showing import curves_svg, example_strip, table_markdown
from tasks.ledger import Ledger
from tasks.ledger.checkpoints import CheckpointRow, champion_checkpoint, promote_trained
from tasks.ledger.reference_records import (
    ReferenceRow,
    ReferenceSetRow,
    Split,
    TrainingRow,
    TrainingVerdict,
)
from tasks.ledger.references import known_to_trainings
from tasks.ledger.trainings import begin_training, end_training
from tasks.settings import Settings, check_kept
from tasks.storage import open_store

EXAMPLES = 6


@dataclass(frozen=True)
class Skipped:
    """There is no reason to train now; *why* says what is missing."""

    why: str


@dataclass(frozen=True)
class Course:
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
class Shown:
    """Where what people look at is, and what it holds."""

    table: str  #: Markdown
    curves: str  #: SVG
    examples: bytes  #: JPEG; empty where there is no challenger
    link: str  #: address of the report


@dataclass(frozen=True)
class Judged:
    """A challenger, judged; without one there is a reason instead."""

    judgement: Judgement
    challenger: Checkpoint | None
    shown: Shown
    figures: dict[str, object]


@dataclass(frozen=True)
class Approval:
    """What a person said of a promotion."""

    promote: bool
    who: str
    why: str


@contextmanager
def begin(
    settings: Settings, ledger: Ledger, *, run_id: int | None, who: str, force: bool = False
) -> Iterator[Course | Skipped]:
    """Freeze the references and begin, or take up what was killed; or say why there is no need.

    While the block lasts, no other process trains in the same folder.

    Args:
        settings: What and how.
        ledger: Where it is recorded.
        run_id: Of the run.
        who: Freezes the set.
        force: Train though too few references are new.

    Raises:
        UsageError: There are no base photographs, another process is training, or a worker runs
            this and its folder would not outlive the run.
    """
    reference_set, rows = freeze(ledger, who=who)
    reason = _reason_to_skip(settings, ledger, rows, force=force)
    if reason:
        yield Skipped(reason)
        return
    check_base(settings)
    check_kept({"FINETUNE_FOLDER": [str(settings.finetune_folder)]})
    if settings.threads:
        torch.set_num_threads(settings.threads)
    recipe = _recipe(settings)
    root = settings.finetune_folder.absolute()
    root.mkdir(parents=True, exist_ok=True)
    with _alone(root):
        parent = find_champion(settings, ledger)
        folder = root / _name(parent.digest, reference_set.digest, recipe)
        folder.mkdir(exist_ok=True)
        training = begin_training(ledger, reference_set.id, parent_id=parent.id, run_id=run_id)
        course = Course(
            settings=settings,
            ledger=ledger,
            training=training,
            parent=parent,
            parent_file=fetch_checkpoint(parent, settings, folder),
            reference_set=reference_set,
            references=tuple(rows),
            recipe=recipe,
            folder=folder,
        )
        try:
            yield course
        except Exception as error:
            why = str(error) or type(error).__name__
            end_training(ledger, training.id, TrainingVerdict.FAILED, why=why, figures={})
            raise
        _clear(root, folder)


def train(course: Course, *, on_look: Callable[[Look], None] | None = None) -> Finetuned | str:
    """Train the challenger, from where it was; or say why the references cannot be learnt from.

    Raises:
        NoDevice: The settings name a device that is not there.
        UsageError: There is too little to learn from.
        RunAborted: The state of a killed training is damaged.
    """
    gathered = gather(course.settings, course.references, course.folder)
    try:
        colorizer = Colorizer(course.parent_file, device=course.settings.device)
        suspicion = suspect(gathered, colorizer)
        if suspicion:
            return suspicion
        return finetune(
            course.recipe,
            material_of(course.settings, gathered, course.parent_file.card),
            parent=course.parent_file,
            out=course.folder,
            card=_card(course, gathered),
            device=course.settings.device,
            on_look=on_look,
        )
    except DataError as error:
        raise UsageError(str(error)) from error
    except DeviceError as error:
        raise NoDevice(str(error)) from error
    except CheckpointError as error:
        raise NoCheckpoint(str(error)) from error
    except RecipeError as error:
        raise RunAborted(f"{error}; or remove {course.folder} to train anew") from error


def judge_challenger(course: Course, trained: Finetuned | str) -> Judged:
    """Score champion and challenger in one run on what neither learns from here, and decide."""
    if isinstance(trained, str) or trained.checkpoint is None:
        words = trained if isinstance(trained, str) else _nothing_learnt(trained)
        looks = () if isinstance(trained, str) else trained.looks
        judgement = Judgement((_no(words),), ())
        figures = _figures(course, judgement, looks, {})
        shown = _show(course, judgement, looks, b"")
        return Judged(judgement, None, shown, figures)
    held_out = held_out_photographs(gather(course.settings, course.references, course.folder))
    device = course.settings.device
    challenger = trained.checkpoint
    scores: dict[str, Scores] = {
        "references": measure(course.parent_file, challenger, held_out, device=device),
        "base": measure(
            course.parent_file, challenger, base_photographs(course.settings), device=device
        ),
    }
    judgement = judge(
        scores["references"],
        scores["base"],
        Rules(least_pictures=course.settings.finetune_min_held_out),
    )
    final = _with_figures(course, challenger, judgement)
    compared = {"champion": course.parent_file, "challenger": final}
    examples = example_strip(held_out[:EXAMPLES], compared, device=device)
    return Judged(
        judgement,
        final,
        _show(course, judgement, trained.looks, examples),
        _figures(course, judgement, trained.looks, scores),
    )


def conclude(course: Course, judged: Judged, approval: Approval | None, *, who: str) -> TrainingRow:
    """Promote or keep, in one transaction with the verdict and its reasons.

    Args:
        course: The fine-tuning.
        judged: Its challenger and the evidence.
        approval: What a person said; None where none was asked.
        who: Concludes.
    """
    challenger = None
    if judged.challenger is not None:
        path = judged.challenger.path
        challenger = register_file(course.settings, course.ledger, path, who=who)
    why = judged.judgement.why
    if approval is not None:
        said = "approved" if approval.promote else "not approved"
        why = f"{said} by {approval.who}{f' ({approval.why})' if approval.why else ''}: {why}"
    is_wanted = judged.judgement.for_promotion and (approval is None or approval.promote)
    if challenger is not None and is_wanted:
        by = approval.who if approval is not None else who
        try:
            promote_trained(
                course.ledger,
                course.training,
                challenger.digest,
                who=by,
                why=why,
                figures=judged.figures,
            )
        except UsageError as error:
            why = f"{error}; {why}"
    # The first verdict stands: after a promotion this only reads the row.
    return end_training(
        course.ledger,
        course.training.id,
        TrainingVerdict.KEPT,
        why=why,
        figures=judged.figures,
        challenger_id=challenger.id if challenger is not None else None,
    )


def _reason_to_skip(
    settings: Settings, ledger: Ledger, rows: list[ReferenceRow], *, force: bool
) -> str:
    champion = champion_checkpoint(ledger)
    if champion is not None and champion.is_foreign:
        return (
            f"the champion, {champion.name} ({champion.digest[:12]}), was made elsewhere and is "
            "not trained here; promote a checkpoint of ours to learn from references"
        )
    for_training = {row.id for row in rows if row.split is Split.TRAIN}
    held_out = len(rows) - len(for_training)
    new = len(for_training - known_to_trainings(ledger))
    if new < settings.finetune_min_new and not force:
        return (
            f"{new} references for training are new, and {settings.finetune_min_new} are needed "
            "(AUTOCHROME_FINETUNE_MIN_NEW)"
        )
    if held_out < settings.finetune_min_held_out:
        return (
            f"{held_out} references are held out, and {settings.finetune_min_held_out} are needed "
            "to judge (AUTOCHROME_FINETUNE_MIN_HELD_OUT)"
        )
    return "" if len(for_training) > 3 else f"only {len(for_training)} references are for training"


def _recipe(settings: Settings) -> FinetuneRecipe:
    return FinetuneRecipe(
        steps=settings.finetune_steps,
        batch=settings.finetune_batch,
        learning_rate=settings.finetune_learning_rate,
        encoder_rate=settings.finetune_encoder_rate,
    )


def _name(parent: str, reference_set: str, recipe: FinetuneRecipe) -> str:
    """A folder's name: another parent, set or recipe is another training."""
    said = json.dumps([parent, reference_set, asdict(recipe)], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:16]


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    # The kernel lets go of it however the process ends.
    try:
        held = FileLock(root / "lock", blocking=False).acquire()
    except Timeout:
        raise UsageError(
            f"another process is fine-tuning in {root}; wait for it, or set "
            "AUTOCHROME_FINETUNE_FOLDER to another folder"
        ) from None
    with held:
        yield


def _clear(root: Path, folder: Path) -> None:
    """Remove the state of this training, which has its verdict, and those of others, given up."""
    for other in root.iterdir():
        if other.is_dir() and (other == folder or (other / "state.safetensors").is_file()):
            shutil.rmtree(other, ignore_errors=True)


def _card(course: Course, gathered: Gathered) -> Card:
    old = course.parent_file.card
    learnt = course.reference_set.digest[:12]
    rights: dict[str, int] = {}
    for one in gathered.train:
        said = one.row.described.rights or "rights not stated"
        rights[said] = rights.get(said, 0) + 1
    return Card(
        name=old.name,
        version=f"{old.version.partition('+')[0]}+{learnt}",
        description=(
            f"{old.description.partition(' Fine-tuned from ')[0]} Fine-tuned from "
            f"{course.parent.digest[:12]} on the reference set {learnt}."
        ),
        data=(
            *(entry for entry in old.data if entry.source != "references"),
            *(TrainingData("references", said, count) for said, count in sorted(rights.items())),
        ),
        recipe=json.dumps(
            asdict(course.recipe) | {"source_weights": source_weights(old)}, sort_keys=True
        ),
        training=f"{old.training}; then fine-tuned on {len(gathered.train)} references",
        limitations=old.limitations,
    )


def _with_figures(course: Course, challenger: Checkpoint, judgement: Judgement) -> Checkpoint:
    """A copy of the challenger whose card has the figures; the original is left to be taken up."""
    final = course.folder / "challenger.safetensors"
    shutil.copyfile(challenger.path, final)
    figures = {
        f"{row.set}: ciede2000": round(row.ciede2000, 3)
        for row in judgement.table
        if row.row == "challenger"
    }
    return with_metrics(read_checkpoint(final), figures)


def _nothing_learnt(trained: Finetuned) -> str:
    first, best = trained.looks[0], min(trained.looks, key=lambda look: look.references)
    return (
        "nothing was learnt that is worth judging: on the references watched the best ΔE₀₀ was "
        f"{best.references:.2f} at step {best.step} (the champion's: {first.references:.2f}), "
        f"with {best.base:.2f} on the base photographs watched (the champion's: {first.base:.2f}), "
        "and no share of the way there was better on the first and no worse on the second"
    )


def _no(words: str) -> Check:
    return Check(passed=False, words=words)


def _show(course: Course, judgement: Judgement, looks: Sequence[Look], examples: bytes) -> Shown:
    """Put what people look at into the output store."""
    table, curves = table_markdown(judgement), curves_svg(looks)
    output = open_store(course.settings.output, settings=course.settings, writable=True)
    prefix = f"trainings/{course.training.id:05}"
    report = (
        f"# Fine-tuning {course.training.id}\n\nParent {course.parent.digest[:12]}, reference set "
        f"{course.reference_set.digest[:12]}: {len(course.reference_set.train)} references to "
        f"learn from, {len(course.reference_set.evaluation)} held out.\n\n{table}\n\n"
        f"![Loss and watched errors](curves.svg)\n\n"
        + ("![Left grey, champion, challenger, truth](examples.jpg)\n" if examples else "")
    )
    for name, content, content_type in (
        ("curves.svg", curves.encode(), "image/svg+xml"),
        ("examples.jpg", examples, "image/jpeg"),
        ("report.md", report.encode(), "text/markdown; charset=utf-8"),
    ):
        if content:
            path = course.folder / name
            path.write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            output.put(f"{prefix}/{name}", path, content_type=content_type, sha256=digest)
    return Shown(table, curves, examples, output.link(f"{prefix}/report.md"))


def _figures(
    course: Course, judgement: Judgement, looks: Sequence[Look], scores: Mapping[str, Scores]
) -> dict[str, object]:
    """All figures, for the ledger: plain JSON."""
    return {
        "recipe": asdict(course.recipe),
        "references": {
            "train": len(course.reference_set.train),
            "evaluation": len(course.reference_set.evaluation),
        },
        "table": [asdict(row) for row in judgement.table],
        "checks": [asdict(check) for check in judgement.checks],
        "looks": [
            {name: value for name, value in look._asdict().items() if math.isfinite(value)}
            for look in looks
        ],
        "errors": {
            name: {row: [round(one, 4) for one in of_row] for row, of_row in of.errors.items()}
            for name, of in scores.items()
        },
    }

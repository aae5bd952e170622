"""The steps of a fine-tuning: begin, train, judge, conclude. Killed, it goes on where it was.

Plain functions; the `finetune` flow wraps them into Prefect's tasks, `autochrome finetune` calls
them as they are. Between the steps, everything that is needed to go on is in the ledger and in the
settings' folder for fine-tunings.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from colormodel.checkpoint import (
    CheckpointError,
)
from colormodel.device import DeviceError
from colormodel.finetune import FinetuneRecipe, FinetuneResult, Look, finetune
from colormodel.infer import Colorizer
from colormodel.photos import DataError
from colormodel.recipe import RecipeError
from tasks.checkpoints import fetch_checkpoint, find_champion, register_file
from tasks.errors import NoCheckpoint, NoDevice, RunAborted, UsageError
from tasks.finetune.judging import Check, Judgement, Rules, Scores, judge, measure
from tasks.finetune.material import (
    base_photographs,
    check_base,
    freeze,
    gather,
    held_out_photographs,
    material_of,
    suspect,
)
from tasks.finetune.records import Approval, Finetuning, NoTraining, TrainingResult
from tasks.finetune.results import card_of, figures_of, show, with_figures
from tasks.finetune.showing import example_strip
from tasks.ledger import Ledger
from tasks.ledger.checkpoints import champion_checkpoint, promote_trained
from tasks.ledger.reference_records import (
    ReferenceRow,
    Split,
    TrainingRow,
    TrainingVerdict,
)
from tasks.ledger.references import known_to_trainings
from tasks.ledger.trainings import begin_training, end_training
from tasks.settings import Settings, check_kept

EXAMPLES = 6


@contextmanager
def begin(
    settings: Settings, ledger: Ledger, *, run_id: int | None, who: str, force: bool = False
) -> Iterator[Finetuning | NoTraining]:
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
        yield NoTraining(reason)
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
        finetuning = Finetuning(
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
            yield finetuning
        except Exception as error:
            why = str(error) or type(error).__name__
            end_training(ledger, training.id, TrainingVerdict.FAILED, why=why, figures={})
            raise
        _clear(root, folder)


def train(
    finetuning: Finetuning, *, on_look: Callable[[Look], None] | None = None
) -> FinetuneResult | str:
    """Train the challenger, from where it was; or say why the references cannot be learnt from.

    Raises:
        NoDevice: The settings name a device that is not there.
        UsageError: There is too little to learn from.
        RunAborted: The state of a killed training is damaged.
    """
    gathered = gather(finetuning.settings, finetuning.references, finetuning.folder)
    try:
        colorizer = Colorizer(finetuning.parent_file, device=finetuning.settings.device)
        suspicion = suspect(gathered, colorizer)
        if suspicion:
            return suspicion
        return finetune(
            finetuning.recipe,
            material_of(finetuning.settings, gathered, finetuning.parent_file.card),
            parent=finetuning.parent_file,
            out=finetuning.folder,
            card=card_of(finetuning, gathered),
            device=finetuning.settings.device,
            on_look=on_look,
        )
    except DataError as error:
        raise UsageError(str(error)) from error
    except DeviceError as error:
        raise NoDevice(str(error)) from error
    except CheckpointError as error:
        raise NoCheckpoint(str(error)) from error
    except RecipeError as error:
        raise RunAborted(f"{error}; or remove {finetuning.folder} to train anew") from error


def judge_challenger(finetuning: Finetuning, trained: FinetuneResult | str) -> TrainingResult:
    """Score champion and challenger in one run on what neither learns from here, and decide."""
    if isinstance(trained, str) or trained.checkpoint is None:
        words = trained if isinstance(trained, str) else _nothing_learnt(trained)
        looks = () if isinstance(trained, str) else trained.looks
        judgement = Judgement((_no(words),), ())
        figures = figures_of(finetuning, judgement, looks, {})
        shown = show(finetuning, judgement, looks, b"")
        return TrainingResult(judgement, None, shown, figures)
    held_out = held_out_photographs(
        gather(finetuning.settings, finetuning.references, finetuning.folder)
    )
    device = finetuning.settings.device
    challenger = trained.checkpoint
    scores: dict[str, Scores] = {
        "references": measure(finetuning.parent_file, challenger, held_out, device=device),
        "base": measure(
            finetuning.parent_file, challenger, base_photographs(finetuning.settings), device=device
        ),
    }
    judgement = judge(
        scores["references"],
        scores["base"],
        Rules(least_pictures=finetuning.settings.finetune_min_held_out),
    )
    final = with_figures(finetuning, challenger, judgement)
    compared = {"champion": finetuning.parent_file, "challenger": final}
    examples = example_strip(held_out[:EXAMPLES], compared, device=device)
    return TrainingResult(
        judgement,
        final,
        show(finetuning, judgement, trained.looks, examples),
        figures_of(finetuning, judgement, trained.looks, scores),
    )


def conclude(
    finetuning: Finetuning, judged: TrainingResult, approval: Approval | None, *, who: str
) -> TrainingRow:
    """Promote or keep, in one transaction with the verdict and its reasons.

    Args:
        finetuning: The fine-tuning.
        judged: Its challenger and the evidence.
        approval: What a person said; None where none was asked.
        who: Concludes.
    """
    challenger = None
    if judged.challenger is not None:
        path = judged.challenger.path
        challenger = register_file(finetuning.settings, finetuning.ledger, path, who=who)
    why = judged.judgement.why
    if approval is not None:
        said = "approved" if approval.promote else "not approved"
        why = f"{said} by {approval.who}{f' ({approval.why})' if approval.why else ''}: {why}"
    is_wanted = judged.judgement.for_promotion and (approval is None or approval.promote)
    if challenger is not None and is_wanted:
        by = approval.who if approval is not None else who
        try:
            promote_trained(
                finetuning.ledger,
                finetuning.training,
                challenger.digest,
                who=by,
                why=why,
                figures=judged.figures,
            )
        except UsageError as error:
            why = f"{error}; {why}"
    # The first verdict stands: after a promotion this only reads the row.
    return end_training(
        finetuning.ledger,
        finetuning.training.id,
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
        minibatch=settings.finetune_minibatch,
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


def _nothing_learnt(trained: FinetuneResult) -> str:
    first, best = trained.looks[0], min(trained.looks, key=lambda look: look.references)
    return (
        "nothing was learnt that is worth judging: on the references watched the best ΔE₀₀ was "
        f"{best.references:.2f} at step {best.step} (the champion's: {first.references:.2f}), "
        f"with {best.base:.2f} on the base photographs watched (the champion's: {first.base:.2f}), "
        "and no share of the way there was better on the first and no worse on the second"
    )


def _no(words: str) -> Check:
    return Check(passed=False, words=words)

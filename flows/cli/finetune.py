"""`autochrome finetune`: all of it in this process, without Prefect."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli import options
from flows.terminal import print_json, say, stderr, stdout

if TYPE_CHECKING:
    from colormodel.finetune import Look
    from tasks.finetune.records import Approval, Finetuning, TrainingResult
    from tasks.ledger.reference_records import TrainingRow

app = typer.Typer()


@app.command(rich_help_panel=options.MODEL)
def finetune(
    force: Annotated[
        bool, typer.Option("--force", help="Train though too few references are new.")
    ] = False,
    base_photos: Annotated[
        Path | None,
        typer.Option(
            "--base-photos",
            metavar="DIR",
            help="train.csv, train-*.tar to replay; val.csv, val-*.tar to judge on.",
        ),
    ] = None,
    who: options.Who = None,
    device: options.Device = None,
    out: options.Output = None,
    database: options.Database = None,
    as_json: options.AsJson = False,
) -> None:
    """Learn from the references, judge, and promote on evidence; in this process.

    Killed, it goes on where it was when it is run again.
    """
    from tasks.finetune.records import NoTraining
    from tasks.finetune.steps import begin, conclude
    from tasks.ledger.opening import open_ledger
    from tasks.runs import name_of_run, recorded_run
    from tasks.settings import load_settings

    settings = load_settings(
        database_url=database, output=out, device=device, base_photos=base_photos
    )
    who = who or getuser()
    name = f"finetune-{name_of_run(datetime.now().astimezone())}"
    with (
        open_ledger(settings, is_made=True) as ledger,
        recorded_run(ledger, "finetune", name) as run,
        begin(settings, ledger, run_id=run.id, who=who, force=force) as finetuning,
    ):
        if isinstance(finetuning, NoTraining):
            run.detail = f"skipped: {finetuning.why}"
            _tell_skipped(finetuning.why, as_json=as_json)
            return
        judged = _train_and_judge(finetuning)
        ended = conclude(finetuning, judged, _unasked(finetuning, judged), who=who)
        run.detail = f"{ended.verdict}: {ended.why}"
    _tell(ended, judged, as_json=as_json)


def _train_and_judge(finetuning: Finetuning) -> TrainingResult:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from tasks.finetune.showing import look_in_words
    from tasks.finetune.steps import judge_challenger, train

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        line = bar.add_task("fine-tuning", total=finetuning.recipe.steps)

        def on_look(look: Look) -> None:
            words = look_in_words(look)
            bar.update(line, completed=look.step, description=words)
            if not stderr.is_terminal:
                say(words)

        trained = train(finetuning, on_look=on_look)
        bar.update(line, description="judging")
        return judge_challenger(finetuning, trained)


def _unasked(finetuning: Finetuning, judged: TrainingResult) -> Approval | None:
    """Nobody can be asked here; where policy wants a person's word, it is wanting."""
    from tasks.finetune.records import Approval

    if not finetuning.settings.finetune_approval or not judged.judgement.for_promotion:
        return None
    return Approval(
        promote=False,
        who="nobody",
        why="policy wants a person's approval: look at the pictures, then `autochrome promote`",
    )


def _tell_skipped(why: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"verdict": "skipped", "why": why})
    else:
        stdout.print(f"skipped: {why}")


def _tell(ended: TrainingRow, judged: TrainingResult, *, as_json: bool) -> None:
    from tasks.ledger.reference_records import TrainingVerdict

    if as_json:
        print_json(asdict(ended) | {"report": judged.shown.link})
        return
    stdout.print(judged.shown.table)
    stdout.print(f"\n{ended.verdict}: {ended.why}")
    say(f"Report: {judged.shown.link}")
    if ended.verdict is TrainingVerdict.PROMOTED:
        say("What is coloured already stays as it is; new scans are coloured by the new champion.")

"""`autochrome finetune`: the whole course in this process, without Prefect."""

from dataclasses import asdict

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from colormodel.finetune import Look
from flows.cli.talk import ExitCode, print_json, say, stderr, stdout
from tasks.finetune.course import (
    Approval,
    Course,
    Judged,
    Skipped,
    begin,
    conclude,
    judge_challenger,
    train,
)
from tasks.finetune.running import recorded_run
from tasks.finetune.showing import look_in_words
from tasks.ledger.migrate import make_if_missing
from tasks.ledger.opening import open_ledger
from tasks.ledger.reference_records import TrainingRow, TrainingVerdict
from tasks.settings import Settings


def finetune(settings: Settings, *, force: bool, who: str, as_json: bool) -> ExitCode:
    """Train, judge, and promote or explain; killed, it goes on when it is run again."""
    make_if_missing(settings.database_url.get_secret_value())
    with (
        open_ledger(settings) as ledger,
        recorded_run(ledger) as run,
        begin(settings, ledger, run_id=run.id, who=who, force=force) as course,
    ):
        if isinstance(course, Skipped):
            run.detail = f"skipped: {course.why}"
            _tell_skipped(course, as_json=as_json)
            return ExitCode.CLEAN
        judged = _train_and_judge(course)
        ended = conclude(course, judged, _unasked(course, judged), who=who)
        run.detail = f"{ended.verdict}: {ended.why}"
    _tell(ended, judged, as_json=as_json)
    return ExitCode.CLEAN


def _train_and_judge(course: Course) -> Judged:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        line = bar.add_task("fine-tuning", total=course.recipe.steps)

        def on_look(look: Look) -> None:
            words = look_in_words(look)
            bar.update(line, completed=look.step, description=words)
            if not stderr.is_terminal:
                say(words)

        trained = train(course, on_look=on_look)
        bar.update(line, description="judging")
        return judge_challenger(course, trained)


def _unasked(course: Course, judged: Judged) -> Approval | None:
    """Nobody can be asked here; where policy wants a person's word, it is wanting."""
    if not course.settings.finetune_approval or not judged.judgement.for_promotion:
        return None
    return Approval(
        promote=False,
        who="nobody",
        why="policy wants a person's approval: look at the pictures, then `autochrome promote`",
    )


def _tell_skipped(course: Skipped, *, as_json: bool) -> None:
    if as_json:
        print_json({"verdict": "skipped", "why": course.why})
    else:
        stdout.print(f"skipped: {course.why}")


def _tell(ended: TrainingRow, judged: Judged, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(ended) | {"report": judged.shown.link})
        return
    stdout.print(judged.shown.table)
    stdout.print(f"\n{ended.verdict}: {ended.why}")
    say(f"Report: {judged.shown.link}")
    if ended.verdict is TrainingVerdict.PROMOTED:
        say("What is coloured already stays as it is; new scans are coloured by the new champion.")

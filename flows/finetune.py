"""The `finetune` flow: learn from references, judge, promote on evidence or explain why not."""

import base64
from datetime import datetime
from typing import Literal
from uuid import UUID

from prefect import flow, get_run_logger
from prefect.artifacts import (
    create_image_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from prefect.runtime import flow_run
from prefect.states import Completed, Running
from pydantic import Field

from flows.prefect_ui import tag_run
from tasks.finetune.records import Approval, Finetuning, NoTraining, TrainingResult
from tasks.finetune.showing import curves_svg
from tasks.finetune.steps import begin, conclude
from tasks.ledger.opening import open_ledger
from tasks.ledger.reference_records import TrainingVerdict
from tasks.prefect_tasks import judge, train_challenger, unsearched
from tasks.runs import name_of_run, recorded_run
from tasks.settings import current_settings

#: Who the ledger says it was, where nobody is asked.
WHO = "finetune"
#: Between two looks at whether somebody has answered.
ASK_EVERY_S = 5


class Promotion(RunInput):
    """The form in the UI."""

    decision: Literal["keep the champion", "promote the challenger"] = Field(
        default="keep the champion", description="What is to be done with the challenger."
    )
    who: str = Field(min_length=1, description="Your name, for the record.")
    why: str = Field(default="", description="Your reason, for the record.")


@flow(name="finetune", flow_run_name="finetune")
def finetune(*, force: bool = False, approval: bool | None = None) -> State:
    """Fine-tune the champion on the references, and let the challenger take over if it earns it.

    Killed, it goes on where it was when it is run again.

    Args:
        force: Train though too few references are new.
        approval: Whether a person has to agree; none: as AUTOCHROME_FINETUNE_APPROVAL says.
    """
    settings = current_settings()
    tag_run("finetune")
    name = f"finetune-{name_of_run(datetime.now().astimezone())}"
    with (
        open_ledger(settings) as ledger,
        recorded_run(ledger, "finetune", name, flow_run_id=flow_run.id) as run,
        begin(settings, ledger, run_id=run.id, who=WHO, force=force) as finetuning,
    ):
        if isinstance(finetuning, NoTraining):
            get_run_logger().info("skipped: %s", finetuning.why)
            run.detail = f"skipped: {finetuning.why}"
            create_markdown_artifact(f"Skipped: {finetuning.why}.", key="finetune")
            return Completed(name="Skipped", message=finetuning.why)
        judged = _train_and_judge(finetuning)
        is_asked = settings.finetune_approval if approval is None else approval
        said = _ask(finetuning, judged) if is_asked and judged.judgement.for_promotion else None
        ended = conclude(finetuning, judged, said, who=WHO)
        verdict = ended.verdict or TrainingVerdict.FAILED
        run.detail = f"{verdict}: {ended.why}"
        _show_judgement(judged, heading=f"**{verdict}**: {ended.why}")
        return Completed(name=verdict.capitalize(), message=ended.why)


def _train_and_judge(finetuning: Finetuning) -> TrainingResult:
    progress = create_progress_artifact(0.0, key="finetune-progress", description="training")
    steps = finetuning.recipe.steps

    def on_look(step: int, words: str) -> None:
        if isinstance(progress, UUID):
            update_progress_artifact(progress, 100.0 * step / steps, description=words)

    trained = train_challenger(unsearched(finetuning), on_look)
    on_look(steps, "trained; champion and challenger are judged")
    if not isinstance(trained, str):
        url = _data_url(curves_svg(trained.looks).encode(), "image/svg+xml")
        create_image_artifact(url, key="loss-curves", description="Loss and watched errors")
    judged = judge(unsearched(finetuning), unsearched(trained))
    on_look(steps, "judged")
    if judged.shown.examples:
        create_image_artifact(
            _data_url(judged.shown.examples, "image/jpeg"),
            key="examples",
            description="Held-out references: left grey, champion, challenger, as they are",
        )
    return judged


def _ask(finetuning: Finetuning, judged: TrainingResult) -> Approval:
    """Pause until a person answers the form in the UI, or the time is over."""
    hours = finetuning.settings.finetune_approval_hours
    _show_judgement(judged, heading="**Waits for a person**: resume this run to answer.")
    form = Promotion.with_initial_data(
        description=(
            f"The challenger of {finetuning.parent.name} ({finetuning.parent.digest[:12]}) won. "
            f"Promote it?\n\n{judged.shown.table}\n\n{_examples(judged)}\n\nWithout an answer "
            f"within {hours:g} hours the champion stays."
        )
    )
    try:
        said = pause_flow_run(
            wait_for_input=form, timeout=round(hours * 3600), poll_interval=ASK_EVERY_S
        )
    except FlowPauseTimeout:
        # The server would fail a paused run whose time is over, and nothing failed here.
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(UUID(flow_run.id), Running(), force=True)
        return Approval(promote=False, who="nobody", why=f"no answer within {hours:g} hours")
    return Approval(said.decision == "promote the challenger", said.who, said.why)


def _show_judgement(judged: TrainingResult, *, heading: str) -> None:
    text = f"{heading}\n\n{judged.shown.table}\n\n{_examples(judged)}\n\n{judged.shown.link}"
    create_markdown_artifact(text, key="finetune", description="The judgement")


def _examples(judged: TrainingResult) -> str:
    if not judged.shown.examples:
        return ""
    url = _data_url(judged.shown.examples, "image/jpeg")
    names = "left grey · champion · challenger · as it is"
    return f"References held out: {names}\n\n![{names}]({url})"


def _data_url(content: bytes, media_type: str) -> str:
    """A picture within its own address: the UI needs no way to the store."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"

"""Every Prefect task: a few lines over a plain function, and the only Prefect below flows.

Values that are no plain data are passed `unsearched`.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.utilities.annotations import quote

from colormodel.finetune import FinetuneResult, Look
from tasks.batch.summary import BatchSummary
from tasks.discovery.listing import Listing
from tasks.errors import DatabaseUnavailable, StageTimeout, StorageUnavailable
from tasks.finetune.records import Finetuning, TrainingResult
from tasks.finetune.showing import look_in_words
from tasks.finetune.steps import judge_challenger, train
from tasks.ledger import RunEnding
from tasks.ledger.orders import OrderRow
from tasks.orders.batches import BatchRequest, colorize_requested
from tasks.orders.run import Run
from tasks.report.gathering import ReportPlace, make_report

T = TypeVar("T")

#: Between two tries of a step around the batches, where a store or the database hiccups.
TRY_AGAIN_AFTER_S = [5.0, 30.0, 120.0]


def unsearched(value: T) -> T:
    """Quote an argument of a task: Prefect would search it for futures, field by field.

    The task gets *value* itself, which is why this is typed as if nothing were done.
    """
    return cast("T", quote(value))


def is_hiccup(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether a task failed for what may be over in a minute."""
    del task, run
    try:
        state.result()
    except (StorageUnavailable, DatabaseUnavailable, StageTimeout):
        return True
    except Exception:  # noqa: BLE001 - Prefect tells of it
        return False
    return False


@task(
    name="colorize batch",
    task_run_name="{request.label}",
    cache_policy=NO_CACHE,
    persist_result=False,
)
def colorize_batch(request: BatchRequest) -> BatchSummary:
    """Claim a batch and colourize it. Retries are the ledger's, so this task has none."""
    return colorize_requested(request)


@task(
    name="discover",
    task_run_name="discover {source}",
    cache_policy=NO_CACHE,
    retries=len(TRY_AGAIN_AFTER_S),
    retry_delay_seconds=TRY_AGAIN_AFTER_S,
    retry_condition_fn=is_hiccup,
)
def discover(run: Run, source: str, within_s: float) -> Listing:
    """List *source*, for so long at most, and record what is new, changed or gone."""
    return run.discover(source, within_s=within_s)


@task(name="plan", cache_policy=NO_CACHE)
def plan(run: Run, order_id: int) -> OrderRow:
    """Make an item of every scan that was never finished."""
    return run.plan(order_id)


@task(
    name="report",
    cache_policy=NO_CACHE,
    retries=len(TRY_AGAIN_AFTER_S),
    retry_delay_seconds=TRY_AGAIN_AFTER_S,
    retry_condition_fn=is_hiccup,
)
def report(run: Run, summary: BatchSummary, *, ending: RunEnding) -> ReportPlace:
    """Write the report of a run and put it into the output."""
    return make_report(run, summary, ending=ending)


@task(name="train", cache_policy=NO_CACHE)
def train_challenger(
    finetuning: Finetuning, tell: Callable[[int, str], None]
) -> FinetuneResult | str:
    """Train the challenger; *tell* is given the step and words at each look."""

    def on_look(look: Look) -> None:
        tell(look.step, look_in_words(look))

    return train(finetuning, on_look=on_look)


@task(name="judge", cache_policy=NO_CACHE)
def judge(finetuning: Finetuning, trained: FinetuneResult | str) -> TrainingResult:
    """Score champion and challenger in one run, and decide."""
    return judge_challenger(finetuning, trained)

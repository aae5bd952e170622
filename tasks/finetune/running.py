"""The run that a fine-tuning is, as the ledger keeps it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from tasks.errors import DatabaseUnavailable
from tasks.ledger import Ledger, RunEnding
from tasks.orders.night import name_of_night


@dataclass
class RecordedRun:
    """A run under way; *detail* is what will be told of it."""

    id: int
    detail: str = ""


@contextmanager
def recorded_run(ledger: Ledger, *, flow_run_id: str | None = None) -> Iterator[RecordedRun]:
    """Record that a fine-tuning runs, and how that ended."""
    name = f"finetune-{name_of_night(datetime.now().astimezone())}"
    run = RecordedRun(ledger.start_run("finetune", name, flow_run_id=flow_run_id))
    try:
        yield run
    except BaseException as error:
        ending = RunEnding.ABORTED if isinstance(error, Exception) else RunEnding.CANCELLED
        with suppress(DatabaseUnavailable):
            ledger.finish_run(run.id, ending, detail=str(error) or type(error).__name__)
        raise
    ledger.finish_run(run.id, RunEnding.COMPLETED, detail=run.detail)

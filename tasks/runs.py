"""A run in the ledger's record: begun, and ended in one place whatever happens meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from tasks.errors import DatabaseUnavailable
from tasks.ledger import Ledger, RunEnding


@dataclass
class RecordedRun:
    """A run under way: how it will have ended, unless an error ends it, and what is said of it."""

    id: int
    ending: RunEnding = RunEnding.COMPLETED
    detail: str = ""


@contextmanager
def recorded_run(
    ledger: Ledger, kind: str, name: str, *, flow_run_id: str | None = None
) -> Iterator[RecordedRun]:
    """Record that a run is under way, and how that ended."""
    run = RecordedRun(ledger.start_run(kind, name, flow_run_id=flow_run_id))
    try:
        yield run
    except BaseException as error:
        with suppress(DatabaseUnavailable):
            ending, detail = ending_of(error)
            ledger.finish_run(run.id, ending, detail=detail)
        raise
    ledger.finish_run(run.id, run.ending, detail=run.detail)


def ending_of(error: BaseException) -> tuple[RunEnding, str]:
    """How *error* ends a run, and what is said of it: a person's Ctrl-C is no failure."""
    ending = RunEnding.ABORTED if isinstance(error, Exception) else RunEnding.CANCELLED
    return ending, str(error) or type(error).__name__


def name_of_run(started: datetime) -> str:
    """How a person calls a run: by when it began. Names folders, too."""
    return started.strftime("%Y-%m-%d-%H%M%S")

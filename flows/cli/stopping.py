"""Working in this process: a progress bar, Ctrl-C that drains, and the exit code."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from flows.terminal import ExitCode, say, stderr

if TYPE_CHECKING:
    from rich.progress import Progress

    from tasks.ledger import ItemStatus


def progress_bar() -> Progress:
    """A bar on stderr, where that is a terminal."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=stderr,
        transient=True,
        disable=not stderr.is_terminal,
    )


@contextmanager
def order_bar(name: str) -> Iterator[Callable[[int, int, str], None]]:
    """A bar of an order; it is told how many have ended, of how many, and what is waited for."""
    with progress_bar() as bar:
        line = bar.add_task(name)

        def show(done: int, total: int, waits: str) -> None:
            bar.update(line, completed=done, total=total, description=f"{name} {waits}".strip())

        yield show


DRAINED = "what was begun is finished, the rest given back"


@contextmanager
def stopping(stop: threading.Event, *, what: str = DRAINED) -> Iterator[None]:
    """Let SIGINT and SIGTERM ask for an orderly end first, and end at once the second time.

    Args:
        stop: Set at the first signal.
        what: What happens then, for the person.
    """

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            signal.default_int_handler(number, frame)
        stop.set()
        say(f"stopping: {what} (again to stop at once)")

    handlers = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def exit_code(statuses: Mapping[ItemStatus, int]) -> ExitCode:
    """What the shell is told of work whose items have come to these statuses."""
    from tasks.ledger import ItemStatus

    is_faulty = statuses.get(ItemStatus.FAILED) or statuses.get(ItemStatus.QUARANTINED)
    return ExitCode.FINISHED_WITH_FAULTS if is_faulty else ExitCode.CLEAN

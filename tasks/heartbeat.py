"""Saying that one is alive while one works."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tasks.errors import DatabaseUnavailable

#: How often a run says that it is alive.
RUN_BEAT_S = 60.0

#: A run that was silent for so long does not live any more.
RUN_LOST_S = 5 * RUN_BEAT_S


@contextmanager
def beating(beat: Callable[[], object], *, every_s: float, at_once: bool = False) -> Iterator[None]:
    """Call *beat* in a thread of its own while the block lasts, *at once* or after the first wait.

    A database that is away for a while costs a beat and no more.
    """
    ended = threading.Event()

    def work() -> None:
        wait_s = 0.0 if at_once else every_s
        while not ended.wait(wait_s):
            wait_s = every_s
            with suppress(DatabaseUnavailable):
                beat()

    thread = threading.Thread(target=work, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()

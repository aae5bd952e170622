"""What correcting needs of the desk: pictures under the network, and corrected scans coloured."""

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.corrections.saving import list_waiting, order_corrected
from tasks.corrections.sessions import Sessions
from tasks.errors import AutochromeError
from tasks.ledger import Ledger, orders
from tasks.ledger.orders import OrderKind, OrderMode
from tasks.orders.working import work_here
from tasks.pictures.showing import Pictures
from tasks.settings import Settings

logger = logging.getLogger(__name__)

#: Saves that come within this time share an order.
_TOGETHER_S = 2.0
_TRY_AGAIN_S = 60.0
#: Pictures of `POST /api/colorize` that are worked on at once, and that may wait for that.
WORKING, WAITING = 1, 7
_GUESS_S = 5.0


class Line:
    """Who is worked for and who waits: never more than so many."""

    def __init__(self) -> None:
        self._turn = threading.Semaphore(WORKING)
        self._lock = threading.Lock()
        self._inside = 0
        self._took_s = _GUESS_S

    def enter(self) -> float:
        """Stand in line; 0, or in how many seconds there may be room."""
        with self._lock:
            if self._inside >= WORKING + WAITING:
                return max(1.0, self._took_s)
            self._inside += 1
            return 0.0

    def leave(self) -> None:
        """Go."""
        with self._lock:
            self._inside -= 1

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for one's turn, and have it."""
        with self._turn:
            began = time.monotonic()
            yield
            with self._lock:
                self._took_s = 0.7 * self._took_s + 0.3 * (time.monotonic() - began)


class Colours:
    """The network's sessions, and who has corrected scans coloured."""

    def __init__(self, settings: Settings, ledger: Ledger, pictures: Pictures) -> None:
        self._settings, self._ledger = settings, ledger
        self.sessions = Sessions(settings, ledger, pictures)  #: the pictures that people correct
        self.line = Line()  #: for whoever sends one picture
        self._lock = threading.Lock()
        self._saved = threading.Event()
        self._who: set[str] = set()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def saved(self, who: str) -> None:
        """Somebody has corrected a scan, or taken that back: have it coloured soon."""
        with self._lock:
            self._who.add(who)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._keep_colouring, name="corrections", daemon=True
                )
                self._thread.start()
        self._saved.set()

    def close(self) -> None:
        """Finish what is begun."""
        self._stop.set()
        self._saved.set()
        if self._thread is not None:
            self._thread.join()

    def _keep_colouring(self) -> None:
        left_s: float | None = None
        while not self._stop.is_set():
            self._saved.wait(left_s)
            if self._stop.wait(_TOGETHER_S):
                return
            self._saved.clear()
            left_s = None
            try:
                self._colour_what_waits()
            except AutochromeError as error:
                logger.warning("corrected scans wait: %s", error)
                left_s = _TRY_AGAIN_S

    def _colour_what_waits(self) -> None:
        """Order what was corrected; a Prefect server's workers do it, or else this process."""
        settings, ledger = self._settings, self._ledger
        with self._lock:
            who, self._who = " and ".join(sorted(self._who)) or "the desk", set()
        if uris := list_waiting(settings, ledger):
            order_corrected(settings, ledger, uris, who=who)
        if os.environ.get("PREFECT_API_URL"):
            from flows.keeping import keep_if_served  # noqa: PLC0415  Prefect takes seconds

            keep_if_served(settings, ledger)
            return
        for row in orders.list_open(ledger):
            if row.kind is OrderKind.REQUEST and row.mode is OrderMode.CORRECTED:
                said = work_here(settings, ledger, row.id, stop=self._stop)
                if said:
                    logger.warning("%s: %s", row.name, said)

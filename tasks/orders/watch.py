"""Looking after a share while it is worked off."""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from tasks.batch.summary import BatchSummary
from tasks.errors import DatabaseUnavailable
from tasks.ledger import Failures, Ledger, RunEnding, orders
from tasks.ledger.orders import OrderState, ShareFigures, ShareRow
from tasks.words import count

#: A share says so often that it lives, and hears whether it is still wanted.
BEAT_S = 15.0

#: Whoever works in its own process looks so often whether something is due, or goes first.
POLL_S = 1.0

#: So often progress is told while no batch ends.
LOOK_S = 3.0

#: So often it is told that nobody takes up what is asked for.
IDLE_S = 60.0

logger = logging.getLogger(__name__)


class ShareWatch:
    """Says that a share lives, counts what is done, and hears when it is to end."""

    def __init__(
        self,
        ledger: Ledger,
        share: ShareRow,
        stop: threading.Event,
        on_progress: Callable[[BatchSummary], None],
    ) -> None:
        self.share = share
        self.order = orders.get(ledger, share.order_id)
        self.stop = stop
        self.total = BatchSummary()  #: what is done: whoever has it done counts it in
        self._ledger = ledger
        self._on_progress = on_progress
        self._is_given_up = False
        self._ends_at = float("inf")
        self._looked_at = time.monotonic()
        self._busy_at = self._looked_at  # when somebody was last known to be at it

    def start_clock(self) -> None:
        """Let its time begin: what it works with is there."""
        if self.share.max_seconds is not None:
            self._ends_at = time.monotonic() + self.share.max_seconds

    @property
    def left_s(self) -> float:
        """How much of its time is left."""
        return self._ends_at - time.monotonic()

    def progress(self) -> None:
        """Tell that more is done."""
        self._busy_at = time.monotonic()
        self._on_progress(self.total)

    def look(self, asked: int) -> None:
        """Have progress told now and then, although none of *asked* batches has ended.

        A film takes long; where nobody holds a scan of the order, people hear of that.
        """
        now = time.monotonic()
        if now - self._looked_at > LOOK_S:
            self._looked_at = now
            self._on_progress(self.total)
        if now - self._busy_at > IDLE_S:
            self._busy_at = now
            with suppress(DatabaseUnavailable):  # whoever needs it hears of that
                self._tell_if_idle(asked)

    def _tell_if_idle(self, asked: int) -> None:
        if not self._ledger.open_workers(self.order.id):
            logger.warning(
                "%s: for %.0f s nobody has taken up any of the %s that it asks for; see whether "
                "the cluster's workers live, have room, and can start",
                self.order.name,
                IDLE_S,
                count(asked, "batch", "batches"),
            )

    def beat(self) -> None:
        """Say that the share lives; of a cancelled order, what is not begun is given back."""
        is_open = orders.beat_share(self._ledger, self.share.id, items=self.total.items)
        self._is_given_up = not is_open
        if orders.get(self._ledger, self.order.id).state is OrderState.CANCELLING:
            self.stop.set()

    def goes_on(self) -> bool:
        """Whether another batch may be begun."""
        return not self._is_given_up and orders.goes_on(self._ledger, self.order.id)

    def due_s(self) -> float | None:
        """Seconds until an item of its order can be claimed; None: none is left."""
        return self._ledger.next_due_s(self.order.id)

    def failures(self) -> Failures:
        """How many items of its order's run have ended, and failed, whoever did them."""
        return self._ledger.count_failures([self.order.run_id])

    def keep_figures(self) -> None:
        """Record what was done."""
        total = self.total
        figures = ShareFigures(
            total.given_back,
            total.coloured,
            total.confidence_sum,
            {stage: round(seconds, 3) for stage, seconds in total.seconds.items()},
        )
        orders.keep_figures(self._ledger, self.share.id, items=total.items, figures=figures)

    def end(self, ending: RunEnding = RunEnding.CANCELLED, detail: str = "asked to end") -> None:
        """Say that it ends now, to those who are at it in other processes, too."""
        orders.end_share(self._ledger, self.share.id, ending, detail=detail)

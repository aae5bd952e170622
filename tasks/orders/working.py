"""Working an order off: batch after batch within a share, share after share within a process."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from tasks.batch.batch import BatchSummary
from tasks.batch.children import PixelPool
from tasks.batch.worker import Worker, open_worker
from tasks.errors import DatabaseUnavailable
from tasks.heartbeat import beating
from tasks.ledger import Failures, ItemStatus, Ledger, RunEnding
from tasks.ledger.opening import open_ledger
from tasks.ledger.orders import (
    OrderKind,
    OrderRow,
    Orders,
    OrderState,
    ShareFigures,
    ShareRow,
    Size,
)
from tasks.orders.batches import BatchRequest, claim_and_colorize
from tasks.processes import worker_name
from tasks.settings import Settings

#: Batches in flight in one process: while one waits for its last files, the network works for the
#: other.
IN_FLIGHT = 2

#: Items that wait for a retry or hold a dead worker's lease are waited for up to this long.
PATIENCE_S = 60.0

#: A share says so often that it lives, and hears whether it is still wanted.
BEAT_S = 15.0

#: Whoever works in its own process looks so often whether something is due, or goes first.
POLL_S = 1.0

#: Prefect kills a run's process 30 s after it has asked it to end.
_DRAINED_WITHIN_S = 25.0


class Future(Protocol):
    """What came, or will come, of a request: of `concurrent.futures`, Dask, Ray, all alike."""

    def add_done_callback(self, fn: "Callable[[Future], object]", /) -> object:
        """Have *fn* called when it is done."""

    def result(self) -> BatchSummary:
        """What came of it, or the error that it raised."""


@dataclass(frozen=True)
class Fanout:
    """How the requests of a share reach whoever claims and colours."""

    submit: Callable[[BatchRequest], Future]
    window: int  #: requests in flight
    recipe_id: int
    recipe_digest: str
    stop: threading.Event  #: Set from outside: begun scans are finished, the others given back.


OpenFanout = Callable[[Settings, threading.Event], AbstractContextManager[Fanout]]


@contextmanager
def in_this_process(
    settings: Settings, stop: threading.Event, *, pixels: PixelPool | None = None
) -> Iterator[Fanout]:
    """Threads of this process, and no Prefect."""
    with open_worker(settings, stop=stop, pixels=pixels) as worker, in_threads(worker) as own:
        yield own


@contextmanager
def in_threads(worker: Worker) -> Iterator[Fanout]:
    """Threads of this process over what is open already."""
    with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="batch") as executor:
        yield Fanout(
            lambda request: executor.submit(claim_and_colorize, worker, request),
            IN_FLIGHT,
            worker.recipe_id,
            worker.recipe_digest,
            worker.stop,
        )


# --- batch after batch ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Share:
    """How much is taken on."""

    max_items: int | None = None
    deadline: float | None = None  #: by `time.monotonic`
    run_id: int | None = None
    order_id: int | None = None  #: claim its items alone; without it, those of none
    share_id: int | None = None  #: in the ledger
    label: str = ""
    goes_on: Callable[[], bool] = lambda: True  #: asked before each batch
    is_ready: Callable[[], bool] = lambda: True  #: whether there is anything to claim now
    on_stop: Callable[[], object] = lambda: None  #: tells those elsewhere that it has ended
    patience_s: float = PATIENCE_S  #: how long items that are not due yet are waited for

    @property
    def wait_s(self) -> float:
        """How long they may be waited for now."""
        if self.deadline is None:
            return self.patience_s
        return min(self.patience_s, self.deadline - time.monotonic())


def work_off(
    worker: Worker, share: Share, *, on_progress: Callable[[BatchSummary], None] = lambda _: None
) -> BatchSummary:
    """Work a share off in threads of this process; see `work_through`."""
    with in_threads(worker) as fanout:
        return work_through(worker.settings, worker.ledger, share, fanout, on_progress)


def work_through(
    settings: Settings,
    ledger: Ledger,
    share: Share,
    fanout: Fanout,
    on_progress: Callable[[BatchSummary], None] = lambda _: None,
) -> BatchSummary:
    """Have batch after batch done until none is left, the share is over, or a cause stops it.

    Args:
        settings: How large a batch is, and how many may fail.
        ledger: Where the items are.
        share: How much to take on.
        fanout: Who does it.
        on_progress: Called with the running total after each batch.

    Returns:
        The total. `aborted` names the cause if the failure budget was spent or every item would
        have failed.
    """
    flight = _Flight(settings, share, fanout)
    total = BatchSummary()
    with flight.landing():
        while True:
            flight.fill(total)
            if not flight.running:
                if not _waits_for_due_items(ledger, share, fanout, total):
                    return total
                flight.look_again()
                continue
            total.add(flight.collect())
            on_progress(total)
            check_failure_budget(settings, ledger, share, total)


class _Flight:
    """The requests in flight of one share."""

    def __init__(self, settings: Settings, share: Share, fanout: Fanout) -> None:
        self._batch_items = settings.batch_items
        self._share = share
        self._fanout = fanout
        self._left = share.max_items
        self._is_dry = False  # nothing was ready, and nothing has changed since
        self._is_stopped = False
        self._given: dict[int, int] = {}  # by future: the items reserved for it
        self._done: queue.SimpleQueue[Future] = queue.SimpleQueue()

    @property
    def running(self) -> int:
        """How many requests are in flight."""
        return len(self._given)

    def fill(self, total: BatchSummary) -> None:
        """Submit requests until enough are in flight, unless nothing is ready or it is over."""
        while self.running < self._fanout.window and not self._is_dry:
            if is_over(self._share, self._fanout, total) or self._left == 0:
                break
            if not self._share.is_ready():
                break
            limit = self._batch_items if self._left is None else min(self._batch_items, self._left)
            if self._left is not None:
                self._left -= limit
            future = self._fanout.submit(self._request(limit))
            self._given[id(future)] = limit
            future.add_done_callback(self._done.put)
        if self._fanout.stop.is_set():
            self.stop()

    def look_again(self) -> None:
        """Something may be ready now."""
        self._is_dry = False

    def collect(self) -> BatchSummary:
        """Wait for a request to be done; what came of it."""
        while True:
            with suppress(queue.Empty):
                future = self._done.get(timeout=POLL_S)
                break
            if self._fanout.stop.is_set():
                self.stop()
        limit = self._given.pop(id(future))
        summary = future.result()
        touched = _touched(summary)
        if self._left is not None:
            self._left += limit - touched
        self._is_dry = not touched
        return summary

    def stop(self) -> None:
        """Let those who are at it elsewhere know that the rest is to be given back."""
        if not self._is_stopped:
            self._is_stopped = True
            self._share.on_stop()

    @contextmanager
    def landing(self) -> Iterator[None]:
        """Let what is in flight end when an exception ends the share: it gives back the rest.

        Prefect ends a run by raising one in the main thread at SIGTERM.
        """
        try:
            yield
        except BaseException:
            self._fanout.stop.set()
            with suppress(DatabaseUnavailable):
                self.stop()
            until = time.monotonic() + _DRAINED_WITHIN_S
            with suppress(queue.Empty):
                while self._given and (left_s := until - time.monotonic()) > 0:
                    self._given.pop(id(self._done.get(timeout=left_s)))
            raise

    def _request(self, limit: int) -> BatchRequest:
        share = self._share
        return BatchRequest(
            limit,
            share.order_id,
            share.share_id,
            share.run_id,
            self._fanout.recipe_digest,
            share.label or "a batch",
        )


def _touched(summary: BatchSummary) -> int:
    return summary.items + summary.tried_again + summary.given_back + summary.lost_leases


def is_over(share: Share, fanout: Fanout, total: BatchSummary) -> bool:
    """Whether no other batch may begin."""
    if fanout.stop.is_set() or total.aborted:
        return True
    if share.deadline is not None and time.monotonic() >= share.deadline:
        return True
    return not share.goes_on()


def _waits_for_due_items(ledger: Ledger, share: Share, fanout: Fanout, total: BatchSummary) -> bool:
    """Sleep until the next item is due, if that is soon; otherwise the share is done."""
    if share.max_items is not None and _touched(total) >= share.max_items:
        return False
    if is_over(share, fanout, total):
        return False
    due_s = ledger.next_due_s(fanout.recipe_id, order_id=share.order_id)
    if due_s is None or due_s > share.wait_s:
        return False
    fanout.stop.wait(min(max(due_s, 0.2), BEAT_S))
    return True


def check_failure_budget(
    settings: Settings, ledger: Ledger, share: Share, total: BatchSummary
) -> None:
    """Stop when too much fails: of the whole run, where several workers share one."""
    if total.aborted or not total.statuses[ItemStatus.FAILED]:
        return
    done = Failures(finished=total.items, failed=total.statuses[ItemStatus.FAILED])
    if share.run_id is not None:
        done = ledger.failures([share.run_id])
    if done.exceed(settings.failure_budget, min_items=settings.failure_budget_min_items):
        total.aborted = (
            f"{done.failed} of {done.finished} items failed, more than the failure budget of "
            f"{settings.failure_budget:.0%}; see `autochrome status`, mend the cause, then "
            "`autochrome retry`"
        )


# --- a share of an order -------------------------------------------------------------------------


def work_share(
    settings: Settings,
    share_id: int,
    *,
    stop: threading.Event | None = None,
    open_fanout: OpenFanout = in_this_process,
    on_progress: Callable[[BatchSummary], None] = lambda _: None,
) -> BatchSummary:
    """Work off a share of an order, and record how it ended.

    It ends with its batches when its order is paused, late, or not first in line any more; when its
    order is cancelled, with its scans. A share that is over already is none: its run came late.

    Returns:
        What was done; `aborted` names the cause if it could not go on.
    """
    with open_ledger(settings) as ledger:
        orders = Orders(ledger)
        share = orders.begin_share(share_id, worker=worker_name())
        if share is None:
            return BatchSummary()
        watch = _Watch(orders, share, stop or threading.Event(), on_progress)
        try:
            with beating(watch.beat, every_s=min(BEAT_S, settings.lease_s / 3)):
                summary = _work(settings, ledger, watch, open_fanout)
        except BaseException as error:
            ending = RunEnding.ABORTED if isinstance(error, Exception) else RunEnding.CANCELLED
            with suppress(DatabaseUnavailable):
                watch.keep_figures()
                orders.end_share(share.id, ending, detail=str(error) or type(error).__name__)
            raise
        watch.keep_figures()
        orders.end_share(
            share.id, summary.ending(stopped=watch.stop.is_set()), detail=summary.aborted
        )
        orders.settle(share.order_id)
        return summary


def _work(
    settings: Settings, ledger: Ledger, watch: "_Watch", open_fanout: OpenFanout
) -> BatchSummary:
    orders, share = watch.orders, watch.share
    row = orders.get(share.order_id)
    with open_fanout(settings, watch.stop) as fanout:
        if fanout.recipe_id != row.recipe_id:
            why = (
                "the champion or the output settings have changed since it was ordered; order it "
                "anew, or change them back and resume it"
            )
            give_up(orders, row, why)
            return BatchSummary(aborted=f"{row.name}: {why}")
        deadline = None
        if share.max_seconds is not None:
            deadline = time.monotonic() + share.max_seconds
        mine = Share(
            max_items=share.max_items,
            deadline=deadline,
            run_id=row.run_id,
            order_id=row.id,
            share_id=share.id,
            label=f"{row.name}, share {share.number}",
            goes_on=watch.goes_on,
            is_ready=lambda: ledger.next_due_s(row.recipe_id, order_id=row.id) == 0,
            on_stop=watch.end,
        )
        summary = work_through(settings, ledger, mine, fanout, watch.progress)
        if summary.aborted and ledger.failures([row.run_id]).exceed(
            settings.failure_budget, min_items=settings.failure_budget_min_items
        ):
            give_up(orders, row, summary.aborted)
        return summary


def give_up(orders: Orders, row: OrderRow, why: str) -> None:
    """End an order that cannot go on: the next takes its rest. A backfill waits for a person."""
    if row.kind is OrderKind.BACKFILL:
        orders.pause(row.id, who="a worker", why=why)
    else:
        orders.stop(row.id, RunEnding.ABORTED, why=why)


class _Watch:
    """Looks after a share: says that it lives, and hears when it is to end."""

    def __init__(
        self,
        orders: Orders,
        share: ShareRow,
        stop: threading.Event,
        on_progress: Callable[[BatchSummary], None],
    ) -> None:
        self.orders = orders
        self.share = share
        self.stop = stop
        self._on_progress = on_progress
        self._is_given_up = False
        self._total = BatchSummary()

    def progress(self, total: BatchSummary) -> None:
        """Take note of what is done."""
        self._total = total
        self._on_progress(total)

    def beat(self) -> None:
        """Say that the share lives; of a cancelled order, what is not begun is given back."""
        self._is_given_up = not self.orders.beat_share(self.share.id, items=self._total.items)
        if self.orders.get(self.share.order_id).state is OrderState.CANCELLING:
            self.stop.set()

    def goes_on(self) -> bool:
        """Whether another batch may be begun."""
        return not self._is_given_up and self.orders.goes_on(self.share.order_id)

    def keep_figures(self) -> None:
        """Record what was done."""
        total = self._total
        figures = ShareFigures(
            total.given_back,
            total.coloured,
            total.confidence_sum,
            {stage: round(seconds, 3) for stage, seconds in total.seconds.items()},
        )
        self.orders.keep_figures(self.share.id, items=total.items, figures=figures)

    def end(self) -> None:
        """Say that it ends now, to those who are at it in other processes."""
        self.orders.end_share(self.share.id, RunEnding.CANCELLED, detail="asked to end")


# --- an order in one process ---------------------------------------------------------------------


def work_here(  # noqa: PLR0913 - three of them have defaults
    settings: Settings,
    ledger: Ledger,
    order_id: int,
    *,
    stop: threading.Event,
    open_fanout: OpenFanout = in_this_process,
    on_progress: Callable[[int, int, str], None] = lambda *_: None,
) -> str:
    """Work an order off in this process, until nothing of it is left or *stop* is set.

    Args:
        settings: How.
        ledger: Where it stands.
        order_id: The order, planned.
        stop: Set from outside, it asks for an orderly end.
        open_fanout: Who does it.
        on_progress: Told how many items have ended, of how many, and what is waited for.

    Returns:
        Why it could not go on, or nothing.
    """
    orders = Orders(ledger)
    while not stop.is_set():
        row = orders.settle(order_id)
        told = orders.progress(order_id)
        on_progress(told.done, told.total, "")
        if row.state is not OrderState.RUNNING:
            return row.detail if row.state is OrderState.ABORTED else ""
        first = orders.has_precedence(order_id)
        if first is not None:
            on_progress(told.done, told.total, f"waits for {first.name}")
        due_s = ledger.next_due_s(row.recipe_id, order_id=order_id)
        if first is not None or due_s is None or due_s > PATIENCE_S:
            stop.wait(POLL_S)  # what is left is in other hands, or tried again later
            continue
        left_s = None
        if row.budget.max_seconds is not None:
            left_s = max(row.budget.max_seconds - told.worked_s, 1.0)
        share = orders.open_share(order_id, Size(told.left, None, left_s), worker=worker_name())
        summary = work_share(
            settings,
            share.id,
            stop=stop,
            open_fanout=open_fanout,
            on_progress=lambda one, told=told: on_progress(told.done + one.items, told.total, ""),  # type: ignore[misc]  # a default binds the loop's value
        )
        if summary.aborted:
            return summary.aborted
    return ""

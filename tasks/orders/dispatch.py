"""Giving the batches of a share out: a bounded number of requests in flight, each a batch."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from tasks.batch.children import PixelPool
from tasks.batch.summary import BatchSummary
from tasks.batch.worker import Worker, open_worker
from tasks.errors import DatabaseUnavailable
from tasks.ledger import ItemStatus
from tasks.ledger.orders import PATIENCE_S
from tasks.orders.batches import BatchRequest, claim_and_colorize
from tasks.orders.watch import BEAT_S, POLL_S, ShareWatch
from tasks.settings import Settings

#: Batches in flight in one process: while one waits for its last files, the network works for the
#: other.
IN_FLIGHT = 2

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


def work_through(settings: Settings, watch: ShareWatch, fanout: Fanout) -> BatchSummary:
    """Have batch after batch done until none is left, the share is over, or a cause stops it.

    Args:
        settings: How large a batch is, and how many may fail.
        watch: Over the share: how much to take on, and whether it goes on.
        fanout: Who does it.

    Returns:
        The total. `aborted` names the cause if the failure budget was spent or every item would
        have failed.
    """
    flight = _Flight(settings, watch, fanout)
    total = watch.total
    with flight.landing():
        while True:
            flight.fill(total)
            if not flight.running:
                if not _waits_for_due_items(watch, fanout, total):
                    return total
                flight.look_again()
                continue
            total.add(flight.collect())
            watch.progress()
            _check_failure_budget(settings, watch, total)


class _Flight:
    """The requests in flight of one share."""

    def __init__(self, settings: Settings, watch: ShareWatch, fanout: Fanout) -> None:
        self._batch_items = settings.batch_items
        self._watch = watch
        self._fanout = fanout
        self._left = watch.share.max_items
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
            if _is_over(self._watch, self._fanout, total) or self._left == 0:
                break
            if self._watch.due_s() != 0:
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
            self._watch.look(self.running)
            if self._fanout.stop.is_set():
                self.stop()
        limit = self._given.pop(id(future))
        summary = future.result()
        touched = _touched(summary)
        if self._left is not None:
            self._left += limit - touched
        self._is_dry = not (touched or summary.shots)
        return summary

    def stop(self) -> None:
        """Let those who are at it elsewhere know that the rest is to be given back."""
        if not self._is_stopped:
            self._is_stopped = True
            self._watch.end()

    @contextmanager
    def landing(self) -> Iterator[None]:
        """Let what is in flight end when an exception ends the share: it gives back the rest.

        Prefect ends a run by raising one in the main thread at SIGTERM. What was done counts.
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
                    future = self._done.get(timeout=left_s)
                    del self._given[id(future)]
                    with suppress(Exception):  # the first error is the share's
                        self._watch.total.add(future.result())
            raise

    def _request(self, limit: int) -> BatchRequest:
        order, share = self._watch.order, self._watch.share
        return BatchRequest(
            limit,
            order.id,
            share.id,
            order.run_id,
            self._fanout.recipe_digest,
            f"{order.name}, share {share.number}",
        )


def _touched(summary: BatchSummary) -> int:
    return summary.items + summary.tried_again + summary.given_back + summary.lost_leases


def _is_over(watch: ShareWatch, fanout: Fanout, total: BatchSummary) -> bool:
    """Whether no other batch may begin."""
    return fanout.stop.is_set() or bool(total.aborted) or watch.left_s <= 0 or not watch.goes_on()


def _waits_for_due_items(watch: ShareWatch, fanout: Fanout, total: BatchSummary) -> bool:
    """Sleep until the next item is due, if that is soon; otherwise the share is done."""
    limit = watch.share.max_items
    if (limit is not None and _touched(total) >= limit) or _is_over(watch, fanout, total):
        return False
    due_s = watch.due_s()
    if due_s is None or due_s > min(PATIENCE_S, watch.left_s):
        return False
    fanout.stop.wait(min(max(due_s, 0.2), BEAT_S))
    return True


def _check_failure_budget(settings: Settings, watch: ShareWatch, total: BatchSummary) -> None:
    """Stop when too much fails: of the whole run, where several workers share one."""
    if total.aborted or not total.statuses[ItemStatus.FAILED]:
        return
    done = watch.failures()
    if done.exceed(settings.failure_budget):
        total.aborted = (
            f"{done.failed} of {done.finished} items failed, more than the failure budget of "
            f"{settings.failure_budget:.0%}; see `autochrome status`, mend the cause, then "
            "`autochrome retry`"
        )

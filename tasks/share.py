"""One worker's share of the work: claims batches until none is left, or until it should stop."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass

from tasks.batch.batch import BatchSummary, colorize_batch
from tasks.batch.lease import Lease
from tasks.batch.worker import Worker
from tasks.ledger import Claim, Failures, ItemStatus, Ledger
from tasks.settings import Settings

#: Batches in flight: while one waits for its last files, the network works for the other.
IN_FLIGHT = 2

#: Items that wait for a retry or hold a dead worker's lease are waited for up to this long.
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Share:
    """How much a worker takes on."""

    collections: tuple[str, ...] = ()  #: none: all
    max_items: int | None = None
    deadline: float | None = None  #: by `time.monotonic`
    run_id: int | None = None
    backfill_id: int | None = None  #: claim its items alone; without it, those of none
    goes_on: Callable[[], bool] = lambda: True  #: asked before each batch
    patience_s: float = PATIENCE_S  #: how long items that are not due yet are waited for

    @property
    def wait_s(self) -> float:
        """How long they may be waited for now."""
        if self.deadline is None:
            return self.patience_s
        return min(self.patience_s, self.deadline - time.monotonic())

    def is_over(self, items: int) -> bool:
        """Whether the quota is reached or the deadline has passed."""
        if self.max_items is not None and items >= self.max_items:
            return True
        return self.deadline is not None and time.monotonic() >= self.deadline


def work_off(
    worker: Worker,
    share: Share,
    *,
    run_batch: Callable[[Worker, Claim], BatchSummary] = colorize_batch,
    on_progress: Callable[[BatchSummary], None] = lambda _: None,
) -> BatchSummary:
    """Colourize batch after batch until none is left, the share is over, or a cause stops it.

    Args:
        worker: The opened resources.
        share: How much to take on.
        run_batch: What colourizes a batch; a Prefect task in a flow.
        on_progress: Called with the running total after each batch.

    Returns:
        The total. `aborted` names the cause if the failure budget was spent, every item would have
        failed, or another run has taken this one's place.
    """
    window = _Window(worker, share, run_batch)
    total = BatchSummary()
    with (
        ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="batch") as executor,
        _draining(worker),
    ):
        while True:
            _check_replaced(worker.ledger, share, total)
            window.fill(executor, total)
            if not window.running and not window.waits_for_due_items(total):
                return total
            for summary in window.collect():
                total.add(summary)
                on_progress(total)
            check_failure_budget(worker.settings, worker.ledger, share, total)


@contextmanager
def _draining(worker: Worker) -> Iterator[None]:
    """Stop the batches in flight when an exception ends the share, before they are waited for.

    Prefect ends a run by raising one in the main thread at SIGTERM, and kills it 30 s later.
    """
    try:
        yield
    except BaseException:
        worker.stop.set()
        raise


class _Window:
    """The batches in flight of one share."""

    def __init__(
        self,
        worker: Worker,
        share: Share,
        run_batch: Callable[[Worker, Claim], BatchSummary],
    ) -> None:
        self._worker = worker
        self._share = share
        self._run_batch = run_batch
        self._claimed = 0
        self._is_suspect_running = False
        self.running: set[Future[BatchSummary]] = set()

    def fill(self, executor: ThreadPoolExecutor, total: BatchSummary) -> None:
        """Claim and start batches until enough are in flight or nothing can be claimed."""
        if self.running and self._is_suspect_running:
            return  # should it kill this worker, it takes nobody with it
        while len(self.running) < IN_FLIGHT and not self._is_over(total):
            claim = self._claim()
            if claim is None:
                return
            self._claimed += len(claim.items)
            self._is_suspect_running = len(claim.items) == 1 and claim.items[0].attempt > 1
            if self._is_suspect_running:
                self._wait_for_others(claim)
            # Prefect finds the flow run that a task belongs to in the context.
            context = copy_context()
            self.running.add(executor.submit(context.run, self._run_batch, self._worker, claim))
            if self._is_suspect_running:
                return

    def _wait_for_others(self, claim: Claim) -> None:
        lease_s = self._worker.settings.lease_s
        with Lease(self._worker.ledger, claim.token, lease_s=lease_s).kept():
            wait(self.running)

    def collect(self) -> list[BatchSummary]:
        """Wait for a batch in flight to end."""
        done, self.running = wait(self.running, return_when=FIRST_COMPLETED)
        return [future.result() for future in done]

    def waits_for_due_items(self, total: BatchSummary) -> bool:
        """Sleep until the next item is due, if that is soon; otherwise the share is done."""
        if self._is_over(total):
            return False
        due_s = self._worker.ledger.next_due_s(
            self._worker.recipe_id,
            collections=self._share.collections or None,
            backfill_id=self._share.backfill_id,
        )
        if due_s is None or due_s > self._share.wait_s:
            return False
        self._worker.stop.wait(max(due_s, 0.2))
        return True

    def _is_over(self, total: BatchSummary) -> bool:
        stopped = self._worker.stop.is_set() or bool(total.aborted)
        return stopped or self._share.is_over(self._claimed) or not self._share.goes_on()

    def _claim(self) -> Claim | None:
        settings, share = self._worker.settings, self._share
        limit = settings.batch_items
        if share.max_items is not None:
            limit = min(limit, share.max_items - self._claimed)
        return self._worker.ledger.claim(
            self._worker.name,
            recipe_id=self._worker.recipe_id,
            limit=limit,
            lease_s=settings.lease_s,
            max_attempts=settings.max_attempts,
            collections=share.collections or None,
            run_id=share.run_id,
            backfill_id=share.backfill_id,
        )


def _check_replaced(ledger: Ledger, share: Share, total: BatchSummary) -> None:
    if share.run_id is not None and not total.aborted and ledger.is_run_replaced(share.run_id):
        total.aborted = (
            "it gave no sign of life for minutes, was taken for lost, and a later night does its "
            "rest; see `autochrome status`"
        )


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

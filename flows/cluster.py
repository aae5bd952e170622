"""A share of the work on a Dask cluster: `colorize` gives it out, the cluster's workers do it.

An extra, for archives that have a cluster already: its scheduler knows the machines, and they need
no worker of Prefect's. The ledger stays what it is: each worker claims its own batches under its
own leases, so what a lost worker held is claimed again when they run out.
"""

import atexit
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.batch.batch import BatchSummary
from tasks.batch.worker import Worker, open_worker
from tasks.errors import AutochromeError, RunAborted, UsageError
from tasks.ledger import Ledger, RecipeRow
from tasks.settings import Settings, current_settings
from tasks.share import Share, check_failure_budget, work_off

if TYPE_CHECKING:
    from distributed import Client, Future

#: Batches that a worker does before it reports: a run that ends waits no longer than for these.
BATCHES_A_TURN = 2

#: Turns given out to each worker: one under way, and one that it need not wait for.
_TURNS_AHEAD = 2

_CONNECT_S = 30

_opening = threading.Lock()
_kept: list[Worker] = []


@dataclass(frozen=True)
class Turn:
    """What a worker is asked to do."""

    recipe_digest: str  #: of the run: a worker with another must not take part
    max_items: int
    collections: tuple[str, ...] = ()
    run_id: int | None = None


def take_turn(turn: Turn) -> BatchSummary:
    """Colourize a few batches, in a worker of the cluster.

    Its settings are in its own environment. Its worker stays open between turns.

    Raises:
        UsageError: This worker cannot take part, or would colourize under another recipe.
        AutochromeError: Database, output, checkpoint or device cannot be used here.
    """
    worker = _worker()
    if worker.recipe_digest != turn.recipe_digest:
        raise UsageError(
            f"its recipe is {worker.recipe_digest[:12]}, the run's {turn.recipe_digest[:12]}: "
            "give all the same AUTOCHROME_ settings and start the worker anew"
        )
    return work_off(
        worker,
        Share(
            collections=turn.collections,
            max_items=turn.max_items,
            run_id=turn.run_id,
            patience_s=0.0,  # it is the run that waits
        ),
    )


def _worker() -> Worker:
    if multiprocessing.current_process().daemon:
        raise UsageError(
            "it may start no processes, and works on pixels in some: start it with "
            "`dask worker --no-nanny --nthreads 1`"
        )
    with _opening:
        if not _kept:
            opened = ExitStack()
            _kept.append(opened.enter_context(open_worker(current_settings())))
            atexit.register(opened.close)
        return _kept[0]


def spread(
    settings: Settings,
    ledger: Ledger,
    share: Share,
    *,
    recipe: RecipeRow,
    on_progress: Callable[[BatchSummary], None] = lambda _: None,
) -> BatchSummary:
    """Have a share worked off by all workers of the cluster; returns the total.

    When the caller is interrupted, turns that wait are taken back, and those under way end.

    Raises:
        UsageError: There is no cluster where `dask_scheduler` says, or nobody works in it.
        RunAborted: A worker cannot take part, or was lost again and again; the message says why.
    """
    total = BatchSummary()
    with _connected(settings) as client:
        run = _Spread(client, settings, share, recipe.digest)
        while True:
            for summary in run.turns(total):
                total.add(summary)
                on_progress(total)
                check_failure_budget(settings, ledger, share, total)
            due_s = ledger.next_due_s(recipe.id, collections=share.collections or None)
            if run.is_over(total) or due_s is None or due_s > share.wait_s:
                return total
            time.sleep(max(due_s, 0.2))


class _Spread:
    """The turns of one share."""

    def __init__(
        self, client: "Client", settings: Settings, share: Share, recipe_digest: str
    ) -> None:
        self._client = client
        self._share = share
        self._recipe_digest = recipe_digest
        self._items = BATCHES_A_TURN * settings.batch_items
        self._left = share.max_items

    def is_over(self, total: BatchSummary) -> bool:
        """Whether no other turn may begin."""
        return bool(total.aborted) or self._share.is_over(total.items) or self._left == 0

    def turns(self, total: BatchSummary) -> "Iterator[BatchSummary]":
        """Give out turns, as long as they find something to do; what came of each."""
        from distributed import as_completed  # noqa: PLC0415 - an extra

        given: dict[Future[BatchSummary], int] = {}
        ended = as_completed(loop=self._client.loop)

        def give_out() -> None:
            # Workers may come and go meanwhile.
            workers = len(self._client.scheduler_info(n_workers=-1)["workers"])
            while len(given) < _TURNS_AHEAD * workers and not self.is_over(total):
                items = self._items if self._left is None else min(self._items, self._left)
                future = self._client.submit(take_turn, self._turn(items), pure=False)
                given[future] = items
                ended.add(future)
                if self._left is not None:
                    self._left -= items

        try:
            give_out()
            for future in ended:
                summary = _result(future)
                touched = summary.items + summary.tried_again + summary.lost_leases
                items = given.pop(future)
                if self._left is not None:
                    self._left += items - touched
                yield summary
                if touched:
                    give_out()
        finally:
            self._client.cancel(list(given))

    def _turn(self, items: int) -> Turn:
        share = self._share
        return Turn(self._recipe_digest, items, share.collections, share.run_id)


def _result(future: "Future[BatchSummary]") -> BatchSummary:
    from distributed import KilledWorker  # noqa: PLC0415 - an extra

    try:
        summary: BatchSummary = future.result()
    except KilledWorker as error:
        raise RunAborted(
            f"worker after worker of the cluster was lost at one turn: {error}; look into their "
            "logs; what they held is claimed again when its lease runs out"
        ) from error
    except AutochromeError as error:
        raise RunAborted(f"a worker of the cluster cannot take part: {error}") from error
    return summary


@contextmanager
def _connected(settings: Settings) -> "Iterator[Client]":
    try:
        from distributed import Client  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UsageError(
            "AUTOCHROME_DASK_SCHEDULER is set, and Dask is not installed: "
            "`pip install 'autochrome[dask]'`"
        ) from error
    try:
        client = Client(settings.dask_scheduler, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"no Dask scheduler answers at {settings.dask_scheduler}: {error}; start it with `dask "
            "scheduler`, or set AUTOCHROME_DASK_SCHEDULER to where it is"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_CONNECT_S)
        except TimeoutError as error:
            raise UsageError(
                f"nobody works in the cluster at {settings.dask_scheduler}; start workers with "
                f"`dask worker {settings.dask_scheduler} --no-nanny --nthreads 1`"
            ) from error
        yield client

"""A batch of an order, asked for by a small request, and claimed in the process that does it."""

import atexit
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial

from tasks.batch.batch import colorize_batch
from tasks.batch.lease import Lease
from tasks.batch.summary import BatchSummary
from tasks.batch.worker import Worker, open_worker
from tasks.errors import UsageError
from tasks.heartbeat import beating
from tasks.ledger import Claim, ClaimRequest, films, orders
from tasks.settings import Settings, current_settings

#: A process of a cluster looks so often whether the share that its batch belongs to is still open.
LOOK_S = 5.0


@dataclass(frozen=True)
class BatchRequest:
    """What a process is asked to do: small, picklable, and without secrets."""

    limit: int  #: items at most
    order_id: int  #: whose items
    share_id: int  #: that it belongs to
    run_id: int  #: whose failure budget it counts for
    recipe_digest: str  #: of the order: who works under another must not take part
    label: str  #: what people see of it


def claim_and_colorize(worker: Worker, request: BatchRequest) -> BatchSummary:
    """Claim a batch and colourize it; where nothing is ready, the summary is empty.

    A scan that its worker has not survived before is done while nothing else is done in this
    process: should it kill that, too, it takes nobody with it. Where no item is ready, a shot of a
    film that somebody holds is coloured, if one is open.
    """
    goes_on = partial(orders.share_goes_on, worker.ledger, request.share_id)
    with _entry:
        claim = _claim(worker, request)
        if claim is not None and len(claim.items) == 1 and claim.items[0].attempt > 1:
            with Lease(worker.ledger, claim.token, lease_s=worker.settings.lease_s).kept():
                _inside.wait_until_empty()
            return colorize_batch(worker, claim, goes_on=goes_on)
        _inside.enter()
    try:
        if claim is None:
            return _help(worker, request, goes_on)
        return colorize_batch(worker, claim, goes_on=goes_on)
    finally:
        _inside.leave()


def _help(worker: Worker, request: BatchRequest, goes_on: Callable[[], bool]) -> BatchSummary:
    if films.count_open(worker.ledger, request.order_id) == 0:
        return BatchSummary()
    from tasks.batch.films import FilmShare, help_with_a_film  # noqa: PLC0415 - loads FFmpeg

    return help_with_a_film(worker, FilmShare(request.order_id, goes_on))


def _claim(worker: Worker, request: BatchRequest) -> Claim | None:
    wanted = ClaimRequest(
        worker=worker.name,
        recipe_id=worker.recipe_id,
        order_id=request.order_id,
        run_id=request.run_id,
        limit=request.limit,
        lease_s=worker.settings.lease_s,
        max_attempts=worker.settings.max_attempts,
    )
    return worker.ledger.claim(wanted)


class _BatchCount:
    """How many batches this process is at."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._number = 0

    def enter(self) -> None:
        with self._changed:
            self._number += 1

    def leave(self) -> None:
        with self._changed:
            self._number -= 1
            self._changed.notify_all()

    def wait_until_empty(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._number)


_entry = threading.Lock()  # held by whoever claims, and by a suspect to its end
_inside = _BatchCount()


# --- what a process keeps open -------------------------------------------------------------------

_here: ContextVar[Worker | None] = ContextVar("worker", default=None)
_opening = threading.Lock()
_kept: dict[str, tuple[Worker, ExitStack]] = {}  # by the recipe; one at most


@contextmanager
def working_with(worker: Worker) -> Iterator[None]:
    """Let `colorize_requested` use what is open already, in this context and what it begins."""
    token = _here.set(worker)
    try:
        yield
    finally:
        _here.reset(token)


def colorize_requested(request: BatchRequest) -> BatchSummary:
    """Do what is asked for with what is open in this process, or with what it opens and keeps.

    In a process of a cluster, settings are those of its own environment, its network is loaded
    once, and a batch whose share ends meanwhile gives back what it has not begun.

    Raises:
        UsageError: This process cannot take part, or would colourize under another recipe.
        AutochromeError: Database, output, checkpoint or device cannot be used here.
    """
    worker = _here.get()
    if worker is not None:
        return claim_and_colorize(worker, request)
    worker = _keep_open(current_settings(), request.recipe_digest)
    stop = threading.Event()

    def look() -> None:
        if not orders.is_wanted(worker.ledger, request.share_id):
            stop.set()

    look()
    if stop.is_set():
        return BatchSummary()
    with beating(look, every_s=LOOK_S):
        return claim_and_colorize(replace(worker, stop=stop), request)


def _keep_open(settings: Settings, recipe_digest: str) -> Worker:
    if multiprocessing.current_process().daemon:
        raise UsageError(
            "this process may start no others, and works on pixels in some: start Dask's workers "
            "with `dask worker --no-nanny --nthreads 1`"
        )
    with _opening:
        if recipe_digest not in _kept:
            for _, opened in _kept.values():
                opened.close()  # another checkpoint is in service now
            _kept.clear()
            opened = ExitStack()
            worker = opened.enter_context(open_worker(settings))
            atexit.register(opened.close)
            _kept[worker.recipe_digest] = worker, opened
        if recipe_digest not in _kept:
            raise UsageError(
                f"its recipe is {next(iter(_kept))[:12]}, the order's {recipe_digest[:12]}: give "
                "all workers the same AUTOCHROME_ settings, and start this one anew"
            )
        return _kept[recipe_digest][0]

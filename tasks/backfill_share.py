"""One worker's turn at a backfill."""

import time
from collections.abc import Callable
from contextlib import suppress
from threading import Event

from tasks.batch.batch import BatchSummary, colorize_batch
from tasks.batch.worker import Worker, open_worker
from tasks.errors import DatabaseUnavailable
from tasks.heartbeat import RUN_LOST_S, beating
from tasks.ledger import Claim, RunEnding
from tasks.ledger.backfills import BackfillRow, Backfills, BackfillState, ShareRow
from tasks.ledger.opening import open_ledger
from tasks.settings import Settings
from tasks.share import Share, work_off

BEAT_S = 15.0


def work_share(
    settings: Settings,
    share_id: int,
    *,
    stop: Event | None = None,
    run_batch: Callable[[Worker, Claim], BatchSummary] = colorize_batch,
    on_progress: Callable[[BatchSummary], None] = lambda _: None,
) -> BatchSummary:
    """Work off a share of a backfill, and record how it ended.

    It ends at the next batch when its backfill is paused or a nightly run begins; when its backfill
    is cancelled, at the next scan. A share that is over already is none: its flow run came late.

    Returns:
        What was done; `aborted` names the cause if it could not go on.
    """
    with open_ledger(settings) as ledger:
        backfills = Backfills(ledger)
        share = backfills.begin_share(share_id)
        if share is None:
            return BatchSummary()
        watch = _Watch(backfills, share, stop or Event())
        try:
            with beating(watch.beat, every_s=min(BEAT_S, settings.lease_s / 3)):
                summary = _work(settings, backfills, share, watch, run_batch, on_progress)
        except BaseException as error:
            ending = RunEnding.ABORTED if isinstance(error, Exception) else RunEnding.CANCELLED
            with suppress(DatabaseUnavailable):
                detail = str(error) or type(error).__name__
                backfills.end_share(share.id, ending, items=watch.items, detail=detail)
            raise
        ending = summary.ending(stopped=watch.stop.is_set())
        backfills.end_share(share.id, ending, items=summary.items, detail=summary.aborted)
        backfills.settle(share.backfill_id)
        return summary


def _work(  # noqa: PLR0913, PLR0917 - what `work_share` was given, and what it made of it
    settings: Settings,
    backfills: Backfills,
    share: ShareRow,
    watch: "_Watch",
    run_batch: Callable[[Worker, Claim], BatchSummary],
    on_progress: Callable[[BatchSummary], None],
) -> BatchSummary:
    row = backfills.get(share.backfill_id)

    def progress(summary: BatchSummary) -> None:
        watch.items = summary.items
        on_progress(summary)

    with open_worker(settings, stop=watch.stop) as worker:
        if worker.recipe_id != row.recipe_id:
            return _refuse(backfills, row)
        deadline = None
        if share.max_seconds is not None:
            deadline = time.monotonic() + share.max_seconds
        mine = Share(
            max_items=share.max_items,
            deadline=deadline,
            run_id=row.run_id,
            backfill_id=row.id,
            goes_on=watch.goes_on,
        )
        return work_off(worker, mine, run_batch=run_batch, on_progress=progress)


def _refuse(backfills: Backfills, row: BackfillRow) -> BatchSummary:
    """Under another recipe its pictures would be others than were ordered."""
    why = (
        "the champion or the output settings have changed since it was ordered; `autochrome "
        f"backfill cancel {row.id}` and order a new one, or change them back and resume it"
    )
    backfills.pause(row.id, who="a worker", why=why)
    return BatchSummary(aborted=f"backfill {row.id}: {why}")


class _Watch:
    """Looks after a share: says that it lives, and hears when it is to end."""

    def __init__(self, backfills: Backfills, share: ShareRow, stop: Event) -> None:
        self._backfills = backfills
        self._share = share
        self._is_given_up = False
        self.stop = stop
        self.items = 0

    def beat(self) -> None:
        """Say that the share lives; of a cancelled backfill, what is not begun is given back."""
        self._is_given_up = not self._backfills.beat_share(self._share.id, items=self.items)
        if self._backfills.get(self._share.backfill_id).state is BackfillState.CANCELLING:
            self.stop.set()

    def goes_on(self) -> bool:
        """Whether another batch may be begun."""
        if self._is_given_up:
            return False
        if self._backfills.get(self._share.backfill_id).state is not BackfillState.RUNNING:
            return False
        return not self._backfills.is_nightly_running(seen_within_s=RUN_LOST_S)

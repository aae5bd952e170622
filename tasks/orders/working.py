"""Working an order off: a share of it on one worker, or all of it share by share in one process."""

import threading
from collections.abc import Callable
from contextlib import suppress

from tasks.batch.summary import BatchSummary
from tasks.errors import DatabaseUnavailable
from tasks.heartbeat import beating
from tasks.ledger import Ledger, RunEnding, film_figures, orders
from tasks.ledger.opening import open_ledger
from tasks.ledger.orders import PATIENCE_S, OrderKind, OrderRow, OrderState, Size
from tasks.orders.dispatch import OpenFanout, in_this_process, work_through
from tasks.orders.planning import plan_order
from tasks.orders.watch import BEAT_S, POLL_S, ShareWatch
from tasks.processes import worker_name
from tasks.settings import Settings
from tasks.words import duration


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
        share = orders.begin_share(ledger, share_id, worker=worker_name())
        if share is None:
            return BatchSummary()
        watch = ShareWatch(ledger, share, stop or threading.Event(), on_progress)
        try:
            with beating(watch.beat, every_s=min(BEAT_S, settings.lease_s / 3)):
                summary = _work(settings, ledger, watch, open_fanout)
        except BaseException as error:
            ending = RunEnding.ABORTED if isinstance(error, Exception) else RunEnding.CANCELLED
            with suppress(DatabaseUnavailable):
                watch.keep_figures()
                watch.end(ending, str(error) or type(error).__name__)
            raise
        watch.keep_figures()
        watch.end(summary.ending(stopped=watch.stop.is_set()), summary.aborted)
        orders.settle(ledger, share.order_id)
        return summary


def _work(
    settings: Settings, ledger: Ledger, watch: ShareWatch, open_fanout: OpenFanout
) -> BatchSummary:
    order = watch.order
    with open_fanout(settings, watch.stop) as fanout:
        if fanout.recipe_id != order.recipe_id:
            why = (
                "the champion or the output settings have changed since it was ordered; order it "
                "anew, or change them back and resume it"
            )
            give_up(ledger, order, why)
            if order.kind is OrderKind.NIGHT:
                return BatchSummary()  # whoever waits for it orders the rest anew: nothing failed
            return BatchSummary(aborted=f"{order.name}: {why}")
        watch.start_clock()
        summary = work_through(settings, watch, fanout)
        if summary.aborted and watch.failures().exceed(settings.failure_budget):
            give_up(ledger, order, summary.aborted)
        return summary


def give_up(ledger: Ledger, row: OrderRow, why: str) -> None:
    """End an order that cannot go on: the next takes its rest. A backfill waits for a person."""
    if row.kind is OrderKind.BACKFILL:
        orders.pause(ledger, row.id, who="a worker", why=why)
    else:
        orders.stop(ledger, row.id, RunEnding.ABORTED, why=why)


def films_in_words(ledger: Ledger, order_id: int) -> str:
    """How far the films of an order are, in frames; nothing where there are none."""
    frames = film_figures.frames_of_order(ledger, order_id)
    left = f", about {duration(frames.eta_s)} left" if frames.eta_s else ""
    return f"({frames.done:,} of {frames.frames:,} frames{left})" if frames.frames else ""


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
        on_progress: Told how many items have ended, of how many, and what is waited for, or how
            far its films are.

    Returns:
        Why it could not go on, or nothing.
    """
    while not stop.is_set():
        row = orders.settle(ledger, order_id)
        if row.state is OrderState.PLANNING:  # it was given more to do
            row = plan_order(ledger, order_id)
        progress = orders.progress(ledger, order_id)
        on_progress(progress.done, progress.total, films_in_words(ledger, order_id))
        if row.state is not OrderState.RUNNING:
            return row.detail if row.state is OrderState.ABORTED else ""
        first = orders.has_precedence(ledger, order_id)
        if first is not None:
            on_progress(progress.done, progress.total, f"waits for {first.name}")
        due_s = ledger.next_due_s(order_id)
        if first is not None or due_s is None or due_s > PATIENCE_S:
            stop.wait(POLL_S)  # what is left is in other hands, or tried again later
            continue

        def show(one: BatchSummary, done: int = progress.done, total: int = progress.total) -> None:
            on_progress(done + one.items, total, films_in_words(ledger, order_id))

        left_s = None
        if row.budget.max_seconds is not None:
            left_s = max(row.budget.max_seconds - progress.worked_s, 1.0)
        share = orders.open_share(
            ledger, order_id, Size(progress.left, None, left_s), worker=worker_name()
        )
        summary = work_share(
            settings,
            share.id,
            stop=stop,
            open_fanout=open_fanout,
            on_progress=show,
        )
        if summary.aborted:
            return summary.aborted
    return ""

"""A run over the archive: sources are listed, what is missing is ordered, worked off, reported.

A night and `autochrome run` are such: plain functions over one opened ledger, which the flow wraps
into Prefect tasks.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields, replace

from tasks.batch.recipe import recipe_in_service
from tasks.batch.summary import BatchSummary
from tasks.batch.worker import take_over_leases
from tasks.discovery.listing import Listing, record_source
from tasks.errors import DatabaseUnavailable, NoCheckpoint
from tasks.heartbeat import RUN_BEAT_S, beating
from tasks.ledger import ItemStatus, Ledger, ListingCounts, RunEnding, RunFigures, RunRow, orders
from tasks.ledger.done import list_done
from tasks.ledger.opening import open_ledger, open_output
from tasks.ledger.orders import Order, OrderKind, OrderRow, OrderState, Scope
from tasks.orders.planning import plan_order
from tasks.processes import has_ended, worker_name
from tasks.runs import ending_of
from tasks.settings import Settings
from tasks.storage import ObjectStore, check_apart


@dataclass
class Run:
    """One run over the archive: its place in the ledger, and what it has done so far."""

    settings: Settings
    ledger: Ledger
    output: ObjectStore
    run_id: int
    name: str
    figures: RunFigures = field(default_factory=RunFigures)

    def order(self, order: Order) -> OrderRow:
        """Order what the sources will turn out to hold; nothing is planned before `plan`."""
        recipe_id = self.ledger.ensure_recipe(recipe_in_service(self.settings, self.ledger))
        self.ledger.beat_run(self.run_id, recipe_id=recipe_id)
        self._advance(collections=order.scope.collections)
        number = orders.make(self.ledger, order, recipe_id, name=self.name, lists_for=self.run_id)
        return orders.get(self.ledger, number)

    def discover(self, source: str, *, within_s: float = math.inf) -> Listing:
        """List *source*, for so long at most, and record what is new, changed or gone."""
        listing = record_source(
            self.settings, self.ledger, source, run_id=self.run_id, within_s=within_s
        )
        said = (listing.incomplete,) if listing.incomplete else ()
        self._advance(
            discovered=_sum(self.figures.discovered, listing.discovered),
            incomplete=(*self.figures.incomplete, *said),
            left_out=dict(Counter(self.figures.left_out) + Counter(listing.left_out)),
        )
        return listing

    def plan(self, order_id: int) -> OrderRow:
        """Give every scan that was never finished an item, and the order what waits for nobody."""
        orders.end_listing(self.ledger, order_id)
        row = plan_order(self.ledger, order_id)
        self._advance(enqueued=max(self.figures.enqueued, row.items))
        return row

    def order_again(self, row: OrderRow) -> OrderRow | None:
        """Order what is left of an order that ended because another recipe came into service.

        Returns:
            The new order, planned, until the same deadline; None where that was not the cause.
        """
        try:
            recipe = recipe_in_service(self.settings, self.ledger)
        except NoCheckpoint:
            return None
        recipe_id = orders.find_recipe(self.ledger, recipe.digest)
        left_s = orders.left_s(self.ledger, row.id)
        is_over = left_s is not None and left_s <= 0
        if row.state is not OrderState.ABORTED or row.recipe_id == recipe_id or is_over:
            return None
        names = (one.name for one in fields(Order) if one.name != "deadline_s")
        again = Order(deadline_s=left_s, **{name: getattr(row, name) for name in names})
        return self.plan(self.order(again).id)

    def count(self) -> BatchSummary:
        """Record, and return, what the workers have done, in however many processes."""
        shares = [
            share
            for row in orders.list_of_run(self.ledger, self.run_id)
            for share in orders.list_shares(self.ledger, row.id, limit=None)
        ]
        stage_s: Counter[str] = Counter()
        for share in shares:
            stage_s.update(share.figures.stage_s)
        coloured = sum(share.figures.coloured for share in shares)
        confidence = sum(share.figures.confidence_sum for share in shares)
        self._advance(
            given_back=sum(share.figures.given_back for share in shares),
            confidence=confidence / coloured if coloured else None,
            stage_s=dict(stage_s),
        )
        run = self.ledger.get_run(self.run_id)
        summary = BatchSummary() if run is None else summary_of(self.ledger, run)
        self._advance(finished=summary.by_status)
        return summary

    def end(self, ending: RunEnding, *, detail: str = "") -> None:
        """Record how the run ended."""
        self.ledger.finish_run(self.run_id, ending, detail=detail)

    def _advance(self, **figures: object) -> None:
        self.figures = replace(self.figures, **figures)  # type: ignore[arg-type]  # replace checks the names
        self.ledger.beat_run(self.run_id, self.figures)


@contextmanager
def begin_run(
    settings: Settings,
    *,
    kind: str,
    name: str,
    resumes: int | None = None,
    is_taken_up: Callable[[], bool] = lambda: False,
) -> Iterator[Run]:
    """Open the ledger and the output for a run, and record how it ended.

    Args:
        settings: Of the run.
        kind: "nightly" or "run".
        name: How people call it.
        resumes: The order of a run that was lost: this one goes on in its place.
        is_taken_up: Asked where this process is told to end: whether another run takes this one's
            place. Then its order stays open, and the run counts as lost until that.

    Raises:
        AutochromeError: The database or the output cannot be used; the message says what to do.
    """
    for source in settings.sources:
        check_apart(source, settings.output)
    with open_ledger(settings, is_made=True) as ledger:
        output = open_output(settings, ledger)
        lost = None if resumes is None else ledger.get_run(orders.get(ledger, resumes).run_id)
        run_id = ledger.start_run(kind, name) if lost is None else lost.id
        run = Run(settings, ledger, output, run_id, name)
        if lost is not None:
            run.name, run.figures = lost.name, lost.figures
            ledger.beat_run(run_id)
        try:
            with beating(lambda: ledger.beat_run(run_id), every_s=RUN_BEAT_S):
                yield run
        except BaseException as error:
            ending, why = ending_of(error)
            if ending is RunEnding.CANCELLED and is_taken_up():
                ending, why = RunEnding.LOST, "its worker was told to end; another run goes on"
            with suppress(DatabaseUnavailable):
                if ending is not RunEnding.LOST:
                    _stop_orders(ledger, run_id, ending, why)
                ledger.finish_run(run_id, ending, detail=why)
            raise


def _stop_orders(ledger: Ledger, run_id: int, ending: RunEnding, why: str) -> None:
    for row in orders.list_open(ledger):
        if row.run_id == run_id:
            orders.stop(ledger, row.id, ending, why=why)


def _sum(one: ListingCounts, other: ListingCounts) -> ListingCounts:
    names = ListingCounts.__dataclass_fields__
    return ListingCounts(**{name: getattr(one, name) + getattr(other, name) for name in names})


# --- which order ---------------------------------------------------------------------------------


_IN_PROCESS = "in process "


def order_of_night(
    settings: Settings, collections: Sequence[str], *, in_process: bool = False
) -> Order:
    """Tonight's: what is missing, until the deadline, before everything else.

    Args:
        settings: Have the deadline.
        collections: Only these; none means all.
        in_process: This process works it off, and when that is gone, nobody will.
    """
    return Order(
        scope=Scope(tuple(collections)),
        deadline_s=settings.deadline_hours * 3600,
        kind=OrderKind.NIGHT,
        who="the schedule",
        why=f"{_IN_PROCESS}{worker_name()}" if in_process else "",
    )


def order_of_process(who: str) -> Order:
    """What is missing, asked for by *who* of this process, who waits for it: nothing goes first."""
    return Order(
        kind=OrderKind.REQUEST,
        priority=OrderKind.NIGHT.priority + 1,
        who=who,
        why=f"{_IN_PROCESS}{worker_name()}",
    )


def in_work_elsewhere(ledger: Ledger, recipe_id: int) -> OrderRow | None:
    """What others are asked to colour now, under the same recipe; whoever has time joins in."""
    for row in orders.list_open(ledger):
        is_joinable = row.kind in (OrderKind.NIGHT, OrderKind.REQUEST)
        is_ours = row.recipe_id == recipe_id and row.state is OrderState.RUNNING
        if is_joinable and is_ours and orders.progress(ledger, row.id).left:
            return row
    return None


def end_orders_of_the_dead(ledger: Ledger) -> None:
    """End the orders of processes of this machine that are gone: the rest is anyone's at once."""
    for row in orders.list_open(ledger):
        process = row.why.removeprefix(_IN_PROCESS)
        run = ledger.get_run(row.run_id)
        is_over = run is not None and run.ending is not None
        if process != row.why and (is_over or has_ended(process)):
            orders.stop(ledger, row.id, RunEnding.LOST, why="its process is gone")
    take_over_leases(ledger)
    ledger.sweep()


def summary_of(ledger: Ledger, run: RunRow) -> BatchSummary:
    """What a run has come to, as the ledger remembers it."""
    done = list_done(ledger, run.id, derivatives=0, noted=0)
    coloured = sum(done.statuses[status] for status in (ItemStatus.PUBLISHED, ItemStatus.REVIEW))
    return BatchSummary(
        statuses=done.statuses,
        reasons=done.reasons,
        seconds=defaultdict(float, run.figures.stage_s),
        given_back=run.figures.given_back,
        coloured=coloured,
        confidence_sum=coloured * (run.figures.confidence or 0.0),
        aborted=run.detail if run.ending is RunEnding.ABORTED else "",
    )

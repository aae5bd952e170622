"""Orders in the ledger: one object over it, each method one short transaction or several."""

from collections.abc import Mapping, Sequence

from tasks.ledger.ledger import Ledger
from tasks.ledger.orders import planning, shares, steering, withdrawing
from tasks.ledger.orders.records import (
    Budget,
    Order,
    OrderPlan,
    OrderRow,
    Progress,
    ShareFigures,
    ShareRow,
    Transition,
    Withdrawn,
)
from tasks.ledger.orders.shares import Size
from tasks.ledger.records import RunEnding
from tasks.schema import OrderState


class Orders:
    """The orders of a ledger: ordered, planned, worked off in shares, steered."""

    def __init__(self, ledger: Ledger) -> None:
        self._database = ledger.database

    # --- ordering and planning -------------------------------------------------------------------

    def plan(self, order: Order, recipe_id: int) -> OrderPlan:
        """What such an order would do now. Nothing is changed.

        Args:
            order: Which scans, and how many at most.
            recipe_id: Under which recipe; 0 for one that the ledger does not know yet.

        Raises:
            UsageError: The scope names a place that no scans were discovered in.
        """
        return planning.plan(self._database, order, recipe_id)

    def make(self, order: Order, recipe_id: int, *, name: str, lists_for: int | None = None) -> int:
        """Put an order on record; returns its number.

        Args:
            order: What is asked for.
            recipe_id: Under which recipe.
            name: Of its run in the ledger.
            lists_for: The run that its claims count for, which lists its sources first: nothing is
                planned until `end_listing`. None: it is planned at once, and is a run of its own.
        """
        return self._database.write(
            lambda c: steering.make(c, order, recipe_id, name=name, lists_for=lists_for)
        )

    def end_listing(self, order_id: int) -> OrderRow:
        """Let its scans be planned: its sources are listed."""
        return self._database.write(lambda c: steering.end_listing(c, order_id))

    def enqueue_window(self, order_id: int) -> OrderState:
        """Enqueue the next window of its scans; any number may do this at once, or go on later.

        Returns:
            Its state then: `planning` while there is more to enqueue.
        """
        return self._database.write(lambda c: planning.enqueue_window(c, order_id))

    # --- steering --------------------------------------------------------------------------------

    def pause(self, order_id: int, *, who: str, why: str = "") -> OrderRow:
        """Nothing of it is claimed until it is resumed. What is in work comes to its end."""
        return self._database.write(lambda c: steering.pause(c, order_id, who=who, why=why))

    def resume(
        self, order_id: int, budget: Budget | None = None, *, who: str, why: str = ""
    ) -> OrderRow:
        """Let it go on where it was; what *budget* gives replaces what it had.

        Raises:
            UsageError: It has ended, or its budget is spent and none is given.
        """
        return self._database.write(
            lambda c: steering.resume(c, order_id, budget or Budget(), who=who, why=why)
        )

    def cancel(self, order_id: int, *, who: str, why: str = "") -> Withdrawn:
        """End it: what was not begun is as it was before, what is in work comes to its end.

        Returns:
            What was taken back now. Items that workers give back later are taken back by `settle`.
        """
        self._database.write(lambda c: steering.cancel(c, order_id, who=who, why=why))
        withdrawn = self._withdraw(order_id)
        self.settle(order_id)
        return withdrawn

    def stop(self, order_id: int, ending: RunEnding, *, why: str) -> OrderRow:
        """End it as it is: what is in work comes to its end, the rest waits for the next order."""
        return self._database.write(lambda c: steering.stop(c, order_id, ending, why=why))

    def settle(self, order_id: int) -> OrderRow:
        """End it if nothing of it is left, take back what is left of a cancelled one.

        Whoever comes by does this: workers at their end, the flow that keeps orders going, the
        command line. Harmless when done twice.
        """
        self._withdraw(order_id)
        return self._database.write(lambda c: steering.settle(c, order_id))

    def _withdraw(self, order_id: int) -> Withdrawn:
        total = Withdrawn()
        while True:
            some = self._database.write(lambda c: withdrawing.withdraw_window(c, order_id))
            if not some.items:
                return total
            total += some

    # --- reading ---------------------------------------------------------------------------------

    def has_scans_at(self, uri: str) -> bool:
        """Whether scans are known at a URI, in a folder or by a pattern."""
        return self._database.read(lambda c: planning.has_scans_at(c, uri))

    def find_recipe(self, digest: str) -> int:
        """The id of a recipe; 0 where the ledger does not know it."""
        return self._database.read(lambda c: steering.find_recipe(c, digest))

    def get(self, order_id: int) -> OrderRow:
        """One order.

        Raises:
            UsageError: There is none of this number.
        """
        return self._database.read(lambda c: steering.get(c, order_id))

    def list_open(self) -> list[OrderRow]:
        """Those that have not ended, the highest priority first."""
        return self._database.read(steering.open_orders)

    def list_shown(self, *, ended_within_s: float) -> list[OrderRow]:
        """Those that have not ended, and those that ended lately: their end is to be shown, too."""
        return self._database.read(
            lambda c: steering.shown_orders(c, ended_within_s=ended_within_s)
        )

    def list_latest(self, *, limit: int = 20) -> list[OrderRow]:
        """The latest, newest first."""
        return self._database.read(lambda c: steering.list_orders(c, limit=limit))

    def progress(self, order_id: int) -> Progress:
        """How far it is; quick at any size."""
        return self._database.read(lambda c: steering.progress(c, order_id))

    def transitions(self, order_id: int) -> list[Transition]:
        """Who decided what about it, oldest first."""
        return self._database.read(lambda c: steering.transitions(c, order_id))

    def is_due(self, order_id: int, *, within_s: float) -> bool:
        """Whether an item of it can be claimed now or soon."""
        return self._database.read(lambda c: shares.is_due(c, order_id, within_s=within_s))

    # --- shares ----------------------------------------------------------------------------------

    def open_shares(self, *, window: int, sizes: Mapping[int, Size]) -> Sequence[ShareRow]:
        """Open shares until *window* are open, over all orders; returns the new ones."""
        return self._database.write(lambda c: shares.open_shares(c, window=window, sizes=sizes))

    def open_share(self, order_id: int, size: Size, *, worker: str) -> ShareRow:
        """Open and begin one share beside the window: *worker* does it without being asked."""
        return self._database.write(lambda c: shares.open_share(c, order_id, size, worker=worker))

    def list_open_shares(self) -> list[ShareRow]:
        """All open shares, oldest first."""
        return self._database.read(shares.list_open)

    def list_shares(self, order_id: int, *, limit: int | None = 20) -> list[ShareRow]:
        """The latest shares of an order, newest first."""
        return self._database.read(lambda c: shares.list_shares(c, order_id, limit=limit))

    def name_flow_run(self, share_id: int, flow_run_id: str) -> None:
        """Keep which flow run a share is."""
        self._database.write(lambda c: shares.name_flow_run(c, share_id, flow_run_id))

    def begin_share(self, share_id: int, *, worker: str) -> ShareRow | None:
        """Begin it; None where it is over: lost, cancelled, or done by another."""
        return self._database.write(lambda c: shares.begin(c, share_id, worker))

    def beat_share(self, share_id: int, *, items: int) -> bool:
        """Say that it is alive; False where it was given up meanwhile."""
        return self._database.write(lambda c: shares.beat(c, share_id, items=items))

    def end_share(self, share_id: int, ending: RunEnding, *, detail: str = "") -> None:
        """Record how it ended; the first ending stands."""
        self._database.write(lambda c: shares.end(c, share_id, ending, detail=detail))

    def keep_figures(self, share_id: int, *, items: int, figures: ShareFigures) -> None:
        """Record what it came to."""
        self._database.write(
            lambda c: shares.keep_figures(c, share_id, items=items, figures=figures)
        )

    def is_wanted(self, share_id: int) -> bool:
        """Whether what a share has in work is still wanted: neither it nor its order is over."""
        return self._database.read(lambda c: shares.is_wanted(c, share_id))

    def end_silent_shares(self, *, after_s: float) -> int:
        """Give up shares whose worker was not heard of for so long; returns how many."""
        return self._database.write(lambda c: shares.end_silent(c, after_s=after_s))

    def goes_on(self, order_id: int) -> bool:
        """Whether another batch of it may begin: it runs, has time left, and is first in line."""
        return self._database.read(lambda c: shares.goes_on(c, order_id))

    def has_precedence(self, order_id: int) -> OrderRow | None:
        """An order before this one in line of which something can be claimed now, if any."""
        return self._database.read(lambda c: shares.has_precedence(c, order_id))

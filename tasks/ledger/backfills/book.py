"""Backfills in the ledger: one object over it, each method one short transaction or several."""

from collections.abc import Mapping, Sequence

from tasks.ledger.backfills import planning, shares, steering, withdrawing
from tasks.ledger.backfills.records import (
    BackfillPlan,
    BackfillRow,
    Budget,
    Order,
    Progress,
    ShareRow,
    Transition,
    Withdrawn,
)
from tasks.ledger.backfills.shares import Size
from tasks.ledger.ledger import Ledger
from tasks.ledger.records import RunEnding
from tasks.schema import BackfillState


class Backfills:
    """The backfills of a ledger: ordered, planned, worked off in shares, steered."""

    def __init__(self, ledger: Ledger) -> None:
        self._database = ledger.database

    # --- ordering and planning -------------------------------------------------------------------

    def plan(self, order: Order, recipe_id: int) -> BackfillPlan:
        """What such a backfill would do now. Nothing is changed.

        Args:
            order: Which scans, and how many at most.
            recipe_id: Under which recipe; 0 for one that the ledger does not know yet.

        Raises:
            UsageError: The scope names a place that no scans were discovered in.
        """
        return planning.plan(self._database, order, recipe_id)

    def make(self, order: Order, recipe_id: int, *, name: str) -> int:
        """Put a backfill on record, in state `planning`; returns its number."""
        return self._database.write(lambda c: steering.make(c, order, recipe_id, name=name))

    def enqueue_window(self, backfill_id: int) -> BackfillState:
        """Enqueue the next window of its scans; any number may do this at once, or go on later.

        Returns:
            Its state then: `planning` while there is more to enqueue.
        """
        return self._database.write(lambda c: planning.enqueue_window(c, backfill_id))

    # --- steering --------------------------------------------------------------------------------

    def pause(self, backfill_id: int, *, who: str, why: str = "") -> BackfillRow:
        """Nothing of it is claimed until it is resumed. What is in work comes to its end."""
        return self._database.write(lambda c: steering.pause(c, backfill_id, who=who, why=why))

    def resume(
        self, backfill_id: int, budget: Budget | None = None, *, who: str, why: str = ""
    ) -> BackfillRow:
        """Let it go on where it was; what *budget* gives replaces what it had.

        Raises:
            UsageError: It has ended, or its budget is spent and none is given.
        """
        return self._database.write(
            lambda c: steering.resume(c, backfill_id, budget or Budget(), who=who, why=why)
        )

    def cancel(self, backfill_id: int, *, who: str, why: str = "") -> Withdrawn:
        """End it: what was not begun is as it was before, what is in work comes to its end.

        Returns:
            What was taken back now. Items that workers give back later are taken back by `settle`.
        """
        self._database.write(lambda c: steering.cancel(c, backfill_id, who=who, why=why))
        withdrawn = self._withdraw(backfill_id)
        self.settle(backfill_id)
        return withdrawn

    def settle(self, backfill_id: int) -> BackfillRow:
        """End it if nothing of it is left, take back what is left of a cancelled one.

        Whoever comes by does this: workers at their end, the flow that keeps backfills going, the
        command line. Harmless when done twice.
        """
        self._withdraw(backfill_id)
        return self._database.write(lambda c: steering.settle(c, backfill_id))

    def _withdraw(self, backfill_id: int) -> Withdrawn:
        total = Withdrawn()
        while True:
            some = self._database.write(lambda c: withdrawing.withdraw_window(c, backfill_id))
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

    def get(self, backfill_id: int) -> BackfillRow:
        """One backfill.

        Raises:
            UsageError: There is none of this number.
        """
        return self._database.read(lambda c: steering.get(c, backfill_id))

    def list_open(self) -> list[BackfillRow]:
        """Those that have not ended, the highest priority first."""
        return self._database.read(steering.open_backfills)

    def list_shown(self, *, ended_within_s: float) -> list[BackfillRow]:
        """Those that have not ended, and those that ended lately: their end is to be shown, too."""
        return self._database.read(
            lambda c: steering.shown_backfills(c, ended_within_s=ended_within_s)
        )

    def list_latest(self, *, limit: int = 20) -> list[BackfillRow]:
        """The latest, newest first."""
        return self._database.read(lambda c: steering.list_backfills(c, limit=limit))

    def progress(self, backfill_id: int) -> Progress:
        """How far it is; quick at any size."""
        return self._database.read(lambda c: steering.progress(c, backfill_id))

    def transitions(self, backfill_id: int) -> list[Transition]:
        """Who decided what about it, oldest first."""
        return self._database.read(lambda c: steering.transitions(c, backfill_id))

    def is_due(self, backfill_id: int, *, within_s: float) -> bool:
        """Whether an item of it can be claimed now or soon."""
        return self._database.read(lambda c: shares.is_due(c, backfill_id, within_s=within_s))

    # --- shares ----------------------------------------------------------------------------------

    def open_shares(self, *, window: int, sizes: Mapping[int, Size]) -> Sequence[ShareRow]:
        """Open shares until *window* are open, over all backfills; returns the new ones."""
        return self._database.write(lambda c: shares.open_shares(c, window=window, sizes=sizes))

    def open_share(self, backfill_id: int, size: Size) -> ShareRow:
        """Open and begin one share beside the window: a person works a backfill off."""
        return self._database.write(
            lambda c: shares.open_share(c, backfill_id, size, is_begun=True)
        )

    def list_open_shares(self) -> list[ShareRow]:
        """All open shares, oldest first."""
        return self._database.read(shares.list_open)

    def list_shares(self, backfill_id: int, *, limit: int = 20) -> list[ShareRow]:
        """The latest shares of a backfill, newest first."""
        return self._database.read(lambda c: shares.list_shares(c, backfill_id, limit=limit))

    def name_flow_run(self, share_id: int, flow_run_id: str) -> None:
        """Keep which flow run a share is."""
        self._database.write(lambda c: shares.name_flow_run(c, share_id, flow_run_id))

    def begin_share(self, share_id: int) -> ShareRow | None:
        """Begin it; None where it is over: lost, cancelled, or done by another."""
        return self._database.write(lambda c: shares.begin(c, share_id))

    def beat_share(self, share_id: int, *, items: int) -> bool:
        """Say that it is alive; False where it was given up meanwhile."""
        return self._database.write(lambda c: shares.beat(c, share_id, items=items))

    def end_share(
        self, share_id: int, ending: RunEnding, *, items: int | None = None, detail: str = ""
    ) -> None:
        """Record how it ended; the first ending stands."""
        self._database.write(lambda c: shares.end(c, share_id, ending, items=items, detail=detail))

    def end_silent_shares(self, *, after_s: float) -> int:
        """Give up shares whose worker was not heard of for so long; returns how many."""
        return self._database.write(lambda c: shares.end_silent(c, after_s=after_s))

    def is_nightly_running(self, *, seen_within_s: float) -> bool:
        """Whether a nightly run is under way that was heard of lately."""
        return self._database.read(
            lambda c: shares.is_nightly_running(c, seen_within_s=seen_within_s)
        )

"""The ledger: what became of every scan. One object, each operation one short transaction."""

from collections.abc import Sequence
from functools import partialmethod
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine

from tasks.ledger import (
    changes,
    claims,
    decisions,
    discovery,
    enqueue,
    finishing,
    holds,
    outages,
    pace,
    reading,
    refusals,
    refused_files,
    runs,
    sources,
    story,
    sweeping,
    waiting,
)
from tasks.ledger.engine import Database, open_engine
from tasks.ledger.records import Backoff, Claim, ClaimRequest, Ending, ItemFilter, Outcome
from tasks.schema import DecisionKind


class Ledger(Database):
    """Opened with `Ledger.open`; threads may share one, forked processes may not.

    Every operation raises `DatabaseUnavailable` when the database stays away for longer than the
    ledger's patience. All times are by the database's clock, so a worker's own may be hours off.

    Operations are functions, in the module of their subject; those that everybody needs are named
    here, too. The others (`tasks.ledger.orders`, `checkpoints`, `references`, …) take the ledger.
    """

    def __init__(self, engine: Engine, *, patience_s: float, backoff: Backoff) -> None:
        super().__init__(engine, patience_s=patience_s)
        self._backoff = backoff
        self._store_ids: dict[str, int] = {}

    @classmethod
    def open(
        cls, url: str, *, backoff: Backoff | None = None, patience_s: float = 30.0
    ) -> "Ledger":
        """Open the ledger at *url*: ``sqlite:///PATH`` or ``postgresql://USER@HOST/DATABASE``.

        Args:
            url: Where it is kept. Its schema must be up to date (`tasks.ledger.migrate`).
            backoff: How long items wait after a transient failure.
            patience_s: How long an operation tries again while the connection is lost.

        Raises:
            UsageError: No ledger can be kept at such a URL.
            DatabaseUnavailable: The database cannot be reached, or refuses.
            SchemaOutdated: `autochrome db upgrade` must be run first.
        """
        return cls(open_engine(url), patience_s=patience_s, backoff=backoff or Backoff())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- discovery and enqueueing ----------------------------------------------------------------

    record_listing = discovery.record_listing
    doubts = discovery.doubts
    owners = sources.owners
    refused_unread = refused_files.list_unread
    learn_refused = holds.learn_refused
    record_digests = changes.record_digests
    ensure_recipe = enqueue.ensure_recipe
    current_recipe = reading.current_recipe
    recipe_of_run = reading.recipe_of_run
    find_recipe = reading.find_recipe

    # --- working ---------------------------------------------------------------------------------

    def claim(self, wanted: ClaimRequest) -> Claim | None:
        """Take a batch of an order's pending items, and count an attempt for each.

        First, leases of others that ran out are swept up: an item goes back to pending, to be
        claimed once more *alone*, or after its last attempt to quarantined: killed_worker. Such
        suspects come before all others, one a batch. Then the longest-waiting ones.

        Returns:
            The batch; None where none is ready, or the order is not running, or is late.
        """
        token = claims.new_token()
        is_retry = False

        def work(connection: Connection) -> Claim | None:
            # When the connection was lost at the commit, the claim may have been made all the same.
            nonlocal is_retry
            made = claims.reread_claim(connection, token, wanted.order_id) if is_retry else None
            is_retry = True
            return made or claims.claim_items(connection, wanted, token=token)

        # A claim that a crashing server forgets is a lease that is lost: its items wait to be
        # claimed again. Finishing is waited for.
        found = self.write(work, forgetful=True)
        # One that was made, and lost again before its answer could be read, holds nothing.
        return found if found and found.items else None

    renew = claims.renew

    def finish(self, token: str, outcomes: Sequence[Outcome]) -> dict[int, Ending]:
        """Record what became of items, of the whole batch or some of it.

        Returns:
            Where each accepted item stands now, by its id: pending where it will be tried again, in
            review where a person said no to the scan before, whatever the outcome was. The others
            were lost meanwhile: the lease ran out, or the scan changed; they are in other hands,
            and nothing is recorded about them.
        """
        urls = {record.store for outcome in outcomes for record in outcome.derivatives}
        store_ids = {url: self._store_id(url) for url in urls}
        is_retry = False

        def work(connection: Connection) -> dict[int, Ending]:
            nonlocal is_retry
            accepted = finishing.finish(
                connection, token, outcomes, backoff=self._backoff, store_ids=store_ids
            )
            if is_retry:  # the connection was lost, maybe at the commit
                ids = [outcome.item_id for outcome in outcomes]
                accepted |= finishing.finished_before(connection, token, ids)
            is_retry = True
            return accepted

        return self.write(work)

    give_back = claims.give_back
    begin_outage = outages.begin
    end_outages = outages.end
    list_outages = outages.rows
    sweep = sweeping.sweep
    next_due_s = waiting.next_due_s
    open_workers = waiting.open_workers
    expire_leases = waiting.expire_leases
    count_expired = waiting.count_expired

    def _store_id(self, url: str) -> int:
        if url not in self._store_ids:
            self._store_ids[url] = changes.ensure_store(self, url)
        return self._store_ids[url]

    # --- decisions -------------------------------------------------------------------------------

    def decide(
        self, kind: DecisionKind, chosen: ItemFilter, *, who: str, why: str, dry_run: bool = False
    ) -> int:
        """Move what the filter finds, and record it; returns how many items, of holds scans.

        `decisions.MOVES` has what each kind moves from where to where. With *dry_run* nothing is
        changed.
        """
        if kind is DecisionKind.HOLD:
            if dry_run:
                return self.read(lambda c: holds.count_held(c, chosen))
            return self.write(lambda c: holds.hold(c, chosen, who=who, why=why))
        if kind is DecisionKind.RELEASE:
            if dry_run:
                return self.read(lambda c: holds.count_released(c, chosen))
            return self.write(lambda c: holds.release(c, chosen, who=who, why=why))
        if dry_run:
            return self.read(lambda c: decisions.count_decided(c, kind, chosen))
        return self.write(lambda c: decisions.decide(c, kind, chosen, who=who, why=why))

    retry = partialmethod(decide, DecisionKind.RETRY)
    hold = partialmethod(decide, DecisionKind.HOLD)
    release = partialmethod(decide, DecisionKind.RELEASE)
    approve = partialmethod(decide, DecisionKind.APPROVE)
    reject = partialmethod(decide, DecisionKind.REJECT)
    redo = partialmethod(decide, DecisionKind.REDO)
    supersede = partialmethod(decide, DecisionKind.SUPERSEDE)
    held_places = refusals.list_held_places
    count_by_status = decisions.count_by_status

    # --- reading ---------------------------------------------------------------------------------

    counts = reading.counts
    count_present = reading.count_present
    list_items = reading.list_items
    samples = reading.samples
    oldest_pending = waiting.oldest_waiting
    measure_pace = pace.measure_pace
    uris_of_run = story.uris_of_run
    get_story = story.get_story

    # --- runs ------------------------------------------------------------------------------------

    start_run = runs.start_run
    beat_run = runs.beat_run
    finish_run = runs.finish_run
    end_lost_runs = runs.end_lost_runs
    get_run = runs.get_run
    list_runs = runs.list_runs
    count_failures = runs.count_failures

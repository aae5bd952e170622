"""The ledger: what became of every scan. One object, each method one short transaction."""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Self

from sqlalchemy import Connection

from tasks.errors import Reason
from tasks.heartbeat import RUN_LOST_S
from tasks.ledger import (
    changes,
    claims,
    decisions,
    discovery,
    enqueue,
    finishing,
    holds,
    outages,
    reading,
    refusals,
    runs,
    sources,
    sql,
    story,
    waiting,
)
from tasks.ledger.changes import ensure_store
from tasks.ledger.claims import Wanted
from tasks.ledger.discovery import Listing, record_listing
from tasks.ledger.engine import Database, open_database
from tasks.ledger.pace import Pace, pace
from tasks.ledger.pages import add_pages
from tasks.ledger.records import (
    Backoff,
    Claim,
    Counts,
    DerivativeRow,
    Digest,
    Discovered,
    Doubt,
    Ending,
    EnqueueMode,
    EnqueuePlan,
    Failures,
    ItemFilter,
    ItemRow,
    ItemStory,
    ListedObject,
    Missing,
    OutageRow,
    Outcome,
    Recipe,
    RecipeRow,
    RunEnding,
    RunFigures,
    RunRow,
    SourceRow,
)
from tasks.ledger.sweeping import sweep
from tasks.schema import DecisionKind, ItemStatus


class Ledger:
    """Opened with `Ledger.open`; threads may share one, forked processes may not.

    Every method raises `DatabaseUnavailable` when the database stays away for longer than the
    ledger's patience. All times are by the database's clock, so a worker's own may be hours off.
    """

    def __init__(self, database: Database, *, backoff: Backoff) -> None:
        self.database = database
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
            patience_s: How long a method tries again while the connection is lost.

        Raises:
            UsageError: No ledger can be kept at such a URL.
            DatabaseUnavailable: The database cannot be reached, or refuses.
            SchemaOutdated: `autochrome db upgrade` must be run first.
        """
        return cls(open_database(url, patience_s=patience_s), backoff=backoff or Backoff())

    def close(self) -> None:
        """Close every connection."""
        self.database.close()

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

    def record_listing(  # noqa: PLR0913 - each may be left out but three
        self,
        source: str,
        objects: Iterable[ListedObject],
        *,
        collection: str,
        run_id: int | None = None,
        prefix: str = "",
        complete: bool = True,
        leaves_out: Callable[[str], str] = lambda _: "",
        may_vanish: Callable[[Missing], bool] = lambda _: True,
    ) -> Discovered:
        """Record what a source holds, in bounded memory and in many short transactions.

        What a file is, its bytes say. Where another ETag, time or version is listed, it is in doubt
        (`doubts`) until they are compared; where they are others for sure, it becomes a new
        revision of its scan: items that wait or are being worked on go back to pending for it,
        ended ones are due at the next `enqueue`. A known scan that the listing did not bring is
        marked vanished, never deleted, and nothing waits for it any more; when it comes back, so
        does its item. So it is with one that is archived, and restored.

        Args:
            source: The store's normalised URL.
            objects: Its listing, in any order. When it raises, what came before is kept, and
                nothing is taken for vanished.
            collection: What its scans belong to; scans known under another are moved.
            run_id: The run that looks.
            prefix: The listing covers only keys that begin so.
            complete: False for a listing that ends early on purpose: nothing is taken for vanished.
            leaves_out: The pattern by which a key is left out of the listing, "" for none. Known
                scans that it names are marked as left out: what of them is not done is skipped.
            may_vanish: Asked when the listing is over, whether what it did not bring is gone.
        """
        listing = Listing(
            source, objects, collection, run_id, prefix, complete, leaves_out, may_vanish
        )
        return record_listing(self.database, listing)

    def doubts(self, source: str, *, after_key: str = "", limit: int = 64) -> list[Doubt]:
        """Files of which the listing tells otherwise, by key from *after_key* on."""
        return discovery.doubts(self.database, source, after_key=after_key, limit=limit)

    def owners(self, source: str) -> list[str]:
        """The addresses of the sources that what *source* holds belongs to: sources may overlap."""
        return self.database.read(lambda c: sources.owners(c, source))

    def refused_unread(self, *, limit: int = 64) -> list[tuple[str, Doubt]]:
        """Files that somebody said no to before anybody read them, each with its source."""
        return self.database.read(lambda c: refusals.list_unread(c, limit=limit))

    def learn_refused(self, digests: Sequence[Digest]) -> None:
        """Note what such files hold, so that the no is about the bytes, wherever they lie."""
        self.database.write(lambda c: refusals.learn(c, digests))

    def record_digests(self, digests: Sequence[Digest]) -> int:
        """Settle doubts; returns how many files hold other bytes, and have a new revision.

        The same bytes are no change: every item stays what it is.
        """
        return self.database.write(lambda c: changes.record_digests(c, digests))

    def add_pages(self, scan_id: int, pages: int) -> int:
        """Make scans and pending items for the pages beyond the first of a file with *pages* pages.

        `finish` does this for outcomes that say how many pages there are. Returns how many are new.
        """
        return self.database.write(lambda c: add_pages(c, scan_id, pages))

    def ensure_recipe(self, recipe: Recipe) -> int:
        """The recipe's id; it is made where it is new, and is the one in service from now on."""
        return self.database.write(lambda c: enqueue.ensure_recipe(c, recipe))

    def current_recipe(self) -> RecipeRow | None:
        """The recipe in service: the last that `ensure_recipe` was asked for."""
        return self.database.read(reading.current_recipe)

    def find_recipe(self, digest: str) -> RecipeRow:
        """The recipe whose digest begins so.

        Raises:
            UsageError: There is none, or more than one.
        """
        return self.database.read(lambda c: reading.find_recipe(c, digest))

    def enqueue(
        self,
        recipe_id: int,
        *,
        collections: Sequence[str] | None = None,
        mode: EnqueueMode = EnqueueMode.MISSING,
    ) -> int:
        """Give scans a pending item under a recipe; returns how many. Harmless when run twice."""
        return enqueue.enqueue(self.database, recipe_id, mode=mode, collections=collections)

    def plan(
        self,
        recipe_id: int,
        *,
        collections: Sequence[str] | None = None,
        mode: EnqueueMode = EnqueueMode.MISSING,
    ) -> EnqueuePlan:
        """What `enqueue` would do now."""
        return self.database.read(
            lambda c: enqueue.plan(c, recipe_id, mode=mode, collections=collections)
        )

    # --- working ---------------------------------------------------------------------------------

    def claim(  # noqa: PLR0913 - what a worker must say
        self,
        worker: str,
        *,
        recipe_id: int,
        limit: int,
        lease_s: float,
        max_attempts: int,
        collections: Sequence[str] | None = None,
        run_id: int | None = None,
        order_id: int | None = None,
    ) -> Claim | None:
        """Take a batch of pending items, and count an attempt for each; None where none is ready.

        First, leases of others that ran out are swept up: an item goes back to pending, to be
        claimed once more *alone*, or after its last attempt to quarantined: killed_worker. Such
        suspects come before all others, one a batch. Then the longest-waiting ones, by collection:
        in the order given, else by name.

        Args:
            worker: Who claims, for people.
            recipe_id: Under which recipe.
            limit: At most so many items.
            lease_s: How long the claim lasts unless renewed.
            max_attempts: After so many attempts an item is not tried again.
            collections: Only these.
            run_id: The run whose failure budget this counts for.
            order_id: Only items of this order, if it is running; without it, only items of
                none.
        """
        token = claims.new_token()
        wanted = Wanted(
            worker, recipe_id, limit, lease_s, max_attempts, collections, run_id, order_id
        )
        is_retry = False

        def work(connection: Connection) -> Claim | None:
            # When the connection was lost at the commit, the claim may have been made all the same.
            nonlocal is_retry
            made = claims.reread_claim(connection, token) if is_retry else None
            is_retry = True
            return made or claims.claim_items(connection, wanted, token=token)

        # A claim that a crashing server forgets is a lease that is lost: its items wait to be
        # claimed again. Finishing is waited for.
        found = self.database.write(work, forgetful=True)
        # One that was made, and lost again before its answer could be read, holds nothing.
        return found if found and found.items else None

    def renew(self, token: str, *, lease_s: float) -> int:
        """Let the lease last for *lease_s* from now; returns how many items are still held."""
        return self.database.write(lambda c: claims.renew(c, token, lease_s=lease_s))

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

        return self.database.write(work)

    def give_back(
        self,
        token: str,
        item_ids: Collection[int] | None = None,
        *,
        reason: Reason | None = None,
        detail: str = "",
        wait_s: float = 0.0,
    ) -> int:
        """Put items, or all that are left, back to pending; the attempt does not count.

        Args:
            token: Of the claim.
            item_ids: Which items; None: all.
            reason: For the attempt's record, with *detail*.
            detail: Why.
            wait_s: Not to be claimed before.
        """
        return self.database.write(
            lambda c: claims.give_back(
                c, token, item_ids, reason=reason, detail=detail, wait_s=wait_s
            )
        )

    def begin_outage(
        self, source: str, place: str, why: str, *, wait_s: float = outages.FIRST_WAIT_S
    ) -> float:
        """Let nothing be claimed of a place that cannot be read; returns for how long.

        Where it is known to be away, it waits for as long again as it has been, within limits.

        Args:
            source: The URL that the scans are recorded under.
            place: What their keys begin with; "" for all of the source.
            why: The cause, with a remedy.
            wait_s: The least.
        """
        return self.database.write(
            lambda c: outages.begin(c, source, place, sql.storable(why), wait_s=wait_s)
        )

    def end_outages(self, source: str, key: str | None = None) -> None:
        """Let be claimed again what lies in a source, or in the places around one *key* of it."""
        self.database.write(lambda c: outages.end(c, source, key))

    def outages(self) -> list[OutageRow]:
        """The places that are away and that scans wait for, with how many."""
        return self.database.read(outages.rows)

    def sweep(self) -> int:
        """Take back the items of leases that ran out, as `claim` does; returns how many."""
        return self.database.write(sweep)

    def next_due_s(
        self,
        recipe_id: int,
        *,
        collections: Sequence[str] | None = None,
        order_id: int | None = None,
    ) -> float | None:
        """Seconds until an item can be claimed: 0 for now, None where none waits or is claimed."""
        return self.database.read(lambda c: waiting.next_due_s(c, recipe_id, collections, order_id))

    def open_workers(self) -> set[str]:
        """The names of those who hold a lease now."""
        return self.database.read(waiting.open_workers)

    def expire_leases(self, workers: Collection[str]) -> int:
        """Let the leases of workers that are known to be gone run out now; returns how many."""
        return self.database.write(lambda c: waiting.expire_leases(c, workers))

    def count_expired(self, workers: Collection[str] = ()) -> int:
        """How many items `sweep` would take back now, those of *workers* among them."""
        return self.database.read(lambda c: waiting.count_expired(c, workers))

    def _store_id(self, url: str) -> int:
        if url not in self._store_ids:
            self._store_ids[url] = self.database.write(lambda c: ensure_store(c, url))
        return self._store_ids[url]

    # --- decisions -------------------------------------------------------------------------------

    def retry(self, chosen: ItemFilter, *, who: str, why: str, dry_run: bool = False) -> int:
        """To pending, attempts anew: failed, and quarantined or skipped where *chosen* says so."""
        return self._decide(DecisionKind.RETRY, chosen, who=who, why=why, dry_run=dry_run)

    def hold(self, chosen: ItemFilter, *, who: str, why: str, dry_run: bool = False) -> int:
        """Hold scans, whether or not an item exists; returns how many were not held before.

        Their items that are pending, claimed, failed, quarantined, in review or published are held,
        and so are those of scans that will be discovered at the place that *chosen* names.
        """
        if dry_run:
            return self.database.read(lambda c: holds.count_held(c, chosen))
        return self.database.write(lambda c: holds.hold(c, chosen, who=who, why=why))

    def release(self, chosen: ItemFilter, *, who: str, why: str, dry_run: bool = False) -> int:
        """End holds, of how many scans; what was coloured goes to review, all else to pending."""
        if dry_run:
            return self.database.read(lambda c: holds.count_released(c, chosen))
        return self.database.write(lambda c: holds.release(c, chosen, who=who, why=why))

    def held_places(self) -> list[str]:
        """Places where whatever is discovered is held."""
        return self.database.read(refusals.list_held_places)

    def count_by_status(self, chosen: ItemFilter) -> dict[ItemStatus, int]:
        """Where the items stand that *chosen* means, whatever a decision may move."""
        return self.database.read(lambda c: decisions.count_by_status(c, chosen))

    def approve(self, chosen: ItemFilter, *, who: str, why: str, dry_run: bool = False) -> int:
        """Review -> published; older recipes' derivatives of the same scans are superseded.

        Where *chosen* names the status, also rejected -> published. Items of scans that hold other
        bytes by now are passed over.
        """
        return self._decide(DecisionKind.APPROVE, chosen, who=who, why=why, dry_run=dry_run)

    def reject(self, chosen: ItemFilter, *, who: str, why: str, dry_run: bool = False) -> int:
        """Review -> rejected; published -> rejected, too, where scans are named.

        The same bytes wait for a person from now on, wherever they lie and under whatever recipe;
        and so does whatever these scans hold later.
        """
        return self._decide(DecisionKind.REJECT, chosen, who=who, why=why, dry_run=dry_run)

    def redo(self, chosen: ItemFilter, *, who: str, why: str, dry_run: bool = False) -> int:
        """published, review -> pending: the derivatives are made once more, under the same keys."""
        return self._decide(DecisionKind.REDO, chosen, who=who, why=why, dry_run=dry_run)

    def supersede(self, chosen: ItemFilter, *, who: str, why: str, dry_run: bool = False) -> int:
        """published, review -> superseded, by hand (publishing another recipe's does it, too)."""
        return self._decide(DecisionKind.SUPERSEDE, chosen, who=who, why=why, dry_run=dry_run)

    def _decide(
        self, kind: DecisionKind, chosen: ItemFilter, *, who: str, why: str, dry_run: bool
    ) -> int:
        if dry_run:
            return self.database.read(lambda c: decisions.count_decided(c, kind, chosen))
        return self.database.write(lambda c: decisions.decide(c, kind, chosen, who=who, why=why))

    # --- reading ---------------------------------------------------------------------------------

    def counts(
        self, recipe_id: int | None = None, *, collections: Sequence[str] | None = None
    ) -> Counts:
        """How many items by status and reason, under one recipe or all; quick at any size."""
        return self.database.read(lambda c: reading.counts(c, recipe_id, collections))

    def count_present(self, source: str) -> int:
        """How many scans of the source with this URL are known, vanished ones not counted."""
        return self.database.read(lambda c: reading.count_present(c, source))

    def list_items(self, chosen: ItemFilter, *, limit: int, after_id: int = 0) -> list[ItemRow]:
        """Items by id, from *after_id* on."""
        return self.database.read(
            lambda c: reading.list_items(c, chosen, limit=limit, after_id=after_id)
        )

    def samples(
        self, recipe_id: int, *, per_reason: int = 5
    ) -> dict[tuple[ItemStatus, Reason], list[ItemRow]]:
        """A few items of each status and reason, for reports."""
        return self.database.read(lambda c: reading.samples(c, recipe_id, per_reason=per_reason))

    def oldest_pending(self, recipe_id: int | None = None) -> datetime | None:
        """Since when the longest-waiting item has been waiting."""
        return self.database.read(lambda c: waiting.oldest_waiting(c, recipe_id))

    def pace(self, *, limit: int = 200) -> Pace:
        """The latest batches, and the database's time."""
        return self.database.read(lambda c: pace(c, limit=limit))

    def story(self, uri: str) -> ItemStory:
        """All that happened to the scan at *uri* (a page of a file: ``URI#page=2``).

        Raises:
            UsageError: No such scan is known.
        """
        return self.database.read(lambda c: story.story(c, uri))

    def uris_of_run(self, run_id: int) -> list[str]:
        """The scans that a run worked on; `story` knows each of them."""
        return self.database.read(lambda c: story.uris_of_run(c, run_id))

    def list_derivatives(
        self,
        *,
        after_id: int = 0,
        limit: int = 1000,
        collections: Sequence[str] | None = None,
        recipe_id: int | None = None,
    ) -> list[DerivativeRow]:
        """Derivatives to audit, by id from *after_id* on: a cursor that survives the process."""
        return self.database.read(
            lambda c: reading.list_derivatives(
                c, after_id=after_id, limit=limit, collections=collections, recipe_id=recipe_id
            )
        )

    def list_sources(
        self, *, after_id: int = 0, limit: int = 1000, collections: Sequence[str] | None = None
    ) -> list[SourceRow]:
        """Source files to audit, by scan id from *after_id* on."""
        return self.database.read(
            lambda c: reading.list_sources(
                c, after_id=after_id, limit=limit, collections=collections
            )
        )

    # --- runs ------------------------------------------------------------------------------------

    def start_run(
        self,
        kind: str,
        name: str,
        *,
        recipe_id: int | None = None,
        flow_run_id: str | None = None,
    ) -> int:
        """Record that a run has begun, and which ones are lost; returns its id."""
        self.end_lost_runs()
        return self.database.write(
            lambda c: runs.start_run(c, kind, name, recipe_id=recipe_id, flow_run_id=flow_run_id)
        )

    def beat_run(
        self, run_id: int, figures: RunFigures | None = None, *, recipe_id: int | None = None
    ) -> None:
        """Record that a run is alive, its figures so far, and its recipe once that is known."""
        self.database.write(lambda c: runs.beat_run(c, run_id, figures, recipe_id))

    def finish_run(
        self,
        run_id: int,
        ending: RunEnding,
        *,
        figures: RunFigures | None = None,
        detail: str = "",
    ) -> None:
        """Record how a run ended; the first ending stands, unless it was only taken for lost."""
        self.database.write(
            lambda c: runs.finish_run(c, run_id, ending, figures=figures, detail=detail)
        )

    def end_lost_runs(self) -> int:
        """End the runs whose heartbeat has ended; returns how many. Whoever looks does it."""
        if not self.database.read(lambda c: runs.has_lost_runs(c, silent_s=RUN_LOST_S)):
            return 0
        return self.database.write(lambda c: runs.end_lost_runs(c, silent_s=RUN_LOST_S))

    def get_run(self, run_id: int) -> RunRow | None:
        """One run."""
        return self.database.read(lambda c: runs.get_run(c, run_id, silent_s=RUN_LOST_S))

    def list_runs(self, *, kind: str | None = None, limit: int = 20) -> list[RunRow]:
        """The latest runs, newest first."""
        return self.database.read(
            lambda c: runs.list_runs(c, kind=kind, limit=limit, silent_s=RUN_LOST_S)
        )

    def failures(self, run_ids: Sequence[int]) -> Failures:
        """How many items these runs finished, and how many failed, for the failure budget."""
        return self.database.read(lambda c: runs.failures(c, run_ids))

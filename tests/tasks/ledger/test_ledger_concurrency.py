"""Many at once: threads over one ledger, runs of several kinds, a database that goes away."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.errors import DatabaseUnavailable, Reason
from tasks.ledger import ItemFilter, Ledger
from tasks.ledger.migrate import upgrade
from tasks.schema import ItemStatus
from tests.databases import Server, running_server
from tests.orders import claim_batch, enqueue, next_due_s
from tests.outcomes import outcome_for
from tests.tasks.ledger.building import (
    SOURCE,
    Listed,
    check_tallies,
    claim,
    derivatives,
    done,
    enqueued,
    finish_all,
    keys,
    listing,
    statuses,
)


def drain(ledger: Ledger, recipe_id: int, worker: str, *, limit: int = 7) -> list[int]:
    """Claim and finish until nothing is left; the ids that were accepted."""
    accepted: list[int] = []
    while True:
        held = claim_batch(
            ledger, recipe_id, worker=worker, limit=limit, lease_s=60, max_attempts=3
        )
        if held is not None:
            accepted += ledger.finish(held.token, [done(one.id) for one in held.items])
        elif next_due_s(ledger, recipe_id) is None:
            return accepted
        else:
            time.sleep(0.01)


@pytest.mark.parametrize("shared", [True, False], ids=["one ledger", "a ledger each"])
def test_no_item_is_claimed_twice_at_a_time(
    open_ledger: Callable[[], Ledger], shared: bool
) -> None:
    """Six workers end every item between them, each once and on its first attempt."""
    first = open_ledger()
    recipe_id = enqueued(first, 300)
    ledgers = [first] * 6 if shared else [open_ledger() for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        parts = pool.map(lambda n: drain(ledgers[n], recipe_id, f"worker-{n}"), range(len(ledgers)))
        ended = Counter(item_id for part in parts for item_id in part)
    assert len(ended) == 300
    assert set(ended.values()) == {1}
    rows = first.list_items(ItemFilter(), limit=999)
    assert {row.attempts for row in rows} == {1}
    assert statuses(first, recipe_id) == {"review": 300}


def test_runs_of_every_kind_do_not_disturb_each_other(open_ledger: Callable[[], Ledger]) -> None:
    """Discovery, enqueueing, working, deciding, sweeping and reading, all at once."""
    ledgers = [open_ledger() for _ in range(6)]
    recipe_id = enqueued(ledgers[0], 200)
    stop = threading.Event()

    def until_stopped(work: Callable[[], object]) -> None:
        while not stop.is_set():
            work()

    def discover() -> None:
        changed = [Listed(key, etag=f"at {time.monotonic()}") for key in keys(200)[:3]]
        ledgers[1].record_listing(
            SOURCE, [*changed, *listing(keys(220)[3:])], collection="photographs"
        )
        enqueue(ledgers[1], recipe_id)

    def decide() -> None:
        some = ItemFilter(uri=f"{SOURCE}/box/001*")
        ledgers[2].hold(some, who="curator", why="look")
        ledgers[2].release(some, who="curator", why="fine")
        ledgers[2].approve(some, who="curator", why="good")

    def read() -> None:
        counts = ledgers[3].counts(recipe_id)
        assert counts.enqueued <= counts.scans
        derivatives(ledgers[3])
        ledgers[3].get_story(f"{SOURCE}/{keys(1)[0]}")

    def vanish() -> None:
        held = claim_batch(
            ledgers[4], recipe_id, worker="gone", limit=3, lease_s=60, max_attempts=10_000
        )
        if held is not None:
            ledgers[4].expire_leases(["gone"])

    with ThreadPoolExecutor(4) as pool:
        others = [pool.submit(until_stopped, work) for work in (discover, decide, read, vanish)]
        time.sleep(2.5)
        stop.set()
        for other in others:
            other.result()
    discover()
    drain(ledgers[5], recipe_id, "worker")
    found = statuses(ledgers[5], recipe_id)
    assert set(found) <= {"review", "published"}
    assert sum(found.values()) == ledgers[5].counts().scans == 220


def test_ledger_forgets_nothing_when_closed(ledger_url: str) -> None:
    """What was finished is finished; what was claimed is swept up by the next."""
    with Ledger.open(ledger_url) as ledger:
        recipe_id = enqueued(ledger, 2)
        finish_all(ledger, claim(ledger, recipe_id, limit=1))
        claim(ledger, recipe_id, worker="closed")
    with Ledger.open(ledger_url) as ledger:
        assert statuses(ledger, recipe_id) == {"claimed": 1, "review": 1}
        ledger.expire_leases(["closed"])
        assert claim(ledger, recipe_id).items[0].attempt == 2


# --- a server that goes away ---------------------------------------------------------------------


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server that a test may stop."""
    with running_server() as server:
        upgrade(server.url())
        yield server


def test_postgresql_restarted_in_the_middle_of_a_run(own_server: Server) -> None:
    """Workers wait for it; every item ends once, none is told that it was lost."""
    with Ledger.open(own_server.url(), patience_s=60) as ledger:
        recipe_id = enqueued(ledger, 600)
        with ThreadPoolExecutor(3) as pool:
            parts = [pool.submit(drain, ledger, recipe_id, f"worker-{n}") for n in range(3)]
            for _ in range(2):
                time.sleep(0.3)
                own_server.stop()
                time.sleep(0.2)
                own_server.start()
            ended = Counter(item_id for part in parts for item_id in part.result())
        assert set(ended.values()) == {1}
        assert len(ended) == 600
        assert statuses(ledger, recipe_id) == {"review": 600}


def test_server_that_stays_away_ends_the_run_with_one_line(own_server: Server) -> None:
    """After the ledger's patience; and the items can be had again later."""
    with Ledger.open(own_server.url(), patience_s=0.5) as ledger:
        recipe_id = enqueued(ledger, 2)
        held = claim(ledger, recipe_id)
        own_server.stop()
        begin = time.monotonic()
        for call in (
            lambda: ledger.finish(held.token, [done(held.items[0].id)]),
            lambda: ledger.renew(held.token, lease_s=60),
            ledger.counts,
        ):
            with pytest.raises(DatabaseUnavailable) as caught:
                call()
            assert "\n" not in str(caught.value)
        assert time.monotonic() - begin < 30
        own_server.start()
        finish_all(ledger, held)
        check_tallies(ledger)
        assert ledger.counts(recipe_id).items == {ItemStatus.REVIEW: 2}


def test_connections_cut_off_by_the_server(postgresql_url: str, postgresql_server: Server) -> None:
    """An operator ends the sessions; the next call has a new one."""
    with Ledger.open(postgresql_url) as ledger:
        recipe_id = enqueued(ledger, 1)
        postgresql_server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'autochrome'"
        )
        held = claim(ledger, recipe_id)
        outcome = outcome_for(held.items[0].id, Reason.BLANK)
        assert ledger.finish(held.token, [outcome]).keys() == {held.items[0].id}

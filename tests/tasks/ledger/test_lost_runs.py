"""A run whose heartbeat has ended is lost; one that was only away for long is not."""

from contextlib import suppress

import pytest
from sqlalchemy import Connection, select, update

from tasks.heartbeat import RUN_LOST_S
from tasks.ledger import Ledger, RunEnding, orders, sql
from tasks.ledger.opening import open_ledger
from tasks.orders.keeping import lost_night
from tasks.orders.run import begin_run, order_of_night
from tasks.report.metrics import exposition
from tasks.schema import run
from tests.orders import claim_batch
from tests.workers import MakeSettings, OpenWorker


def silence(ledger: Ledger, run_id: int, seconds: float = RUN_LOST_S + 1) -> None:
    """Let a run have said nothing for so long."""

    def age(connection: Connection) -> None:
        connection.execute(update(run).where(run.c.id == run_id).values(seen_at=sql.now(-seconds)))

    ledger.write(age)


def ending_of(ledger: Ledger, run_id: int) -> RunEnding | None:
    """How a run has ended."""
    found = ledger.get_run(run_id)
    assert found is not None
    assert (found.ended_at is None) == (found.ending is None)
    return found.ending


def test_whoever_looks_ends_what_is_silent(ledger: Ledger) -> None:
    """At its last sign of life; what lives, has ended or never gives signs is left alone."""
    silent = ledger.start_run("nightly", "one")
    silence(ledger, silent)
    alive, order = ledger.start_run("nightly", "two"), ledger.start_run("backfill", "an order")
    lost = ledger.get_run(silent)
    assert lost is not None
    assert lost.ending is RunEnding.LOST, "the next run's beginning looks"
    assert lost.ended_at == lost.seen_at
    assert lost.detail
    silence(ledger, alive, RUN_LOST_S - 30)
    silence(ledger, order)
    assert ledger.end_lost_runs() == 0
    assert ending_of(ledger, alive) is ending_of(ledger, order) is None
    ledger.finish_run(alive, RunEnding.COMPLETED)
    silence(ledger, alive)
    assert ledger.end_lost_runs() == 0
    assert ending_of(ledger, alive) is RunEnding.COMPLETED


def test_one_that_was_away_for_long_lives_on(ledger: Ledger) -> None:
    """Its next beat says so; and its own ending is the last word."""
    run_id = ledger.start_run("nightly", "frozen")
    silence(ledger, run_id)
    assert ledger.end_lost_runs() == 1
    ledger.beat_run(run_id)
    assert ending_of(ledger, run_id) is None
    silence(ledger, run_id)
    ledger.end_lost_runs()
    ledger.finish_run(run_id, RunEnding.CANCELLED, detail="stopped")
    assert ending_of(ledger, run_id) is RunEnding.CANCELLED
    ledger.beat_run(run_id)
    assert ending_of(ledger, run_id) is RunEnding.CANCELLED


def test_looking_changes_nothing(ledger: Ledger) -> None:
    """What is silent is told of as lost, by figures and lists, before anyone has written it."""

    def stored() -> list[object]:
        return ledger.read(lambda c: [tuple(row) for row in c.execute(select(run))])

    run_id = ledger.start_run("nightly", "one")
    silence(ledger, run_id)
    before = stored()
    told = exposition(ledger)
    assert b'autochrome_last_night_outcome{outcome="lost"} 1.0' in told
    assert b"autochrome_nights_lost 1.0" in told
    (listed,) = ledger.list_runs(kind="nightly", limit=1)
    assert listed == ledger.get_run(run_id)
    assert (listed.ending, listed.ended_at) == (RunEnding.LOST, listed.seen_at)
    assert stored() == before
    assert ledger.end_lost_runs() == 1
    assert ledger.get_run(run_id) == listed


def test_the_figures_tell_of_it(ledger: Ledger) -> None:
    """At the first scrape after the silence, and for a day, though the next night runs."""
    run_id = ledger.start_run("nightly", "one")
    assert b"autochrome_nights_lost 0.0" in exposition(ledger)
    silence(ledger, run_id)
    told = exposition(ledger)
    assert b'autochrome_last_night_outcome{outcome="lost"} 1.0' in told
    assert b'autochrome_last_night_outcome{outcome="running"} 0.0' in told
    assert b"autochrome_nights_lost 1.0" in told
    ledger.start_run("nightly", "two")
    told = exposition(ledger)
    assert b'autochrome_last_night_outcome{outcome="running"} 1.0' in told
    assert b"autochrome_nights_lost 1.0" in told


def test_leases_that_ran_out_keep_nobody_busy(
    make_settings: MakeSettings, worker_for: OpenWorker
) -> None:
    """Their holders are gone, or have lost them."""
    worker = worker_for(make_settings())
    ledger, recipe_id = worker.ledger, worker.recipe_id
    for worker in ("here", "gone"):
        assert claim_batch(ledger, recipe_id, worker=worker, limit=2, lease_s=60, max_attempts=3)
    assert b"autochrome_workers_busy 2.0" in exposition(ledger)
    ledger.expire_leases({"gone"})
    assert ledger.open_workers() == {"here"}
    assert b"autochrome_workers_busy 1.0" in exposition(ledger)


@pytest.mark.parametrize("is_taken_up", [True, False])
def test_a_night_that_another_run_takes_up_leaves_its_order_open(
    make_settings: MakeSettings, is_taken_up: bool
) -> None:
    """Its worker ends, and nobody has cancelled it: as if it had been killed."""
    settings = make_settings()
    with (
        suppress(KeyboardInterrupt),
        begin_run(settings, kind="nightly", name="one", is_taken_up=lambda: is_taken_up) as run,
    ):
        order = run.order(order_of_night(settings, ()))
        raise KeyboardInterrupt
    with open_ledger(settings) as ledger:
        row, night = orders.get(ledger, order.id), lost_night(ledger)
        assert (row.ended_at is None) == is_taken_up
        lost = RunEnding.LOST if is_taken_up else RunEnding.CANCELLED
        assert ending_of(ledger, run.run_id) is lost
        assert night == (row if is_taken_up else None)

"""Orders worked off in one process, and what others do with them meanwhile."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import count

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from flows.cli.running import run_here
from flows.terminal import ExitCode
from tasks.batch.children import PixelPool
from tasks.errors import UsageError
from tasks.ledger import Ledger, RunEnding, orders
from tasks.ledger.migrate import make_if_missing
from tasks.ledger.opening import open_ledger
from tasks.ledger.orders import Budget, Order, OrderKind, OrderState, Scope, Size
from tasks.orders.batches import BatchRequest
from tasks.orders.dispatch import Fanout, Future, in_this_process
from tasks.orders.keeping import keep_going
from tasks.orders.planning import make_order, place_order, plan_order
from tasks.orders.run import begin_run, order_of_night, order_of_process
from tasks.orders.working import work_here, work_share
from tasks.settings import Settings
from tests.workers import MakeSettings


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    """Six scans, one a batch."""
    return make_settings(batch_items=1)


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    """Its ledger, in which the scans are known."""
    make_if_missing(settings.database_url.get_secret_value())
    with begin_run(settings, kind="test", name="a listing") as run:
        run.discover(settings.sources[0])
        yield run.ledger


@pytest.mark.parametrize(
    ("scope", "budget", "words"),
    [
        (Scope(("letters",)), Budget(), "no scans are known of collection letters"),
        (Scope(), Budget(max_bytes=10), "of 6 scans of the archive that are due, the budget holds"),
    ],
)
def test_why_there_is_nothing_to_do(
    settings: Settings, ledger: Ledger, scope: Scope, budget: Budget, words: str
) -> None:
    """Nobody knows such scans, or the budget is too small: each is said, with a remedy."""
    with pytest.raises(UsageError, match=words):
        place_order(settings, ledger, Order(scope=scope, budget=budget), name="nothing")


def test_a_listing_without_time_hinders_nothing(settings: Settings, ledger: Ledger) -> None:
    """What is known is ordered; nothing has vanished, and it is said."""
    source = settings.sources[0]
    with begin_run(settings, kind="nightly", name="tonight") as night:
        order = night.order(order_of_night(settings, ()))
        late = night.discover(source, within_s=0.0)
        assert night.plan(order.id).items == 6
    assert "was broken off after 0 files" in late.incomplete
    assert not late.discovered.vanished


@pytest.mark.parametrize("move", [orders.pause, orders.cancel])
def test_a_run_that_a_person_ends_says_so(
    settings: Settings,
    pixels: PixelPool,
    capsys: pytest.CaptureFixture[str],
    move: Callable[..., object],
) -> None:
    """It was not done: exit code 1. What was paused can be resumed."""

    def steer() -> None:
        while True:
            time.sleep(0.01)
            for row in orders.list_open(ledger):
                if row.state is OrderState.RUNNING:
                    move(ledger, row.id, who="Ada")
                    return

    make_if_missing(settings.database_url.get_secret_value())
    with open_ledger(settings) as ledger:
        person = threading.Thread(target=steer)
        person.start()
        assert run_here(settings, as_json=False, pixels=pixels) is ExitCode.ABORTED
        person.join()
        (row,) = orders.list_latest(ledger)
        assert row.state is (OrderState.PAUSED if move is orders.pause else OrderState.CANCELLED)
        said = capsys.readouterr().err
        assert f"is {row.state}: by Ada" in said
        if move is orders.pause:
            assert f"orders resume {row.id}` goes on" in said
            assert orders.resume(ledger, row.id, who="Ada").state is OrderState.PLANNING


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel"])
def test_an_order_that_has_ended_is_not_steered(
    settings: Settings, ledger: Ledger, verb: str
) -> None:
    """Whoever tries is told so."""
    row = make_order(settings, ledger, Order(), name="a backfill")
    orders.cancel(ledger, row.id, who="Ada")
    asked = ["orders", verb, str(row.id), "--db", settings.database_url.get_secret_value()]
    refused = CliRunner().invoke(app, asked)
    assert isinstance(refused.exception, UsageError)


def test_what_a_process_does_under_a_recipe_of_its_own_is_left_to_it(
    settings: Settings, ledger: Ledger
) -> None:
    """Workers of other settings could not help: they take what comes next, and end nothing."""
    own = settings.model_copy(update={"access_jpeg_quality": 50})
    asked = replace(order_of_process("Ada"), budget=Budget(max_items=2))
    mine = plan_order(ledger, make_order(own, ledger, asked, name="a run").id)
    orders.open_share(ledger, mine.id, Size(9, None, None), worker="a process")
    other = make_order(settings, ledger, Order(kind=OrderKind.NIGHT), name="a night")
    night = plan_order(ledger, other.id)
    shares = keep_going(settings, ledger, workers=2)
    assert {share.order_id for share in shares} == {night.id}
    assert keep_going(own, ledger, workers=2), "these could"


def test_a_night_goes_on_under_what_comes_into_service_amid_it(
    settings: Settings, pixels: PixelPool
) -> None:
    """What is left is ordered again until the same deadline, and all of it is one run's."""
    make_if_missing(settings.database_url.get_secret_value())
    with begin_run(settings, kind="nightly", name="tonight") as run:
        run.discover(settings.sources[0])
        first = run.plan(run.order(replace(order_of_night(settings, ()), budget=Budget(6))).id)
        fanout = partial(in_this_process, pixels=pixels)
        two = orders.open_share(run.ledger, first.id, Size(1, 2, None), worker="w")
        assert work_share(settings, two.id, open_fanout=fanout).by_status == {"review": 2}
        assert run.order_again(first) is None, "it goes on"
        run.settings = settings.model_copy(update={"access_jpeg_quality": 50})
        late = orders.open_share(run.ledger, first.id, Size(1, 2, None), worker="w")
        assert work_share(run.settings, late.id, open_fanout=fanout).ending() is RunEnding.COMPLETED
        ended = orders.get(run.ledger, first.id)
        assert ended.state is OrderState.ABORTED
        again = run.order_again(ended)
        assert again is not None
        assert (again.items, again.run_id, again.budget) == (4, run.run_id, first.budget)
        assert again.recipe_id != first.recipe_id
        assert again.deadline_at == pytest.approx(first.deadline_at, abs=timedelta(seconds=5))
        stop = threading.Event()
        assert work_here(run.settings, run.ledger, again.id, stop=stop, open_fanout=fanout) == ""
        assert run.count().by_status == {"review": 6}
        assert run.figures.enqueued == 6
        assert run.order_again(orders.get(run.ledger, again.id)) is None


def test_what_is_in_flight_when_a_share_is_ended_counts(
    settings: Settings, ledger: Ledger, pixels: PixelPool
) -> None:
    """Prefect ends a run by an exception; a batch that ends after it was done all the same."""
    row = plan_order(ledger, make_order(settings, ledger, Order(), name="a backfill").id)
    share = orders.open_share(ledger, row.id, Size(1, None, None), worker="w")

    @contextmanager
    def ended(settings: Settings, stop: threading.Event) -> Iterator[Fanout]:
        asked = count()
        with in_this_process(settings, stop, pixels=pixels) as fanout:

            def submit(request: BatchRequest) -> Future:
                if next(asked):
                    raise KeyboardInterrupt
                return fanout.submit(request)

            yield replace(fanout, submit=submit)

    with pytest.raises(KeyboardInterrupt):
        work_share(settings, share.id, open_fanout=ended)
    (told,) = orders.list_shares(ledger, row.id)
    assert told.ending is RunEnding.CANCELLED
    assert told.items + told.figures.given_back == 1
    assert told.items == orders.progress(ledger, row.id).done

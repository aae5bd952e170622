"""Orders in the ledger: planned once, claimed by their shares alone, steered, taken back."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import update

from tasks.errors import Reason, UsageError
from tasks.ledger import Claim, ClaimRequest, ItemFilter, Ledger, orders, sql
from tasks.ledger.orders import (
    Budget,
    Order,
    OrderKind,
    OrderMode,
    OrderState,
    Scope,
    Size,
)
from tasks.ledger.orders.records import LeftOutScans
from tasks.ledger.pages import add_pages
from tasks.ledger.rates import measured_rates
from tasks.ledger.records import RunEnding
from tasks.schema import DecisionKind, ItemStatus, share, work_order
from tests.orders import end_orders, enqueue, planned
from tests.outcomes import outcome_for
from tests.tasks.ledger.building import (
    SOURCE,
    Listed,
    claims_nothing,
    done,
    enqueued,
    finish_all,
    keys,
    listing,
    recipe,
    statuses,
)
from tests.tasks.ledger.building import claim as claim_plain

SIZE = Size(expected_items=10, max_items=10, max_seconds=600)


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of two scans, so that a handful makes several."""
    monkeypatch.setattr("tasks.ledger.enqueue.WINDOW_SCANS", 2)


def discovered(ledger: Ledger, count: int, *, collection: str = "photographs") -> int:
    """That many scans, not enqueued; returns a recipe's id."""
    ledger.record_listing(SOURCE, listing(keys(count)), collection=collection)
    return recipe(ledger)


def ordered(ledger: Ledger, recipe_id: int, **given: object) -> int:
    """An order whose planning is done; returns its number."""
    order = Order(who="engineer", **given)  # type: ignore[arg-type]  # the fields of an order
    number = orders.make(ledger, order, recipe_id, name="an order")
    plan_to_the_end(ledger, number)
    return number


def plan_to_the_end(ledger: Ledger, number: int) -> None:
    """Enqueue window after window."""
    while orders.enqueue_window(ledger, number) is OrderState.PLANNING:
        pass


def claim(ledger: Ledger, recipe_id: int, order_id: int, *, limit: int = 100) -> Claim | None:
    """A batch of an order, or None."""
    run_id = orders.get(ledger, order_id).run_id
    return ledger.claim(
        ClaimRequest(
            worker="worker",
            recipe_id=recipe_id,
            limit=limit,
            lease_s=60,
            max_attempts=3,
            run_id=run_id,
            order_id=order_id,
        )
    )


def counted(ledger: Ledger, number: int) -> dict[str, int]:
    """How many of an order's items stand where."""
    return {status.value: n for status, n in orders.progress(ledger, number).statuses.items()}


# --- planning ------------------------------------------------------------------------------------


def test_its_items_are_its_own(ledger: Ledger) -> None:
    """Other runs claim none of them, nor does it any of theirs."""
    recipe_id = discovered(ledger, 5)
    number = ordered(ledger, recipe_id)
    assert (orders.get(ledger, number).items, orders.get(ledger, number).size_bytes) == (5, 5000)
    assert claims_nothing(ledger, recipe_id)
    assert ledger.next_due_s(number) == 0
    ledger.record_listing(SOURCE, listing(keys(7)), collection="photographs")
    assert enqueue(ledger, recipe_id) == 2
    held = claim(ledger, recipe_id, number)
    assert held is not None
    assert len(held.items) == 5
    assert len(claim_plain(ledger, recipe_id).items) == 2


def test_it_ends_when_its_items_have(ledger: Ledger) -> None:
    """Its counts stay what they were, whatever happens to the items later."""
    recipe_id = discovered(ledger, 3)
    number = ordered(ledger, recipe_id)
    assert orders.settle(ledger, number).state is OrderState.RUNNING
    held = claim(ledger, recipe_id, number)
    assert held is not None
    finish_all(ledger, held)
    row = orders.settle(ledger, number)
    assert (row.state, row.figures) == (OrderState.COMPLETED, {"review": 3})
    assert row.ended_at is not None
    run = ledger.get_run(row.run_id)
    assert run is not None
    assert run.ending is RunEnding.COMPLETED


def test_planning_goes_on_where_it_was(ledger: Ledger) -> None:
    """A crash between windows, work done meanwhile: nothing is enqueued twice, even by `all`."""
    recipe_id = enqueued(ledger, 6)
    finish_all(ledger, claim_plain(ledger, recipe_id), ItemStatus.PUBLISHED)
    number = orders.make(ledger, Order(OrderMode.ALL), recipe_id, name="all once more")
    assert orders.enqueue_window(ledger, number) is OrderState.PLANNING
    assert counted(ledger, number) == {"pending": 2}
    assert claim(ledger, recipe_id, number) is None  # not before it is planned
    plan_to_the_end(ledger, number)
    held = claim(ledger, recipe_id, number)
    assert held is not None
    finish_all(ledger, held, ItemStatus.PUBLISHED)
    orders.pause(ledger, number, who="engineer")
    orders.resume(ledger, number, who="engineer")
    plan_to_the_end(ledger, number)
    assert orders.get(ledger, number).items == 6
    assert orders.settle(ledger, number).figures == {"published": 6}


def test_planners_at_once_enqueue_each_scan_once(open_ledger: Callable[[], Ledger]) -> None:
    """The command line and the flow may both be at it."""
    ledgers = [open_ledger() for _ in range(3)]
    recipe_id = enqueued(ledgers[0], 12)
    finish_all(ledgers[0], claim_plain(ledgers[0], recipe_id))
    number = orders.make(ledgers[0], Order(OrderMode.ALL), recipe_id, name="all")
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda one: plan_to_the_end(one, number), ledgers))
    assert orders.get(ledgers[0], number).items == 12
    assert counted(ledgers[0], number) == {"pending": 12}


def test_scans_found_later_are_not_in_it(ledger: Ledger) -> None:
    """What was counted in the dry run is what is done."""
    recipe_id = discovered(ledger, 2)
    number = orders.make(ledger, Order(), recipe_id, name="missing")
    ledger.record_listing(SOURCE, listing(keys(5)), collection="photographs")
    plan_to_the_end(ledger, number)
    assert orders.get(ledger, number).items == 2


def test_pages_of_its_files_belong_to_it(ledger: Ledger) -> None:
    """Only whoever opens a file knows of them."""
    recipe_id = discovered(ledger, 1)
    number = ordered(ledger, recipe_id)
    held = claim(ledger, recipe_id, number)
    assert held is not None
    add_pages(ledger, held.items[0].scan_id, 3)
    finish_all(ledger, held)
    assert counted(ledger, number) == {"pending": 2, "review": 1}
    assert claims_nothing(ledger, recipe_id)


# --- which scans ---------------------------------------------------------------------------------


def known_scans(ledger: Ledger) -> int:
    """Eight scans under an older recipe, one in each status but superseded; returns a new one."""
    old = enqueued(ledger, 8)
    held = claim_plain(ledger, old, limit=6)
    published, review, skipped, failed, quarantined, rejected = (one.id for one in held.items)
    doubted = done(review)
    outcomes = [
        done(published, ItemStatus.PUBLISHED),
        type(doubted)(**(vars(doubted) | {"confidence": 0.1})),
        outcome_for(skipped, Reason.BLANK),
        outcome_for(failed, Reason.TONE_GATE),
        outcome_for(quarantined, Reason.TRUNCATED),
        done(rejected, sha256="ee" * 32),  # other bytes: the same ones would all be refused
    ]
    assert len(ledger.finish(held.token, outcomes)) == 6
    ledger.reject(ItemFilter(ids=[rejected]), who="curator", why="green sky")
    ledger.hold(ItemFilter(uri=f"{SOURCE}/{keys(8)[7]}"), who="curator", why="rights")
    end_orders(ledger)
    return recipe(ledger, "b")


@pytest.mark.parametrize(
    ("mode", "below", "taken"),
    [
        (OrderMode.MISSING, None, {6}),
        (OrderMode.FAILED, None, set()),
        (OrderMode.CHANGED_RECIPE, None, {0, 1}),
        (OrderMode.CHANGED_RECIPE, 0.2, {1}),
        (OrderMode.ALL, None, {0, 1, 2, 3, 4, 6}),
    ],
)
def test_modes_under_a_new_recipe(
    ledger: Ledger, mode: OrderMode, below: float | None, taken: set[int]
) -> None:
    """The plan says what enqueueing does; what is left out is told by status and reason."""
    new = known_scans(ledger)
    order = Order(mode, Scope(confidence_below=below))
    plan = orders.plan(ledger, order, new)
    assert (plan.scans, plan.items, plan.size_bytes) == (8, len(taken), 1000 * len(taken))
    assert sum(left.scans for left in plan.left_out) == 8 - len(taken)
    assert LeftOutScans(ItemStatus.HELD, None, 1) in plan.left_out
    assert LeftOutScans(ItemStatus.REJECTED, None, 1) in plan.left_out
    if mode is not OrderMode.ALL:
        assert LeftOutScans(ItemStatus.SKIPPED, Reason.BLANK, 1) in plan.left_out
        assert LeftOutScans(ItemStatus.QUARANTINED, Reason.TRUNCATED, 1) in plan.left_out
    number = ordered(ledger, new, mode=mode, scope=order.scope)
    found = ledger.list_items(ItemFilter(recipe_id=new), limit=10)
    assert {keys(8).index(row.uri.removeprefix(f"{SOURCE}/")) for row in found} == taken
    assert counted(ledger, number) == ({"pending": len(taken)} if taken else {})


def test_failed_ones_of_the_recipe_in_service(ledger: Ledger) -> None:
    """Mode `failed`."""
    recipe_id = enqueued(ledger, 3)
    held = claim_plain(ledger, recipe_id)
    ledger.finish(held.token, [outcome_for(held.items[0].id, Reason.TONE_GATE)])
    number = ordered(ledger, recipe_id, mode=OrderMode.FAILED)
    assert counted(ledger, number) == {"pending": 1}


def test_scope_by_collection_and_place(ledger: Ledger) -> None:
    """Either narrows it; a place that is not known is named."""
    for name in ("a", "b"):
        ledger.record_listing(f"s3://{name}", listing(keys(3)), collection=name)
    recipe_id = recipe(ledger)
    for scope, items in (
        (Scope(collections=("a",)), 3),
        (Scope(uris=("s3://b/",)), 3),
        (Scope(uris=("s3://b/box/0001.tif",)), 1),
        (Scope(collections=("a",), uris=("s3://b/",)), 0),
        (Scope(), 6),
    ):
        assert orders.plan(ledger, Order(scope=scope), recipe_id).items == items
    with pytest.raises(UsageError, match="no scans are known at s3://c/"):
        orders.plan(ledger, Order(scope=Scope(uris=("s3://c/",))), recipe_id)


def test_a_paused_backfill_keeps_its_scans_from_a_new_recipe(ledger: Ledger) -> None:
    """A nightly run under a new champion leaves them; another backfill, too."""
    recipe_id = discovered(ledger, 3)
    number = ordered(ledger, recipe_id)
    orders.pause(ledger, number, who="engineer")
    new = recipe(ledger, "b")
    assert orders.plan(ledger, Order(), new).items == 0
    assert enqueue(ledger, new, mode=OrderMode.MISSING) == 0
    assert counted(ledger, number) == {"pending": 3}


# --- budgets -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "items"),
    [(Budget(max_items=3), 3), (Budget(max_bytes=2500), 2), (Budget(max_bytes=10), 0)],
)
def test_budget_of_items_and_bytes(ledger: Ledger, budget: Budget, items: int) -> None:
    """It enqueues so many and no more, pauses when they are done, and goes on with a larger one."""
    recipe_id = discovered(ledger, 5)
    plan = orders.plan(ledger, Order(budget=budget), recipe_id)
    assert (plan.items, plan.beyond_budget) == (items, 5 - items)
    number = ordered(ledger, recipe_id, budget=budget)
    assert orders.get(ledger, number).items == items
    if items:
        held = claim(ledger, recipe_id, number)
        assert held is not None
        finish_all(ledger, held)
    row = orders.settle(ledger, number)
    assert row.state is OrderState.PAUSED
    assert "spent" in row.detail
    with pytest.raises(UsageError, match="spent"):
        orders.resume(ledger, number, who="engineer")
    orders.resume(ledger, number, Budget(max_items=5, max_bytes=5000), who="engineer")
    plan_to_the_end(ledger, number)
    assert orders.get(ledger, number).items == 5
    assert claim(ledger, recipe_id, number) is not None


def test_a_budget_that_suffices_is_not_spent(ledger: Ledger) -> None:
    """Exactly as many as there are."""
    recipe_id = discovered(ledger, 4)
    number = ordered(ledger, recipe_id, budget=Budget(max_items=4))
    held = claim(ledger, recipe_id, number)
    assert held is not None
    finish_all(ledger, held)
    assert orders.settle(ledger, number).state is OrderState.COMPLETED


def test_budget_of_time(ledger: Ledger) -> None:
    """Shares get no more time than is left, and at its end the order is paused."""
    recipe_id = discovered(ledger, 5)
    number = ordered(ledger, recipe_id, budget=Budget(max_seconds=100))
    size = Size(expected_items=1, max_items=1, max_seconds=70)
    opened = orders.open_shares(ledger, window=5, sizes={number: size})
    assert [share.max_seconds for share in opened] == [70]  # 30 s are not worth a start
    orders.begin_share(ledger, opened[0].id, worker="w")
    orders.end_share(ledger, opened[0].id, RunEnding.COMPLETED)
    assert orders.settle(ledger, number).state is OrderState.RUNNING
    began = update(share).values(begun_at=sql.now(-100), ended_at=sql.now())
    ledger.write(lambda c: c.execute(began.where(share.c.id == opened[0].id)))
    row = orders.settle(ledger, number)
    assert row.state is OrderState.PAUSED
    assert "hours" in row.detail
    with pytest.raises(UsageError, match="hours of work are spent"):
        orders.resume(ledger, number, Budget(max_seconds=110), who="engineer")
    orders.resume(ledger, number, Budget(max_seconds=200), who="engineer")


@pytest.mark.parametrize(
    "budget",
    [Budget(max_items=0), Budget(max_items=-1), Budget(max_bytes=0), Budget(None, None, 60)],
)
def test_a_budget_of_nothing_is_refused(ledger: Ledger, budget: Budget) -> None:
    """It would be spent before anything is begun."""
    recipe_id = discovered(ledger, 5)
    with pytest.raises(UsageError, match=r"no order|no budget"):
        ordered(ledger, recipe_id, budget=budget)
    number = ordered(ledger, recipe_id)
    with pytest.raises(UsageError, match=r"no order|no budget"):
        orders.resume(ledger, number, budget, who="engineer")


def test_a_budget_is_raised_while_it_is_worked_off(ledger: Ledger) -> None:
    """Planning goes on from where the first budget cut it; one that is spent as well is refused."""
    recipe_id = discovered(ledger, 5)
    number = ordered(ledger, recipe_id, budget=Budget(max_items=3))
    held = claim(ledger, recipe_id, number)
    assert held is not None
    orders.resume(ledger, number, Budget(max_items=4), who="engineer")
    plan_to_the_end(ledger, number)
    assert orders.get(ledger, number).items == 4
    finish_all(ledger, held)
    rest = claim(ledger, recipe_id, number)
    assert rest is not None
    finish_all(ledger, rest)
    assert "4 scans is spent" in orders.settle(ledger, number).detail
    with pytest.raises(UsageError, match="2 scans is spent"):
        orders.resume(ledger, number, Budget(max_items=2), who="engineer")


# --- steering ------------------------------------------------------------------------------------


def test_pause_and_resume(ledger: Ledger) -> None:
    """Paused, nothing is claimed, by whatever worker; resumed, it goes on; all is on record."""
    recipe_id = discovered(ledger, 3)
    number = ordered(ledger, recipe_id)
    held = claim(ledger, recipe_id, number, limit=1)
    assert held is not None
    row = orders.pause(ledger, number, who="engineer", why="the disk is nearly full")
    assert (row.state, row.detail) == (OrderState.PAUSED, "the disk is nearly full")
    assert claim(ledger, recipe_id, number) is None
    finish_all(ledger, held)
    assert orders.settle(ledger, number).state is OrderState.PAUSED
    orders.resume(ledger, number, who="engineer", why="it is not any more")
    plan_to_the_end(ledger, number)
    assert claim(ledger, recipe_id, number) is not None
    kinds = [one.kind for one in orders.transitions(ledger, number)]
    assert kinds == [DecisionKind.ORDER, DecisionKind.PAUSE, DecisionKind.RESUME]


def test_cancel_takes_back_what_was_not_begun(ledger: Ledger) -> None:
    """As if it had not been enqueued; what was done stays done, what is in work ends."""
    recipe_id = discovered(ledger, 6)
    number = ordered(ledger, recipe_id)
    first, second = (
        claim(ledger, recipe_id, number, limit=1),
        claim(ledger, recipe_id, number, limit=2),
    )
    assert first is not None
    assert second is not None
    finish_all(ledger, first)
    assert orders.cancel(ledger, number, who="engineer", why="wrong box").removed == 3
    assert orders.get(ledger, number).state is OrderState.CANCELLING
    assert claim(ledger, recipe_id, number) is None
    ledger.finish(second.token, [done(second.items[0].id)])
    ledger.give_back(second.token)
    row = orders.settle(ledger, number)
    assert (row.state, row.figures) == (OrderState.CANCELLED, {"review": 2})
    assert statuses(ledger) == {"review": 2}
    assert planned(ledger, recipe_id).items == 4
    assert orders.cancel(ledger, number, who="engineer").items == 0
    with pytest.raises(UsageError, match="cancelled"):
        orders.resume(ledger, number, who="engineer")


def test_cancel_restores_what_had_ended_before(ledger: Ledger) -> None:
    """Published is published again, failed failed for its reason; the story tells it."""
    recipe_id = enqueued(ledger, 3)
    held = claim_plain(ledger, recipe_id)
    published, failed, review = (one.id for one in held.items)
    outcomes = [
        done(published, ItemStatus.PUBLISHED),
        outcome_for(failed, Reason.TONE_GATE, detail="0.7 L* off"),
        done(review),
    ]
    ledger.finish(held.token, outcomes)
    number = ordered(ledger, recipe_id, mode=OrderMode.ALL)
    assert statuses(ledger) == {"pending": 3}
    assert orders.cancel(ledger, number, who="engineer").restored == 3
    assert statuses(ledger) == {"published": 1, "review": 1, "failed": 1}
    (row,) = ledger.list_items(ItemFilter(ids=[failed]), limit=1)
    assert (row.reason, row.detail) == (Reason.TONE_GATE, "0.7 L* off")
    decisions = ledger.get_story(row.uri).items[0].decisions
    assert [(one.kind, one.became) for one in decisions] == [
        (DecisionKind.ENQUEUE, ItemStatus.PENDING),
        (DecisionKind.WITHDRAW, ItemStatus.FAILED),
    ]


def test_cancel_keeps_what_was_tried(ledger: Ledger) -> None:
    """It has a history: the nightly run goes on with it."""
    recipe_id = discovered(ledger, 2)
    number = ordered(ledger, recipe_id)
    held = claim(ledger, recipe_id, number, limit=1)
    assert held is not None
    outcome = outcome_for(held.items[0].id, Reason.TIMEOUT)
    ledger.finish(held.token, [type(outcome)(**(vars(outcome) | {"retry_in_s": 0.0}))])
    withdrawn = orders.cancel(ledger, number, who="engineer")
    assert (withdrawn.removed, withdrawn.kept) == (1, 1)
    assert orders.get(ledger, number).state is OrderState.CANCELLED
    assert claim_plain(ledger, recipe_id).items[0].attempt == 2


def test_cancel_reopens_what_was_taken_over(ledger: Ledger) -> None:
    """Items that waited under the older recipe wait under it again."""
    old = enqueued(ledger, 2)
    end_orders(ledger)
    new = recipe(ledger, "b")
    number = ordered(ledger, new)
    assert statuses(ledger, old) == {"superseded": 2}
    orders.cancel(ledger, number, who="engineer")
    assert statuses(ledger, old) == {"pending": 2}
    assert statuses(ledger, new) == {}
    assert len(claim_plain(ledger, old).items) == 2


def test_expired_leases_of_a_cancelled_backfill_are_settled(ledger: Ledger) -> None:
    """Its worker was killed: the items do not wait for ever for an order that is over."""
    recipe_id = discovered(ledger, 2)
    number = ordered(ledger, recipe_id)
    assert claim(ledger, recipe_id, number) is not None
    orders.cancel(ledger, number, who="engineer")
    ledger.expire_leases(["worker"])
    ledger.sweep()
    assert orders.settle(ledger, number).state is OrderState.CANCELLED
    assert len(claim_plain(ledger, recipe_id).items) == 1  # alone, as suspects are


def test_retried_items_are_anyones(ledger: Ledger) -> None:
    """The order may be over when a person retries what failed in it."""
    recipe_id = discovered(ledger, 1)
    number = ordered(ledger, recipe_id)
    held = claim(ledger, recipe_id, number)
    assert held is not None
    ledger.finish(held.token, [outcome_for(held.items[0].id, Reason.TONE_GATE)])
    assert orders.settle(ledger, number).figures == {"failed": 1}
    assert ledger.retry(ItemFilter(), who="engineer", why="mended") == 1
    assert len(claim_plain(ledger, recipe_id).items) == 1


def test_unknown_number(ledger: Ledger) -> None:
    """A line that a person can act on."""
    with pytest.raises(UsageError, match="orders list"):
        orders.pause(ledger, 7, who="engineer")


# --- shares --------------------------------------------------------------------------------------


def test_window_is_filled_and_not_over(ledger: Ledger, open_ledger: Callable[[], Ledger]) -> None:
    """However many ask at once; no more shares than there is work for; priority first."""
    recipe_id = discovered(ledger, 40)
    low = ordered(ledger, recipe_id, budget=Budget(max_items=25))
    high = ordered(ledger, recipe_id, priority=5)
    sizes = {low: SIZE, high: SIZE}
    others = [open_ledger() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda one: orders.open_shares(one, window=4, sizes=sizes), others))
    found = [share.order_id for share in orders.list_open_shares(ledger)]
    assert sorted(found) == sorted([high, high, low, low])
    assert orders.open_shares(ledger, window=4, sizes=sizes) == []
    assert (
        len(orders.open_shares(ledger, window=9, sizes=sizes)) == 1
    )  # 25 items: three of ten each
    orders.pause(ledger, low, who="engineer")
    assert orders.open_shares(ledger, window=9, sizes=sizes) == []


def test_shares_opened_at_once_have_numbers_of_their_own(
    ledger: Ledger, open_ledger: Callable[[], Ledger]
) -> None:
    """As two runs on one ledger do, of which one joins in."""
    number = ordered(ledger, discovered(ledger, 30))
    others = [open_ledger() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        opened = pool.map(lambda one: orders.open_share(one, number, SIZE, worker="w"), others * 5)
    assert sorted(share.number for share in opened) == list(range(1, 21))


def test_a_share_that_is_given_up_cannot_begin_or_beat(ledger: Ledger) -> None:
    """A worker that comes back after it was taken for lost stops."""
    number = ordered(ledger, discovered(ledger, 1))
    (share,) = orders.open_shares(ledger, window=1, sizes={number: SIZE})
    assert (
        orders.end_silent_shares(ledger, after_s=0) == 0
    )  # not begun: its flow run may be waiting
    assert orders.begin_share(ledger, share.id, worker="w") is not None
    assert orders.beat_share(ledger, share.id, items=3)
    assert orders.end_silent_shares(ledger, after_s=600) == 0
    assert orders.end_silent_shares(ledger, after_s=0) == 1
    assert not orders.beat_share(ledger, share.id, items=4)
    assert orders.begin_share(ledger, share.id, worker="w") is None
    (told,) = orders.list_shares(ledger, number)
    assert (told.ending, told.items) == (RunEnding.ABORTED, 3)


def test_what_can_be_claimed_of_a_night_goes_first(ledger: Ledger) -> None:
    """What is in work already keeps nobody waiting, nor does one that is paused or over."""
    recipe_id = discovered(ledger, 2)
    first = ordered(ledger, recipe_id)
    ledger.record_listing(SOURCE, listing(keys(3)), collection="photographs")
    night = ordered(ledger, recipe_id, kind=OrderKind.NIGHT)
    told = orders.has_precedence(ledger, first)
    assert told is not None
    assert told.id == night
    assert not orders.goes_on(ledger, first)
    assert orders.goes_on(ledger, night)
    orders.pause(ledger, night, who="engineer")
    assert orders.goes_on(ledger, first)
    orders.resume(ledger, night, who="engineer")
    plan_to_the_end(ledger, night)
    assert not orders.goes_on(ledger, first)
    held = claim(ledger, recipe_id, night)
    assert held is not None
    assert orders.goes_on(ledger, first)


# --- what becomes of the rest --------------------------------------------------------------------


def test_what_a_deadline_leaves_over_is_the_next_nights(ledger: Ledger) -> None:
    """Nothing of it is claimed any more; it costs nothing to hand it on, and nothing is lost."""
    recipe_id = discovered(ledger, 3)
    night = ordered(ledger, recipe_id, kind=OrderKind.NIGHT, deadline_s=60)
    held = claim(ledger, recipe_id, night, limit=1)
    assert held is not None
    pass_deadline(ledger, night)
    assert claim(ledger, recipe_id, night) is None
    assert not orders.goes_on(ledger, night)
    row = orders.settle(ledger, night)
    assert (row.state, row.figures) == (OrderState.STOPPED, {"pending": 2, "claimed": 1})
    assert "2 items wait" in row.detail or "3 items wait" in row.detail
    finish_all(ledger, held)  # its lease lasts
    again = ordered(ledger, recipe_id, kind=OrderKind.NIGHT)
    assert orders.get(ledger, again).items == 2
    rest = claim(ledger, recipe_id, again)
    assert rest is not None
    finish_all(ledger, rest)
    assert orders.settle(ledger, again).state is OrderState.COMPLETED
    assert statuses(ledger) == {"review": 3}


def test_a_retry_takes_what_failed_and_nothing_else(ledger: Ledger) -> None:
    """Also where a night has left something over; for its reason, and after its time."""
    recipe_id = discovered(ledger, 4)
    night = ordered(ledger, recipe_id, kind=OrderKind.NIGHT)
    held = claim(ledger, recipe_id, night, limit=2)
    assert held is not None
    reasons = (Reason.TONE_GATE, Reason.WRITE_UNVERIFIED)
    ledger.finish(
        held.token,
        [outcome_for(one.id, why) for one, why in zip(held.items, reasons, strict=True)],
    )
    orders.stop(ledger, night, RunEnding.CANCELLED, why="enough")
    young = Scope(older_than_s=3600)
    kind, mode = OrderKind.RETRY, OrderMode.FAILED
    assert orders.plan(ledger, Order(mode, young, kind=kind), recipe_id).items == 0
    chosen = Scope(reasons=(Reason.WRITE_UNVERIFIED.value,))
    assert orders.plan(ledger, Order(mode, chosen, kind=kind), recipe_id).scans == 1
    number = ordered(ledger, recipe_id, mode=mode, kind=kind, scope=chosen)
    again = claim(ledger, recipe_id, number)
    assert again is not None
    assert [one.id for one in again.items] == [held.items[1].id]
    finish_all(ledger, again)
    assert orders.settle(ledger, number).figures == {"review": 1}
    assert statuses(ledger) == {"pending": 2, "failed": 1, "review": 1}


def test_a_night_takes_what_a_person_let_go_of(ledger: Ledger) -> None:
    """Items that belong to no order, and none of those that wait in another that is open."""
    recipe_id = enqueued(ledger, 2)
    end_orders(ledger)
    mine = ordered(ledger, recipe_id)
    assert orders.get(ledger, mine).items == 2
    ledger.record_listing(SOURCE, listing(keys(3)), collection="photographs")
    night = ordered(ledger, recipe_id, kind=OrderKind.NIGHT)
    assert orders.get(ledger, night).items == 1


def test_nothing_is_planned_before_the_sources_are_listed(ledger: Ledger) -> None:
    """What is found meanwhile is in the plan."""
    recipe_id = discovered(ledger, 1)
    run_id = ledger.start_run("nightly", "tonight")
    order = Order(kind=OrderKind.NIGHT)
    number = orders.make(ledger, order, recipe_id, name="tonight", lists_for=run_id)
    assert orders.enqueue_window(ledger, number) is OrderState.LISTING
    assert orders.settle(ledger, number).state is OrderState.LISTING
    ledger.record_listing(SOURCE, listing(keys(3)), collection="photographs")
    orders.end_listing(ledger, number)
    plan_to_the_end(ledger, number)
    assert orders.get(ledger, number).items == 3
    orders.stop(ledger, number, RunEnding.CANCELLED, why="enough")
    run = ledger.get_run(run_id)
    assert run is not None
    assert run.ending is None, "it ends with its report"


def pass_deadline(ledger: Ledger, number: int) -> None:
    """Let an order's deadline have been a minute ago."""
    earlier = update(work_order).values(deadline_at=sql.now(-60))
    ledger.write(lambda c: c.execute(earlier.where(work_order.c.id == number)))


# --- rates ---------------------------------------------------------------------------------------


def test_rates_are_measured_on_batches(ledger: Ledger) -> None:
    """None before there are any; bytes of scans and derivatives are counted with the claim."""
    assert measured_rates(ledger) is None
    objects = [Listed(key, size_bytes=500) for key in keys(4)]
    ledger.record_listing(SOURCE, objects, collection="photographs")
    number = ordered(ledger, recipe(ledger))
    held = claim(ledger, recipe(ledger), number)
    assert held is not None
    finish_all(ledger, held)
    rates = measured_rates(ledger)
    assert rates is not None
    assert (rates.items, rates.source_bytes, rates.derivative_bytes) == (4, 2000, 492)
    assert rates.storage_bytes(1000) == 246
    assert rates.worker_s(8, 4000) == pytest.approx(2 * rates.busy_s)
    assert measured_rates(ledger, run_id=orders.get(ledger, number).run_id) == rates


def test_a_scope_of_thousands_is_planned(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files, pages of them, folders and what is not there, more of each than SQLite parses."""
    monkeypatch.setattr("tasks.ledger.enqueue.WINDOW_SCANS", 20_000)
    folders = [f"folder {n}/a.tif" for n in range(20)]
    ledger.record_listing(SOURCE, listing([*keys(2_000), *folders]), collection="photographs")
    recipe_id = recipe(ledger)
    files = [f"{SOURCE}/{key}" for key in keys(1_500)]
    places = [f"{SOURCE}/folder%20{n}/" for n in range(19)] + [f"{SOURCE}/box/19?0.tif"]
    absent = [f"{SOURCE}/box/{n}.tif" for n in range(90_000, 90_005)]
    paged = [f"{SOURCE}/box/1600.tif#page=1", f"{SOURCE}/box/1601.tif#page=2"]
    scope = Scope(uris=(*files, *places, *absent, *paged))
    assert orders.plan(ledger, Order(scope=scope), recipe_id).scans == 1_500 + 19 + 10 + 1
    assert orders.get(ledger, ordered(ledger, recipe_id, scope=scope)).items == 1_530
    both = Scope(uris=(f"{SOURCE}/box/", f"{SOURCE}/folder%207/"))
    assert orders.plan(ledger, Order(scope=both), recipe_id).scans == 2_001


def test_a_scope_of_thousands_is_said_in_a_line() -> None:
    """In the tables of orders, and as the reason that is kept with the decision."""
    many = Scope(uris=tuple(f"s3://a/{number}.tif" for number in range(5_000)))
    assert many.in_words().endswith("s3://a/9.tif, 4,990 more")
    assert Scope(uris=("s3://a/", "s3://b/")).in_words() == "s3://a/, s3://b/"

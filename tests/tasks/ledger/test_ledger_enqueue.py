"""Enqueueing: which scans get a pending item, under which recipe."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.errors import Reason
from tasks.ledger import ItemFilter, Ledger, Recipe
from tasks.ledger.orders import OrderMode
from tasks.schema import DecisionKind, ItemStatus
from tests.orders import end_orders, enqueue, planned
from tests.outcomes import outcome_for
from tests.tasks.ledger.building import (
    SOURCE,
    Listed,
    claim,
    enqueued,
    finish_all,
    keys,
    listing,
    recipe,
    statuses,
)


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of two scans, so that a handful makes several."""
    monkeypatch.setattr("tasks.ledger.enqueue.WINDOW_SCANS", 2)


def test_recipe_is_named_by_what_it_decides() -> None:
    """Neither the order of settings nor the process matters to its digest."""
    one = Recipe("c" * 64, {"quality": 90, "splice": True})
    other = Recipe("c" * 64, {"splice": True, "quality": 90})
    assert one.digest == other.digest
    assert one.digest != Recipe("c" * 64, {"quality": 91, "splice": True}).digest
    assert one.digest != Recipe("d" * 64, {"quality": 90, "splice": True}).digest


def test_recipe_is_made_once_and_the_last_used_is_current(ledger: Ledger) -> None:
    """Asking for an older one again puts it back into service."""
    assert ledger.current_recipe() is None
    first, second = recipe(ledger, "a"), recipe(ledger, "b")
    assert first != second
    time.sleep(0.01)  # the database's clock goes on by milliseconds
    assert recipe(ledger, "a") == first
    current = ledger.current_recipe()
    assert current is not None
    assert (current.id, current.outputs) == (first, {"quality": 90})


def test_missing_gives_each_scan_one_item(ledger: Ledger) -> None:
    """Twice is as good as once; a new recipe has items of its own."""
    recipe_id = enqueued(ledger, 5)
    assert enqueue(ledger, recipe_id) == 0
    assert statuses(ledger, recipe_id) == {"pending": 5}
    assert ledger.oldest_pending(recipe_id) is None  # an order will have them done


def test_collections_are_enqueued_apart(ledger: Ledger) -> None:
    """Only those that are named."""
    for name in ("a", "b"):
        ledger.record_listing(f"s3://{name}", listing(keys(3)), collection=name)
    recipe_id = recipe(ledger)
    assert planned(ledger, recipe_id, collections=["b"]).items == 3
    assert enqueue(ledger, recipe_id, collections=["b"]) == 3
    assert enqueue(ledger, recipe_id) == 3


def test_plan_says_what_enqueueing_would_do(ledger: Ledger) -> None:
    """Items, bytes to fetch and the largest, and nothing is changed."""
    objects = [Listed("a", size_bytes=10), Listed("b", size_bytes=30)]
    ledger.record_listing(SOURCE, objects, collection="photographs")
    recipe_id = recipe(ledger)
    plan = planned(ledger, recipe_id)
    assert (plan.items, plan.size_bytes, plan.largest_bytes) == (2, 40, 30)
    assert statuses(ledger) == {}
    enqueue(ledger, recipe_id)
    assert planned(ledger, recipe_id).items == 0


def every_ending(ledger: Ledger) -> int:
    """A recipe with an item in each ended status."""
    recipe_id = enqueued(ledger, 8)
    held = claim(ledger, recipe_id, limit=6)
    published, review, skipped, failed, quarantined, rejected = held.items
    finish = ledger.finish
    finish_all(ledger, type(held)(held.token, held.expires_at, (published,)), ItemStatus.PUBLISHED)
    finish_all(ledger, type(held)(held.token, held.expires_at, (review, rejected)))
    finish(held.token, [outcome_for(skipped.id, Reason.BLANK)])
    finish(held.token, [outcome_for(failed.id, Reason.TONE_GATE)])
    finish(held.token, [outcome_for(quarantined.id, Reason.TRUNCATED)])
    ledger.reject(ItemFilter(ids=[rejected.id]), who="curator", why="green sky")
    ledger.hold(ItemFilter(uri=f"{SOURCE}/{keys(8)[7]}"), who="curator", why="rights")
    end_orders(ledger)
    return recipe_id


def test_modes_choose_among_what_has_ended(ledger: Ledger) -> None:
    """Failed ones, or all that a new attempt can change; never held or rejected ones."""
    recipe_id = every_ending(ledger)
    before = statuses(ledger, recipe_id)
    assert before == dict.fromkeys(
        ("pending", "published", "review", "skipped", "failed", "quarantined", "held", "rejected"),
        1,
    )
    for mode in (OrderMode.MISSING, OrderMode.CHANGED_RECIPE):
        assert enqueue(ledger, recipe_id, mode=mode) == 0
    assert planned(ledger, recipe_id, mode=OrderMode.FAILED).items == 1
    assert enqueue(ledger, recipe_id, mode=OrderMode.FAILED) == 1
    assert planned(ledger, recipe_id, mode=OrderMode.ALL).items == 4
    assert enqueue(ledger, recipe_id, mode=OrderMode.ALL) == 4
    assert statuses(ledger, recipe_id) == {"pending": 6, "held": 1, "rejected": 1}
    assert all(one.attempt == 1 for one in claim(ledger, recipe_id).items)


def test_new_recipe_by_mode(ledger: Ledger) -> None:
    """`missing` leaves what any recipe has dealt with; `changed-recipe` takes derivatives."""
    every_ending(ledger)
    other = recipe(ledger, "b")
    assert planned(ledger, other, mode=OrderMode.MISSING).items == 1
    assert planned(ledger, other, mode=OrderMode.CHANGED_RECIPE).items == 2
    assert planned(ledger, other, mode=OrderMode.ALL).items == 8
    assert planned(ledger, other, mode=OrderMode.FAILED).items == 0
    assert enqueue(ledger, other, mode=OrderMode.MISSING) == 1
    assert statuses(ledger, other) == {"pending": 1}


def test_other_recipe_takes_over_what_is_open(ledger: Ledger) -> None:
    """A scan is pending under one recipe at a time, and held stays held."""
    old = every_ending(ledger)
    new = recipe(ledger, "b")
    assert enqueue(ledger, new, mode=OrderMode.ALL) == 8
    assert statuses(ledger, new) == {"pending": 7, "held": 1}
    assert statuses(ledger, old)["superseded"] == 2
    assert "pending" not in statuses(ledger, old)
    assert ledger.release(ItemFilter(recipe_id=old), who="curator", why="cleared") == 0
    assert ledger.release(ItemFilter(), who="curator", why="cleared") == 1
    assert statuses(ledger, new) == {"pending": 8}


def test_publishing_supersedes_the_older_recipes_derivative(ledger: Ledger) -> None:
    """The scan has one published derivative; the story says by what the other was superseded."""
    old = enqueued(ledger, 2)
    finish_all(ledger, claim(ledger, old), ItemStatus.PUBLISHED)
    new = recipe(ledger, "b")
    enqueue(ledger, new, mode=OrderMode.ALL)
    held = claim(ledger, new)
    assert statuses(ledger, old) == {"published": 2}
    finish_all(ledger, held, ItemStatus.PUBLISHED)
    assert statuses(ledger, old) == {"superseded": 2}
    assert statuses(ledger, new) == {"published": 2}
    older, newer = ledger.get_story(held.items[0].uri).items
    assert [d.kind for d in older.decisions] == [DecisionKind.SUPERSEDE]
    assert older.decisions[0].who == "worker"
    assert newer.decisions == ()


def test_review_supersedes_only_once_it_is_approved(ledger: Ledger) -> None:
    """Until a curator has decided, the published derivative stays."""
    old = enqueued(ledger, 1)
    finish_all(ledger, claim(ledger, old), ItemStatus.PUBLISHED)
    new = recipe(ledger, "b")
    enqueue(ledger, new, mode=OrderMode.ALL)
    finish_all(ledger, claim(ledger, new))
    assert statuses(ledger, old) == {"published": 1}
    assert ledger.approve(ItemFilter(recipe_id=new), who="curator", why="lovely") == 1
    assert statuses(ledger, old) == {"superseded": 1}
    assert statuses(ledger, new) == {"published": 1}


def test_approving_two_recipes_at_once_publishes_the_later(ledger: Ledger) -> None:
    """A scan has one published derivative, not two and not none."""
    old = enqueued(ledger, 2)
    finish_all(ledger, claim(ledger, old))
    new = recipe(ledger, "b")
    enqueue(ledger, new, mode=OrderMode.ALL)
    finish_all(ledger, claim(ledger, new))
    assert ledger.approve(ItemFilter(), who="curator", why="both are good") == 4
    assert statuses(ledger, old) == {"superseded": 2}
    assert statuses(ledger, new) == {"published": 2}


def test_two_recipes_that_publish_at_once_leave_one_published(
    open_ledger: Callable[[], Ledger],
) -> None:
    """Whoever comes later supersedes."""
    ledgers = open_ledger(), open_ledger()
    recipes = enqueued(ledgers[0], 40), recipe(ledgers[0], "b")
    held = [claim(ledgers[0], recipes[0])]
    enqueue(ledgers[0], recipes[1], mode=OrderMode.ALL)
    held.append(claim(ledgers[0], recipes[1]))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(finish_all, ledgers, held, [ItemStatus.PUBLISHED] * 2))
    assert statuses(ledgers[0]) == {"published": 40, "superseded": 40}


def test_going_back_to_an_older_recipe(ledger: Ledger) -> None:
    """`changed-recipe` brings superseded items back into work, and they supersede in turn."""
    old = enqueued(ledger, 1)
    finish_all(ledger, claim(ledger, old), ItemStatus.PUBLISHED)
    new = recipe(ledger, "b")
    enqueue(ledger, new, mode=OrderMode.ALL)
    finish_all(ledger, claim(ledger, new), ItemStatus.PUBLISHED)
    assert enqueue(ledger, old) == 0
    assert enqueue(ledger, old, mode=OrderMode.CHANGED_RECIPE) == 1
    finish_all(ledger, claim(ledger, old), ItemStatus.PUBLISHED)
    assert statuses(ledger, new) == {"superseded": 1}
    assert statuses(ledger, old) == {"published": 1}

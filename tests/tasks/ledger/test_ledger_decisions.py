"""Decisions: who moved what, when and why."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.errors import Reason, UsageError
from tasks.ledger import ItemFilter, Ledger
from tasks.ledger.orders import OrderMode
from tasks.ledger.uris import uri_of_path
from tasks.schema import DecisionKind, ItemStatus
from tests.orders import enqueue
from tests.outcomes import outcome_for
from tests.tasks.ledger.building import (
    SOURCE,
    claim,
    done,
    enqueued,
    finish_all,
    keys,
    listing,
    recipe,
    statuses,
)


def test_retry_takes_failed_items_unless_others_are_named(ledger: Ledger) -> None:
    """With all their attempts; quarantined and skipped ones only where the filter says so."""
    recipe_id = enqueued(ledger, 3)
    held = claim(ledger, recipe_id, max_attempts=1)
    reasons = (Reason.TIMEOUT, Reason.TRUNCATED, Reason.BLANK)
    outcomes = [outcome_for(o.id, r) for o, r in zip(held.items, reasons, strict=True)]
    ledger.finish(held.token, outcomes)
    assert ledger.retry(ItemFilter(), who="e", why="w", dry_run=True) == 1
    assert ledger.retry(ItemFilter(), who="e", why="w") == 1
    assert statuses(ledger, recipe_id) == {"pending": 1, "quarantined": 1, "skipped": 1}
    wanted = ItemFilter(statuses=[ItemStatus.QUARANTINED, ItemStatus.SKIPPED])
    assert ledger.retry(wanted, who="e", why="rescanned") == 2
    assert [one.attempt for one in claim(ledger, recipe_id).items] == [1, 1, 1]


@pytest.mark.parametrize("pattern", ["", "*.tif"])
def test_nothing_is_made_anew_of_what_is_gone_or_left_out(ledger: Ledger, pattern: str) -> None:
    """A pattern is a person's word, too, and a published derivative may be all that is left."""
    recipe_id = enqueued(ledger, 2)
    ledger.finish(claim(ledger, recipe_id, limit=1).token, [done(1, ItemStatus.PUBLISHED)])
    ledger.record_listing(SOURCE, [], collection="photographs", leaves_out=lambda _: pattern)
    assert statuses(ledger, recipe_id) == {"published": 1, "skipped": 1}
    everything = ItemFilter(uri=f"{SOURCE}/")
    assert ledger.redo(everything, who="curator", why="damaged") == 0
    skipped = ItemFilter(statuses=[ItemStatus.SKIPPED])
    assert ledger.retry(skipped, who="curator", why="again") == 0
    ledger.record_listing(SOURCE, listing(keys(2)), collection="photographs")
    assert ledger.redo(everything, who="curator", why="damaged") == 1


def test_retried_killer_is_tried_alone(ledger: Ledger) -> None:
    """It may kill again."""
    recipe_id = enqueued(ledger, 3)
    claim(ledger, recipe_id, limit=1, worker="gone", max_attempts=1)
    ledger.expire_leases(["gone"])
    ledger.sweep()
    assert statuses(ledger, recipe_id) == {"pending": 2, "quarantined": 1}
    chosen = ItemFilter(statuses=[ItemStatus.QUARANTINED])
    assert ledger.retry(chosen, who="e", why="new version") == 1
    assert len(claim(ledger, recipe_id).items) == 1
    assert len(claim(ledger, recipe_id).items) == 2


@pytest.mark.parametrize("dry_run", [True, False])
def test_hold_takes_what_is_not_decided_yet(ledger: Ledger, dry_run: bool) -> None:
    """Pending, claimed, failed, quarantined; a dry run counts the same and changes nothing."""
    recipe_id = enqueued(ledger, 4)
    held = claim(ledger, recipe_id, limit=3)
    working, failed, truncated = held.items
    ledger.finish(
        held.token,
        [outcome_for(failed.id, Reason.TONE_GATE), outcome_for(truncated.id, Reason.TRUNCATED)],
    )
    before = statuses(ledger, recipe_id)
    assert ledger.hold(ItemFilter(), who="curator", why="rights", dry_run=dry_run) == 4
    expected = before if dry_run else {"held": 4}
    assert statuses(ledger, recipe_id) == expected
    decisions = ledger.get_story(failed.uri).items[0].decisions
    assert len(decisions) == (0 if dry_run else 1)
    accepted = ledger.finish(held.token, [done(working.id)])
    assert set(accepted) == ({working.id} if dry_run else set())


def test_held_item_shows_why_and_is_released_afresh(ledger: Ledger) -> None:
    """Not by the reason it failed for before: that is in its story."""
    recipe_id = enqueued(ledger, 1)
    held = claim(ledger, recipe_id)
    ledger.finish(held.token, [outcome_for(held.items[0].id, Reason.TONE_GATE)])
    ledger.hold(ItemFilter(), who="curator", why="family asked")
    (row,) = ledger.list_items(ItemFilter(), limit=5)
    assert (row.status, row.reason, row.detail) == (ItemStatus.HELD, None, "family asked")
    assert ledger.counts(recipe_id).reasons == {}
    ledger.release(ItemFilter(), who="curator", why="cleared")
    assert claim(ledger, recipe_id).items[0].attempt == 1
    hold, release = ledger.get_story(held.items[0].uri).items[0].decisions
    assert (hold.kind, hold.who, hold.why) == (DecisionKind.HOLD, "curator", "family asked")
    assert (hold.was, hold.was_reason, hold.became) == (
        ItemStatus.FAILED,
        Reason.TONE_GATE,
        ItemStatus.HELD,
    )
    assert (release.kind, release.was, release.became) == (
        DecisionKind.RELEASE,
        ItemStatus.HELD,
        ItemStatus.PENDING,
    )
    assert release.decided_at >= hold.decided_at


def test_curators_decide_on_what_is_in_review(ledger: Ledger) -> None:
    """And on nothing else, whatever the filter says."""
    recipe_id = enqueued(ledger, 4)
    held = claim(ledger, recipe_id, limit=3)
    finish_all(ledger, held)
    ids = [one.id for one in held.items]
    assert ledger.approve(ItemFilter(ids=ids[:1]), who="curator", why="good") == 1
    assert ledger.reject(ItemFilter(ids=ids[:2]), who="curator", why="blue face") == 1
    assert ledger.approve(ItemFilter(statuses=[ItemStatus.PENDING]), who="c", why="") == 0
    assert statuses(ledger, recipe_id) == {
        "pending": 1,
        "published": 1,
        "rejected": 1,
        "review": 1,
    }
    assert ledger.supersede(ItemFilter(), who="engineer", why="withdrawn recipe") == 2


def test_decision_about_nothing_leaves_no_record(ledger: Ledger) -> None:
    """Nothing moved, nothing noted."""
    enqueued(ledger, 1)
    assert ledger.release(ItemFilter(), who="curator", why="none held") == 0
    assert ledger.get_story(f"{SOURCE}/{keys(1)[0]}").items[0].decisions == ()


def test_filter_fields_narrow_each_other(ledger: Ledger) -> None:
    """Status, reason, collection, recipe, ids and age must all hold."""
    for name in ("a", "b"):
        ledger.record_listing(f"s3://{name}", listing(keys(2)), collection=name)
    first, second = recipe(ledger, "x"), recipe(ledger, "y")
    enqueue(ledger, first)
    held = claim(ledger, first, limit=2)
    reasons = (Reason.TONE_GATE, Reason.WRITE_UNVERIFIED)
    outcomes = [outcome_for(o.id, r) for o, r in zip(held.items, reasons, strict=True)]
    ledger.finish(held.token, outcomes)
    enqueue(ledger, second, mode=OrderMode.ALL, collections=["b"])

    def count(chosen: ItemFilter) -> int:
        return len(ledger.list_items(chosen, limit=99))

    assert count(ItemFilter()) == 6
    assert count(ItemFilter(statuses=[ItemStatus.FAILED])) == 2
    assert count(ItemFilter(statuses=[ItemStatus.FAILED, ItemStatus.PENDING])) == 4
    assert count(ItemFilter(reasons=[Reason.TONE_GATE])) == 1
    assert count(ItemFilter(reasons=[Reason.TONE_GATE], collections=["b"])) == 0
    assert count(ItemFilter(collections=["b"])) == 4
    assert count(ItemFilter(collections=["b"], recipe_id=second)) == 2
    assert count(ItemFilter(ids=[held.items[0].id, 10**9])) == 1
    assert count(ItemFilter(ids=[])) == 0
    assert count(ItemFilter(older_than_s=3600)) == 0
    assert count(ItemFilter(older_than_s=0)) == 6


def test_uris_are_exact_folders_or_patterns(ledger: Ledger) -> None:
    """What people type, with no character but * and ? meaning anything."""
    names = ["box/1.tif", "box/2.TIF", "box/3.tif", "box/[1].tif", "a_b/x.tif", "aXb/x.jpg"]
    ledger.record_listing(SOURCE, listing(names), collection="photographs")
    enqueue(ledger, recipe(ledger))
    expected = {
        "s3://archive/scans": 6,
        "s3://archive/scans/": 6,
        "s3://archive/": 6,
        "s3://archive/scans/box/": 4,
        "s3://archive/scans/box": 4,
        "s3://archive/scans/box/1.tif": 1,
        "s3://archive/scans/box/*.tif": 3,
        "s3://archive/scans/*.TIF": 1,
        "s3://archive/scans/b?x/?.tif": 2,
        "s3://archive/scans/a_b/": 1,
        "s3://archive/scans/box/[1].tif": 1,
        "box/1.tif": 1,
        "*.tif": 4,
    }
    found = {uri: len(ledger.list_items(ItemFilter(uri=uri), limit=99)) for uri in expected}
    assert found == expected


def test_scans_of_a_folder_are_found_by_their_paths(ledger: Ledger) -> None:
    """Spaces, other scripts and percent signs are what they are in the file's name."""
    source = Path("/my scans").as_uri()
    names = ["Zürich/写真 1.jpg", "Zürich/2.jpg", "100%.jpg", "a%20b.jpg"]
    ledger.record_listing(source, listing(names), collection="photographs")
    enqueue(ledger, recipe(ledger))
    expected = {
        "/my scans": 4,
        "/my scans/Zürich/": 2,
        "/my scans/Zürich/写真 1.jpg": 1,
        "/my scans/Zürich/../100%.jpg": 1,
        "/my scans/a%20b.jpg": 1,
        "/my scans/*.jpg": 4,
    }
    found = {
        path: len(ledger.list_items(ItemFilter(uri=uri_of_path(path)), limit=99))
        for path in expected
    }
    assert found == expected
    for row in ledger.list_items(ItemFilter(), limit=99):
        assert ledger.list_items(ItemFilter(uri=row.uri), limit=99) == [row]


def test_uri_outside_of_every_source_is_an_error_that_names_them(ledger: Ledger) -> None:
    """A typing error is not "nothing found"."""
    enqueued(ledger, 1)
    with pytest.raises(UsageError, match="the sources are: s3://archive/scans"):
        ledger.list_items(ItemFilter(uri="s3://archiv/scans/x"), limit=1)
    with pytest.raises(UsageError, match="no scan is known at"):
        ledger.get_story(f"{SOURCE}/no-such.tif")


def test_decisions_of_two_people_at_once_move_each_item_once(
    open_ledger: Callable[[], Ledger],
) -> None:
    """Each is told how many were moved by it."""
    one, other = open_ledger(), open_ledger()
    recipe_id = enqueued(one, 3)
    assert (
        one.hold(ItemFilter(), who="a", why="x") + other.hold(ItemFilter(), who="b", why="y") == 3
    )
    assert statuses(one, recipe_id) == {"held": 3}

"""Discovery: what a listing makes of what is known."""

from collections.abc import Iterator

import pytest

from tasks.errors import Reason
from tasks.ledger import ItemFilter, Ledger, ListingCounts, MissingScans, discovery
from tasks.ledger.pages import add_pages
from tasks.schema import AttemptEnding, DecisionKind, ItemStatus
from tests.orders import enqueue
from tests.outcomes import outcome_for
from tests.tasks.ledger.building import (
    SOURCE,
    Listed,
    check_tallies,
    claim,
    done,
    enqueued,
    finish_all,
    keys,
    listing,
    recipe,
    statuses,
)


def discover(ledger: Ledger, objects: list[Listed], **options: object) -> ListingCounts:
    """Record a listing."""
    return ledger.record_listing(SOURCE, objects, collection="photographs", **options)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of three, so that a handful of objects makes several."""
    monkeypatch.setattr(discovery, "CHUNK_OBJECTS", 3)


def test_second_listing_of_the_same_finds_nothing_new(ledger: Ledger) -> None:
    """Found = new + changed + unchanged, and a second look changes nothing."""
    objects = listing(keys(10))
    assert discover(ledger, objects) == ListingCounts(found=10, new=10)
    assert discover(ledger, objects) == ListingCounts(found=10, unchanged=10)
    assert ledger.counts().scans == 10
    check_tallies(ledger)


def test_listing_need_not_be_sorted_and_may_repeat_itself(ledger: Ledger) -> None:
    """Order and repetition do not matter to what is found."""
    objects = listing(keys(10))
    shuffled = [*objects[5:], *objects[:5], objects[7]]
    assert discover(ledger, shuffled).new == 10
    assert discover(ledger, shuffled) == ListingCounts(found=10, unchanged=10)


def test_keys_are_kept_apart_to_the_character(ledger: Ledger) -> None:
    """Case, accents, quotes and what a database might take for syntax make different scans."""
    odd = [
        "a.tif",
        "A.tif",
        "ä.tif",
        "a\u0308.tif",
        "a%.tif",
        "a_.tif",
        "'; --.tif",
        'q".tif',
        "\\",
    ]
    assert discover(ledger, listing(odd)).new == len(odd)
    assert discover(ledger, listing(odd)).unchanged == len(odd)
    for key in odd:
        assert ledger.get_story(f"{SOURCE}/{key}").scan.key == key


def test_changed_file_is_a_new_revision(ledger: Ledger) -> None:
    """The old facts stay on record, and ended items are due again at the next enqueueing."""
    recipe_id = enqueued(ledger, 2)
    finish_all(ledger, claim(ledger, recipe_id), ItemStatus.PUBLISHED)
    first, second = listing(keys(2))
    found = discover(ledger, [Listed(first.key, size_bytes=7), second])
    assert found == ListingCounts(found=2, changed=1, unchanged=1)
    story = ledger.get_story(f"{SOURCE}/{first.key}")
    assert (story.scan.revision, story.scan.sha256) == (2, None)
    assert [(old.revision, old.etag) for old in story.revisions] == [(1, "first")]
    assert statuses(ledger, recipe_id) == {"published": 2}
    assert enqueue(ledger, recipe_id) == 1
    assert statuses(ledger, recipe_id) == {"pending": 1, "published": 1}
    again = claim(ledger, recipe_id).items[0]
    assert (again.key, again.revision, again.attempt, again.sha256) == (first.key, 2, 1, None)


def test_file_that_changes_under_a_worker_is_taken_from_it(ledger: Ledger) -> None:
    """The late outcome, about the old file, is refused; the item waits for the new one."""
    recipe_id = enqueued(ledger, 2)
    held = claim(ledger, recipe_id)
    first, second = listing(keys(2))
    discover(ledger, [first.changed(), second])
    assert ledger.renew(held.token, lease_s=60) == 1
    lost, kept = held.items
    assert ledger.finish(held.token, [done(lost.id), done(kept.id)]).keys() == {kept.id}
    history = ledger.get_story(lost.uri).items[0]
    assert (history.item.status, history.item.attempts) == (ItemStatus.PENDING, 0)
    assert [one.ending for one in history.attempts] == [AttemptEnding.REVOKED]
    assert claim(ledger, recipe_id).items[0].revision == 2


def test_vanished_scan_is_marked_and_waits_no_more(ledger: Ledger) -> None:
    """Nothing is deleted: what was pending has a reason, what was done stays; both come back."""
    recipe_id = enqueued(ledger, 4)
    finish_all(ledger, claim(ledger, recipe_id, limit=2), ItemStatus.PUBLISHED)
    objects = listing(keys(4))
    assert discover(ledger, [objects[0], objects[2]]).vanished == 2
    assert statuses(ledger, recipe_id) == {"pending": 1, "published": 2, "skipped": 1}
    assert (ledger.counts().scans, ledger.counts().vanished) == (4, 2)
    assert discover(ledger, [objects[0], objects[2]]).vanished == 0
    again = discover(ledger, objects)
    assert (again.reappeared, again.vanished, again.new) == (2, 0, 0)
    assert statuses(ledger, recipe_id) == {"pending": 2, "published": 2}
    kinds = [d.kind for d in ledger.get_story(f"{SOURCE}/{objects[3].key}").items[0].decisions]
    assert kinds == [DecisionKind.SCAN_VANISHED, DecisionKind.SCAN_REAPPEARED]


def test_scan_that_vanished_before_it_was_enqueued_is_counted(ledger: Ledger) -> None:
    """Found = sum over statuses, for what is gone, too."""
    discover(ledger, listing(keys(3)))
    discover(ledger, listing(keys(2)))
    recipe_id = recipe(ledger)
    enqueue(ledger, recipe_id)
    assert statuses(ledger, recipe_id) == {"pending": 2, "skipped": 1}
    assert ledger.counts(recipe_id).reasons == {Reason.VANISHED: 1}


def test_listing_that_breaks_off_marks_nothing_vanished(ledger: Ledger) -> None:
    """What came before the error is kept, the chunk that it broke off in, too."""
    discover(ledger, listing(keys(9)))

    def breaks_off() -> Iterator[Listed]:
        yield from listing([*keys(4), "new.tif"])
        raise TimeoutError("the store went away")

    with pytest.raises(TimeoutError):
        ledger.record_listing(SOURCE, breaks_off(), collection="photographs")
    assert (ledger.counts().scans, ledger.counts().vanished) == (10, 0)


def test_whoever_lists_may_doubt_what_is_missing(ledger: Ledger) -> None:
    """Asked with the numbers, by folder; where it is doubted, nothing is marked."""
    discover(ledger, listing(["a/1", "a/2", "b/c/3", "d"]))
    asked: list[MissingScans] = []

    def doubts(missing: MissingScans) -> bool:
        asked.append(missing)
        return False

    assert discover(ledger, listing(["a/1"]), may_vanish=doubts).vanished == 0
    assert asked == [MissingScans(4, {"a/": 1, "b/c/": 1, "": 1})]
    assert ledger.counts().vanished == 0


def test_what_a_pattern_leaves_out_waits_no_more_and_comes_back(ledger: Ledger) -> None:
    """It has not vanished; what was made of it before stays, quarantine does not."""
    recipe_id = enqueued(ledger, 4)
    held = claim(ledger, recipe_id, limit=2)
    ledger.finish(
        held.token,
        [
            done(held.items[0].id),
            outcome_for(held.items[1].id, Reason.UNSUPPORTED_FORMAT, detail="text"),
        ],
    )
    left = discover(ledger, [], leaves_out=lambda _: "*.tif", may_vanish=lambda m: m.scans > 0)
    assert (left.vanished, left.left_out) == (0, 4)
    assert statuses(ledger, recipe_id) == {"review": 1, "skipped": 3}
    assert ledger.counts(recipe_id).reasons == {Reason.LEFT_OUT: 3}
    story = ledger.get_story(held.items[1].uri).items[0]
    assert story.item.detail == "left out by the pattern *.tif"
    assert story.decisions[-1].kind is DecisionKind.SCAN_LEFT_OUT
    assert discover(ledger, [], leaves_out=lambda _: "*.tif").left_out == 0
    assert discover(ledger, listing(keys(4))).reappeared == 4
    assert statuses(ledger, recipe_id) == {"review": 1, "pending": 3}
    check_tallies(ledger)


def test_partial_listings_mark_only_what_they_cover(ledger: Ledger) -> None:
    """A prefix is complete for itself, an incomplete listing for nothing."""
    discover(ledger, listing(["a/1", "a/2", "b/1", "b/2"]))
    assert discover(ledger, listing(["a/1"]), complete=False).vanished == 0
    assert discover(ledger, listing(["a/1"]), prefix="a/").vanished == 1
    assert ledger.counts().vanished == 1


def test_sources_do_not_touch_each_other(ledger: Ledger) -> None:
    """The same key in two stores is two scans, and vanishes from one only."""
    discover(ledger, listing(keys(2)))
    other = ledger.record_listing("file:///elsewhere", listing(keys(2)), collection="other")
    assert other.new == 2
    assert discover(ledger, []).vanished == 2
    assert ledger.counts().vanished == 2
    assert ledger.counts(collections=["other"]).vanished == 0


def test_source_discovered_for_another_collection_moves(ledger: Ledger) -> None:
    """Scans and items follow, and can be claimed there."""
    recipe_id = enqueued(ledger, 3)
    ledger.record_listing(SOURCE, listing(keys(3)), collection="glass plates")
    assert ledger.counts(collections=["photographs"]).scans == 0
    assert statuses(ledger, recipe_id) == {"pending": 3}
    held = claim(ledger, recipe_id).items
    assert [one.collection for one in held] == ["glass plates"] * 3


def test_pages_of_a_file_become_scans_of_their_own(ledger: Ledger) -> None:
    """Finishing the first page enqueues the others, once, however often it is said."""
    recipe_id = enqueued(ledger, 1)
    held = claim(ledger, recipe_id)
    first = held.items[0]
    assert add_pages(ledger, first.scan_id, 3) == 2
    assert add_pages(ledger, first.scan_id, 3) == 0
    finish_all(ledger, held)
    pages = claim(ledger, recipe_id).items
    assert [page.uri for page in pages] == [f"{first.uri}#page=2", f"{first.uri}#page=3"]
    assert [page.page for page in pages] == [1, 2]
    assert ledger.counts().scans == 3


def test_pages_follow_their_file_when_it_changes(ledger: Ledger) -> None:
    """Pages that the new file lacks stay vanished; those it has come back as its revision."""
    recipe_id = enqueued(ledger, 1)
    held = claim(ledger, recipe_id)
    add_pages(ledger, held.items[0].scan_id, 3)
    finish_all(ledger, held)
    finish_all(ledger, claim(ledger, recipe_id))
    assert statuses(ledger, recipe_id) == {"review": 3}
    discover(ledger, [listing(keys(1))[0].changed()])
    assert ledger.counts().vanished == 2
    assert enqueue(ledger, recipe_id) == 1
    held = claim(ledger, recipe_id)
    add_pages(ledger, held.items[0].scan_id, 2)
    finish_all(ledger, held)
    page = claim(ledger, recipe_id).items[0]
    assert (page.page, page.revision) == (1, 2)
    assert ledger.counts().vanished == 1


def test_held_item_stays_held_when_its_scan_changes(ledger: Ledger) -> None:
    """Rights do not change with the file."""
    recipe_id = enqueued(ledger, 1)
    ledger.hold(ItemFilter(), who="curator", why="rights")
    discover(ledger, [listing(keys(1))[0].changed()])
    assert enqueue(ledger, recipe_id) == 0
    assert statuses(ledger, recipe_id) == {"held": 1}
    ledger.release(ItemFilter(), who="curator", why="cleared")
    assert claim(ledger, recipe_id).items[0].etag == "first'"

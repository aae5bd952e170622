"""A person's no is final: for scans, for their bytes, for places; whether or not an item exists."""

import unicodedata
from dataclasses import replace

import pytest

from tasks.errors import Reason
from tasks.ledger import Digest, ItemFilter, Ledger
from tasks.ledger.done import list_done
from tasks.ledger.orders import OrderMode
from tasks.ledger.pages import add_pages
from tasks.schema import ItemStatus
from tests.orders import enqueue
from tests.tasks.ledger.building import (
    DIGEST,
    SOURCE,
    Listed,
    claim,
    claims_nothing,
    done,
    enqueued,
    finish_all,
    keys,
    listing,
    recipe,
    statuses,
)

OTHER = "cd" * 32
ALL = ItemFilter(uri=f"{SOURCE}/")
NOS = {"reject": "rejected", "supersede": "withdrawn"}


def discover(ledger: Ledger, *objects: Listed) -> None:
    """Record a listing."""
    ledger.record_listing(SOURCE, objects, collection="photographs")


def refused(ledger: Ledger, kind: str) -> int:
    """A recipe under which a curator said no to the one scan there is."""
    recipe_id = enqueued(ledger, 1)
    finish_all(ledger, claim(ledger, recipe_id))
    assert getattr(ledger, kind)(ALL, who="curator", why="blue face") == 1
    return recipe_id


def publish(ledger: Ledger, recipe_id: int, *, sha256: str = DIGEST) -> tuple[str, str | None, str]:
    """Colour what waits, with every wish to publish it; what the last of it became."""
    held = claim(ledger, recipe_id)
    for one in held.items:
        ledger.finish(held.token, [done(one.id, ItemStatus.PUBLISHED, sha256=sha256)])
    (row,) = ledger.list_items(ItemFilter(ids=[held.items[-1].id]), limit=1)
    return row.status, row.reason, row.detail


@pytest.mark.parametrize("kind", NOS)
def test_other_bytes_after_a_no_wait_for_a_person(ledger: Ledger, kind: str) -> None:
    """With a word of what was decided; a yes ends it, for these bytes."""
    recipe_id = refused(ledger, kind)
    discover(ledger, Listed(keys(1)[0]).changed())
    assert enqueue(ledger, recipe_id) == 1
    status, reason, detail = publish(ledger, recipe_id, sha256=OTHER)
    assert (status, reason) == ("review", "decided_before")
    assert detail.startswith(f"{NOS[kind]} before when it held other bytes, by curator on ")
    assert detail.endswith(": blue face")
    assert ledger.approve(ALL, who="curator", why="lovely") == 1
    ledger.redo(ALL, who="curator", why="again")
    assert publish(ledger, recipe_id, sha256=OTHER)[:2] == ("published", None)


@pytest.mark.parametrize("kind", NOS)
def test_the_same_bytes_elsewhere_wait_for_a_person(ledger: Ledger, kind: str) -> None:
    """Copied, moved or in another source."""
    recipe_id = refused(ledger, kind)
    discover(ledger, Listed("copy.tif"))
    enqueue(ledger, recipe_id)
    status, reason, detail = publish(ledger, recipe_id)
    assert (status, reason) == ("review", "decided_before")
    assert "as the same bytes elsewhere" in detail


@pytest.mark.parametrize("kind", NOS)
def test_other_bytes_in_the_place_of_a_copy_wait_for_a_person(ledger: Ledger, kind: str) -> None:
    """What was said of the bytes was said of every copy; a yes ends it, for this one."""
    recipe_id = refused(ledger, kind)
    discover(ledger, Listed("copy.tif"))
    enqueue(ledger, recipe_id)
    publish(ledger, recipe_id)
    discover(ledger, Listed("copy.tif").changed())
    enqueue(ledger, recipe_id)
    status, reason, detail = publish(ledger, recipe_id, sha256=OTHER)
    assert (status, reason) == ("review", "decided_before")
    assert detail.startswith(f"{NOS[kind]} before when it held other bytes, by curator on ")
    copy = ItemFilter(uri=f"{SOURCE}/copy.tif")
    assert ledger.approve(copy, who="curator", why="lovely") == 1
    ledger.redo(copy, who="curator", why="again")
    assert publish(ledger, recipe_id, sha256=OTHER)[:2] == ("published", None)


@pytest.mark.parametrize("kind", NOS)
def test_other_bytes_after_a_no_wait_under_another_name(ledger: Ledger, kind: str) -> None:
    """A file that waits since it changed is not published by being moved; a yes is about both."""
    recipe_id = refused(ledger, kind)
    discover(ledger, Listed(keys(1)[0]).changed())
    enqueue(ledger, recipe_id)
    assert publish(ledger, recipe_id, sha256=OTHER)[0] == "review"
    discover(ledger, Listed("moved.tif"))
    enqueue(ledger, recipe_id)
    assert publish(ledger, recipe_id, sha256=OTHER)[:2] == ("review", "decided_before")
    moved = ItemFilter(uri=f"{SOURCE}/moved.tif")
    assert ledger.approve(moved, who="curator", why="lovely") == 1
    ledger.redo(moved, who="curator", why="again")
    assert publish(ledger, recipe_id, sha256=OTHER)[:2] == ("published", None)


@pytest.mark.parametrize("kind", NOS)
def test_the_same_bytes_under_another_recipe_wait_for_a_person(ledger: Ledger, kind: str) -> None:
    """And backfills pass them by."""
    refused(ledger, kind)
    other = recipe(ledger, "b")
    enqueue(ledger, other, mode=OrderMode.ALL)
    assert publish(ledger, other)[:2] == ("review", "decided_before")


def test_bytes_that_return_are_those_that_were_turned_down(ledger: Ledger) -> None:
    """Approved were others."""
    recipe_id = refused(ledger, "reject")
    discover(ledger, Listed(keys(1)[0]).changed())
    enqueue(ledger, recipe_id)
    publish(ledger, recipe_id, sha256=OTHER)
    ledger.approve(ALL, who="curator", why="these are good")
    discover(ledger, Listed(keys(1)[0]))
    enqueue(ledger, recipe_id)
    assert publish(ledger, recipe_id)[:2] == ("review", "decided_before")


def test_a_rejection_of_what_changed_meanwhile_is_about_what_was_seen(ledger: Ledger) -> None:
    """The curator has not seen the new bytes; they wait, as after every no."""
    recipe_id = enqueued(ledger, 1)
    finish_all(ledger, claim(ledger, recipe_id))
    discover(ledger, Listed(keys(1)[0]).touched())
    (doubt,) = ledger.doubts(SOURCE)
    assert ledger.record_digests([Digest(doubt.scan_id, doubt.listing, OTHER)]) == 1
    assert ledger.reject(ALL, who="curator", why="blue face") == 1
    discover(ledger, Listed(keys(1)[0]).touched(), Listed("copy.tif"))
    enqueue(ledger, recipe_id)
    assert publish(ledger, recipe_id)[:2] == ("review", "decided_before")


def test_a_yes_is_not_about_bytes_that_nobody_saw(ledger: Ledger) -> None:
    """An item whose scan changed meanwhile is passed over."""
    recipe_id = enqueued(ledger, 1)
    finish_all(ledger, claim(ledger, recipe_id))
    discover(ledger, Listed(keys(1)[0]).changed())
    assert ledger.approve(ALL, who="curator", why="good") == 0
    assert statuses(ledger, recipe_id) == {"review": 1}


def test_a_published_scan_is_turned_down_by_its_name(ledger: Ledger) -> None:
    """And not by a filter that happens to find it."""
    recipe_id = enqueued(ledger, 1)
    finish_all(ledger, claim(ledger, recipe_id), ItemStatus.PUBLISHED)
    assert ledger.reject(ItemFilter(collections=["photographs"]), who="c", why="") == 0
    assert ledger.reject(ALL, who="curator", why="wrong") == 1
    assert statuses(ledger, recipe_id) == {"rejected": 1}
    rejected = ItemFilter(uri=ALL.uri, statuses=[ItemStatus.REJECTED])
    assert ledger.approve(ALL, who="curator", why="sorry") == 0
    assert ledger.approve(rejected, who="curator", why="sorry") == 1


def test_a_no_before_anything_was_coloured_stands(ledger: Ledger) -> None:
    """It is coloured, and waits."""
    discover(ledger, *listing(keys(1)))
    assert ledger.reject(ALL, who="curator", why="not this one", dry_run=True) == 1
    assert ledger.reject(ALL, who="curator", why="not this one") == 1
    assert ledger.reject(ALL, who="curator", why="not this one") == 0
    recipe_id = recipe(ledger)
    enqueue(ledger, recipe_id)
    assert publish(ledger, recipe_id)[:2] == ("review", "decided_before")


# --- holds ---------------------------------------------------------------------------------------


def test_scans_without_an_item_are_held(ledger: Ledger) -> None:
    """Under every recipe that comes, until somebody lets go of them."""
    discover(ledger, *listing(keys(2)))
    one = ItemFilter(uri=f"{SOURCE}/{keys(1)[0]}")
    assert ledger.hold(one, who="curator", why="rights") == 1
    assert ledger.hold(one, who="curator", why="rights") == 0
    for name in ("a", "b"):
        recipe_id = recipe(ledger, name)
        enqueue(ledger, recipe_id, mode=OrderMode.ALL)
        assert statuses(ledger, recipe_id) == {"held": 1, "pending": 1}
    assert ledger.release(one, who="curator", why="cleared") == 1
    assert len(claim(ledger, recipe_id).items) == 2


@pytest.mark.parametrize("place", ["box-é", "box-é/", "box-é/*", "box-é/a.tif", "box-é/?.*"])
def test_places_are_held_before_anything_is_found_there(ledger: Ledger, place: str) -> None:
    """A file, a folder with or without its slash, a pattern; nothing else, until the release.

    However the system that brings them writes accents.
    """
    chosen = ItemFilter(uri=f"{SOURCE}/{place}")
    assert ledger.hold(chosen, who="curator", why="rights") == 0
    assert ledger.held_places() == [chosen.uri]
    discover(ledger, Listed("box-e\u0301/a.tif"), Listed("box-é0/a.tif"), Listed("a.tif"))
    recipe_id = recipe(ledger)
    enqueue(ledger, recipe_id)
    assert {one.key for one in claim(ledger, recipe_id).items} == {"box-é0/a.tif", "a.tif"}
    again = ItemFilter(uri=unicodedata.normalize("NFD", f"{SOURCE}/{place}"))
    assert ledger.release(again, who="curator", why="cleared") == 1
    assert ledger.held_places() == []
    assert [one.key for one in claim(ledger, recipe_id).items] == ["box-e\u0301/a.tif"]


def test_what_is_in_work_is_taken_from_its_worker(ledger: Ledger) -> None:
    """What it made is not recorded."""
    recipe_id = enqueued(ledger, 1)
    held = claim(ledger, recipe_id)
    assert ledger.hold(ALL, who="curator", why="rights") == 1
    assert ledger.finish(held.token, [done(held.items[0].id, ItemStatus.PUBLISHED)]) == {}
    assert ledger.expire_leases(["worker"]) == 0  # the claim has ended with its last item
    assert statuses(ledger, recipe_id) == {"held": 1}


@pytest.mark.parametrize("status", [ItemStatus.REVIEW, ItemStatus.PUBLISHED])
def test_what_was_coloured_goes_to_review_when_it_is_free(
    ledger: Ledger, status: ItemStatus
) -> None:
    """A release publishes nothing, and colours nothing twice."""
    recipe_id = enqueued(ledger, 1)
    finish_all(ledger, claim(ledger, recipe_id), status)
    assert ledger.hold(ALL, who="curator", why="rights") == 1
    assert statuses(ledger, recipe_id) == {"held": 1}
    assert ledger.release(ALL, who="curator", why="cleared") == 1
    assert statuses(ledger, recipe_id) == {"review": 1}


def test_the_same_bytes_as_held_ones_are_held(ledger: Ledger) -> None:
    """A copy is found out when it is read; of scans that were read, when it is enqueued."""
    recipe_id = enqueued(ledger, 1)
    finish_all(ledger, claim(ledger, recipe_id))
    ledger.hold(ItemFilter(uri=f"{SOURCE}/{keys(1)[0]}"), who="curator", why="rights")
    discover(ledger, *listing(keys(1)), Listed("copy.tif"))
    enqueue(ledger, recipe_id)
    assert publish(ledger, recipe_id)[:2] == ("held", "decided_before")
    copy = ItemFilter(uri=f"{SOURCE}/copy.tif")
    assert ledger.release(copy, who="curator", why="another") == 1
    assert statuses(ledger, recipe_id) == {"held": 1, "review": 1}


def test_a_held_file_that_is_moved_before_anybody_read_it_stays_held(ledger: Ledger) -> None:
    """Its size and ETag, which holds its time, tell."""
    first = Listed("a.tif", etag="one", size_bytes=11)
    discover(ledger, first, Listed("b.tif", etag="two", size_bytes=11))
    ledger.hold(ItemFilter(uri=f"{SOURCE}/a.tif"), who="curator", why="rights")
    discover(
        ledger,
        Listed("moved/a.tif", etag="one", size_bytes=11),
        Listed("b.tif", etag="two", size_bytes=11),
    )
    recipe_id = recipe(ledger)
    enqueue(ledger, recipe_id)
    assert [one.key for one in claim(ledger, recipe_id).items] == ["b.tif"]


def test_a_file_that_was_turned_down_unread_waits_under_another_name(ledger: Ledger) -> None:
    """A no is final: it is no hold alone that goes with the file."""
    discover(ledger, Listed("a.tif", etag="one"))
    assert ledger.reject(ALL, who="curator", why="a grave") == 1
    discover(ledger, Listed("moved/a.tif", etag="one"))
    recipe_id = recipe(ledger)
    enqueue(ledger, recipe_id)
    assert publish(ledger, recipe_id)[:2] == ("review", "decided_before")


def test_a_held_file_that_is_moved_out_of_a_doubted_folder_stays_held(ledger: Ledger) -> None:
    """Whether or not what is missing counts as vanished: a folder left empty is doubted."""
    discover(ledger, Listed("x/a.tif", etag="one"))
    ledger.hold(ItemFilter(uri=f"{SOURCE}/x/a.tif"), who="curator", why="rights")
    moved = [Listed("y/a.tif", etag="one"), Listed("y/b.tif", etag="two")]
    ledger.record_listing(SOURCE, moved, collection="photographs", may_vanish=lambda _: False)
    recipe_id = recipe(ledger)
    enqueue(ledger, recipe_id)
    assert [one.key for one in claim(ledger, recipe_id).items] == ["y/b.tif"]


@pytest.mark.parametrize("is_read", [False, True])
def test_a_held_file_that_is_moved_into_another_source_stays_held(
    ledger: Ledger, *, is_read: bool
) -> None:
    """Also where the other is listed first, and its file is enqueued or published before."""
    discover(ledger, Listed("a.tif", etag="one"))
    ledger.hold(ItemFilter(uri=f"{SOURCE}/a.tif"), who="curator", why="rights")
    ledger.record_listing("s3://other", [Listed("b.tif", etag="one")], collection="others")
    recipe_id = recipe(ledger)
    enqueue(ledger, recipe_id)
    held = claim(ledger, recipe_id)
    if is_read:
        finish_all(ledger, held, ItemStatus.PUBLISHED)
    discover(ledger)
    assert statuses(ledger, recipe_id) == {"held": 2}
    assert claims_nothing(ledger, recipe_id)


def test_a_copy_that_was_read_before_the_hold_is_no_moved_file(ledger: Ledger) -> None:
    """Its time and size are like those of the held one by chance, as far as is known."""
    ledger.record_listing("s3://other", [Listed("b.tif", etag="one")], collection="others")
    recipe_id = recipe(ledger)
    enqueue(ledger, recipe_id)
    finish_all(ledger, claim(ledger, recipe_id), ItemStatus.PUBLISHED)
    discover(ledger, Listed("a.tif", etag="one"))
    ledger.hold(ItemFilter(uri=f"{SOURCE}/a.tif"), who="curator", why="rights")
    discover(ledger)
    assert statuses(ledger, recipe_id) == {"published": 1}


@pytest.mark.parametrize("status", [ItemStatus.REVIEW, ItemStatus.PUBLISHED])
def test_copies_of_what_is_held_are_held_whatever_became_of_them(
    ledger: Ledger, status: ItemStatus
) -> None:
    """Neither open to users, nor to be approved."""
    recipe_id = enqueued(ledger, 2)
    finish_all(ledger, claim(ledger, recipe_id), status)
    one = ItemFilter(uri=f"{SOURCE}/{keys(1)[0]}")
    assert ledger.hold(one, who="curator", why="rights") == 1
    assert statuses(ledger, recipe_id) == {"held": 2}
    assert ledger.approve(ALL, who="curator", why="") == 0


def test_a_report_shows_nothing_that_is_held(ledger: Ledger) -> None:
    """Neither a run's own nor one that is made again later."""
    recipe_id = enqueued(ledger, 1)
    run_id = ledger.start_run("run", "one")
    finish_all(ledger, claim(ledger, recipe_id, run_id=run_id), ItemStatus.PUBLISHED)
    assert len(list_done(ledger, run_id, derivatives=9, noted=0).derivatives) == 1
    assert ledger.hold(ALL, who="curator", why="rights") == 1
    done_then = list_done(ledger, run_id, derivatives=9, noted=0)
    assert done_then.derivatives == []
    assert done_then.statuses == {ItemStatus.PUBLISHED: 1}


def learn(ledger: Ledger) -> None:
    """Read what was refused unread: all of it is the same."""
    unread = [doubt for _, doubt in ledger.refused_unread()]
    ledger.learn_refused(Digest(one.scan_id, one.listing, DIGEST) for one in unread)


def test_copies_of_a_held_file_are_held_as_soon_as_it_is_read(ledger: Ledger) -> None:
    """All their pages: nobody knew how many the held one has."""
    recipe_id = enqueued(ledger, 1)
    held = claim(ledger, recipe_id)
    first = replace(done(held.items[0].id, ItemStatus.PUBLISHED), pages=2)
    ledger.finish(held.token, [first])
    publish(ledger, recipe_id)
    discover(ledger, *listing(keys(1)), Listed("copy.tif"))
    copy = ItemFilter(uri=f"{SOURCE}/copy.tif")
    assert ledger.hold(copy, who="curator", why="rights") == 1
    assert statuses(ledger, recipe_id) == {"published": 2}
    learn(ledger)
    assert statuses(ledger, recipe_id) == {"held": 2}


@pytest.mark.parametrize("kind", ["hold", "reject"])
def test_a_no_to_an_unread_file_is_about_all_pages_of_its_copies(ledger: Ledger, kind: str) -> None:
    """Whether or not anybody will ever open the file itself."""
    discover(ledger, Listed("a.tif"))
    one = ItemFilter(uri=f"{SOURCE}/a.tif")
    assert getattr(ledger, kind)(one, who="curator", why="rights") == 1
    learn(ledger)
    discover(ledger, Listed("a.tif"), Listed("copy.tif", etag="other"))
    recipe_id = recipe(ledger)
    enqueue(ledger, recipe_id)
    held = claim(ledger, recipe_id)
    assert held.items[-1].key == "copy.tif"
    two = [replace(done(one.id, ItemStatus.PUBLISHED), pages=2) for one in held.items]
    ledger.finish(held.token, two)
    if kind == "hold":
        assert claims_nothing(ledger, recipe_id)
    else:
        publish(ledger, recipe_id)
    assert "published" not in statuses(ledger, recipe_id)


def test_what_a_held_file_holds_now_is_held_where_it_was_published(ledger: Ledger) -> None:
    """Though it was another picture when it was held."""
    recipe_id = enqueued(ledger, 2)
    held = claim(ledger, recipe_id)
    first, second = held.items
    outcomes = [done(first.id, ItemStatus.PUBLISHED, sha256=OTHER)]
    ledger.finish(held.token, [*outcomes, done(second.id, ItemStatus.PUBLISHED)])
    assert ledger.hold(ItemFilter(uri=first.uri), who="curator", why="rights") == 1
    discover(ledger, Listed(first.key).touched(), Listed(second.key))
    (doubt,) = ledger.doubts(SOURCE)
    assert ledger.record_digests([Digest(doubt.scan_id, doubt.listing, DIGEST)]) == 1
    assert statuses(ledger, recipe_id) == {"held": 2}


def test_an_approval_ends_no_hold(ledger: Ledger) -> None:
    """Of a rejected copy of held bytes, asked for by its status."""
    recipe_id = enqueued(ledger, 2)
    finish_all(ledger, claim(ledger, recipe_id))
    first, second = (ItemFilter(uri=f"{SOURCE}/{key}") for key in keys(2))
    ledger.reject(second, who="curator", why="blue face")
    ledger.hold(first, who="curator", why="rights")
    rejected = ItemFilter(uri=second.uri, statuses=[ItemStatus.REJECTED])
    assert ledger.approve(rejected, who="curator", why="sorry", dry_run=True) == 0
    assert ledger.approve(rejected, who="curator", why="sorry") == 0
    assert statuses(ledger, recipe_id) == {"held": 1, "rejected": 1}
    ledger.release(first, who="curator", why="cleared")
    assert ledger.approve(rejected, who="curator", why="sorry") == 1


def test_an_approval_leaves_the_hold_of_the_bytes_that_a_scan_held_before(ledger: Ledger) -> None:
    """It is about other bytes."""
    recipe_id = enqueued(ledger, 2)
    finish_all(ledger, claim(ledger, recipe_id))
    first, second = (ItemFilter(uri=f"{SOURCE}/{key}") for key in keys(2))
    ledger.hold(first, who="curator", why="rights")
    ledger.release(second, who="curator", why="another picture")
    assert ledger.approve(second, who="curator", why="good") == 1
    assert statuses(ledger, recipe_id) == {"held": 1, "published": 1}
    enqueue(ledger, recipe_id, mode=OrderMode.ALL)
    assert statuses(ledger, recipe_id) == {"held": 1, "pending": 1}


@pytest.mark.parametrize("is_longer", [True, False])
def test_what_a_held_scan_holds_now_is_held_elsewhere(ledger: Ledger, *, is_longer: bool) -> None:
    """Nobody has said that the new bytes are free, however it was found that they are new."""
    recipe_id = enqueued(ledger, 1)
    finish_all(ledger, claim(ledger, recipe_id))
    first = ItemFilter(uri=f"{SOURCE}/{keys(1)[0]}")
    assert ledger.hold(first, who="curator", why="rights") == 1
    before = Listed(keys(1)[0])
    now = before.changed() if is_longer else before.touched()
    discover(ledger, now)
    if is_longer:
        found = [one for _, one in ledger.refused_unread(limit=9)]
        ledger.learn_refused(Digest(one.scan_id, one.listing, OTHER) for one in found)
    else:
        found = ledger.doubts(SOURCE, after_key="", limit=9)
        assert ledger.record_digests([Digest(o.scan_id, o.listing, OTHER) for o in found]) == 1
    assert len(found) == 1
    discover(ledger, now, Listed("copy.tif"))
    assert enqueue(ledger, recipe_id) == 1
    assert publish(ledger, recipe_id, sha256=OTHER)[:2] == ("held", "decided_before")


def test_held_scans_that_come_back_are_held(ledger: Ledger) -> None:
    """Gone and back, archived and restored, retried: nothing but a release ends a hold."""
    recipe_id = enqueued(ledger, 1)
    discover(ledger)
    ledger.hold(ALL, who="curator", why="rights")
    discover(ledger, *listing(keys(1)))
    assert statuses(ledger, recipe_id) == {"held": 1}
    assert claims_nothing(ledger, recipe_id)


def test_pages_are_refused_one_by_one(ledger: Ledger) -> None:
    """The digest is the file's: its other pages are other pictures."""
    recipe_id = enqueued(ledger, 1)
    held = claim(ledger, recipe_id)
    add_pages(ledger, held.items[0].scan_id, 2)
    finish_all(ledger, held)
    finish_all(ledger, claim(ledger, recipe_id))
    second = ItemFilter(uri=f"{held.items[0].uri}#page=2")
    assert ledger.reject(second, who="curator", why="a ruler") == 1
    ledger.redo(ALL, who="curator", why="again")
    assert publish(ledger, recipe_id)[:2] == ("published", None)
    assert ledger.counts(recipe_id).reasons == {}
    assert Reason.DECIDED_BEFORE not in ledger.counts(recipe_id).reasons


@pytest.mark.parametrize("pages", [2, 3])
def test_a_no_to_a_page_is_about_all_pages_of_other_bytes(ledger: Ledger, pages: int) -> None:
    """They may have changed places; a yes to one is about that one, and new ones wait, too."""
    recipe_id = enqueued(ledger, 1)
    held = claim(ledger, recipe_id)
    add_pages(ledger, held.items[0].scan_id, 2)
    finish_all(ledger, held)
    finish_all(ledger, claim(ledger, recipe_id))
    first = held.items[0].uri
    assert ledger.reject(ItemFilter(uri=f"{first}#page=2"), who="curator", why="a grave") == 1
    discover(ledger, Listed(keys(1)[0]).changed())
    enqueue(ledger, recipe_id)
    held = claim(ledger, recipe_id)
    for one in held.items:
        outcome = done(one.id, ItemStatus.PUBLISHED, sha256=OTHER)
        ledger.finish(held.token, [replace(outcome, pages=pages)])
    publish(ledger, recipe_id, sha256=OTHER)
    assert statuses(ledger, recipe_id) == {"review": pages}
    (story,) = ledger.get_story(first).items
    assert story.item.detail.startswith("rejected before when it held other bytes, by curator on ")
    assert ledger.approve(ItemFilter(ids=[story.item.id]), who="curator", why="fine") == 1
    ledger.redo(ALL, who="curator", why="again")
    publish(ledger, recipe_id, sha256=OTHER)
    assert statuses(ledger, recipe_id) == {"published": 1, "review": pages - 1}


def test_a_hold_of_a_page_stands_before_anybody_knows_of_it(ledger: Ledger) -> None:
    """Whoever reads the file makes the page, and it is held."""
    recipe_id = enqueued(ledger, 1)
    second = ItemFilter(uri=f"{SOURCE}/{keys(1)[0]}#page=2")
    ledger.hold(second, who="curator", why="rights")
    held = claim(ledger, recipe_id)
    outcome = replace(done(held.items[0].id, ItemStatus.PUBLISHED), pages=3)
    ledger.finish(held.token, [outcome])
    assert statuses(ledger, recipe_id) == {"held": 1, "pending": 1, "published": 1}
    assert ledger.release(second, who="curator", why="cleared") == 1


def test_a_no_to_a_file_before_it_is_read_is_about_all_its_pages(ledger: Ledger) -> None:
    """Nobody knew how many it has."""
    recipe_id = enqueued(ledger, 1)
    assert ledger.reject(ALL, who="curator", why="not this one") == 1
    held = claim(ledger, recipe_id)
    outcome = replace(done(held.items[0].id, ItemStatus.PUBLISHED), pages=2)
    ledger.finish(held.token, [outcome])
    assert publish(ledger, recipe_id)[:2] == ("review", "decided_before")
    assert statuses(ledger, recipe_id) == {"review": 2}


@pytest.mark.parametrize("pages", [1, 2])
def test_a_no_before_the_bytes_were_read_is_about_the_bytes_that_are_read(
    ledger: Ledger, pages: int
) -> None:
    """A copy waits, too: of each page."""
    recipe_id = enqueued(ledger, 1)
    assert ledger.reject(ALL, who="curator", why="not this one") == 1
    for key in ("first", "copy.tif"):
        if key == "copy.tif":
            discover(ledger, *listing(keys(1)), Listed(key))
            enqueue(ledger, recipe_id)
        held = claim(ledger, recipe_id)
        ledger.finish(
            held.token, [replace(done(held.items[0].id, ItemStatus.PUBLISHED), pages=pages)]
        )
        if pages > 1:
            assert publish(ledger, recipe_id)[:2] == ("review", "decided_before")
    assert statuses(ledger, recipe_id) == {"review": 2 * pages}


def test_a_copy_that_is_read_at_once_with_what_was_turned_down_waits(ledger: Ledger) -> None:
    """In whatever order a batch has them."""
    recipe_id = enqueued(ledger, 3)
    second = ItemFilter(uri=f"{SOURCE}/{keys(2)[1]}")
    assert ledger.reject(second, who="curator", why="not this one") == 1
    held = claim(ledger, recipe_id)
    ledger.finish(held.token, [done(one.id, ItemStatus.PUBLISHED) for one in held.items])
    assert statuses(ledger, recipe_id) == {"review": 3}

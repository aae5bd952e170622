"""What a file is, its bytes say: a listing that tells otherwise of it is a doubt, and no change."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tasks.errors import Reason
from tasks.ledger import Digest, ItemFilter, Ledger, ListingCounts, Outcome
from tasks.ledger.orders import OrderMode
from tasks.schema import DecisionKind, ItemStatus
from tests.orders import enqueue, planned
from tests.outcomes import outcome_for
from tests.tasks.ledger.building import (
    DIGEST,
    SOURCE,
    Listed,
    check_tallies,
    claim,
    claims_nothing,
    done,
    enqueued,
    keys,
    listing,
    recipe,
    statuses,
)

LATER = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)
OTHER = "cd" * 32


def discover(ledger: Ledger, *objects: Listed) -> ListingCounts:
    """Record a listing."""
    return ledger.record_listing(SOURCE, objects, collection="photographs")


def compare(ledger: Ledger, sha256: str) -> int:
    """Read all that is in doubt, and find these bytes; returns how many changed."""
    doubts = ledger.doubts(SOURCE)
    return ledger.record_digests([Digest(one.scan_id, one.listing, sha256) for one in doubts])


def decided(ledger: Ledger, status: str, digests: Sequence[str] = (DIGEST,)) -> int:
    """A recipe with items in that status, the bytes of each read; returns the recipe's id."""
    recipe_id = enqueued(ledger, len(digests))
    held = claim(ledger, recipe_id)
    ended = {
        "skipped": (ItemStatus.SKIPPED, Reason.BLANK),
        "quarantined": (ItemStatus.QUARANTINED, Reason.TRUNCATED),
        "failed": (ItemStatus.FAILED, Reason.TONE_GATE),
    }.get(status)
    kept = ItemStatus.PUBLISHED if status == "published" else ItemStatus.REVIEW
    items = sorted(held.items, key=lambda one: one.uri)
    ledger.finish(
        held.token,
        [
            Outcome(one.id, *ended, scan_sha256=digest)
            if ended
            else done(one.id, kept, sha256=digest)
            for one, digest in zip(items, digests, strict=True)
        ],
    )
    everything = ItemFilter(uri=f"{SOURCE}/")
    if status == "rejected":
        ledger.reject(everything, who="curator", why="blue face")
    if status == "superseded":
        ledger.supersede(everything, who="curator", why="withdrawn")
    if status == "held":
        ledger.hold(everything, who="curator", why="rights")
    return recipe_id


CHANGES = {
    "etag": {"etag": "other"},
    "version": {"version": "v2"},
    "time of a weak etag": {"etag": "W/first", "modified_at": LATER},
    "time without an etag": {"etag": "", "modified_at": LATER},
}


@pytest.mark.parametrize(
    "status",
    ["published", "review", "rejected", "superseded", "skipped", "quarantined", "failed"],
)
def test_same_bytes_are_no_change(ledger: Ledger, status: str) -> None:
    """No revision, no work, no other status, nothing in the story: whatever the listing tells."""
    digests = [f"{number:02d}" * 32 for number in range(len(CHANGES))]
    recipe_id = decided(ledger, status, digests)
    uris = [f"{SOURCE}/{key}" for key in keys(len(CHANGES))]
    before = [ledger.get_story(uri) for uri in uris]
    listed = [
        replace(Listed(key), **change)  # type: ignore[arg-type]
        for key, change in zip(keys(len(CHANGES)), CHANGES.values(), strict=True)
    ]
    counts = dict.fromkeys(("found", "unchanged", "doubted"), len(CHANGES))
    assert discover(ledger, *listed) == ListingCounts(**counts)
    doubts = sorted(ledger.doubts(SOURCE), key=lambda one: one.key)
    read = [Digest(one.scan_id, one.listing, d) for one, d in zip(doubts, digests, strict=True)]
    assert ledger.record_digests(read) == 0
    assert ledger.doubts(SOURCE) == []
    for uri, old in zip(uris, before, strict=True):
        after = ledger.get_story(uri)
        assert (after.scan.revision, after.revisions) == (1, ())
        assert after.items == old.items
    assert enqueue(ledger, recipe_id) == 0
    assert statuses(ledger, recipe_id) == {status: len(CHANGES)}
    again = discover(ledger, *listed)
    assert again == ListingCounts(found=len(CHANGES), unchanged=len(CHANGES))


@pytest.mark.parametrize("listed", ["W/second", "W/first", "modified-12-3e8", ""])
def test_weak_and_absent_etags_say_nothing(ledger: Ledger, listed: str) -> None:
    """A proxy adds, weakens or drops them: at the same time and size nothing is read."""
    decided(ledger, "published")
    assert discover(ledger, Listed(keys(1)[0], etag=listed)) == ListingCounts(found=1, unchanged=1)
    assert ledger.doubts(SOURCE) == []


def test_other_bytes_are_a_new_revision(ledger: Ledger) -> None:
    """Known by their digest at once; the old facts, those of the bytes, stay on record."""
    recipe_id = decided(ledger, "published")
    first = Listed(keys(1)[0])
    discover(ledger, first.touched())
    discover(ledger, first.touched().touched())
    assert compare(ledger, OTHER) == 1
    story = ledger.get_story(f"{SOURCE}/{first.key}")
    assert (story.scan.revision, story.scan.sha256, story.scan.etag) == (2, OTHER, "first''")
    assert [(old.revision, old.etag, old.sha256) for old in story.revisions] == [
        (1, "first", DIGEST)
    ]
    assert enqueue(ledger, recipe_id) == 1
    assert claim(ledger, recipe_id).items[0].sha256 == OTHER


def test_doubts_that_nobody_could_settle_stay(ledger: Ledger) -> None:
    """And so does everything else, until a later discovery reads the bytes."""
    recipe_id = decided(ledger, "published")
    touched = Listed(keys(1)[0]).touched()
    discover(ledger, touched)
    assert discover(ledger, touched) == ListingCounts(found=1, unchanged=1)
    assert enqueue(ledger, recipe_id) == 0
    assert [one.key for one in ledger.doubts(SOURCE)] == [touched.key]
    assert compare(ledger, DIGEST) == 0
    assert ledger.doubts(SOURCE) == []


def test_bytes_that_were_read_before_the_latest_listing_settle_nothing(ledger: Ledger) -> None:
    """Somebody wrote the file again meanwhile."""
    decided(ledger, "published")
    touched = Listed(keys(1)[0]).touched()
    discover(ledger, touched)
    (doubt,) = ledger.doubts(SOURCE)
    discover(ledger, touched.touched())
    assert ledger.record_digests([Digest(doubt.scan_id, doubt.listing, OTHER)]) == 0
    assert ledger.get_story(f"{SOURCE}/{touched.key}").scan.revision == 1
    assert len(ledger.doubts(SOURCE)) == 1


def test_a_file_that_nobody_read_yet_is_listed_anew(ledger: Ledger) -> None:
    """There is nothing to compare it with, and nothing that a revision would tell apart."""
    recipe_id = enqueued(ledger, 1)
    first = Listed(keys(1)[0])
    assert discover(ledger, first.changed()).changed == 0
    (one,) = claim(ledger, recipe_id).items
    assert (one.revision, one.etag, one.is_doubted) == (1, "first'", False)
    assert ledger.doubts(SOURCE) == []


def test_a_file_that_is_listed_otherwise_while_it_is_read_is_in_doubt(ledger: Ledger) -> None:
    """Its bytes may be those from before."""
    recipe_id = enqueued(ledger, 1)
    held = claim(ledger, recipe_id)
    discover(ledger, Listed(keys(1)[0]).touched())
    read = replace(done(held.items[0].id), listing=held.items[0].listing)
    assert ledger.finish(held.token, [read])
    assert compare(ledger, OTHER) == 1
    assert enqueue(ledger, recipe_id) == 1


def test_a_worker_that_reads_the_same_bytes_settles_the_doubt(ledger: Ledger) -> None:
    """It has just done what a discovery would do."""
    recipe_id = decided(ledger, "published")
    discover(ledger, Listed(keys(1)[0]).touched())
    ledger.redo(ItemFilter(), who="curator", why="damaged")
    held = claim(ledger, recipe_id)
    (one,) = held.items
    assert (one.is_doubted, one.etag) == (True, "first'")
    ledger.finish(held.token, [replace(done(one.id), listing=one.listing)])
    assert ledger.doubts(SOURCE) == []


def test_damaged_bytes_do_not_become_those_on_record(ledger: Ledger) -> None:
    """What a worker found instead is no revision: the next attempt finds the damage again."""
    recipe_id = decided(ledger, "published")
    ledger.redo(ItemFilter(), who="curator", why="again")
    held = claim(ledger, recipe_id)
    damaged = replace(
        outcome_for(held.items[0].id, Reason.FIXITY_MISMATCH), scan_sha256=OTHER, listing=1
    )
    ledger.finish(held.token, [damaged])
    assert ledger.get_story(held.items[0].uri).scan.sha256 == DIGEST


def test_pages_go_with_their_file(ledger: Ledger) -> None:
    """Listed otherwise with it, the same with it, and gone with its old bytes."""
    recipe_id = enqueued(ledger, 1)
    held = claim(ledger, recipe_id)
    ledger.finish(held.token, [replace(done(held.items[0].id), pages=3)])
    discover(ledger, Listed(keys(1)[0]).touched())
    second, third = claim(ledger, recipe_id).items
    assert {(one.page, one.etag, one.is_doubted) for one in (second, third)} == {
        (1, "first'", True),
        (2, "first'", True),
    }
    assert compare(ledger, DIGEST) == 0
    assert ledger.counts().vanished == 0
    discover(ledger, Listed(keys(1)[0]).touched().touched())
    assert compare(ledger, OTHER) == 1
    assert ledger.counts().vanished == 2


def test_what_failed_since_the_file_was_another_is_tried_again(ledger: Ledger) -> None:
    """Touched after it was listed, it could not be fetched: whatever its bytes, it waits."""
    recipe_id = enqueued(ledger, 1)
    held = claim(ledger, recipe_id, max_attempts=1)
    ledger.finish(held.token, [outcome_for(held.items[0].id, Reason.STORAGE_UNAVAILABLE)])
    assert statuses(ledger, recipe_id) == {"failed": 1}
    discover(ledger, Listed(keys(1)[0]).touched())
    assert [one.attempt for one in claim(ledger, recipe_id).items] == [1]


def test_what_killed_its_worker_is_tried_again_when_its_file_is_replaced(ledger: Ledger) -> None:
    """Nobody knows the digest of what did it; so it counts as another file, as it may well be."""
    recipe_id = enqueued(ledger, 1)
    claim(ledger, recipe_id, worker="gone", max_attempts=1)
    ledger.expire_leases(["gone"])
    ledger.sweep()
    assert discover(ledger, Listed(keys(1)[0]).touched()).changed == 1
    assert enqueue(ledger, recipe_id) == 1


# --- archive classes -----------------------------------------------------------------------------


def test_archived_scans_wait_without_attempts(ledger: Ledger) -> None:
    """Known at listing: nothing is claimed, nothing fails, and each has its status and reason."""
    away = [replace(one, is_archived=True) for one in listing(keys(2))]
    discover(ledger, *away, Listed("here.tif"))
    recipe_id = recipe(ledger)
    enqueue(ledger, recipe_id)
    assert statuses(ledger, recipe_id) == {"pending": 1, "skipped": 2}
    assert ledger.counts(recipe_id).reasons == {Reason.ARCHIVED: 2}
    assert [one.key for one in claim(ledger, recipe_id).items] == ["here.tif"]
    assert claims_nothing(ledger, recipe_id)


def test_restored_scans_are_taken_up_by_the_next_discovery(ledger: Ledger) -> None:
    """With all their attempts; and what waits goes to sleep when they are archived again."""
    recipe_id = enqueued(ledger, 2)
    first, second = listing(keys(2))
    discover(ledger, replace(first, is_archived=True), second)
    assert statuses(ledger, recipe_id) == {"pending": 1, "skipped": 1}
    discover(ledger, first, second)
    assert statuses(ledger, recipe_id) == {"pending": 2}
    decisions = ledger.get_story(f"{SOURCE}/{first.key}").items[0].decisions
    assert [one.kind for one in decisions] == [
        DecisionKind.SCAN_ARCHIVED,
        DecisionKind.SCAN_RESTORED,
    ]


def test_done_scans_that_are_archived_stay_as_they_are(ledger: Ledger) -> None:
    """A lifecycle rule moves them: no revision, no work, no other status, no backfill of them."""
    recipe_id = decided(ledger, "published")
    away = replace(Listed(keys(1)[0]), is_archived=True)
    assert discover(ledger, away) == ListingCounts(found=1, unchanged=1)
    assert enqueue(ledger, recipe_id) == 0
    assert statuses(ledger, recipe_id) == {"published": 1}
    other = recipe(ledger, "b")
    assert planned(ledger, other, mode=OrderMode.CHANGED_RECIPE).items == 0
    discover(ledger, Listed(keys(1)[0]))
    assert planned(ledger, other, mode=OrderMode.CHANGED_RECIPE).items == 1


def test_archived_scans_are_compared_when_they_are_back(ledger: Ledger) -> None:
    """Their bytes cannot be read before."""
    decided(ledger, "published")
    touched = Listed(keys(1)[0]).touched()
    discover(ledger, replace(touched, is_archived=True))
    assert ledger.doubts(SOURCE) == []
    discover(ledger, touched)
    assert [one.key for one in ledger.doubts(SOURCE)] == [touched.key]


def test_what_a_worker_finds_archived_counts_as_no_failure(ledger: Ledger) -> None:
    """Some classes no listing tells of: the next discovery that finds it elsewhere takes it up."""
    recipe_id = enqueued(ledger, 1)
    run_id = ledger.start_run("night", "night")
    held = claim(ledger, recipe_id, run_id=run_id)
    ledger.finish(held.token, [outcome_for(held.items[0].id, Reason.ARCHIVED)])
    assert statuses(ledger, recipe_id) == {"skipped": 1}
    assert ledger.count_failures([run_id]).failed == 0
    discover(ledger, Listed(keys(1)[0]))
    assert [one.attempt for one in claim(ledger, recipe_id).items] == [1]


def test_archived_scans_that_had_vanished_do_not_wait(ledger: Ledger) -> None:
    """Back in the source is not back within reach."""
    recipe_id = enqueued(ledger, 1)
    discover(ledger)
    discover(ledger, replace(Listed(keys(1)[0]), is_archived=True))
    assert statuses(ledger, recipe_id) == {"skipped": 1}
    assert ledger.counts(recipe_id).reasons == {Reason.ARCHIVED: 1}
    check_tallies(ledger)

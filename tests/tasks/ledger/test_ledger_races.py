"""Two at the same item at once: whoever is second finds it changed, and leaves it alone."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest
from sqlalchemy import update

from tasks.errors import Reason
from tasks.ledger import Ledger, Outcome, discovery
from tasks.ledger.changes import Place, ensure_store, facts_of, relist_scans
from tasks.schema import AttemptEnding, DecisionKind, ItemStatus, item
from tests.orders import enqueue
from tests.outcomes import outcome_for
from tests.tasks.ledger.building import (
    OUTPUT,
    SOURCE,
    Listed,
    check_tallies,
    claim,
    derivative,
    derivatives,
    done,
    enqueued,
    finish_all,
    keys,
    listing,
    statuses,
)

WAITING_S = 1.0


def endings(ledger: Ledger, uri: str) -> list[AttemptEnding | None]:
    """How the attempts of a scan's only item ended."""
    return [one.ending for one in ledger.get_story(uri).items[0].attempts]


@pytest.mark.parametrize("rival", ["sweep", "finish", "give_back"])
def test_a_scan_that_changes_under_a_batch_ends_its_attempt_once(
    open_ledger: Callable[[], Ledger], rival: str
) -> None:
    """A discovery is about to commit; the rival waits for it, and finds nothing that it may end."""
    ledger, other = open_ledger(), open_ledger()
    recipe_id = enqueued(ledger, 1)
    held = claim(ledger, recipe_id)
    if rival == "sweep":
        ledger.expire_leases(["worker"])
    (one,) = held.items
    changed = threading.Event()

    def change(connection: Any) -> None:  # noqa: ANN401 - of SQLAlchemy
        facts = facts_of(Listed(one.key).changed()) | {"scan_id": one.scan_id}
        place = Place(ensure_store(connection, SOURCE), "photographs", None)
        relist_scans(connection, place, [facts])
        changed.set()
        wait([second], timeout=WAITING_S)

    rivals: dict[str, Callable[[], object]] = {
        "sweep": other.sweep,
        "finish": lambda: other.finish(held.token, [done(one.id)]),
        "give_back": lambda: other.give_back(held.token),
    }
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(lambda: (changed.wait(), rivals[rival]())[1])
        ledger.write(change)
        assert not second.result()
    assert endings(ledger, one.uri) == [AttemptEnding.REVOKED]
    assert statuses(ledger) == {"pending": 1}


def test_an_item_is_claimed_for_the_scan_as_it_is_read(ledger: Ledger) -> None:
    """Revision, ETag and version belong together, even where the item was enqueued for another."""
    recipe_id = enqueued(ledger, 1)
    finish_all(ledger, claim(ledger, recipe_id))
    ledger.record_listing(SOURCE, [Listed(keys(1)[0]).changed()], collection="photographs")
    ledger.write(lambda c: c.execute(update(item).values(revision=1, status="pending")))
    held = claim(ledger, recipe_id)
    assert (held.items[0].revision, held.items[0].etag) == (2, "first'")
    finish_all(ledger, held)
    assert ledger.get_story(held.items[0].uri).items[0].item.revision == 2


def test_scans_that_another_discovery_makes_meanwhile_have_not_vanished(
    open_ledger: Callable[[], Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where their ids were given out before this discovery began."""
    ledger, other = open_ledger(), open_ledger()
    real = discovery._compare
    is_first = True

    def compare(*arguments: Any) -> Any:  # noqa: ANN401 - passed on
        nonlocal is_first
        differs = real(*arguments)
        if is_first:
            is_first = False
            other.record_listing(SOURCE, listing(keys(3)), collection="photographs")
        return differs

    monkeypatch.setattr(discovery, "_compare", compare)
    monkeypatch.setattr(discovery, "_newest", lambda _: 10**6)
    found = ledger.record_listing(SOURCE, listing(keys(3)), collection="photographs")
    assert (found.found, found.new, found.unchanged, found.vanished) == (3, 0, 3, 0)
    assert ledger.counts().vanished == 0


def test_a_scan_that_vanishes_in_a_workers_hands_is_not_tried_again(ledger: Ledger) -> None:
    """The worker could not fetch it; by then the ledger knows why."""
    recipe_id = enqueued(ledger, 2)
    held = claim(ledger, recipe_id)
    ledger.record_listing(SOURCE, listing(keys(1)), collection="photographs")
    failed = [outcome_for(one.id, Reason.STORAGE_UNAVAILABLE) for one in held.items]
    ledger.finish(held.token, failed)
    assert statuses(ledger) == {"pending": 1, "skipped": 1}
    assert ledger.counts().reasons == {Reason.STORAGE_UNAVAILABLE: 1, Reason.VANISHED: 1}
    ledger.record_listing(SOURCE, listing(keys(2)), collection="photographs")
    assert statuses(ledger) == {"pending": 2}


def test_pages_that_a_file_no_longer_had_do_not_come_back_with_it(ledger: Ledger) -> None:
    """It had three pages, was read again and had two, vanished and came back."""
    recipe_id = enqueued(ledger, 1)
    found = [Listed(keys(1)[0])]

    def read(pages: int) -> None:
        held = claim(ledger, recipe_id, limit=1)
        assert held.items[0].page == 0
        outcome = Outcome(held.items[0].id, ItemStatus.REVIEW, pages=pages)
        assert ledger.finish(held.token, [outcome])

    read(3)
    found = [found[0].changed()]
    ledger.record_listing(SOURCE, found, collection="photographs")
    enqueue(ledger, recipe_id)
    read(2)
    assert ledger.counts().vanished == 1
    ledger.record_listing(SOURCE, [], collection="photographs")
    assert ledger.counts().vanished == 3
    ledger.record_listing(SOURCE, found, collection="photographs")
    assert ledger.counts().vanished == 1


def overwrite(ledger: Ledger, *, sha256: str) -> tuple[int, str]:
    """Two hold an item one after the other, and both store its derivative; the late one reports."""
    recipe_id = enqueued(ledger, 1)
    late = claim(ledger, recipe_id, worker="late")
    ledger.expire_leases(["late"])
    finish_all(ledger, claim(ledger, recipe_id, worker="in time"), ItemStatus.PUBLISHED)
    (one,) = late.items
    outcome = Outcome(
        one.id, ItemStatus.PUBLISHED, derivatives=(derivative(one.id, sha256=sha256),)
    )
    assert ledger.finish(late.token, [outcome]) == {}
    check_tallies(ledger)
    return recipe_id, one.uri


def test_a_derivative_that_a_late_worker_wrote_over_is_made_again(ledger: Ledger) -> None:
    """Nobody can tell which of the two is stored, so neither is trusted."""
    recipe_id, uri = overwrite(ledger, sha256="ee" * 32)
    (history,) = ledger.get_story(uri).items
    assert history.item.status is ItemStatus.PENDING
    assert [one.kind for one in history.decisions] == [DecisionKind.OVERWRITTEN]
    finish_all(ledger, claim(ledger, recipe_id))
    assert statuses(ledger) == {"review": 1}


def test_a_derivative_that_a_late_worker_may_have_written_over_is_made_again(
    ledger: Ledger,
) -> None:
    """It reports while the next holder is at work: nobody can tell who stored last."""
    recipe_id = enqueued(ledger, 2)
    late = claim(ledger, recipe_id, limit=1, worker="late")
    ledger.expire_leases(["late"])
    held = claim(ledger, recipe_id, worker="in time")
    (one,) = late.items
    assert [mine.id for mine in held.items] == [one.id]
    assert ledger.finish(late.token, [done(one.id)]) == {}
    finish_all(ledger, held, ItemStatus.PUBLISHED)
    (history,) = ledger.get_story(one.uri).items
    assert history.item.status is ItemStatus.PENDING
    assert history.item.reason is Reason.WRITE_UNVERIFIED
    assert [attempt.ending for attempt in history.attempts] == [
        AttemptEnding.EXPIRED,
        AttemptEnding.FINISHED,
    ]
    finish_all(ledger, claim(ledger, recipe_id), ItemStatus.PUBLISHED)
    assert statuses(ledger) == {"published": 2}


def test_a_late_worker_that_stored_nothing_disturbs_nobody(ledger: Ledger) -> None:
    """The next holder's outcome counts, and so does that of a worker whose lease is not swept."""
    recipe_id = enqueued(ledger, 1)
    late = claim(ledger, recipe_id, worker="late")
    ledger.expire_leases(["late"])
    (one,) = late.items
    assert ledger.finish(late.token, [done(one.id)]) == {}  # nobody else holds it yet
    held = claim(ledger, recipe_id, worker="in time")
    failed = outcome_for(one.id, Reason.STORAGE_UNAVAILABLE)
    assert ledger.finish(late.token, [failed]) == {}
    finish_all(ledger, held)
    assert statuses(ledger) == {"review": 1}


def test_a_late_worker_that_wrote_the_same_bytes_did_no_harm(ledger: Ledger) -> None:
    """The derivative stays what it is."""
    _, uri = overwrite(ledger, sha256=derivative(0).sha256)
    assert ledger.get_story(uri).items[0].item.status is ItemStatus.PUBLISHED
    assert derivatives(ledger)[0].store == OUTPUT

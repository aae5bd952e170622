"""Claims: leases, attempts, suspects, and what becomes of a batch."""

import time
from collections.abc import Callable

import pytest

from tasks.errors import Reason
from tasks.ledger import Backoff, ClaimRequest, ItemFilter, Ledger, Outcome
from tasks.schema import AttemptEnding, ItemStatus
from tests.orders import claim_batch, enqueue, next_due_s, order_for
from tests.outcomes import outcome_for
from tests.tasks.ledger.building import (
    DIGEST,
    OUTPUT,
    SOURCE,
    claim,
    claims_nothing,
    derivative,
    done,
    enqueued,
    finish_all,
    keys,
    listing,
    recipe,
    statuses,
)


def test_claimed_item_says_what_a_worker_needs(ledger: Ledger) -> None:
    """Where the file lies, how large it was, and which attempt this is."""
    recipe_id = enqueued(ledger, 1)
    held = claim(ledger, recipe_id)
    one = held.items[0]
    assert one.uri == f"{SOURCE}/{keys(1)[0]}"
    assert (one.source, one.key, one.page, one.revision) == (SOURCE, keys(1)[0], 0, 1)
    assert (one.size_bytes, one.etag, one.version, one.sha256) == (1000, "first", None, None)
    assert (one.attempt, one.collection) == (1, "photographs")


def test_items_are_claimed_once_and_longest_waiting_first(ledger: Ledger) -> None:
    """Two batches share nothing; a third finds nothing."""
    recipe_id = enqueued(ledger, 5)
    first = claim(ledger, recipe_id, limit=3)
    second = claim(ledger, recipe_id, limit=3)
    assert [one.key for one in first.items + second.items] == keys(5)
    assert claims_nothing(ledger, recipe_id)
    assert statuses(ledger, recipe_id) == {"claimed": 5}


def test_claims_keep_to_the_recipe(ledger: Ledger) -> None:
    """Whatever the collection; a worker under another recipe gets nothing of an order."""
    for name in ("b", "a", "c"):
        ledger.record_listing(f"s3://{name}", listing(keys(2)), collection=name)
    recipe_id = recipe(ledger)
    enqueue(ledger, recipe_id)
    order = order_for(ledger, recipe_id)
    other = ledger.claim(
        ClaimRequest(
            worker="other",
            recipe_id=recipe(ledger, "z"),
            order_id=order.id,
            run_id=order.run_id,
            limit=3,
            lease_s=60,
            max_attempts=3,
        )
    )
    assert other is None
    held = claim(ledger, recipe_id)
    assert [one.collection for one in held.items] == ["b", "b", "a", "a", "c", "c"]


def test_finish_records_everything_that_a_worker_found_out(ledger: Ledger) -> None:
    """The scan's facts, the derivative, the attempt."""
    recipe_id = enqueued(ledger, 1)
    run_id = ledger.start_run("nightly", "a night")
    held = claim(ledger, recipe_id, run_id=run_id)
    finish_all(ledger, held)
    story = ledger.get_story(held.items[0].uri)
    assert story.scan.sha256 == DIGEST
    assert (story.scan.width, story.scan.height, story.scan.bits, story.scan.pages) == (
        600,
        400,
        8,
        1,
    )
    history = story.items[0]
    assert (history.item.status, history.item.confidence) == (ItemStatus.REVIEW, 0.5)
    (attempt,) = history.attempts
    assert (attempt.number, attempt.ending) == (1, AttemptEnding.FINISHED)
    assert (attempt.worker, attempt.run_id, attempt.seconds) == ("worker", run_id, 1.25)
    (written,) = history.derivatives
    assert (written.store, written.sha256, written.luma_identical) == (OUTPUT, DIGEST, True)
    assert (written.max_delta_l, written.mean_delta_l) == (0.25, 0.125)


def test_derivative_written_again_replaces_its_record(ledger: Ledger) -> None:
    """An item done twice has one derivative of a kind, with the later digest."""
    recipe_id = enqueued(ledger, 1)
    for sha256 in ("1" * 64, "2" * 64):
        held = claim(ledger, recipe_id)
        item_id = held.items[0].id
        record = derivative(item_id, sha256=sha256)
        failed = Outcome(item_id, ItemStatus.FAILED, Reason.TONE_GATE, derivatives=(record,))
        ledger.finish(held.token, [failed])
        ledger.retry(ItemFilter(), who="engineer", why="mended")
    (written,) = ledger.get_story(held.items[0].uri).items[0].derivatives
    assert written.sha256 == "2" * 64


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.BLANK, "skipped"),
        (Reason.TRUNCATED, "quarantined"),
        (Reason.TONE_GATE, "failed"),
        (Reason.STORAGE_UNAVAILABLE, "pending"),
    ],
)
def test_reason_decides_where_an_item_goes(ledger: Ledger, reason: Reason, status: str) -> None:
    """By its verdict: skipped, quarantined, failed at once, or tried again."""
    recipe_id = enqueued(ledger, 1)
    held = claim(ledger, recipe_id)
    ledger.finish(held.token, [outcome_for(held.items[0].id, reason, detail="why\0 \ud800")])
    assert statuses(ledger, recipe_id) == {status: 1}
    assert ledger.counts(recipe_id).reasons == {reason: 1}
    assert ledger.list_items(ItemFilter(), limit=1)[0].detail == "why ?"


def test_reason_that_stops_the_run_is_no_outcome() -> None:
    """Its items are to be given back."""
    with pytest.raises(ValueError, match="give the items back"):
        outcome_for(1, Reason.NO_DEVICE)


def test_item_cannot_finish_as_something_else() -> None:
    """Only where a claimed item may go."""
    with pytest.raises(ValueError, match="cannot finish as held"):
        Outcome(1, ItemStatus.HELD)


def test_transient_failure_is_tried_again_later_and_fails_in_the_end(ledger: Ledger) -> None:
    """With a delay, until the attempts are used up; the last reason stays."""
    recipe_id = enqueued(ledger, 1)
    for attempt in (1, 2, 3):
        held = claim(ledger, recipe_id, max_attempts=3)
        assert held.items[0].attempt == attempt
        outcome = outcome_for(held.items[0].id, Reason.TIMEOUT)
        outcome = Outcome(outcome.item_id, outcome.status, outcome.reason, retry_in_s=0)
        ledger.finish(held.token, [outcome])
    assert statuses(ledger, recipe_id) == {"failed": 1}
    assert ledger.counts(recipe_id).reasons == {Reason.TIMEOUT: 1}


def test_backoff_keeps_an_item_back(ledger: Ledger) -> None:
    """Not before its time, by the database's clock; the others go on."""
    recipe_id = enqueued(ledger, 2)
    held = claim(ledger, recipe_id, limit=1)
    ledger.finish(held.token, [outcome_for(held.items[0].id, Reason.TIMEOUT)])
    assert len(claim(ledger, recipe_id).items) == 1
    assert claims_nothing(ledger, recipe_id)
    due_s = next_due_s(ledger, recipe_id)
    assert due_s is not None
    assert 10 < due_s <= 30


def test_backoff_doubles_under_its_cap_with_jitter() -> None:
    """Half of it is certain, the other half is chance."""
    backoff = Backoff(base_s=10, cap_s=60)
    assert [backoff.delay_s(n, fraction=1.0) for n in (1, 2, 3, 4, 900)] == [10, 20, 40, 60, 60]
    assert backoff.delay_s(3, fraction=0.0) == 20


def test_give_back_does_not_count_the_attempt(ledger: Ledger) -> None:
    """All, or those named; what was not given back is still held."""
    recipe_id = enqueued(ledger, 3)
    held = claim(ledger, recipe_id)
    first, *others = held.items
    assert ledger.give_back(held.token, [first.id]) == 1
    assert ledger.renew(held.token, lease_s=60) == 2
    assert claim(ledger, recipe_id).items[0].attempt == 1
    assert ledger.give_back(held.token) == 2
    assert ledger.give_back(held.token) == 0
    assert ledger.finish(held.token, [done(others[0].id)]) == {}
    endings = [a.ending for a in ledger.get_story(others[0].uri).items[0].attempts]
    assert endings == [AttemptEnding.GIVEN_BACK]


def test_unknown_token_holds_nothing(ledger: Ledger) -> None:
    """Neither to renew, nor to finish, nor to give back."""
    enqueued(ledger, 1)
    assert ledger.renew("no such token", lease_s=60) == 0
    assert ledger.finish("no such token", [done(1)]) == {}
    assert ledger.give_back("no such token") == 0


def test_items_of_others_are_refused(ledger: Ledger) -> None:
    """A token finishes only what it holds, and only once."""
    recipe_id = enqueued(ledger, 2)
    mine, other = claim(ledger, recipe_id, limit=1), claim(ledger, recipe_id, limit=1)
    both = [done(mine.items[0].id), done(other.items[0].id)]
    assert ledger.finish(mine.token, both).keys() == {mine.items[0].id}
    assert ledger.finish(mine.token, both) == {}
    assert statuses(ledger, recipe_id) == {"claimed": 1, "review": 1}


def test_lease_runs_out_by_the_databases_clock(ledger: Ledger) -> None:
    """Renewed in time it lasts; then it is lost, although nobody has taken the item yet."""
    recipe_id = enqueued(ledger, 1)
    held = claim_batch(ledger, recipe_id, worker="slow", limit=1, lease_s=2, max_attempts=3)
    assert held is not None
    assert ledger.renew(held.token, lease_s=0.2) == 1
    time.sleep(0.3)
    assert ledger.renew(held.token, lease_s=60) == 0
    assert ledger.finish(held.token, [done(held.items[0].id)]) == {}
    assert ledger.give_back(held.token) == 0
    assert statuses(ledger, recipe_id) == {"claimed": 1}


def test_late_finisher_is_refused_and_the_new_holder_is_not(
    open_ledger: Callable[[], Ledger],
) -> None:
    """The outcome on record is the new holder's; the late one stored nothing."""
    late, prompt = open_ledger(), open_ledger()
    recipe_id = enqueued(late, 1)
    lost = claim(late, recipe_id, worker="late")
    prompt.expire_leases(["late"])
    held = claim(prompt, recipe_id, worker="prompt")
    assert held.items[0].attempt == 2
    blank = outcome_for(lost.items[0].id, Reason.BLANK)
    assert late.finish(lost.token, [blank]) == {}
    finish_all(prompt, held)
    assert statuses(late, recipe_id) == {"review": 1}
    attempts = late.get_story(held.items[0].uri).items[0].attempts
    assert [(a.worker, a.ending) for a in attempts] == [
        ("late", AttemptEnding.EXPIRED),
        ("prompt", AttemptEnding.FINISHED),
    ]


def test_suspects_are_claimed_alone_and_before_others(ledger: Ledger) -> None:
    """Each item of a batch whose worker vanished comes in a batch of one."""
    recipe_id = enqueued(ledger, 5)
    claim(ledger, recipe_id, limit=3, worker="gone")
    assert ledger.expire_leases(["gone"]) == 1
    alone = [claim(ledger, recipe_id, limit=64) for _ in range(3)]
    assert [[(one.key, one.attempt) for one in held.items] for held in alone] == [
        [(key, 2)] for key in keys(3)
    ]
    assert [one.key for one in claim(ledger, recipe_id, limit=64).items] == keys(5)[3:]


def test_survivor_is_no_suspect_any_more(ledger: Ledger) -> None:
    """An item that came back with a reason is claimed together with others again."""
    recipe_id = enqueued(ledger, 3)
    claim(ledger, recipe_id, limit=1, worker="gone")
    ledger.expire_leases(["gone"])
    held = claim(ledger, recipe_id)
    assert len(held.items) == 1
    timeout = Outcome(held.items[0].id, ItemStatus.FAILED, Reason.TIMEOUT, retry_in_s=0)
    ledger.finish(held.token, [timeout])
    assert len(claim(ledger, recipe_id).items) == 3


def test_item_that_kills_its_worker_is_quarantined(ledger: Ledger) -> None:
    """After its last attempt; its neighbours end on the second."""
    recipe_id = enqueued(ledger, 4)
    poison = keys(4)[1]
    for _ in range(20):
        held = claim_batch(
            ledger, recipe_id, worker="fragile", limit=64, lease_s=60, max_attempts=3
        )
        if held is None:
            break
        if any(one.key == poison for one in held.items):
            ledger.expire_leases(["fragile"])
        else:
            finish_all(ledger, held)
    assert statuses(ledger, recipe_id) == {"quarantined": 1, "review": 3}
    assert ledger.counts(recipe_id).reasons == {Reason.KILLED_WORKER: 1}
    for key in keys(4):
        attempts = ledger.get_story(f"{SOURCE}/{key}").items[0].attempts
        assert len(attempts) == (3 if key == poison else 2)
        assert attempts[0].ending is AttemptEnding.EXPIRED


def test_sweep_can_be_asked_for(ledger: Ledger) -> None:
    """It says how many items it took back."""
    recipe_id = enqueued(ledger, 3)
    claim(ledger, recipe_id, worker="gone")
    assert ledger.sweep() == 0
    assert ledger.open_workers() == {"gone"}
    ledger.expire_leases(["gone"])
    assert ledger.sweep() == 3
    assert ledger.open_workers() == set()
    assert statuses(ledger, recipe_id) == {"pending": 3}


def test_failure_budget_counts_what_failed_of_what_finished(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Skipped and quarantined are the scans' own fault; what is tried again is not finished."""
    recipe_id = enqueued(ledger, 8)
    run_id = ledger.start_run("nightly", "a night")
    held = claim(ledger, recipe_id, run_id=run_id)
    reasons = [Reason.BLANK, Reason.TRUNCATED, Reason.TONE_GATE, Reason.TIMEOUT]
    ledger.finish(
        held.token, [outcome_for(o.id, r) for o, r in zip(held.items, reasons, strict=False)]
    )
    ledger.finish(held.token, [done(one.id) for one in held.items[4:]])
    failures = ledger.count_failures([run_id])
    assert (failures.finished, failures.failed) == (7, 1)
    assert not failures.exceed(0.10)  # too few to tell
    monkeypatch.setattr("tasks.ledger.records.claims.LEAST_FINISHED", 5)
    assert failures.exceed(0.10)
    assert not failures.exceed(0.20)


def test_worker_may_finish_in_parts(ledger: Ledger) -> None:
    """The claim lives until its last item has ended."""
    recipe_id = enqueued(ledger, 2)
    held = claim(ledger, recipe_id)
    for left, one in zip((1, 0), held.items, strict=True):
        assert ledger.finish(held.token, [done(one.id)]).keys() == {one.id}
        assert ledger.renew(held.token, lease_s=60) == left

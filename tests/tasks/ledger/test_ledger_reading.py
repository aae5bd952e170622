"""Reading: counts, lists, samples, stories, runs, and cursors for the audit."""

from dataclasses import replace
from datetime import UTC, datetime

from tasks.errors import Reason
from tasks.ledger import ItemFilter, Ledger, ListingCounts, RunEnding, RunFigures
from tasks.ledger.notes import MAX_LENGTH, MAX_NOTES
from tasks.ledger.pages import add_pages
from tasks.schema import AttemptEnding, ItemStatus
from tests.orders import end_orders, next_due_s
from tests.outcomes import outcome_for
from tests.tasks.ledger.building import (
    DIGEST,
    OUTPUT,
    SOURCE,
    claim,
    derivatives,
    done,
    enqueued,
    finish_all,
    keys,
    recipe,
    sources,
    statuses,
)


def test_counts_reconcile(ledger: Ledger) -> None:
    """Found = sum over statuses; statuses and reasons without items are left out."""
    recipe_id = enqueued(ledger, 6)
    held = claim(ledger, recipe_id, limit=4)
    reasons = (Reason.BLANK, Reason.BLANK, Reason.TIMEOUT)
    outcomes = [outcome_for(o.id, r) for o, r in zip(held.items, reasons, strict=False)]
    ledger.finish(held.token, outcomes)
    counts = ledger.counts(recipe_id)
    assert counts.scans == counts.enqueued == 6
    assert counts.items == {
        ItemStatus.PENDING: 3,
        ItemStatus.CLAIMED: 1,
        ItemStatus.SKIPPED: 2,
    }
    assert counts.reasons == {Reason.BLANK: 2, Reason.TIMEOUT: 1}
    assert ledger.counts(recipe_id, collections=["none"]).enqueued == 0
    assert ledger.counts(recipe(ledger, "other")).items == {}


def test_story_tells_the_open_attempt_too(ledger: Ledger) -> None:
    """Who holds it since when, before anything came of it."""
    recipe_id = enqueued(ledger, 1)
    held = claim(ledger, recipe_id, worker="host:1")
    (attempt,) = ledger.get_story(held.items[0].uri).items[0].attempts
    assert (attempt.worker, attempt.number, attempt.status) == ("host:1", 1, ItemStatus.CLAIMED)
    assert attempt.ending is None
    assert attempt.ended_at is None
    assert abs((datetime.now(UTC) - attempt.claimed_at).total_seconds()) < 600
    ledger.give_back(held.token)
    (attempt,) = ledger.get_story(held.items[0].uri).items[0].attempts
    assert attempt.ending is AttemptEnding.GIVEN_BACK
    assert attempt.ended_at is not None


def test_story_tells_what_was_noted_of_a_scan(ledger: Ledger) -> None:
    """A line each, safe to print; an attempt that did not read the scan leaves them as they are."""
    recipe_id = enqueued(ledger, 1)
    held = claim(ledger, recipe_id)
    item_id, uri = held.items[0].id, held.items[0].uri
    notes = ("Copyright: \x1b[31mtwo\nplaces \ud800disagree", "a private tag lies beyond its end")
    again = replace(outcome_for(item_id, Reason.TIMEOUT), notes=(*notes, notes[1]), retry_in_s=0)
    ledger.finish(held.token, [again])
    shown = ("Copyright: [31mtwo places disagree", "a private tag lies beyond its end")
    assert ledger.get_story(uri).items[0].item.notes == shown
    held = claim(ledger, recipe_id)
    unread = replace(outcome_for(item_id, Reason.STORAGE_UNAVAILABLE), retry_in_s=0)
    ledger.finish(held.token, [unread])
    assert ledger.list_items(ItemFilter(), limit=1)[0].notes == shown
    held = claim(ledger, recipe_id)
    many = tuple(f"tag {n}: " + "x" * 1000 for n in range(100))
    ledger.finish(held.token, [replace(done(item_id), notes=many)])
    kept = ledger.get_story(uri).items[0].item.notes
    assert len(kept) == MAX_NOTES
    assert kept[-1] == "and 81 more"
    assert max(map(len, kept)) == MAX_LENGTH


def test_story_finds_pages_and_names_the_recipe(ledger: Ledger) -> None:
    """A page by its URI; the file's URI means its first."""
    recipe_id = enqueued(ledger, 1)
    held = claim(ledger, recipe_id)
    add_pages(ledger, held.items[0].scan_id, 2)
    uri = held.items[0].uri
    assert ledger.get_story(uri).scan.page == 0
    page = ledger.get_story(f"{uri}#page=2")
    assert (page.scan.page, page.scan.uri) == (1, f"{uri}#page=2")
    assert page.items[0].recipe.checkpoint_digest == "a" * 8


def test_lists_go_on_where_they_ended(ledger: Ledger) -> None:
    """By id, from the one after the last."""
    enqueued(ledger, 5)
    first = ledger.list_items(ItemFilter(), limit=2)
    rest = ledger.list_items(ItemFilter(), limit=99, after_id=first[-1].id)
    uris = [row.uri for row in first + rest]
    assert uris == [f"{SOURCE}/{key}" for key in keys(5)]


def test_samples_are_a_few_of_each_reason(ledger: Ledger) -> None:
    """For every status that has one."""
    recipe_id = enqueued(ledger, 6)
    held = claim(ledger, recipe_id, limit=5)
    reasons = [Reason.BLANK] * 3 + [Reason.TRUNCATED, Reason.TIMEOUT]
    outcomes = [outcome_for(o.id, r) for o, r in zip(held.items, reasons, strict=True)]
    ledger.finish(held.token, outcomes)
    found = ledger.samples(recipe_id, per_reason=2)
    assert {key: len(rows) for key, rows in found.items()} == {
        (ItemStatus.PENDING, Reason.TIMEOUT): 1,
        (ItemStatus.QUARANTINED, Reason.TRUNCATED): 1,
        (ItemStatus.SKIPPED, Reason.BLANK): 2,
    }


def test_audit_walks_derivatives_and_sources_by_cursor(ledger: Ledger) -> None:
    """Each once, in any number of steps; what is unfinished has none."""
    recipe_id = enqueued(ledger, 5)
    finish_all(ledger, claim(ledger, recipe_id, limit=4))
    seen, after = [], 0
    while page := derivatives(ledger, after_id=after, limit=3):
        seen += page
        after = page[-1].id
    assert len({row.id for row in seen}) == len(seen) == 4
    assert {(row.store, row.sha256, row.recipe_id) for row in seen} == {(OUTPUT, DIGEST, recipe_id)}
    assert {row.scan_uri for row in seen} == {f"{SOURCE}/{key}" for key in keys(4)}
    read = sources(ledger)
    assert [row.key for row in read] == keys(4)
    assert {row.sha256 for row in read} == {DIGEST}


def test_run_keeps_its_figures(ledger: Ledger) -> None:
    """What a run did is typed, and its first ending stands."""
    recipe_id = enqueued(ledger, 1)
    run_id = ledger.start_run("nightly", "2026-01-02", flow_run_id="f" * 36)
    figures = RunFigures(
        discovered=ListingCounts(found=3, new=2, unchanged=1),
        enqueued=2,
        finished={"review": 2},
        stage_s={"decode": 1.5},
    )
    ledger.beat_run(run_id, figures, recipe_id=recipe_id)
    run = ledger.get_run(run_id)
    assert run is not None
    assert (run.kind, run.name, run.recipe_id, run.ending) == (
        "nightly",
        "2026-01-02",
        recipe_id,
        None,
    )
    assert run.figures == figures
    ledger.finish_run(run_id, RunEnding.ABORTED, detail="no GPU")
    ledger.finish_run(run_id, RunEnding.COMPLETED)
    run = ledger.get_run(run_id)
    assert run is not None
    assert (run.ending, run.detail, run.figures) == (RunEnding.ABORTED, "no GPU", figures)
    assert run.ended_at is not None


def test_runs_are_listed_newest_first(ledger: Ledger) -> None:
    """By kind, too."""
    first = ledger.start_run("nightly", "one")
    second = ledger.start_run("backfill", "two")
    assert [run.id for run in ledger.list_runs()] == [second, first]
    assert [run.id for run in ledger.list_runs(kind="nightly")] == [first]
    assert ledger.get_run(second + 1) is None


def test_figures_of_another_version_can_be_read() -> None:
    """Unknown ones are passed over, missing ones take their defaults."""
    stored = {"enqueued": 3, "invented_later": 1, "discovered": {"found": 4, "later": 5}}
    assert RunFigures.from_json(stored) == RunFigures(discovered=ListingCounts(found=4), enqueued=3)


def test_oldest_pending_waits_for_nobody(ledger: Ledger) -> None:
    """What an order will have done is its own; None where nothing is left over."""
    recipe_id = enqueued(ledger, 2)
    assert ledger.oldest_pending(recipe_id) is None
    assert next_due_s(ledger, recipe_id) == 0
    end_orders(ledger)
    assert ledger.oldest_pending(recipe_id) is not None
    assert ledger.oldest_pending(recipe_id + 1) is None
    held = claim(ledger, recipe_id)
    ledger.retry(ItemFilter(), who="engineer", why="")
    assert ledger.oldest_pending(recipe_id) is None
    due_s = next_due_s(ledger, recipe_id)
    assert due_s is not None
    assert 0 < due_s <= 60
    finish_all(ledger, held)
    assert next_due_s(ledger, recipe_id) is None
    assert statuses(ledger, recipe_id) == {"review": 2}

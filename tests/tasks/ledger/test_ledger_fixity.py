"""What is due to be read again, and what stands of what was found."""

from tasks.ledger import ItemFilter, Ledger
from tasks.ledger.fixity import (
    damaged_items,
    due_derivatives,
    due_sources,
    find_derivatives,
    record_checks,
)
from tasks.ledger.records import FixityCheck, FixityFilter, FixitySubject
from tasks.schema import FixityOutcome
from tests.tasks.ledger.building import DIGEST, checks, claim, derivative, enqueued, finish_all

ALL, LATELY = FixityFilter(0.0), FixityFilter(3600.0)
DERIVATIVE, SOURCE = FixitySubject.DERIVATIVE, FixitySubject.SOURCE


def check(found_id: int, outcome: FixityOutcome, *, expected: str = DIGEST) -> FixityCheck:
    """What an audit found."""
    return FixityCheck(found_id, expected, outcome, DIGEST, "as it was found")


def test_what_was_read_lately_is_not_due(ledger: Ledger) -> None:
    """Derivatives and scans apart; what could not be read stays due."""
    recipe_id = enqueued(ledger, 3)
    finish_all(ledger, claim(ledger, recipe_id))
    run_id = ledger.start_run("audit", "one")
    first, second, third = due_derivatives(ledger, ALL, after_id=0, limit=9)
    found = [check(first.id, FixityOutcome.MATCHED), check(second.id, FixityOutcome.UNREADABLE)]
    standing = record_checks(ledger, DERIVATIVE, found, run_id=run_id)
    assert standing == {first.id, second.id}
    due = due_derivatives(ledger, LATELY, after_id=0, limit=9)
    assert [row.id for row in due] == [second.id, third.id]
    assert len(due_sources(ledger, LATELY, after_id=0, limit=9)) == 3
    assert len(due_derivatives(ledger, ALL, after_id=first.id, limit=1)) == 1
    other = FixityFilter(0.0, ("maps",))
    assert due_derivatives(ledger, other, after_id=0, limit=9) == []
    assert due_sources(ledger, other, after_id=0, limit=9) == []


def test_the_latest_check_counts(ledger: Ledger) -> None:
    """And says which items a run found damaged."""
    recipe_id = enqueued(ledger, 2)
    finish_all(ledger, claim(ledger, recipe_id))
    rows = due_derivatives(ledger, ALL, after_id=0, limit=9)
    runs = [ledger.start_run("audit", name) for name in ("one", "two")]
    for run_id, outcome in zip(runs, (FixityOutcome.MATCHED, FixityOutcome.MISSING), strict=True):
        record_checks(ledger, DERIVATIVE, [check(rows[0].id, outcome)], run_id=run_id)
    (source, _) = due_sources(ledger, ALL, after_id=0, limit=9)
    changed = [check(source.scan_id, FixityOutcome.CHANGED)]
    record_checks(ledger, SOURCE, changed, run_id=runs[1])
    assert checks(ledger, DERIVATIVE) == {FixityOutcome.MISSING: 1}
    assert checks(ledger, SOURCE) == {FixityOutcome.CHANGED: 1}
    assert [damaged_items(ledger, run_id=run_id) for run_id in runs] == [
        [],
        [rows[0].item_id],
    ]


def test_what_was_replaced_meanwhile_is_passed_over(ledger: Ledger) -> None:
    """Another digest is on record, or its item is just being done again."""
    recipe_id = enqueued(ledger, 2)
    finish_all(ledger, claim(ledger, recipe_id))
    first, second = due_derivatives(ledger, ALL, after_id=0, limit=9)
    run_id = ledger.start_run("audit", "one")
    ledger.redo(ItemFilter(ids=[second.item_id]), who="a curator", why="look")
    found = [
        check(first.id, FixityOutcome.MISMATCHED, expected="ee" * 32),
        check(second.id, FixityOutcome.MISMATCHED),
    ]
    assert record_checks(ledger, DERIVATIVE, found, run_id=run_id) == frozenset()
    assert checks(ledger, DERIVATIVE) == {}


def test_derivatives_are_found_by_their_key(ledger: Ledger) -> None:
    """Several at once, and none where there is none."""
    recipe_id = enqueued(ledger, 2)
    held = claim(ledger, recipe_id)
    finish_all(ledger, held)
    keys = [derivative(one.id).key for one in held.items]
    assert [row.key for row in find_derivatives(ledger, keys)] == keys
    assert find_derivatives(ledger, ["nothing"]) == []


def test_a_sweep_can_be_foretold(ledger: Ledger) -> None:
    """What is held by leases that ran out, and by workers that are known to be gone."""
    recipe_id = enqueued(ledger, 3)
    claim(ledger, recipe_id, limit=2, worker="gone")
    assert ledger.count_expired() == 0
    assert ledger.count_expired(["gone"]) == 2
    ledger.expire_leases(["gone"])
    assert ledger.count_expired() == ledger.sweep() == 2
    assert ledger.count_expired(["gone"]) == 0


def test_recipes_are_found_by_the_beginning_of_their_digest(ledger: Ledger) -> None:
    """As people copy them from a report."""
    recipe_id = enqueued(ledger, 1)
    digest = ledger.current_recipe()
    assert digest is not None
    assert ledger.find_recipe(digest.digest[:12]).id == recipe_id

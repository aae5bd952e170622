"""References and trainings in the ledger, on both databases."""

from collections.abc import Callable

import pytest

from tasks.errors import UsageError
from tasks.ledger import Ledger
from tasks.ledger import checkpoints as registry
from tasks.ledger.reference_records import (
    Certainty,
    Description,
    Exposure,
    NewReference,
    ReferenceKind,
    ReferenceRow,
    Split,
    TrainingVerdict,
)
from tasks.ledger.references import (
    add_reference,
    find_item,
    find_reference,
    find_scan,
    freeze_set,
    known_to_trainings,
    list_references,
    withdraw_references,
    witnesses_of,
)
from tasks.ledger.trainings import begin_training, end_training, list_trainings
from tests.tasks.ledger.building import SOURCE, claim, enqueued, finish_all
from tests.tasks.ledger.test_checkpoints import register

SAID = Description(
    kind=ReferenceKind.PAIR,
    rights="public domain",
    citation="LC-USW36-1",
    date="1942",
    place="Tennessee",
    curator="Mme B",
    certainty=Certainty.CERTAIN,
    note="Kodachrome",
)


def new(number: int, split: Split = Split.TRAIN) -> NewReference:
    """A reference with a digest of its own."""
    return NewReference(
        store="file:///colour",
        key=f"references/{number}.jpg",
        origin=f"/curator/{number}.jpg",
        collection="references",
        sha256=f"{number:064x}",
        size_bytes=1000,
        width=600,
        height=400,
        split=split,
        phash=f"{number:016x}",
        described=SAID,
        delivery="d" * 32,
        vouched=False,
    )


def added(ledger: Ledger, number: int, split: Split = Split.TRAIN) -> ReferenceRow:
    """One on record."""
    row = add_reference(ledger, new(number, split), who="curator")
    assert row is not None
    return row


def trained(ledger: Ledger, rows: list[ReferenceRow], parent: str, challenger: str | None) -> None:
    """A training from one registered checkpoint to another that was kept."""
    by_digest = {row.digest: row.id for row in registry.list_checkpoints(ledger)}
    set_id = freeze_set(ledger, rows, who="finetune").id
    begun = begin_training(ledger, set_id, parent_id=by_digest[parent * 64], run_id=None)
    end_training(
        ledger,
        begun.id,
        TrainingVerdict.KEPT if challenger else TrainingVerdict.FAILED,
        why="why not",
        figures={"ciede2000": 9.5},
        challenger_id=by_digest[challenger * 64] if challenger else None,
    )


def test_a_reference_is_recorded_once_with_all_that_is_said_of_it(ledger: Ledger) -> None:
    """The same bytes again are not."""
    row = added(ledger, 1)
    assert row.described == SAID
    assert (row.sha256, row.split, row.added_by, row.stands) == (
        f"{1:064x}", Split.TRAIN, "curator", True
    )  # fmt: skip
    assert add_reference(ledger, new(1), who="another") is None
    assert list_references(ledger) == [row]
    assert find_reference(ledger, str(row.id)) == row


def test_references_are_found_by_number_or_digest(ledger: Ledger) -> None:
    """Ambiguous and unknown names are refused."""
    row = added(ledger, 0xABC)
    added(ledger, 0xABD)
    assert find_reference(ledger, row.sha256) == row
    for named in ("000", "fff"):
        with pytest.raises(UsageError, match="references list"):
            find_reference(ledger, named)


def test_withdrawn_references_stay_on_record_and_out_of_lists(ledger: Ledger) -> None:
    """With who and why; withdrawing again changes nothing."""
    row, other = added(ledger, 1), added(ledger, 2)
    assert withdraw_references(ledger, [row.id], who="curator", why="a copyright claim") == 1
    assert withdraw_references(ledger, [row.id], who="someone", why="again") == 0
    assert list_references(ledger) == [other]
    (gone,) = list_references(ledger, withdrawn=True)
    assert (gone.withdrawn_by, gone.withdrawn_why) == ("curator", "a copyright claim")
    assert len(list_references(ledger, withdrawn=None)) == 2


def test_the_same_list_is_the_same_set(ledger: Ledger) -> None:
    """Whatever its order; another member or another role makes another set."""
    rows = [added(ledger, 1), added(ledger, 2), added(ledger, 3, Split.EVALUATION)]
    first = freeze_set(ledger, rows, who="one")
    assert freeze_set(ledger, rows[::-1], who="two") == first
    assert (first.train, first.evaluation) == ((rows[0].id, rows[1].id), (rows[2].id,))
    assert freeze_set(ledger, rows[1:], who="one").digest != first.digest
    assert freeze_set(ledger, [], who="one").train == ()


def test_who_saw_a_reference_is_answered_through_descendants(ledger: Ledger) -> None:
    """The first learns nothing; b, from a, learns from it; c inherits from b; d is judged by it."""
    for letter in "abcde":
        register(ledger, letter)
    one, two = added(ledger, 1), added(ledger, 2)
    held_out = added(ledger, 3, Split.EVALUATION)
    trained(ledger, [one, held_out], "a", "b")
    trained(ledger, [two], "b", "c")
    trained(ledger, [two, held_out], "a", "d")
    trained(ledger, [one], "a", None)
    registry.promote(ledger, "c" * 64, who="engineer", why="the best")
    seen = {w.digest[0]: (w.exposure, w.is_champion) for w in witnesses_of(ledger, one.id)}
    assert seen == {"b": (Exposure.LEARNT, False), "c": (Exposure.INHERITED, True)}
    judged = {w.digest[0]: w.exposure for w in witnesses_of(ledger, held_out.id)}
    assert judged == {"b": Exposure.JUDGED, "d": Exposure.JUDGED}


def test_what_a_failed_training_saw_is_new_still(ledger: Ledger) -> None:
    """It taught nobody anything."""
    for letter in "ab":
        register(ledger, letter)
    one, two, held_out = added(ledger, 1), added(ledger, 2), added(ledger, 3, Split.EVALUATION)
    trained(ledger, [one], "a", None)
    assert known_to_trainings(ledger) == frozenset()
    trained(ledger, [one, held_out], "a", "b")
    assert known_to_trainings(ledger) == {one.id}
    trained(ledger, [one, two], "a", "b")
    assert known_to_trainings(ledger) == {one.id, two.id}


def test_a_killed_training_is_taken_up_and_an_outdated_one_is_given_up(ledger: Ledger) -> None:
    """Same set, same parent: the same row. Another set: the old one has failed."""
    parent = register(ledger, "a")
    rows = [added(ledger, 1), added(ledger, 2)]
    first_set, second_set = (freeze_set(ledger, part, who="f").id for part in (rows[:1], rows))
    first = begin_training(ledger, first_set, parent_id=parent.id, run_id=None)
    run_id = ledger.start_run("finetune", "again")
    again = begin_training(ledger, first_set, parent_id=parent.id, run_id=run_id)
    assert (again.id, again.run_id) == (first.id, run_id)
    other = begin_training(ledger, second_set, parent_id=parent.id, run_id=None)
    assert other.id != first.id
    verdicts = {row.id: row.verdict for row in list_trainings(ledger)}
    assert verdicts == {other.id: None, first.id: TrainingVerdict.FAILED}


def test_the_first_verdict_stands(ledger: Ledger) -> None:
    """A second conclusion, from a process that was thought dead, changes nothing."""
    parent = register(ledger, "a")
    set_id = freeze_set(ledger, [added(ledger, 1)], who="f").id
    begun = begin_training(ledger, set_id, parent_id=parent.id, run_id=None)
    ended = end_training(ledger, begun.id, TrainingVerdict.KEPT, why="not better", figures={"x": 1})
    late = end_training(ledger, begun.id, TrainingVerdict.FAILED, why="late", figures={})
    assert late == ended
    assert (ended.verdict, ended.why, ended.figures) == (
        TrainingVerdict.KEPT, "not better", {"x": 1}
    )  # fmt: skip


def test_promotion_and_verdict_are_one_transaction(ledger: Ledger) -> None:
    """The pointer moves only from the champion that was compared with, and only once."""
    for letter in "abc":
        register(ledger, letter)
    registry.promote(ledger, "a" * 64, who="engineer", why="the first")
    parent = registry.champion_checkpoint(ledger)
    assert parent is not None
    set_id = freeze_set(ledger, [added(ledger, 1)], who="f").id
    begun = begin_training(ledger, set_id, parent_id=parent.id, run_id=None)

    def promote(letter: str) -> None:
        registry.promote_trained(
            ledger, begun, letter * 64, who="finetune", why="won", figures={"gain": 0.3}
        )

    registry.promote(ledger, "c" * 64, who="engineer", why="meanwhile")
    with pytest.raises(UsageError, match="no longer aaaa"):
        promote("b")
    assert list_trainings(ledger)[0].verdict is None
    registry.roll_back(ledger, who="engineer", why="it was a mistake")
    promote("b")
    (row,) = list_trainings(ledger)
    assert (row.verdict, row.challenger, row.figures) == (
        TrainingVerdict.PROMOTED, "b" * 64, {"gain": 0.3}
    )  # fmt: skip
    assert registry.history(ledger)[-1].checkpoint.digest == "b" * 64
    registry.promote(ledger, "a" * 64, who="engineer", why="back")
    with pytest.raises(UsageError, match="has its verdict"):
        promote("c")
    champion = registry.champion_checkpoint(ledger)
    assert champion is not None
    assert champion.digest == "a" * 64


def test_items_and_scans_are_found_as_people_name_them(
    open_ledger: Callable[[], Ledger],
) -> None:
    """By number and by URI."""
    ledger = open_ledger()
    recipe_id = enqueued(ledger, 2)
    held = claim(ledger, recipe_id)
    finish_all(ledger, held)
    first = held.items[0]
    assert find_item(ledger, str(first.id)) == (first.id, first.scan_id)
    assert find_item(ledger, first.uri) == (first.id, first.scan_id)
    assert find_item(ledger, "999999") is None
    assert find_scan(ledger, first.uri) == first.scan_id
    assert find_scan(ledger, f"{SOURCE}/none.tif") is None

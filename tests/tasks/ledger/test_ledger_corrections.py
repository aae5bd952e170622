"""Corrections in the ledger, on SQLite and PostgreSQL: about bytes, in turn, never lost."""

from dataclasses import replace

import pytest

from tasks.errors import UsageError
from tasks.ledger import Claim, ClaimRequest, Ledger, corrections, enqueue, orders
from tasks.ledger.corrections import CorrectedMeanwhile, NewCorrection
from tasks.ledger.orders import Order, OrderKind, OrderMode, Scope
from tasks.ledger.records import CorrectionRow
from tasks.ledger.uris import uri_of
from tasks.schema import ItemStatus
from tests.orders import enqueue as enqueue_all
from tests.tasks.ledger.building import DIGEST, SOURCE, claim, done, enqueued, keys, recipe

SAID = {"hints": [{"points": [[0.5, 0.5]], "rgb": [200.0, 30.0, 40.0]}]}


@pytest.fixture
def coloured(ledger: Ledger) -> int:
    """A recipe under which two scans were coloured, of different bytes."""
    recipe_id = enqueued(ledger, 2)
    held = claim(ledger, recipe_id)
    digests = [DIGEST, "cd" * 32]
    outcomes = [
        done(one.id, ItemStatus.PUBLISHED, sha256=sha256)
        for one, sha256 in zip(held.items, digests, strict=True)
    ]
    assert len(ledger.finish(held.token, outcomes)) == 2
    return recipe_id


def uri(number: int = 0) -> str:
    """One of the scans'."""
    return uri_of(SOURCE, keys(2)[number], 0)


def say(ledger: Ledger, who: str = "Ann", *, seen: int | None = None) -> CorrectionRow:
    """Correct the first scan."""
    return corrections.correct(ledger, NewCorrection(uri(), SAID, who, "because", seen))


def ordered(ledger: Ledger, recipe_id: int, *uris: str) -> int:
    """An order for what was corrected, planned."""
    order = Order(OrderMode.CORRECTED, Scope(uris=uris), who="desk", kind=OrderKind.REQUEST)
    number = orders.make(ledger, order, recipe_id, name="corrections")
    while orders.enqueue_window(ledger, number) is orders.OrderState.PLANNING:
        pass
    return number


def take(ledger: Ledger, number: int) -> Claim:
    """A batch of an order, which must be there."""
    order = orders.get(ledger, number)
    held = ledger.claim(
        ClaimRequest(
            worker="worker",
            recipe_id=order.recipe_id,
            order_id=number,
            run_id=order.run_id,
            limit=9,
            lease_s=60,
            max_attempts=3,
        )
    )
    assert held is not None
    return held


def test_a_correction_is_ordered_claimed_and_done(ledger: Ledger, coloured: int) -> None:
    """Only its scan waits; whoever claims it is told; the file lies beside the network's own."""
    assert enqueue.list_corrected(ledger, coloured, limit=9) == []
    row = say(ledger)
    assert enqueue.list_corrected(ledger, coloured, limit=9) == [uri()]
    number = ordered(ledger, coloured, uri(0), uri(1))
    assert orders.get(ledger, number).items == 1
    held = take(ledger, number)
    (item,) = held.items
    assert item.correction == row
    assert item.correction.said == SAID
    outcome = done(item.id, ItemStatus.PUBLISHED)
    record = replace(outcome.derivatives[0], key="recipe/1.correction-0001.jpg", sha256="ef" * 32)
    ledger.finish(held.token, [replace(outcome, correction_id=row.id, derivatives=(record,))])
    history = ledger.get_story(uri()).items[-1]
    assert history.item.correction_id == row.id
    assert [one.correction_id for one in history.derivatives] == [0, row.id]
    assert enqueue.list_corrected(ledger, coloured, limit=9) == []
    assert ledger.get_story(uri()).corrections == (row,)
    assert ledger.get_story(uri(1)).corrections == ()


def test_the_latest_that_stands_counts(ledger: Ledger, coloured: int) -> None:
    """The second person is told of the first; what is withdrawn leaves the one before."""
    first = say(ledger, seen=0)
    with pytest.raises(CorrectedMeanwhile, match="Ann has corrected it") as told:
        say(ledger, "Ben", seen=0)
    assert told.value.last == first
    second = say(ledger, "Ben", seen=first.id)
    assert second.parent_id == first.id
    standing = corrections.standing(ledger, DIGEST, 0)
    assert standing == second
    taken_back = corrections.withdraw(ledger, second.id, who="Ann", why="a mistake")
    assert (taken_back.withdrawn_by, taken_back.withdrawn_why) == ("Ann", "a mistake")
    assert corrections.standing(ledger, DIGEST, 0) == first
    with pytest.raises(UsageError, match="was withdrawn by Ann"):
        corrections.withdraw(ledger, second.id, who="Ben", why="")
    with pytest.raises(CorrectedMeanwhile):
        say(ledger, "Ben", seen=second.id)
    assert len(corrections.of_bytes(ledger, DIGEST, 0)) == 2
    del coloured


def test_who_colours_meanwhile_begins_again(ledger: Ledger, coloured: int) -> None:
    """His result is refused: it was made by what was said before."""
    first = say(ledger)
    number = ordered(ledger, coloured, uri())
    held = take(ledger, number)
    second = say(ledger, "Ben", seen=first.id)
    late = [replace(done(one.id), correction_id=first.id) for one in held.items]
    assert ledger.finish(held.token, late) == {}
    (again,) = take(ledger, number).items
    assert again.correction is not None
    assert (again.correction.id, again.attempt) == (second.id, 1)


def test_another_recipe_reads_it_too(ledger: Ledger, coloured: int) -> None:
    """Whatever colours these bytes later is told the same."""
    row = say(ledger)
    other = recipe(ledger, "b")
    assert enqueue_all(ledger, other, mode=OrderMode.CHANGED_RECIPE) == 2
    found = {one.key: one.correction for one in claim(ledger, other).items}
    assert {key: said and said.id for key, said in found.items()} == {
        keys(2)[0]: row.id,
        keys(2)[1]: None,
    }
    del coloured

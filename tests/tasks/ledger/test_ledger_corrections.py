"""Corrections in the ledger, on SQLite and PostgreSQL: about bytes, in turn, never lost."""

from dataclasses import dataclass, replace

import pytest

from tasks.errors import UsageError
from tasks.ledger import Claim, Ledger, corrections, enqueue, films, orders
from tasks.ledger.corrections import CorrectedMeanwhile, NewCorrection
from tasks.ledger.orders import Order, OrderKind, OrderMode, Scope
from tasks.ledger.records import CorrectionRow, FilmFacts, LeasedShot, ShotRequest, ShotResult
from tasks.ledger.uris import uri_of
from tasks.schema import ItemStatus
from tests.orders import claim_of, order_for
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
    held = claim_of(ledger, number)
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


# --- films ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stretch:
    """A shot as whoever looks at a film finds it."""

    first: int
    frames: int
    lead: int = 0
    tail: int = 0
    seek: int | None = None


@pytest.fixture
def film(ledger: Ledger) -> int:
    """The recipe of a coloured film of three shots, two of them parts of a take; and of a scan."""
    recipe_id = enqueued(ledger, 2)
    held = claim(ledger, recipe_id)
    item_id = held.items[0].id
    shots = (Stretch(0, 200, tail=12), Stretch(200, 240, lead=12), Stretch(440, 40))
    facts = FilmFacts(frames=480, seconds=20.0, width=640, height=480, bits=8)
    assert films.record_shots(ledger, held.token, item_id, shots, facts)
    colour_shots(ledger, held, order_for(ledger, recipe_id).id)
    ended = [
        done(one.id, ItemStatus.PUBLISHED, sha256=sha256)
        for one, sha256 in zip(held.items, [DIGEST, "cd" * 32], strict=True)
    ]
    assert len(ledger.finish(held.token, ended)) == 2
    return recipe_id


def lease_shot(ledger: Ledger, order_id: int) -> LeasedShot | None:
    """A shot for a helper."""
    return films.lease(ledger, ShotRequest(order_id, "helper", lease_s=60.0, max_attempts=3))


def colour_shots(ledger: Ledger, held: Claim, order_id: int) -> list[int]:
    """Colour what is open; returns their numbers."""
    numbers = []
    while (one := lease_shot(ledger, order_id)) is not None:
        numbers.append(one.number)
        made = ShotResult(f"work/{one.number}.mkv", DIGEST, 1000, DIGEST, 0.5, 1.5)
        assert films.finish(ledger, one.token, made)
    assert films.standing(ledger, held.token, held.items[0].id).is_done
    return numbers


def take_up(ledger: Ledger, number: int) -> tuple[Claim, CorrectionRow]:
    """Claim a film by an order, and go on with it by what was said."""
    held = take(ledger, number)
    (item,) = held.items
    assert item.correction is not None
    assert films.take_up(ledger, held.token, item.id, correction_id=item.correction.id) == 3
    return held, item.correction


def say_of(ledger: Ledger, frame: int | None, who: str = "Ann", seen: int = 0) -> CorrectionRow:
    """Correct a frame of the film."""
    return corrections.correct(ledger, NewCorrection(uri(), SAID, who, "because", seen, frame))


def test_what_is_said_of_a_frame_opens_the_shots_that_look_at_it(ledger: Ledger, film: int) -> None:
    """Those alone; whoever colours one just now by less begins again; so does a withdrawal."""
    first = say_of(ledger, 205)
    number = ordered(ledger, film, uri())
    held, said = take_up(ledger, number)
    at_work = lease_shot(ledger, number)
    assert at_work is not None
    assert (said, at_work.number, at_work.correction_id) == (first, 1, first.id)
    second = say_of(ledger, 10, "Ben")
    assert not films.standing(ledger, held.token, held.items[0].id).is_held, "taken away"
    assert corrections.of_film(ledger, first.id) == {205: first}
    assert corrections.of_film(ledger, second.id) == {10: second, 205: first}
    held, said = take_up(ledger, number)
    assert said == second
    late = ShotResult("work/late.mkv", DIGEST, 1000, DIGEST, 0.5, 1.5)
    assert not films.finish(ledger, at_work.token, late)
    assert colour_shots(ledger, held, number) == [1, 2]
    outcome = replace(done(held.items[0].id, ItemStatus.PUBLISHED), correction_id=second.id)
    assert ledger.finish(held.token, [outcome])
    assert enqueue.list_corrected(ledger, film, limit=9) == []

    corrections.withdraw(ledger, second.id, who="Ann", why="a mistake")
    assert enqueue.list_corrected(ledger, film, limit=9) == [uri()]
    number = ordered(ledger, film, uri())
    held, said = take_up(ledger, number)
    assert said.is_withdrawal
    assert corrections.of_film(ledger, said.id).keys() == {205}
    assert corrections.of_film(ledger, second.id).keys() == {10, 205}, "what it was, it stays"
    assert colour_shots(ledger, held, number) == [1]
    with pytest.raises(UsageError, match="is a withdrawal"):
        corrections.withdraw(ledger, said.id, who="Ann", why="")


def test_a_frame_is_named_of_films_alone(ledger: Ledger, film: int) -> None:
    """One that is there; of two people at one, the second is told."""
    for frame, why in ((None, "say which frame this is about, 0 to 479"), (480, "no frame 480")):
        with pytest.raises(UsageError, match=why):
            say_of(ledger, frame)
    row = say_of(ledger, 0)
    with pytest.raises(CorrectedMeanwhile, match="Ann has corrected it"):
        say_of(ledger, 0, "Ben")
    assert say_of(ledger, 0, "Ben", seen=row.id).parent_id == row.id
    with pytest.raises(UsageError, match="is no film"):
        corrections.correct(ledger, NewCorrection(uri(1), SAID, "Ann", frame=3))

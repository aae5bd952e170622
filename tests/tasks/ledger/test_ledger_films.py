"""Films: shots that workers share, leases of shots, and what a kill costs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from tasks.errors import Reason
from tasks.ledger import Claim, ItemFilter, Ledger, Outcome, film_figures, films, orders
from tasks.ledger.orders import Size
from tasks.ledger.records import FilmFacts, LeasedShot, ShotRequest, ShotResult
from tasks.schema import DecisionKind, ItemStatus, OrderState, ShotStatus
from tests.orders import claim_batch, next_due_s, order_for
from tests.tasks.ledger.building import (
    DIGEST,
    SOURCE,
    Listed,
    claim,
    done,
    enqueued,
    keys,
    statuses,
)

FACTS = FilmFacts(frames=480, seconds=20.0, width=640, height=480, bits=8)


@dataclass(frozen=True)
class Stretch:
    """A shot as whoever looks at a film finds it."""

    first: int
    frames: int
    lead: int = 0
    tail: int = 12
    seek: int | None = None


SHOTS = (Stretch(0, 200), Stretch(200, 240), Stretch(440, 40))


def film(
    ledger: Ledger, *, shots: Sequence[Stretch] = SHOTS, worker: str = "holder"
) -> tuple[int, Claim]:
    """A film in a worker's hands, its shots on record; returns its recipe, too."""
    recipe_id = enqueued(ledger, 1)
    held = claim(ledger, recipe_id, worker=worker)
    assert films.record_shots(ledger, held.token, held.items[0].id, shots, FACTS)
    return recipe_id, held


def asked(ledger: Ledger, recipe_id: int, *, item_id: int | None = None) -> ShotRequest:
    """What a worker of the recipe's order asks for."""
    order_id = order_for(ledger, recipe_id).id
    return ShotRequest(order_id, "helper", lease_s=60.0, max_attempts=3, item_id=item_id)


def leased(
    ledger: Ledger, recipe_id: int, *, worker: str = "helper", max_attempts: int = 3
) -> LeasedShot:
    """A shot that must be there."""
    wanted = replace(asked(ledger, recipe_id), worker=worker, max_attempts=max_attempts)
    found = films.lease(ledger, wanted)
    assert found is not None
    return found


def made(one: LeasedShot, *, confidence: float = 0.5) -> ShotResult:
    """What came of a shot."""
    key = f"work/{one.film.id}/{one.number}.mkv"
    return ShotResult(key, DIGEST, 1000, DIGEST, confidence, 1.5, poster_key=f"{key}.jpg")


def finish_shots(ledger: Ledger, recipe_id: int) -> int:
    """Colour whatever shots are left; returns how many that were."""
    number = 0
    while (one := films.lease(ledger, asked(ledger, recipe_id))) is not None:
        assert films.finish(ledger, one.token, made(one))
        number += 1
    return number


def test_shots_of_a_film_are_shared_by_workers_of_its_order(ledger: Ledger) -> None:
    """In order, each by one; with all that is needed to read the film."""
    recipe_id, held = film(ledger)
    first, second = leased(ledger, recipe_id), leased(ledger, recipe_id)
    assert [(one.number, one.first, one.frames) for one in (first, second)] == [
        (1, 0, 200),
        (2, 200, 240),
    ]
    assert (first.attempt, first.grey) == (1, False)
    assert (first.lead, first.tail, first.seek) == (0, 12, None)
    assert first.film == replace(held.items[0], attempt=1)
    assert first.film.uri == f"{SOURCE}/{keys(1)[0]}"
    third = leased(ledger, recipe_id)
    assert films.lease(ledger, asked(ledger, recipe_id)) is None
    for one in (first, second, third):
        assert films.finish(ledger, one.token, made(one))
    told = films.standing(ledger, held.token, held.items[0].id)
    assert (told.shots, told.done) == (3, 3)
    assert told.is_done
    assert told.due_in_s is None


def test_shots_are_recorded_once_and_by_the_holder(ledger: Ledger) -> None:
    """Whoever holds the item next finds them; who has lost it records none."""
    recipe_id, held = film(ledger)
    item_id = held.items[0].id
    assert films.record_shots(ledger, held.token, item_id, [Stretch(0, 480)], FACTS)
    assert len(films.list_shots(ledger, item_id)) == 3
    assert films.take_up(ledger, held.token, item_id) == 3
    ledger.give_back(held.token)
    assert not films.record_shots(ledger, held.token, item_id, SHOTS, FACTS)
    assert films.take_up(ledger, held.token, item_id) == 0
    assert films.lease(ledger, asked(ledger, recipe_id)) is None, "nobody holds the film"
    again = claim(ledger, recipe_id)
    assert films.take_up(ledger, again.token, item_id) == 3


def test_film_is_told_in_frames_and_minutes(ledger: Ledger) -> None:
    """While it is worked on, and when it is whole; of its order, and of the archive."""
    recipe_id, held = film(ledger)
    order_id = order_for(ledger, recipe_id).id
    one = leased(ledger, recipe_id)
    films.finish(ledger, one.token, made(one))
    of_order = film_figures.frames_of_order(ledger, order_id)
    assert (of_order.films, of_order.frames, of_order.done) == (1, 480, 200)
    of_archive = film_figures.frames_of_archive(ledger, recipe_id)
    assert (of_archive.films, of_archive.frames, of_archive.done) == (1, 480, 200)
    assert of_archive.seconds == 20.0
    # A shot of 200 frames took 1.5 s.
    assert of_order.eta_s == of_archive.eta_s == pytest.approx(280 * 1.5 / 200)
    assert of_archive.in_words().endswith("about 2 s left")
    finish_shots(ledger, recipe_id)
    ledger.finish(held.token, [done(held.items[0].id)])
    whole = film_figures.frames_of_archive(ledger, recipe_id)
    assert (whole.done, whole.eta_s) == (480, None)
    assert film_figures.frames_of_archive(ledger, None).share == 1.0
    assert film_figures.frames_of_archive(ledger, recipe_id + 1).done == 0


def test_killed_worker_costs_a_shot(ledger: Ledger) -> None:
    """Its lease runs out, and another does it; what it says afterwards counts no more."""
    recipe_id, held = film(ledger, shots=SHOTS[:1])
    late = leased(ledger, recipe_id, worker="late")
    assert films.lease(ledger, asked(ledger, recipe_id)) is None
    ledger.expire_leases(["late"])
    again = leased(ledger, recipe_id)
    assert (again.id, again.attempt) == (late.id, 2)
    assert films.renew(ledger, late.token, lease_s=60) == 0
    assert not films.finish(ledger, late.token, made(late))
    assert not films.give_back(ledger, late.token)
    assert films.finish(ledger, again.token, made(again))
    assert films.finish(ledger, again.token, made(again)), "said twice, where an answer was lost"
    assert films.standing(ledger, held.token, held.items[0].id).is_done


def test_renewed_lease_lasts(ledger: Ledger) -> None:
    """By the database's clock, for its full length from then."""
    recipe_id, held = film(ledger, shots=SHOTS[:1])
    one = leased(ledger, recipe_id)
    assert films.renew(ledger, one.token, lease_s=600) == 1
    due_in_s = films.standing(ledger, held.token, held.items[0].id).due_in_s
    assert due_in_s is not None
    assert 500 < due_in_s <= 600


def test_dead_holder_costs_nothing_that_was_done(ledger: Ledger) -> None:
    """Whoever claims the item next goes on; and a film that gets on is never quarantined."""
    recipe_id, _ = film(ledger)
    for shot_done in range(3):
        found = leased(ledger, recipe_id)
        assert films.finish(ledger, found.token, made(found))
        ledger.expire_leases(["holder"])
        held = claim(ledger, recipe_id, worker="holder", max_attempts=2)
        assert held.items[0].attempt == 2, "one attempt counts, and the one before"
        assert films.standing(ledger, held.token, held.items[0].id).done == shot_done + 1
    assert films.standing(ledger, held.token, held.items[0].id).is_done


def test_leases_of_the_dead_run_out_at_once(ledger: Ledger) -> None:
    """Where their process is known to be gone, as claims do."""
    recipe_id, _ = film(ledger, shots=SHOTS[:1])
    leased(ledger, recipe_id)
    assert ledger.open_workers() == {"holder", "helper"}
    assert ledger.expire_leases(["helper"]) == 1
    assert ledger.open_workers() == {"holder"}
    assert leased(ledger, recipe_id).attempt == 2


def test_film_that_never_gets_on_kills_no_more_workers_than_a_scan(ledger: Ledger) -> None:
    """Its item's attempts are used up like any other's."""
    recipe_id, _ = film(ledger)
    for _ in range(2):
        ledger.expire_leases(["holder"])
        claim_batch(ledger, recipe_id, worker="holder", max_attempts=3, limit=1)
    ledger.expire_leases(["holder"])
    assert claim_batch(ledger, recipe_id, limit=1) is None
    assert statuses(ledger, recipe_id) == {"quarantined": 1}


def test_shot_that_kills_its_workers_fails_with_its_reason(ledger: Ledger) -> None:
    """After the last attempt it is leased no more, and the others are."""
    recipe_id, held = film(ledger, shots=SHOTS[:2])
    for _ in range(2):
        assert leased(ledger, recipe_id).number == 1
        ledger.expire_leases(["helper"])
    assert leased(ledger, recipe_id, max_attempts=2).number == 2
    told = films.standing(ledger, held.token, held.items[0].id)
    assert told.failed is not None
    assert (told.failed.number, told.failed.reason) == (1, Reason.KILLED_WORKER)
    assert told.failed.detail == "the lease of helper ran out"


@pytest.mark.parametrize(
    ("reason", "status"),
    [(Reason.TONE_GATE, ShotStatus.FAILED), (Reason.STORAGE_UNAVAILABLE, ShotStatus.OPEN)],
)
def test_reason_decides_whether_a_shot_is_tried_again(
    ledger: Ledger, reason: Reason, status: ShotStatus
) -> None:
    """Where the world was at fault, after a while, until its attempts are used up."""
    recipe_id, held = film(ledger, shots=SHOTS[:1])
    one = leased(ledger, recipe_id)
    assert films.fail(ledger, one.token, reason, "why\0", max_attempts=2, wait_s=60)
    (row,) = films.list_shots(ledger, held.items[0].id)
    assert (row.status, row.reason, row.detail) == (status, reason, "why")
    assert films.lease(ledger, asked(ledger, recipe_id)) is None


def test_shot_that_was_tried_often_enough_fails(ledger: Ledger) -> None:
    """Whatever its reason; the film's holder is told which it is."""
    recipe_id, held = film(ledger, shots=SHOTS[:1])
    for _ in range(2):
        one = leased(ledger, recipe_id)
        films.fail(ledger, one.token, Reason.TIMEOUT, "slow", max_attempts=2, wait_s=0)
    assert films.lease(ledger, asked(ledger, recipe_id)) is None
    failed = films.standing(ledger, held.token, held.items[0].id).failed
    assert failed is not None
    assert (failed.number, failed.reason, failed.detail) == (1, Reason.TIMEOUT, "slow")


def test_shot_given_back_is_not_counted(ledger: Ledger) -> None:
    """As for items: nobody was at fault."""
    recipe_id, _ = film(ledger, shots=SHOTS[:1])
    assert films.give_back(ledger, leased(ledger, recipe_id).token)
    assert leased(ledger, recipe_id).attempt == 1


def test_final_outcome_is_not_tried_again(ledger: Ledger) -> None:
    """A film whose shots were tried often enough fails at once; a retry has them tried anew."""
    recipe_id, held = film(ledger, shots=SHOTS[:1])
    item_id = held.items[0].id
    one = leased(ledger, recipe_id)
    films.fail(ledger, one.token, Reason.TIMEOUT, "too slow", max_attempts=1, wait_s=0)
    ended = Outcome(item_id, ItemStatus.FAILED, Reason.TIMEOUT, "shot 1: too slow", is_final=True)
    ledger.finish(held.token, [ended])
    assert statuses(ledger, recipe_id) == {"failed": 1}
    assert ledger.retry(ItemFilter(), who="engineer", why="a faster machine") == 1
    claim(ledger, recipe_id)
    assert leased(ledger, recipe_id).attempt == 1


def test_changed_film_has_new_shots(ledger: Ledger) -> None:
    """What was coloured of other bytes is refused, and forgotten."""
    recipe_id, held = film(ledger)
    one = leased(ledger, recipe_id)
    ledger.record_listing(SOURCE, [Listed(keys(1)[0]).changed()], collection="photographs")
    assert not films.finish(ledger, one.token, made(one))
    assert not films.standing(ledger, held.token, held.items[0].id).is_held
    again = claim(ledger, recipe_id)
    item_id = again.items[0].id
    assert films.standing(ledger, again.token, item_id).is_held
    assert not films.standing(ledger, held.token, item_id).is_held, "another claim has it"
    assert item_id == held.items[0].id
    assert again.items[0].revision == 2
    assert films.take_up(ledger, again.token, item_id) == 0
    assert ledger.get_story(again.items[0].uri).scan.frames is None
    films.record_shots(ledger, again.token, item_id, SHOTS[:2], FACTS)
    assert [row.number for row in films.list_shots(ledger, item_id)] == [1, 2]
    late = replace(asked(ledger, recipe_id, item_id=item_id), revision=1)
    assert films.lease(ledger, late) is None, "who has the bytes before gets none of these"
    assert films.lease(ledger, replace(late, revision=2)) is not None


def test_nothing_is_leased_of_an_order_that_does_not_run(ledger: Ledger) -> None:
    """Paused or cancelled, however lately a worker has looked."""
    recipe_id, _ = film(ledger)
    wanted = asked(ledger, recipe_id)
    orders.pause(ledger, wanted.order_id, who="engineer", why="a demonstration")
    assert films.lease(ledger, wanted) is None
    orders.resume(ledger, wanted.order_id, who="engineer", why="it is over")
    assert orders.get(ledger, wanted.order_id).state is not OrderState.PAUSED


def test_shots_of_one_film_alone(ledger: Ledger) -> None:
    """For its holder; who has another film gets none of it."""
    recipe_id, held = film(ledger)
    item_id = held.items[0].id
    assert films.lease(ledger, asked(ledger, recipe_id, item_id=item_id + 1)) is None
    assert films.lease(ledger, asked(ledger, recipe_id, item_id=item_id)) is not None


def test_open_shots_are_work_for_those_who_have_none(ledger: Ledger) -> None:
    """An order is due while a shot is open, and as many shares are opened as there are shots."""
    recipe_id, _ = film(ledger)
    order_id = order_for(ledger, recipe_id).id
    assert next_due_s(ledger, recipe_id) == 0
    assert orders.is_due(ledger, order_id, within_s=0)
    opened = orders.open_shares(ledger, window=8, sizes={order_id: Size(64, None, None)})
    assert len(opened) == 1 + len(SHOTS), "for the holder, and for each shot"
    for _ in SHOTS:
        leased(ledger, recipe_id)
    due_s = next_due_s(ledger, recipe_id)
    assert due_s is not None
    assert due_s > 1, "all are in good hands"


def test_film_is_made_again_by_decision(ledger: Ledger) -> None:
    """Its shots stay done while their segments are there; without one, a shot is opened."""
    recipe_id, held = film(ledger)
    finish_shots(ledger, recipe_id)
    item_id = held.items[0].id
    ledger.finish(held.token, [done(item_id)])
    ledger.decide(DecisionKind.REDO, ItemFilter(), who="engineer", why="damaged")
    again = claim(ledger, recipe_id)
    assert films.standing(ledger, again.token, item_id).is_done
    assert films.reopen(ledger, again.token, item_id, [2])
    assert leased(ledger, recipe_id).number == 2
    assert not films.forget_segments(ledger, item_id), "it is being made: they are needed"
    ledger.finish(again.token, [done(item_id)])
    assert films.forget_segments(ledger, item_id)
    assert not any(one.segment_key for one in films.list_shots(ledger, item_id))
    assert not films.forget_segments(ledger, item_id)
    assert not films.reopen(ledger, again.token, item_id, [1]), "it is whole, and in no hands"
    assert films.list_shots(ledger, item_id)[0].status is ShotStatus.DONE

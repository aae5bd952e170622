"""What the desk asks the ledger: the queue, decisions about what was seen, undo, people."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from tasks.errors import Reason, UsageError
from tasks.ledger import ItemFilter, ItemStatus, Ledger
from tasks.ledger.curating import (
    DecidedMeanwhile,
    DeskItem,
    Judgement,
    Place,
    Queue,
    decide,
    desk_item,
    latest_decision,
    news_since,
    queue,
    undo,
    waiting,
)
from tasks.ledger.curating.search import search
from tasks.ledger.orders import OrderMode
from tasks.ledger.people import (
    Role,
    add_person,
    begin_session,
    check_password,
    end_session,
    find_session,
    list_people,
    remove_person,
)
from tasks.schema import DecisionKind, scan
from tests.orders import enqueue
from tests.tasks.ledger.building import (
    SOURCE,
    check_tallies,
    claim,
    done,
    enqueued,
    finish_all,
    keys,
    listing,
    recipe,
    statuses,
)


@pytest.fixture
def reviewed(ledger: Ledger) -> Ledger:
    """Nine items that wait, of two collections, for three reasons, each with its confidence."""
    recipe_id = recipe(ledger)
    for collection, prefix in (("letters", "a"), ("maps", "b")):
        found = listing(f"{prefix}/{key}" for key in keys(6))
        ledger.record_listing(f"{SOURCE}/{prefix}", found, collection=collection)
    enqueue(ledger, recipe_id)
    held = claim(ledger, recipe_id)
    reasons = (None, Reason.LOW_CONFIDENCE, Reason.TONED)
    outcomes = []
    for number, one in enumerate(held.items[:9]):
        made = replace(
            done(one.id, sha256=f"{number:064x}"),
            reason=reasons[number % 3],
            confidence=((number * 7) % 9) / 10,
        )
        outcomes.append(made)
    ledger.finish(held.token, outcomes)
    ledger.give_back(held.token)
    return ledger


def walk(ledger: Ledger, chosen: Queue, *, backwards: bool = False, step: int = 2) -> list[int]:
    """Every item of a queue, a few at a time."""
    found: list[int] = []
    after: Place | None = None
    if backwards:
        after = queue(ledger, chosen, limit=1000)[-1][0]
        found.append(after.id)
    while rows := queue(ledger, chosen, after=after, limit=step, backwards=backwards):
        found += [row.id for _, row in rows]
        after = Place.read(str(rows[-1][0]))
    return found


@pytest.mark.parametrize("order", ["unsure", "oldest", "newest"])
def test_a_queue_is_walked_to_its_end_and_back(reviewed: Ledger, order: str) -> None:
    """Each item once, in order, whichever collection and reason it is of."""
    chosen = Queue(order=order)  # type: ignore[arg-type]
    found = walk(reviewed, chosen)
    rows = {row.id: row for row in reviewed.list_items(ItemFilter(), limit=100)}
    assert len(found) == len({*found}) == 9
    if order == "unsure":
        confidences = [rows[number].confidence or 0 for number in found]
        assert confidences == sorted(confidences)
    else:
        times = [rows[number].changed_at for number in found]
        assert times == sorted(times, reverse=order == "newest")
    assert walk(reviewed, chosen, backwards=True) == found[::-1]


def test_a_queue_is_filtered(reviewed: Ledger) -> None:
    """By collection, reason, confidence, time and place, and by all of them at once."""
    everything = queue(reviewed, Queue(), limit=100)
    toned = queue(reviewed, Queue(reason=Reason.TONED), limit=100)
    assert {row.reason for _, row in toned} == {Reason.TONED}
    assert len(toned) == 3
    none = queue(reviewed, Queue(reason="none"), limit=100)
    assert {row.reason for _, row in none} == {None}
    unsure = queue(reviewed, Queue(most=0.3), limit=100)
    assert [row.confidence for _, row in unsure] == [0.0, 0.1, 0.2, 0.3]
    letters = queue(reviewed, Queue(collection="letters", least=0.4), limit=100)
    assert {row.collection for _, row in letters} == {"letters"}
    now = everything[0][1].changed_at
    assert queue(reviewed, Queue(since=now + timedelta(hours=1)), limit=100) == []
    assert len(queue(reviewed, Queue(until=now + timedelta(hours=1)), limit=100)) == 9
    within = queue(reviewed, Queue(within=f"{SOURCE}/b/b/"), limit=100)
    assert {row.collection for _, row in within} == {"maps"}
    assert walk(reviewed, Queue(within=f"{SOURCE}/b/b/")) == [row.id for _, row in within]
    counted = waiting(reviewed)
    assert sum(one.items for one in counted) == 9
    assert {one.reason for one in counted} == {"", "low_confidence", "toned"}


def test_items_without_a_confidence_stand_last(reviewed: Ledger) -> None:
    """And are reached, from either side."""
    recipe_id = recipe(reviewed)
    held = claim(reviewed, recipe_id)
    last = [replace(done(one.id, sha256=f"{one.id:064x}"), confidence=None) for one in held.items]
    reviewed.finish(held.token, last)
    found = walk(reviewed, Queue())
    assert {*found[9:]} == {one.item_id for one in last}
    assert walk(reviewed, Queue(), backwards=True) == found[::-1]


@pytest.mark.parametrize("text", ["", "x", "~", "~-1", "1~²", f"0.5~{'9' * 40}"])
def test_a_place_that_is_none_is_refused(text: str) -> None:
    """In one line, whatever a URL holds."""
    with pytest.raises(UsageError, match="no place"):
        Place.read(text)


def test_a_place_of_another_order_is_refused(reviewed: Ledger) -> None:
    """Instead of the wrong items."""
    place = queue(reviewed, Queue(order="oldest"), limit=1)[0][0]
    for chosen in (Queue(), Queue(within=f"{SOURCE}/a/a/")):
        with pytest.raises(UsageError, match="another order"):
            queue(reviewed, chosen, after=place)
    with pytest.raises(UsageError, match="another order"):
        queue(reviewed, Queue(order="oldest"), after=Place("0.5", 1))


def seen(ledger: Ledger, item_id: int) -> DeskItem:
    """An item that must be there."""
    found = desk_item(ledger, item_id)
    assert found is not None
    return found


def judged(one: DeskItem, kind: DecisionKind, who: str = "Anna", why: str = "") -> Judgement:
    """What somebody decides about an item as it was shown."""
    return Judgement(one.row.id, kind, who, why, one.seen, seconds=2.5)


@pytest.fixture
def shown(ledger: Ledger) -> DeskItem:
    """One item of two that wait for review."""
    recipe_id = enqueued(ledger, 2)
    held = claim(ledger, recipe_id)
    ledger.finish(
        held.token,
        [
            replace(done(one.id, sha256=f"{one.id:064x}"), reason=Reason.TONED, detail="sepia")
            for one in held.items
        ],
    )
    return seen(ledger, held.items[0].id)


@pytest.mark.parametrize(
    ("kind", "becomes"),
    [
        (DecisionKind.APPROVE, ItemStatus.PUBLISHED),
        (DecisionKind.REJECT, ItemStatus.REJECTED),
        (DecisionKind.HOLD, ItemStatus.HELD),
    ],
)
def test_a_decision_is_carried_out_and_taken_back(
    ledger: Ledger, shown: DeskItem, kind: DecisionKind, becomes: ItemStatus
) -> None:
    """As the command line's, with who, why and how long; undone, the item is what it was."""
    made = decide(ledger, judged(shown, kind, why="so"))
    assert made.status == becomes
    after = seen(ledger, shown.row.id)
    assert (after.decisions[-1].kind, after.decisions[-1].who) == (kind, "Anna")
    assert after.decisions[-1].why == "so"
    assert made.decision_id == after.decisions[-1].id
    assert after.is_held == (kind is DecisionKind.HOLD)
    undone = undo(ledger, made.decision_id or 0, who="Anna")
    assert undone.items == {shown.row.id: ItemStatus.REVIEW}
    again = seen(ledger, shown.row.id)
    assert (again.row.status, again.row.reason) == (ItemStatus.REVIEW, Reason.TONED)
    assert again.row.detail == "sepia"
    assert not again.is_held
    assert again.decisions[-1].kind is DecisionKind.UNDO
    # Nothing of it stands: what a worker makes of the same bytes is not refused.
    assert decide(ledger, judged(again, DecisionKind.APPROVE)).status == ItemStatus.PUBLISHED
    check_tallies(ledger)


def test_an_item_that_was_undone_waits_in_its_night(ledger: Ledger, shown: DeskItem) -> None:
    """It waits since it was coloured, not since somebody changed his mind."""
    made = decide(ledger, judged(shown, DecisionKind.APPROVE))
    undo(ledger, made.decision_id or 0, who="Anna")
    again = seen(ledger, shown.row.id)
    assert abs(again.row.changed_at - shown.row.changed_at) < timedelta(milliseconds=50)


def test_the_second_at_the_same_item_is_told(ledger: Ledger, shown: DeskItem) -> None:
    """Who was faster, and what he decided; nothing is changed."""
    decide(ledger, judged(shown, DecisionKind.APPROVE, "Anna"))
    with pytest.raises(DecidedMeanwhile, match="approve by Anna") as told:
        decide(ledger, judged(shown, DecisionKind.REJECT, "Ben"))
    assert told.value.status == ItemStatus.PUBLISHED
    assert statuses(ledger) == {"published": 1, "review": 1}
    with pytest.raises(UsageError, match="no item"):
        decide(ledger, replace(judged(shown, DecisionKind.REJECT), item_id=999))


def test_what_cannot_be_decided_is_refused(ledger: Ledger, shown: DeskItem) -> None:
    """By kind, and by where the item stands."""
    with pytest.raises(UsageError, match="approve, reject or hold"):
        decide(ledger, judged(shown, DecisionKind.PROMOTE))
    decide(ledger, judged(shown, DecisionKind.REJECT))
    with pytest.raises(DecidedMeanwhile, match="does not apply"):
        decide(ledger, judged(seen(ledger, shown.row.id), DecisionKind.REJECT))


def test_only_what_nobody_decided_since_is_taken_back(ledger: Ledger, shown: DeskItem) -> None:
    """Of many, the others are; of none, nothing is recorded."""
    assert ledger.approve(ItemFilter(), who="Anna", why="") == 2
    first = seen(ledger, shown.row.id).decisions[-1].id
    ledger.hold(ItemFilter(ids=[shown.row.id]), who="Ben", why="rights")
    undone = undo(ledger, first, who="Anna")
    assert undone.passed_over == 1
    assert statuses(ledger) == {"held": 1, "review": 1}
    before = latest_decision(ledger)
    assert undo(ledger, first, who="Anna").decision_id is None
    assert latest_decision(ledger) == before
    with pytest.raises(UsageError, match="no decision"):
        undo(ledger, 999, who="Anna")
    with pytest.raises(UsageError, match="not taken back"):
        undo(ledger, undone.decision_id or 0, who="Anna")


def test_undoing_an_approval_restores_what_it_replaced(ledger: Ledger) -> None:
    """The older recipe's derivative is in use again."""
    finish_all(ledger, claim(ledger, enqueued(ledger, 1)), ItemStatus.PUBLISHED)
    newer = recipe(ledger, "b")
    assert enqueue(ledger, newer, mode=OrderMode.ALL) == 1
    finish_all(ledger, claim(ledger, newer))
    old, new = ledger.list_items(ItemFilter(), limit=10)
    made = decide(ledger, judged(seen(ledger, new.id), DecisionKind.APPROVE))
    assert seen(ledger, old.id).row.status == ItemStatus.SUPERSEDED
    undo(ledger, made.decision_id or 0, who="Anna")
    assert seen(ledger, old.id).row.status == ItemStatus.PUBLISHED
    assert seen(ledger, new.id).row.status == ItemStatus.REVIEW


def test_undoing_an_approval_restores_the_no_that_it_lifted(ledger: Ledger) -> None:
    """What is made of the same bytes later waits for a person, as it did before."""
    finish_all(ledger, claim(ledger, enqueued(ledger, 1)))
    (row,) = ledger.list_items(ItemFilter(), limit=10)
    decide(ledger, judged(seen(ledger, row.id), DecisionKind.REJECT))
    made = decide(ledger, judged(seen(ledger, row.id), DecisionKind.APPROVE))
    undo(ledger, made.decision_id or 0, who="Anna")
    assert seen(ledger, row.id).row.status == ItemStatus.REJECTED
    ledger.record_listing(f"{SOURCE}/copy", listing(["copy.tif"]), collection="copies")
    recipe_id = recipe(ledger)
    enqueue(ledger, recipe_id)
    held = claim(ledger, recipe_id)
    ledger.finish(held.token, [done(held.items[0].id, ItemStatus.PUBLISHED)])
    copy = seen(ledger, held.items[0].id)
    assert (copy.row.status, copy.row.reason) == (ItemStatus.REVIEW, Reason.DECIDED_BEFORE)


def test_what_is_undone_gives_way_to_what_was_published_since(ledger: Ledger) -> None:
    """Of a scan no two derivatives are open to users, whoever takes what back."""
    finish_all(ledger, claim(ledger, enqueued(ledger, 1)), ItemStatus.PUBLISHED)
    (old,) = ledger.list_items(ItemFilter(), limit=10)
    rejected = decide(ledger, judged(seen(ledger, old.id), DecisionKind.REJECT))
    newer = recipe(ledger, "b")
    assert enqueue(ledger, newer, mode=OrderMode.ALL) == 1
    finish_all(ledger, claim(ledger, newer))
    new = ledger.list_items(ItemFilter(), limit=10)[1]
    approved = decide(ledger, judged(seen(ledger, new.id), DecisionKind.APPROVE, "Ben"))
    undone = undo(ledger, rejected.decision_id or 0, who="Anna")
    assert undone.items == {old.id: ItemStatus.SUPERSEDED}
    assert seen(ledger, new.id).row.status == ItemStatus.PUBLISHED
    undo(ledger, approved.decision_id or 0, who="Ben")
    assert statuses(ledger) == {"review": 1, "superseded": 1}
    check_tallies(ledger)


@pytest.mark.parametrize("kind", [DecisionKind.REJECT, DecisionKind.HOLD])
@pytest.mark.parametrize("by", ["name", "folder", "copy"])
def test_undo_ends_nobody_elses_hold(ledger: Ledger, kind: DecisionKind, by: str) -> None:
    """What Rita holds stays held, though Anna's no came first; a release publishes nothing."""
    ledger.record_listing(f"{SOURCE}/a", listing(["1.tif", "2.tif"]), collection="letters")
    recipe_id = recipe(ledger)
    enqueue(ledger, recipe_id)
    held = claim(ledger, recipe_id)
    copies = [done(one.id, ItemStatus.PUBLISHED, sha256=f"{7:064x}") for one in held.items]
    ledger.finish(held.token, copies)
    one, copy = ledger.list_items(ItemFilter(), limit=10)
    made = decide(ledger, judged(seen(ledger, one.id), kind))
    place = {"name": one.uri, "folder": f"{SOURCE}/a/", "copy": copy.uri}[by]
    ledger.hold(ItemFilter(uri=place), who="Rita", why="sacred")
    undone = undo(ledger, made.decision_id or 0, who="Anna")
    assert undone.items[one.id] == ItemStatus.HELD
    assert seen(ledger, one.id).is_held
    ledger.release(ItemFilter(uri=place), who="Rita", why="agreed")
    ledger.release(ItemFilter(uri=one.uri), who="Rita", why="agreed")
    assert seen(ledger, one.id).row.status == ItemStatus.REVIEW
    assert not seen(ledger, one.id).is_held
    check_tallies(ledger)


def test_two_must_agree(ledger: Ledger, shown: DeskItem) -> None:
    """Of two who differ neither is carried out; a third one tips the balance."""
    first = decide(ledger, judged(shown, DecisionKind.APPROVE, "Anna"), must_agree=2)
    assert (first.decision_id, first.status) == (None, ItemStatus.REVIEW)
    again = decide(ledger, judged(shown, DecisionKind.APPROVE, "Anna"), must_agree=2)
    assert again.decision_id is None
    second = decide(ledger, judged(shown, DecisionKind.REJECT, "Ben", "odd"), must_agree=2)
    assert [one.who for one in second.others] == ["Anna"]
    assert {one.who for one in seen(ledger, shown.row.id).opinions} == {"Anna", "Ben"}
    third = decide(ledger, judged(shown, DecisionKind.REJECT, "Cleo"), must_agree=2)
    assert third.status == ItemStatus.REJECTED
    after = seen(ledger, shown.row.id)
    assert after.decisions[-1].who == "Ben and Cleo"
    assert after.decisions[-1].why == "odd"
    assert after.opinions == ()


def test_news_are_of_all_that_was_decided(ledger: Ledger, shown: DeskItem) -> None:
    """By whomever, from wherever."""
    before = latest_decision(ledger)
    ledger.approve(ItemFilter(ids=[shown.row.id]), who="a script", why="")
    (told,) = news_since(ledger, before, {*range(before + 1)})
    assert told.items == {shown.row.id: ItemStatus.PUBLISHED}
    assert (told.who, told.is_whole) == ("a script", True)
    assert news_since(ledger, before, {told.decision_id, *range(before + 1)}) == []


def test_people_are_let_in_and_out(ledger: Ledger) -> None:
    """By password; what is kept of it is not it. Another password ends sessions, too."""
    add_person(ledger, "Anna", Role.DECIDE, password="correct horse")
    assert check_password(ledger, "Anna", "correct horse") is not None
    assert check_password(ledger, "Anna", "correct horsf") is None
    assert check_password(ledger, "Ben", "correct horse") is None
    (anna,) = list_people(ledger)
    token = begin_session(ledger, anna, hours=1)
    found = find_session(ledger, token)
    assert found is not None
    assert found.person == anna
    assert find_session(ledger, token + "x") is None
    end_session(ledger, token)
    assert find_session(ledger, token) is None
    token = begin_session(ledger, anna, hours=1)
    add_person(ledger, "Anna", Role.LOOK, password="another horse")
    assert find_session(ledger, token) is None
    remove_person(ledger, "Anna")
    assert list_people(ledger) == []
    with pytest.raises(UsageError, match="nobody yet"):
        remove_person(ledger, "Anna")


def test_a_session_ends_by_itself(ledger: Ledger) -> None:
    """By the database's clock."""
    add_person(ledger, "Anna", Role.LOOK, password="correct horse")
    (anna,) = list_people(ledger)
    token = begin_session(ledger, anna, hours=-1)
    assert find_session(ledger, token) is None


def test_who_comes_by_a_proxy_has_no_password(ledger: Ledger) -> None:
    """Not even an empty one."""
    add_person(ledger, "Anna", Role.RUN, password=None)
    assert check_password(ledger, "Anna", "") is None
    for name in ("", " x", "a:b", "a\nb"):
        with pytest.raises(UsageError, match="no name"):
            add_person(ledger, name, Role.LOOK, password=None)
    with pytest.raises(UsageError, match="too short"):
        add_person(ledger, "Ben", Role.LOOK, password="short")


def test_items_are_found_by_words_of_names_and_titles(ledger: Ledger) -> None:
    """What was read of the file's title is kept; neither case nor patterns in it matter."""
    recipe_id = enqueued(ledger, 3)
    held = claim(ledger, recipe_id)
    titles = ("A Mill at Dusk", "50 % of it*", None)
    ledger.finish(
        held.token,
        [
            replace(done(one.id, sha256=f"{one.id:064x}"), title=title)
            for one, title in zip(held.items, titles, strict=True)
        ],
    )
    ids = [one.id for one in held.items]

    def found(text: str) -> list[int]:
        return [one.row.id for one in search(ledger, text, limit=10)]

    for text in ("mill at", "DUSK", "a mi", 'dusk" "mill', "mill' & dusk:*", "dusk-mill"):
        assert found(text) == ids[:1], text
    assert found("50 % of") == ids[1:2]
    assert found("it*") == ids[1:2]
    assert found("0002.ti") == ids[2:]
    for text in ("%", "*'", '"', "mill NOT dusk", "mill mole", "\\", "m"):
        assert found(text) == [], text
    assert found("box/0002.tif") == ids[2:]
    assert found(f"{ids[0]:064x}") == ids[:1]
    assert found(str(ids[1])) == ids[1:2]
    assert found("nothing like it") == []
    assert seen(ledger, ids[0]).scan.title == "A Mill at Dusk"
    first = scan.c.sha256 == f"{ids[0]:064x}"
    ledger.write(lambda c: c.execute(update(scan).where(first).values(title="An oil press")))
    assert (found("mill"), found("press")) == ([], ids[:1])
    ledger.write(lambda c: c.execute(update(scan).where(first).values(sha256=None)))
    assert found("press") == []  # it changed, and was not read since

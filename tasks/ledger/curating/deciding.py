"""Decisions of a curator who looks at one item, and taking decisions back.

They are the ledger's own (`tasks.ledger.decisions`, `holds`). What is added here: the item must be
what the curator saw, two may have to agree, how long it took is kept, and undo.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update

from tasks.errors import AutochromeError, UsageError
from tasks.ledger import decisions, holds, refusals, sql
from tasks.ledger.curating.item import Opinion, opinions_of
from tasks.ledger.engine import writes
from tasks.ledger.records import ItemFilter
from tasks.ledger.records.reading import DecisionRow
from tasks.ledger.story import decisions_of
from tasks.schema import DecisionKind, ItemStatus, decision, item, opinion

#: What a curator may decide about one item, and from which statuses.
DECIDED_AT_DESK = {
    DecisionKind.APPROVE: frozenset({ItemStatus.REVIEW, ItemStatus.REJECTED}),
    DecisionKind.REJECT: frozenset({ItemStatus.REVIEW, ItemStatus.PUBLISHED}),
    DecisionKind.HOLD: frozenset(holds.HELD_FROM),
}
#: What two people must want where the settings say so; a hold is carried out at once.
TWO_AGREE = frozenset({DecisionKind.APPROVE, DecisionKind.REJECT})
_LONGEST_S = 3600.0  # whoever took longer was away


class DecidedMeanwhile(AutochromeError):
    """The item is no longer what the curator saw: somebody decided, or it was coloured anew."""

    def __init__(
        self, item_id: int, status: ItemStatus, last: DecisionRow | None, said: str = ""
    ) -> None:
        self.item_id = item_id
        self.status = status
        self.last = last  #: what was decided about it last
        if said:
            said = f"item {item_id} is {status}: {said}"
        elif last is None:
            said = f"item {item_id} is {status} by now; look at it again"
        else:
            said = (
                f"item {item_id} is {status} by now: {last.kind} by {last.who} at "
                f"{last.decided_at:%H:%M} on {last.decided_at.day} {last.decided_at:%B %Y}"
            )
        super().__init__(said)


@dataclass(frozen=True)
class Judgement:
    """What a curator decides about an item.

    Attributes:
        item_id: About which.
        kind: Approve, reject or hold.
        who: Decides.
        why: The reason, for the record; may be empty.
        seen: The item as the curator saw it (`DeskItem.seen`).
        seconds: How long it was looked at, where that was measured.
    """

    item_id: int
    kind: DecisionKind
    who: str
    why: str
    seen: str
    seconds: float | None = None


@dataclass(frozen=True)
class JudgementResult:
    """What became of a judgement.

    Attributes:
        decision_id: To take it back with; None where it waits for a second person.
        status: Where the item stands now.
        others: What others think of it, where two must agree and do not yet.
    """

    decision_id: int | None
    status: ItemStatus
    others: tuple[Opinion, ...] = ()


@writes
def decide(connection: Connection, judged: Judgement, *, must_agree: int = 1) -> JudgementResult:
    """Carry out what a curator decides, or note it where a second person must agree.

    Args:
        connection: To the ledger.
        judged: What is decided.
        must_agree: How many people must want the same, 1 or 2. A hold is carried out at once.

    Raises:
        DecidedMeanwhile: The item is not what the curator saw, or cannot go that way from there.
        UsageError: There is no such item.
    """
    allowed = DECIDED_AT_DESK.get(judged.kind)
    if allowed is None:
        raise UsageError(f"{judged.kind} is not decided here; approve, reject or hold")
    refusals.lock(connection)  # before the item: whoever works takes both in this order
    status = check_seen(connection, judged.item_id, judged.seen)
    if status not in allowed:
        raise DecidedMeanwhile(judged.item_id, status, None, f"{judged.kind} does not apply to it")
    who, why = judged.who, judged.why
    agreed: dict[str, list[int]] = {}
    if must_agree > 1 and judged.kind in TWO_AGREE:
        others = [one for one in opinions_of(connection, judged.item_id) if one.who != who]
        agreeing = [one for one in others if one.kind == judged.kind]
        if not agreeing:
            _note(connection, judged)
            return JudgementResult(None, status, tuple(others))
        agreed = {agreeing[0].who: [judged.item_id], sql.storable(who): [judged.item_id]}
        who = f"{agreeing[0].who} and {who}"
        why = "; ".join(dict.fromkeys(filter(None, (agreeing[0].why, why))))
    chosen = ItemFilter(ids=[judged.item_id], statuses=[status])
    if judged.kind is DecisionKind.HOLD:
        moved = holds.hold(connection, chosen, who=who, why=why)
    else:
        moved = decisions.decide(connection, judged.kind, chosen, who=who, why=why, agreed=agreed)
    last = decisions_of(connection, judged.item_id)[-1:]
    if not moved or not last or last[0].became is None:
        said = (
            "and stays so, for its scan is held, or holds other bytes by now, or shots of it were "
            "turned down: have the film made anew first"
        )
        raise DecidedMeanwhile(judged.item_id, status, last[0] if last else None, said)
    if must_agree > 1:
        connection.execute(delete(opinion).where(opinion.c.item_id == judged.item_id))
    if judged.seconds is not None and 0 <= judged.seconds <= _LONGEST_S:
        timed = update(decision).where(decision.c.id == last[0].id)
        connection.execute(timed.values(seconds=judged.seconds))
    return JudgementResult(last[0].id, last[0].became)


@writes
def take_back_opinion(connection: Connection, item_id: int, *, who: str) -> bool:
    """Forget what one of two who must agree thought; whether there was anything."""
    mine = delete(opinion).where(opinion.c.item_id == item_id, opinion.c.who == who)
    return sql.affected(connection, mine) > 0


def check_seen(connection: Connection, item_id: int, seen: str) -> ItemStatus:
    """The item's status, if it is what a curator saw; nobody else changes it meanwhile.

    Raises:
        DecidedMeanwhile: It is not.
        UsageError: There is no such item.
    """
    found = connection.execute(
        select(item.c.status, item.c.changed_at).where(item.c.id == item_id).with_for_update()
    ).first()
    if found is None:
        raise UsageError(f"there is no item {item_id}")
    status = ItemStatus(found.status)
    if seen != f"{status}@{found.changed_at.isoformat()}":
        last = decisions_of(connection, item_id)[-1:]
        raise DecidedMeanwhile(item_id, status, last[0] if last else None)
    return status


def _note(connection: Connection, judged: Judgement) -> None:
    connection.execute(
        delete(opinion).where(opinion.c.item_id == judged.item_id, opinion.c.who == judged.who)
    )
    connection.execute(
        opinion.insert().values(
            item_id=judged.item_id,
            who=sql.storable(judged.who),
            kind=judged.kind,
            why=sql.storable(judged.why),
            seconds=judged.seconds,
            given_at=sql.now(),
        )
    )

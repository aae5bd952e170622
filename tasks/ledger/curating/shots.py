"""What a curator says of single shots of a film, and having the film made anew as he says.

A shot that is turned down is kept grey. That is done when the film is made anew, by the next night
or whatever order comes first: until then the film is what it was, and cannot be approved.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, and_, insert, update

from tasks.errors import UsageError
from tasks.ledger import sql
from tasks.ledger.curating.deciding import DecidedMeanwhile, check_seen
from tasks.ledger.decisions import Decision, carry_out, record
from tasks.ledger.engine import writes
from tasks.ledger.films import list_shots
from tasks.ledger.reopening import OPEN_AGAIN
from tasks.schema import (
    DecisionKind,
    ItemStatus,
    ShotStatus,
    ShotVerdict,
    decision_item,
    item,
    shot,
)

#: What is made of a film then may be judged shot by shot.
JUDGED_IN = (ItemStatus.REVIEW, ItemStatus.PUBLISHED, ItemStatus.REJECTED)


@dataclass(frozen=True)
class ShotJudgement:
    """What a curator says of a shot of a film as it was seen; None takes back what was said."""

    item_id: int
    number: int
    verdict: ShotVerdict | None
    who: str
    why: str
    seen: str


@writes
def judge_shot(connection: Connection, judged: ShotJudgement) -> int:
    """Note what a curator says of a shot; returns the decision's number.

    Raises:
        DecidedMeanwhile: The film is not what the curator saw, or has not come to its end.
        UsageError: There is no such film or shot.
    """
    status = check_seen(connection, judged.item_id, judged.seen)
    if status not in JUDGED_IN:
        raise DecidedMeanwhile(judged.item_id, status, None, "its shots are judged when it is made")
    known = {one.number: one for one in list_shots(connection, judged.item_id)}
    if judged.number not in known:
        raise UsageError(f"item {judged.item_id} has no shot {judged.number}")
    said = f"shot {judged.number} {judged.verdict or 'as if nothing had been said'}"
    decision_id = record(
        connection,
        DecisionKind.SHOT,
        who=judged.who,
        why=": ".join(filter(None, (said, judged.why))),
        scope={"shot": judged.number, "verdict": judged.verdict},
    )
    moved = {"decision_id": decision_id, "item_id": judged.item_id, "was": status, "became": status}
    connection.execute(insert(decision_item).values(moved))
    mine = shot.c.id == known[judged.number].id
    connection.execute(
        update(shot).where(mine).values(verdict=judged.verdict, decision_id=decision_id)
    )
    return decision_id


@writes
def make_anew(connection: Connection, item_id: int, *, who: str, seen: str) -> int:
    """Have a film made anew, with what was said of its shots; returns how many those are.

    Raises:
        DecidedMeanwhile: The film is not what the curator saw.
        UsageError: Nothing was said that would change it.
    """
    status = check_seen(connection, item_id, seen)
    anew = [one for one in list_shots(connection, item_id) if one.is_to_be_made_anew]
    if not anew or status not in JUDGED_IN:
        raise UsageError(f"item {item_id}: no shot of it is to be made anew")
    wanted = shot.c.id.in_(sql.these(one.id for one in anew))
    theirs = and_(wanted, shot.c.status == ShotStatus.DONE)
    connection.execute(update(shot).where(theirs).values(OPEN_AGAIN))
    numbers = ", ".join(str(one.number) for one in anew)
    made = Decision(
        DecisionKind.REDO, ItemStatus.PENDING, who, f"shots {numbers} as a curator said"
    )
    carry_out(connection, made, item.c.id == item_id)
    return len(anew)

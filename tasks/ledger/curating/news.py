"""What was decided since: for those who look at a queue while others decide."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from tasks.ledger.engine import reads
from tasks.schema import DecisionKind, ItemStatus, decision, decision_item

_MOST_ITEMS = 500
#: Decisions may be seen out of the order of their numbers: so many are looked at again.
_OVERLAP = 200


@dataclass(frozen=True)
class News:
    """A decision, and the items that it moved."""

    decision_id: int
    kind: DecisionKind
    who: str
    items: dict[int, ItemStatus]  #: the first few hundred
    is_whole: bool  #: there are no others


@reads
def latest_decision(connection: Connection) -> int:
    """The number of the latest decision; 0 where there is none."""
    return connection.execute(select(func.max(decision.c.id))).scalar_one() or 0


@reads
def news_since(connection: Connection, decision_id: int, known: Collection[int]) -> list[News]:
    """Decisions after one, or so little before it that they may have been overlooked."""
    rows = connection.execute(
        select(decision.c.id, decision.c.kind, decision.c.who)
        .where(decision.c.id > decision_id - _OVERLAP)
        .order_by(decision.c.id)
    ).all()
    found = []
    for row in rows:
        if row.id in known:
            continue
        moved = connection.execute(
            select(decision_item.c.item_id, decision_item.c.became)
            .where(decision_item.c.decision_id == row.id)
            .limit(_MOST_ITEMS + 1)
        ).all()
        items = {number: ItemStatus(became) for number, became in moved[:_MOST_ITEMS]}
        whole = len(moved) <= _MOST_ITEMS
        found.append(News(row.id, DecisionKind(row.kind), row.who, items, whole))
    return found

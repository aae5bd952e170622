"""Taking a decision back: its items are what they were, and so is what it said of scans.

Whatever an approval lifted or took the place of stands again (`decisions` notes both in its scope).
What others have decided about the same scans since stands, too: what is held is held, and of two
recipes the one that was published last is in use.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Row,
    and_,
    case,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)

from tasks.errors import UsageError
from tasks.ledger import decisions, holds, refusals, sql
from tasks.ledger.engine import reads, writes
from tasks.schema import (
    DecisionKind,
    ItemStatus,
    attempt,
    decision,
    decision_item,
    held_place,
    item,
    opinion,
    refusal,
)

UNDOABLE = frozenset(
    {
        DecisionKind.APPROVE,
        DecisionKind.REJECT,
        DecisionKind.HOLD,
        DecisionKind.SUPERSEDE,
    }
)


@dataclass(frozen=True)
class Reversal:
    """What was taken back.

    Attributes:
        decision_id: The decision that did it; None where nothing was left to take back.
        items: Items that are what they were before, by their ids.
        passed_over: How many somebody has decided about since.
    """

    decision_id: int | None
    items: Mapping[int, ItemStatus]
    passed_over: int


@dataclass(frozen=True)
class Deciders:
    """Whose a decision is.

    Attributes:
        who: As it is on record.
        names: Each who wanted it for all of its items: one, or those who agreed.
    """

    who: str
    names: frozenset[str]


@reads
def deciders_of(connection: Connection, decision_id: int) -> Deciders:
    """Whose a decision is, and may take it back.

    Raises:
        UsageError: There is none of this number.
    """
    made = _find(connection, decision_id)
    agreed: Mapping[str, Sequence[int]] = made.scope.get("agreed", {made.who: ()})
    most = max(map(len, agreed.values()))
    return Deciders(made.who, frozenset(name for name in agreed if len(agreed[name]) == most))


@writes
def undo(connection: Connection, decision_id: int, *, who: str) -> Reversal:
    """Take a decision back, about one item or many: they are what they were before.

    Items that somebody decided about since are passed over. Of what several agreed on, whoever is
    one of them takes his own word back: what the others want stands, and waits for another again.

    Raises:
        UsageError: There is no such decision, or none of its kind can be taken back.
    """
    refusals.lock(connection)
    made = _find(connection, decision_id)
    if made.kind not in UNDOABLE:
        raise UsageError(f"decision {decision_id} is to {made.kind}: that is not taken back")
    ids, moved = _still_so(connection, decision_id)
    agreed: dict[str, Sequence[int]] = dict(made.scope.get("agreed", {}))
    own = agreed.pop(sql.storable(who), ())
    if not ids:
        _want_no_more(connection, made, sql.storable(who), own)
        return Reversal(None, {}, moved)
    undone = decisions.record(
        connection, DecisionKind.UNDO, who=who, why="", scope={"decision": decision_id}
    )
    _restore(connection, ids, decision_id, undone)
    if made.kind == DecisionKind.APPROVE:
        _refuse_again(connection, made.scope.get("lifted", ()))
        _put_back(connection, decision_id, undone)
    connection.execute(delete(refusal).where(refusal.c.decision_id == decision_id))
    connection.execute(delete(held_place).where(held_place.c.decision_id == decision_id))
    _give_way(connection, undone)
    if own:
        _want_still(connection, made, {name: set(agreed[name]) & set(ids) for name in agreed})
    now = connection.execute(select(item.c.id, item.c.status).where(item.c.id.in_(sql.these(ids))))
    return Reversal(
        undone, {number: ItemStatus(status) for number, status in now}, moved - len(ids)
    )


def _find(connection: Connection, decision_id: int) -> Row[Any]:
    made = connection.execute(select(decision).where(decision.c.id == decision_id)).first()
    if made is None:
        raise UsageError(f"there is no decision {decision_id}")
    return made


def _want_still(
    connection: Connection, made: Row[Any], wanted: Mapping[str, Collection[int]]
) -> None:
    """Those who agreed on a decision want it still, each for these items."""
    said = {"kind": made.kind, "why": made.why}
    rows = [{"who": name, "item_id": n, **said} for name, items in wanted.items() for n in items]
    if rows:
        connection.execute(insert(opinion).values(given_at=sql.now()), rows)


def _want_no_more(connection: Connection, made: Row[Any], who: str, items: Sequence[int]) -> None:
    """Another of those who agreed took it back first: this one wants it no more, either."""
    mine = and_(opinion.c.who == who, opinion.c.kind == made.kind)
    theirs = opinion.c.item_id.in_(sql.these(items))
    connection.execute(delete(opinion).where(mine, theirs))


def _still_so(connection: Connection, decision_id: int) -> tuple[list[int], int]:
    """The items that are what a decision made of them, and how many it was about."""
    later = decision_item.alias("later")
    is_decided_since = select(later.c.item_id).where(
        later.c.item_id == decision_item.c.item_id, later.c.decision_id > decision_id
    )
    mine = decision_item.c.decision_id == decision_id
    found = (
        select(item.c.id)
        .join(decision_item, decision_item.c.item_id == item.c.id)
        .where(mine, item.c.status == decision_item.c.became, ~is_decided_since.exists())
        .order_by(item.c.id)
        .with_for_update(of=item)
    )
    ids = list(connection.execute(found).scalars())
    count = select(func.count()).select_from(decision_item).where(mine)
    return ids, connection.execute(count).scalar_one()


def _restore(connection: Connection, ids: Sequence[int], decision_id: int, undone_id: int) -> None:
    """Items are what they were before a decision; since when, too, where they wait for review."""
    mine = and_(
        decision_item.c.decision_id == decision_id,
        decision_item.c.item_id.in_(sql.these(ids)),
    )
    columns = {
        "decision_id": literal(undone_id, BigInteger()),
        "item_id": decision_item.c.item_id,
        "was": decision_item.c.became,
        "became": decision_item.c.was,
    }
    noted = insert(decision_item).from_select(list(columns), select(*columns.values()).where(mine))
    connection.execute(noted)
    before = (
        select(decision_item.c.item_id, decision_item.c.was, decision_item.c.was_reason)
        .where(mine)
        .cte("before")
    )
    attempts = select(attempt.c.detail, attempt.c.ended_at).where(
        attempt.c.item_id == item.c.id, attempt.c.status == before.c.was
    )
    last = attempts.order_by(attempt.c.id.desc()).limit(1).correlate(item, before)
    detail = last.with_only_columns(attempt.c.detail).scalar_subquery()
    ended_at = last.with_only_columns(attempt.c.ended_at).scalar_subquery()
    waits = before.c.was == ItemStatus.REVIEW
    connection.execute(
        update(item)
        .where(item.c.id == before.c.item_id)
        .values(
            status=before.c.was,
            reason=before.c.was_reason,
            detail=detail,
            changed_at=case((waits, func.coalesce(ended_at, sql.now())), else_=sql.now()),
        )
    )


def _give_way(connection: Connection, undone_id: int) -> None:
    """Restored items are not what others have decided against since."""
    mine = select(decision_item.c.item_id).where(decision_item.c.decision_id == undone_id)
    decisions.keep_held(connection, item.c.id.in_(mine), *holds.HELD_FROM)
    decisions.supersede_restored(connection, undone_id)


def _refuse_again(connection: Connection, lifted: Iterable[Mapping[str, Any]]) -> None:
    """What stood against scans and bytes before they were approved stands again."""
    for row in lifted:
        known = connection.execute(select(refusal.c.id).where(refusal.c.id == row["id"])).first()
        values = {name: row[name] for name in row if name != "id"}
        if known is None:
            connection.execute(insert(refusal).values(values))
        else:
            connection.execute(
                update(refusal).where(refusal.c.id == row["id"]).values(scan_id=row["scan_id"])
            )


def _put_back(connection: Connection, decision_id: int, undone_id: int) -> None:
    """Items of other recipes that the approved ones took the place of are in use again.

    Those of approved ones that somebody has decided about since stay what they are.
    """
    later = select(decision.c.id, decision.c.scope).where(
        decision.c.id > decision_id, decision.c.kind == DecisionKind.SUPERSEDE
    )
    undone = (
        select(item.c.scan_id)
        .join(decision_item, decision_item.c.item_id == item.c.id)
        .where(decision_item.c.decision_id == undone_id)
    )
    for number, scope in connection.execute(later).all():
        if scope.get("after") != decision_id:
            continue
        replaced = (
            select(item.c.id)
            .join(decision_item, decision_item.c.item_id == item.c.id)
            .where(
                decision_item.c.decision_id == number,
                item.c.status == ItemStatus.SUPERSEDED,
                item.c.scan_id.in_(undone),
            )
        )
        if items := connection.execute(replaced).scalars().all():
            _restore(connection, items, number, undone_id)

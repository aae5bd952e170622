"""Moving items by decision: of a curator, an engineer, or the machinery itself.

Each decision is one row that says who, when and why, and a row for each item that it moved. Which
statuses a decision may move from is fixed here; items in others are passed over, whatever the
filter says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    and_,
    func,
    insert,
    literal,
    null,
    select,
    update,
)

from tasks.errors import Reason
from tasks.ledger import refusals, sql
from tasks.ledger.engine import reads
from tasks.ledger.filters import condition_of, scans_at
from tasks.ledger.records import ItemFilter
from tasks.ledger.reopening import is_as_was_said, reopen_failed
from tasks.schema import (
    DecisionKind,
    ItemStatus,
    decision,
    decision_item,
    item,
    refusal,
    scan,
    status_in,
)


@dataclass(frozen=True)
class Move:
    """From which statuses a decision moves items, and where to."""

    sources: tuple[ItemStatus, ...]
    target: ItemStatus
    # Where the filter names no status: only those of the sources that are surely meant.
    by_default: tuple[ItemStatus, ...] | None = None
    # Where it names no status, but the scans.
    by_name: tuple[ItemStatus, ...] | None = None


MOVES = {
    # Attempts anew; quarantined and skipped ones where the filter says so.
    DecisionKind.RETRY: Move(
        (ItemStatus.FAILED, ItemStatus.QUARANTINED, ItemStatus.SKIPPED),
        ItemStatus.PENDING,
        by_default=(ItemStatus.FAILED,),
    ),
    # Older recipes' derivatives of the same scans are superseded; where the filter names the
    # status, rejected ones, too. Items of scans that hold other bytes by now are passed over.
    DecisionKind.APPROVE: Move(
        (ItemStatus.REVIEW, ItemStatus.REJECTED),
        ItemStatus.PUBLISHED,
        by_default=(ItemStatus.REVIEW,),
    ),
    # The same bytes wait for a person from now on, wherever they lie and under whatever recipe;
    # and so does whatever these scans hold later.
    DecisionKind.REJECT: Move(
        (ItemStatus.REVIEW, ItemStatus.PUBLISHED),
        ItemStatus.REJECTED,
        by_default=(ItemStatus.REVIEW,),
        by_name=(ItemStatus.REVIEW, ItemStatus.PUBLISHED),
    ),
    # The derivatives are made once more, under the same keys.
    DecisionKind.REDO: Move((ItemStatus.PUBLISHED, ItemStatus.REVIEW), ItemStatus.PENDING),
    # By hand; publishing another recipe's does it, too.
    DecisionKind.SUPERSEDE: Move((ItemStatus.PUBLISHED, ItemStatus.REVIEW), ItemStatus.SUPERSEDED),
}


_NO = (DecisionKind.REJECT, DecisionKind.SUPERSEDE)
#: Of files that are gone, or that a pattern leaves out, nothing is made.
_ANEW = (DecisionKind.RETRY, DecisionKind.REDO)


@dataclass(frozen=True)
class Decision:
    """What is decided, by whom and why, and what its items become."""

    kind: DecisionKind
    target: ItemStatus
    who: str
    why: str
    reason: Reason | None = None
    scope: Mapping[str, object] = field(default_factory=dict)  # for the record
    values: Mapping[str, Any] = field(default_factory=dict)  # of other columns of the items
    order_id: int | None = None  # that decides it


def decide(  # noqa: PLR0913  who, what and why
    connection: Connection,
    kind: DecisionKind,
    chosen: ItemFilter,
    *,
    who: str,
    why: str,
    agreed: Mapping[str, Sequence[int]] | None = None,
) -> int:
    """Move what the filter finds, and record it; returns how many (`holds` has the other two).

    A no stands for scan and bytes until a person says yes. Where scans are named that have nothing
    yet that could be turned down, a reject stands for what will be made of them.

    *agreed*: where several had to, who wanted it, each for which items.
    """
    scope = chosen.as_json() | ({"agreed": agreed} if agreed else {})
    made = Decision(kind, MOVES[kind].target, who, why, scope=scope)
    if kind in _NO or kind is DecisionKind.APPROVE:
        refusals.lock(connection)
    decision_id, moved = _carry_out(connection, made, _where(connection, kind, chosen))
    if decision_id is not None and kind in _NO:
        refusals.refuse_moved(connection, kind, decision_id)
    if decision_id is not None and kind is DecisionKind.APPROVE:
        lifted = refusals.lift_moved(connection, decision_id)
        if lifted:  # whoever takes it back refuses them again
            noted = update(decision).where(decision.c.id == decision_id)
            connection.execute(noted.values(scope={**made.scope, "lifted": lifted}))
    if kind is DecisionKind.REJECT and _names(chosen):
        moved += _refuse_beforehand(connection, made, chosen, decision_id)
    return moved


def count_decided(connection: Connection, kind: DecisionKind, chosen: ItemFilter) -> int:
    """How many items `decide` would move now."""
    found = select(func.count()).select_from(item).where(_where(connection, kind, chosen))
    count: int = connection.execute(found).scalar_one()
    if kind is DecisionKind.REJECT and _names(chosen):
        ahead = select(func.count()).select_from(scan).where(_not_yet(connection, chosen))
        count += connection.execute(ahead).scalar_one()
    return count


@reads
def count_by_status(connection: Connection, chosen: ItemFilter) -> dict[ItemStatus, int]:
    """Where the items stand that a filter means, whatever a decision may move."""
    rows = connection.execute(
        select(item.c.status, func.count())
        .where(condition_of(connection, chosen))
        .group_by(item.c.status)
    )
    return {ItemStatus(status): n for status, n in rows}


def _names(chosen: ItemFilter) -> bool:
    """Whether a filter names scans, not the status of items."""
    return chosen.uri is not None and not (chosen.statuses or chosen.reasons or chosen.recipe_id)


def _not_yet(connection: Connection, chosen: ItemFilter) -> ColumnElement[bool]:
    """On `scan`: it is named, and none of its items has come to anything that a person decided."""
    known = (
        ItemStatus.REVIEW,
        ItemStatus.PUBLISHED,
        ItemStatus.REJECTED,
        ItemStatus.HELD,
        ItemStatus.SUPERSEDED,
    )
    decided = select(item.c.id).where(item.c.scan_id == scan.c.id, status_in(*known))
    noted = select(refusal.c.id).where(
        refusal.c.scan_id == scan.c.id, refusal.c.kind == DecisionKind.REJECT
    )
    here = scans_at(connection, chosen.uri or "")
    if chosen.collections:
        here = and_(here, scan.c.collection.in_(list(chosen.collections)))
    return and_(here, ~decided.correlate(scan).exists(), ~noted.correlate(scan).exists())


def _refuse_beforehand(
    connection: Connection, made: Decision, chosen: ItemFilter, decision_id: int | None
) -> int:
    scans = _not_yet(connection, chosen)
    if connection.execute(select(scan.c.id).where(scans).limit(1)).first() is None:
        return 0
    if decision_id is None:
        decision_id = record(connection, made.kind, who=made.who, why=made.why, scope=made.scope)
    return refusals.refuse(connection, made.kind, decision_id, scans)


def _where(connection: Connection, kind: DecisionKind, chosen: ItemFilter) -> ColumnElement[bool]:
    move = MOVES[kind]
    sources = move.sources
    if not chosen.statuses and move.by_default is not None:
        sources = (move.by_name if chosen.uri is not None else None) or move.by_default
    where = and_(status_in(*sources), condition_of(connection, chosen))
    if kind in _ANEW:
        there = select(scan.c.id).where(scan.c.id == item.c.scan_id, scan.c.vanished_at.is_(None))
        return and_(where, there.exists())
    if kind is not DecisionKind.APPROVE:
        return where
    # A yes is about the bytes that the curator saw: not about what is there now. It ends no hold.
    # A film with shots that were turned down is made anew first.
    as_it_is = select(scan.c.id).where(
        scan.c.id == item.c.scan_id, scan.c.revision == item.c.revision, ~refusals.is_held()
    )
    return and_(where, as_it_is.exists(), is_as_was_said())


def carry_out(
    connection: Connection,
    made: Decision,
    where: ColumnElement[bool],
    *,
    decision_id: int | None = None,
) -> int:
    """Move the items for which *where* holds, and record it; where there are none, nothing.

    The rows are locked as they are noted, so what is noted is what is changed, whoever else is at
    work. Items of scans that are held are held, whatever brings them back to pending.

    Args:
        connection: To the ledger.
        made: What is decided.
        where: On `item`.
        decision_id: Of a decision that is on record already, which moves these, too.
    """
    return _carry_out(connection, made, where, decision_id)[1]


def _carry_out(
    connection: Connection,
    made: Decision,
    where: ColumnElement[bool],
    decision_id: int | None = None,
) -> tuple[int | None, int]:
    """The same; returns the decision's id, too, None where it was about nothing."""
    if connection.execute(select(item.c.id).where(where).limit(1)).first() is None:
        return decision_id, 0
    if decision_id is None:
        decision_id = record(
            connection,
            made.kind,
            who=made.who,
            why=made.why,
            scope=made.scope,
            order_id=made.order_id,
        )
    columns = {
        "decision_id": literal(decision_id, BigInteger()),
        "item_id": item.c.id,
        "was": item.c.status,
        "was_reason": item.c.reason,
        "became": literal(made.target.value),
    }
    chosen = select(*columns.values()).where(where).with_for_update(of=item)
    noted = insert(decision_item).from_select(list(columns), chosen)
    moved = sql.affected(connection, noted)
    mine = item.c.id.in_(
        select(decision_item.c.item_id).where(
            decision_item.c.decision_id == decision_id, decision_item.c.became == made.target
        )
    )
    connection.execute(update(item).where(mine).values({**_values(made), **made.values}))
    if made.target is ItemStatus.PUBLISHED:
        _supersede_after(connection, decision_id, who=made.who)
    if made.target is ItemStatus.PENDING:
        reopen_failed(connection, mine)
        if made.kind is not DecisionKind.RELEASE:
            keep_held(connection, mine, ItemStatus.PENDING)
    return decision_id, moved


def keep_held(connection: Connection, moved: ColumnElement[bool], *statuses: ItemStatus) -> None:
    """Of the items for which *moved* holds, those in *statuses* whose scan is held are held."""
    if not connection.execute(select(refusals.ARE_THERE)).scalar():
        return
    kept = Decision(DecisionKind.HOLD, ItemStatus.HELD, "ledger", "its scan is held")
    theirs = and_(status_in(*statuses), moved, refusals.is_of_held_scan())
    carry_out(connection, kept, theirs)


def record(  # noqa: PLR0913 - one argument a column
    connection: Connection,
    kind: DecisionKind,
    *,
    who: str,
    why: str,
    scope: Mapping[str, object] | None = None,
    checkpoint_id: int | None = None,
    order_id: int | None = None,
) -> int:
    """Write who decided what, and why; returns the decision's id."""
    made: int = connection.execute(
        insert(decision)
        .values(
            kind=kind,
            who=sql.storable(who),
            why=sql.storable(why),
            decided_at=sql.now(),
            scope=dict(scope or {}),
            checkpoint_id=checkpoint_id,
            order_id=order_id,
        )
        .returning(decision.c.id)
    ).scalar_one()
    return made


def _values(made: Decision) -> dict[str, Any]:
    """What a moved item holds; why it was as it was before stays in its story."""
    values: dict[str, Any] = {
        "status": made.target,
        "reason": made.reason,
        "changed_at": sql.now(),
    }
    if made.target is not ItemStatus.PENDING:
        return values | {"detail": sql.storable(made.why)}
    # A suspect stays one: what killed its worker before is tried alone again. It is anyone's to
    # claim: the order that it came from may be over.
    return values | {
        "detail": null(),
        "attempts": 0,
        "not_before": sql.now(),
        "order_id": null(),
    }


def supersede_others(
    connection: Connection,
    scan_ids: Sequence[int],
    *,
    recipe_id: int,
    who: str,
    after: int | None = None,
) -> int:
    """Let the items that were just published take the place of those of other recipes.

    Of two recipes that publish the same scan at once, the later must see the earlier: the scans are
    locked first. *after*: the decision that published them, for whoever takes that back.
    """
    published = sql.these(scan_ids)
    others = and_(item.c.scan_id.in_(published), item.c.recipe_id != recipe_id)
    if connection.execute(select(item.c.id).where(others).limit(1)).first() is None:
        return 0
    scans = select(scan.c.id).where(scan.c.id.in_(published)).order_by(scan.c.id)
    connection.execute(scans.with_for_update())
    made = Decision(
        DecisionKind.SUPERSEDE,
        ItemStatus.SUPERSEDED,
        who,
        "published under another recipe",
        scope={"recipe_id": recipe_id} | ({} if after is None else {"after": after}),
    )
    in_use = status_in(ItemStatus.PUBLISHED, ItemStatus.REVIEW)
    return carry_out(connection, made, and_(others, in_use))


def supersede_restored(connection: Connection, decision_id: int) -> None:
    """What a decision has made published again gives way to what was published meanwhile."""
    mine = select(decision_item.c.item_id).where(decision_item.c.decision_id == decision_id)
    other = item.alias("other")
    is_replaced = select(other.c.id).where(
        other.c.scan_id == item.c.scan_id,
        other.c.status == ItemStatus.PUBLISHED,
        other.c.id.not_in(mine),
    )
    made = Decision(
        DecisionKind.SUPERSEDE, ItemStatus.SUPERSEDED, "ledger", "published under another recipe"
    )
    again = and_(item.c.id.in_(mine), status_in(ItemStatus.PUBLISHED), is_replaced.exists())
    carry_out(connection, made, again)


def _supersede_after(connection: Connection, decision_id: int, *, who: str) -> None:
    """Approval publishes, so the approved items take others' places: the latest recipe's first."""
    mine = select(decision_item.c.item_id).where(decision_item.c.decision_id == decision_id)
    published = and_(item.c.id.in_(mine), status_in(ItemStatus.PUBLISHED))
    recipes = select(item.c.recipe_id).where(published).distinct().order_by(item.c.recipe_id.desc())
    for recipe_id in connection.execute(recipes).scalars().all():
        scans = select(item.c.scan_id).where(published, item.c.recipe_id == recipe_id)
        scan_ids = connection.execute(scans).scalars().all()
        supersede_others(connection, scan_ids, recipe_id=recipe_id, who=who, after=decision_id)

"""A person's no that stands: about scans, and about their bytes wherever they lie.

Whoever decides has these tables to himself until his transaction ends, and whoever works reads them
in his: so a decision and a worker, a discovery or an enqueueing never miss each other.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Select,
    Text,
    and_,
    case,
    delete,
    insert,
    literal,
    null,
    or_,
    select,
    text,
    union_all,
    update,
)

from tasks.ledger import sql
from tasks.ledger.engine import reads
from tasks.schema import (
    DecisionKind,
    decision,
    decision_item,
    held_place,
    item,
    refusal,
    scan,
    scan_revision,
)

_PAST = {
    DecisionKind.HOLD: "held",
    DecisionKind.REJECT: "rejected",
    DecisionKind.SUPERSEDE: "withdrawn",
}
_ASKED = sql.Rows("asked", item_id=BigInteger, scan_id=BigInteger, sha256=Text, page=Integer)
ARE_THERE = select(refusal.c.id).exists()
"""Whether any stands. Read it before anything is locked that a decision may wait for."""

IS_HOLD = refusal.c.kind == DecisionKind.HOLD
_SAME_BYTES = and_(refusal.c.sha256 == scan.c.sha256, refusal.c.page == scan.c.page)


@dataclass(frozen=True)
class Refusal:
    """What was decided before about a scan or its bytes."""

    kind: DecisionKind
    who: str
    why: str
    decided_at: datetime
    is_of_scan: bool  #: decided about this very scan; else about the same bytes elsewhere
    is_of_bytes: bool  #: and about these bytes; else about those that it held before

    def in_words(self) -> str:
        """Say it, for the item's detail."""
        about = "" if self.is_of_bytes else " when it held other bytes"
        if not self.is_of_scan:
            about = " as the same bytes elsewhere"
        why = f": {self.why}" if self.why else ""
        return f"{_PAST[self.kind]} before{about}, by {self.who} on {self.decided_at:%Y-%m-%d}{why}"


def lock(connection: Connection) -> None:
    """Wait for all that read refusals now, and let others wait until this transaction ends."""
    if sql.is_postgresql(connection):
        connection.execute(text("LOCK TABLE refusal, held_place IN ACCESS EXCLUSIVE MODE"))


def is_held() -> ColumnElement[bool]:
    """On `scan`: it is held, or its bytes are, elsewhere."""
    return or_(
        *(
            select(refusal.c.id).where(IS_HOLD, which).correlate(scan).exists()
            for which in (refusal.c.scan_id == scan.c.id, _SAME_BYTES)
        )
    )


def is_of_held_scan() -> ColumnElement[bool]:
    """On `item`: its scan is held."""
    held = select(scan.c.id).where(scan.c.id == item.c.scan_id, is_held())
    return held.correlate(item).exists()


def is_refused_as_it_is() -> ColumnElement[bool]:
    """On `scan`: somebody said no to the bytes that it holds now."""
    return select(refusal.c.id).where(_SAME_BYTES).correlate(scan).exists()


def refuse(
    connection: Connection,
    kind: DecisionKind,
    decision_id: int,
    scans: ColumnElement[bool],
) -> int:
    """Note a no to scans, and to the bytes that they hold, once a decision; returns how many.

    Whatever others have decided: who takes his no back leaves theirs.
    """
    other = refusal.alias("other")
    is_noted = select(other.c.id).where(
        other.c.decision_id == decision_id, other.c.scan_id == scan.c.id
    )
    noted = insert(refusal).from_select(
        ["kind", "decision_id", "scan_id", "sha256", "page"],
        select(
            literal(kind.value),
            literal(decision_id, BigInteger()),
            scan.c.id,
            scan.c.sha256,
            scan.c.page,
        ).where(scans, ~is_noted.correlate(scan).exists()),
    )
    return sql.affected(connection, noted)


def has_bytes_refused_by(decision_id: int) -> ColumnElement[bool]:
    """On `scan`: it holds the same bytes as one that a decision refuses."""
    made = and_(refusal.c.decision_id == decision_id, _SAME_BYTES)
    return select(refusal.c.id).where(made).correlate(scan).exists()


def refuse_moved(connection: Connection, kind: DecisionKind, decision_id: int) -> None:
    """Note a no to the items that a decision moved: to the bytes that each was about."""
    read_then = (
        select(scan_revision.c.sha256)
        .where(scan_revision.c.scan_id == scan.c.id, scan_revision.c.revision == item.c.revision)
        .scalar_subquery()
    )
    sha256 = case((item.c.revision == scan.c.revision, scan.c.sha256), else_=read_then)
    moved = (
        select(
            literal(kind.value),
            literal(decision_id, BigInteger()),
            scan.c.id,
            sha256,
            scan.c.page,
        )
        .select_from(decision_item)
        .join(item, item.c.id == decision_item.c.item_id)
        .join(scan, scan.c.id == item.c.scan_id)
        .where(decision_item.c.decision_id == decision_id)
        .distinct()
    )
    columns = ["kind", "decision_id", "scan_id", "sha256", "page"]
    connection.execute(insert(refusal).from_select(columns, moved))


def lift_moved(connection: Connection, decision_id: int) -> list[dict[str, Any]]:
    """A person has said yes to the items that a decision moved: to these bytes of these scans.

    What other bytes of the scans were refused for stays refused, wherever they turn up. Holds stay:
    only a release ends them.

    Returns:
        The rows that it changed or took away, as they were.
    """
    approved = (
        select(scan.c.id, scan.c.sha256, scan.c.page)
        .select_from(decision_item)
        .join(item, item.c.id == decision_item.c.item_id)
        .join(scan, scan.c.id == item.c.scan_id)
        .where(decision_item.c.decision_id == decision_id)
        .cte("approved")
    )
    same = and_(refusal.c.sha256 == approved.c.sha256, refusal.c.page == approved.c.page)
    is_same = select(approved.c.id).where(same).correlate(refusal).exists()
    holders = select(scan.c.id).join(
        approved, and_(scan.c.sha256 == approved.c.sha256, scan.c.page == approved.c.page)
    )
    yes_to = or_(refusal.c.scan_id.in_(select(approved.c.id)), refusal.c.scan_id.in_(holders))
    theirs = and_(~IS_HOLD, yes_to)
    either = select(refusal).where(or_(and_(~IS_HOLD, is_same), theirs))
    before = [dict(row) for row in connection.execute(either).mappings()]
    if not before:
        return []
    connection.execute(delete(refusal).where(~IS_HOLD, is_same))
    connection.execute(delete(refusal).where(theirs, refusal.c.sha256.is_(None)))
    connection.execute(update(refusal).where(theirs).values(scan_id=null()))
    return before


def lift_holds(connection: Connection, scan_ids: Iterable[int]) -> None:
    """End holds on scans, and on their bytes elsewhere as far as they are about bytes.

    A person who names a copy has said that these bytes are free: the scan that was held before is
    still held, copies that turn up later are not.
    """
    mine = sql.these(scan_ids)
    connection.execute(delete(refusal).where(IS_HOLD, refusal.c.scan_id.in_(mine)))
    same = select(scan.c.id).where(scan.c.id.in_(mine), _SAME_BYTES).correlate(refusal)
    connection.execute(update(refusal).where(IS_HOLD, same.exists()).values(sha256=null()))


def standing(connection: Connection, asked: Iterable[Mapping[str, Any]]) -> dict[int, Refusal]:
    """What stands against items, by their ids: a hold before all else, then what came last.

    Args:
        connection: To the ledger.
        asked: For each item, its id, its scan's, and page and sha256 of the bytes it is about.
    """
    given = _ASKED.given(asked)
    rows = connection.execute(_standing(connection), given).all()
    found: dict[int, Refusal] = {}
    for row in rows:  # the weightiest last
        found[row.item_id] = Refusal(
            DecisionKind(row.kind), row.who, row.why, row.decided_at, row.of_scan, row.of_bytes
        )
    return found


def _standing(connection: Connection) -> Select[Any]:
    new = _ASKED.table(connection)
    of_scan = refusal.c.scan_id == new.c.scan_id
    of_bytes = and_(refusal.c.sha256 == new.c.sha256, refusal.c.page == new.c.page)
    # What a scan holds that was turned down with other bytes waits wherever it is moved to.
    same = and_(scan.c.sha256 == new.c.sha256, scan.c.page == new.c.page)
    of_other = and_(refusal.c.scan_id == scan.c.id, ~IS_HOLD)
    either = union_all(
        *(
            select(new.c.item_id, refusal.c.id).join(refusal, which)
            for which in (of_scan, of_bytes)
        ),
        select(new.c.item_id, refusal.c.id).join(scan, same).join(refusal, of_other),
    ).subquery()
    is_same = case((of_bytes, 1), else_=0)
    is_here = case((of_scan, 1), else_=0)
    return (
        select(
            either.c.item_id,
            refusal.c.kind,
            decision.c.who,
            decision.c.why,
            decision.c.decided_at,
            is_here.label("of_scan"),
            is_same.label("of_bytes"),
        )
        .join(refusal, refusal.c.id == either.c.id)
        .join(decision, decision.c.id == refusal.c.decision_id)
        .join(new, new.c.item_id == either.c.item_id)
        .order_by(case((IS_HOLD, 1), else_=0), is_here, decision.c.id)
    )


@reads
def list_held_places(connection: Connection) -> list[str]:
    """Places where whatever is discovered is held."""
    return list(
        connection.execute(select(held_place.c.place).order_by(held_place.c.place)).scalars()
    )

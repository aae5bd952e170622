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
from tasks.ledger.engine import reads, writes
from tasks.ledger.filters import places_condition
from tasks.ledger.records import Digest, Doubt
from tasks.schema import (
    DecisionKind,
    decision,
    decision_item,
    held_place,
    item,
    refusal,
    scan,
    scan_revision,
    store,
)

_PAST = {
    DecisionKind.HOLD: "held",
    DecisionKind.REJECT: "rejected",
    DecisionKind.SUPERSEDE: "withdrawn",
}
_ASKED = sql.Rows("asked", item_id=BigInteger, scan_id=BigInteger, sha256=Text, page=Integer)
_LEARNT = sql.Rows("learnt", scan_id=BigInteger, listing=BigInteger, sha256=Text)
ARE_THERE = select(refusal.c.id).exists()
"""Whether any stands. Read it before anything is locked that a decision may wait for."""

_IS_HOLD = refusal.c.kind == DecisionKind.HOLD
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
            select(refusal.c.id).where(_IS_HOLD, which).correlate(scan).exists()
            for which in (refusal.c.scan_id == scan.c.id, _SAME_BYTES)
        )
    )


def is_refused_as_it_is() -> ColumnElement[bool]:
    """On `scan`: somebody said no to the bytes that it holds now."""
    return select(refusal.c.id).where(_SAME_BYTES).correlate(scan).exists()


def refuse(
    connection: Connection,
    kind: DecisionKind,
    decision_id: int,
    scans: ColumnElement[bool],
    parameters: Mapping[str, Any],
) -> int:
    """Note a no to scans, and to the bytes that they hold, unless it is noted; returns how many."""
    other = refusal.alias("other")
    is_noted = select(other.c.id).where(other.c.kind == kind, other.c.scan_id == scan.c.id)
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
    return sql.affected(connection, noted, parameters)


@reads
def list_unread(connection: Connection, *, limit: int = 64) -> list[tuple[str, Doubt]]:
    """Files that somebody said no to and nobody has read: a no is about bytes, so they are wanted.

    Returns:
        The source's address and the file, of so many at most.
    """
    is_refused = select(refusal.c.id).where(refusal.c.scan_id == scan.c.id).correlate(scan).exists()
    wanted = (
        select(store.c.url, scan.c.id, scan.c.key, scan.c.listing, scan.c.size_bytes)
        .join(store, store.c.id == scan.c.store_id)
        .where(
            is_refused,
            scan.c.page == 0,
            scan.c.sha256.is_(None),
            scan.c.vanished_at.is_(None),
            scan.c.archived.is_(False),
        )
        .order_by(scan.c.id)
        .limit(limit)
    )
    rows = connection.execute(wanted)
    return [(row.url, Doubt(row.id, row.key, row.listing, row.size_bytes)) for row in rows]


@writes
def learn(connection: Connection, digests: Iterable[Digest]) -> None:
    """Note what files hold that were refused unread, unless they were listed anew meanwhile."""
    given = _LEARNT.given(vars(one) for one in digests)
    found = _LEARNT.table(connection)
    mine = and_(scan.c.id == found.c.scan_id, scan.c.listing == found.c.listing)
    read = select(found.c.sha256).where(mine).correlate(scan).scalar_subquery()
    ids = select(found.c.scan_id)
    learnt = connection.execute(
        update(scan)
        .where(scan.c.id.in_(ids), scan.c.sha256.is_(None), read.is_not(None))
        .values(sha256=read, read_listing=scan.c.listing)
        .returning(scan.c.id, scan.c.sha256),
        given,
    )
    bind_to_bytes(connection, {row.id: row.sha256 for row in learnt})


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
    theirs = and_(~_IS_HOLD, refusal.c.scan_id.in_(select(approved.c.id)))
    either = select(refusal).where(or_(and_(~_IS_HOLD, is_same), theirs))
    before = [dict(row) for row in connection.execute(either).mappings()]
    if not before:
        return []
    connection.execute(delete(refusal).where(~_IS_HOLD, is_same))
    connection.execute(delete(refusal).where(theirs, refusal.c.sha256.is_(None)))
    connection.execute(update(refusal).where(theirs).values(scan_id=null()))
    return before


def lift_holds(connection: Connection, scan_ids: Iterable[int]) -> None:
    """End holds on scans, and on their bytes elsewhere as far as they are about bytes.

    A person who names a copy has said that these bytes are free: the scan that was held before is
    still held, copies that turn up later are not.
    """
    given = sql.as_ids(scan_ids)
    mine = sql.given_ids(connection)
    connection.execute(delete(refusal).where(_IS_HOLD, refusal.c.scan_id.in_(mine)), given)
    same = select(scan.c.id).where(scan.c.id.in_(mine), _SAME_BYTES).correlate(refusal)
    connection.execute(update(refusal).where(_IS_HOLD, same.exists()).values(sha256=null()), given)


def hold_found(connection: Connection, store_id: int, scan_ids: Iterable[int]) -> None:
    """Hold new scans of a store that lie where a person has said so."""
    places = connection.execute(select(held_place.c.decision_id, held_place.c.place)).all()
    if not places:
        return
    url = connection.execute(select(store.c.url).where(store.c.id == store_id)).scalar_one()
    given = sql.as_ids(scan_ids)
    for decision_id, place in places:
        here = places_condition(store_id, url, place)
        if here is not None:
            scans = and_(scan.c.id.in_(sql.given_ids(connection)), here)
            refuse(connection, DecisionKind.HOLD, decision_id, scans, given)


def moved_files(connection: Connection, gone_ids: Iterable[int]) -> list[sql.AnyRow]:
    """Files that are held ones under another name, as refusals of them would be noted.

    Of a held scan that nobody has read the bytes are not known. Where it is gone, and there is
    another of its size and its very time or ETag that was not read either, or turned up after the
    hold, it was moved.

    Args:
        connection: To the ledger.
        gone_ids: Scans that a listing did not bring, whether or not they count as vanished.
    """
    unread = and_(_IS_HOLD, refusal.c.sha256.is_(None), refusal.c.scan_id.is_not(None))
    held = connection.execute(select(refusal.c.scan_id).where(unread)).scalars().all()
    if not held:
        return []
    old, new = scan.alias("old"), scan.alias("new")
    is_gone = or_(old.c.vanished_at.is_not(None), old.c.id.in_(sql.given_ids(connection)))
    is_strong = and_(old.c.etag != "", ~old.c.etag.startswith("W/"))
    gone = (
        select(refusal.c.decision_id, decision.c.decided_at, old.c.size_bytes, old.c.etag)
        .join(old, old.c.id == refusal.c.scan_id)
        .join(decision, decision.c.id == refusal.c.decision_id)
        .where(unread, is_gone, is_strong)
        .distinct()
        .cte("gone")
    )
    is_held_itself = select(refusal.c.id).where(_IS_HOLD, refusal.c.scan_id == new.c.id)
    moved = (
        select(gone.c.decision_id, new.c.id.label("scan_id"), new.c.sha256, new.c.page)
        .select_from(gone)
        .join(new, and_(new.c.size_bytes == gone.c.size_bytes, new.c.etag == gone.c.etag))
        .where(
            new.c.vanished_at.is_(None),
            new.c.id.not_in(sql.given_ids(connection)),
            or_(new.c.sha256.is_(None), new.c.found_at >= gone.c.decided_at),
            ~is_held_itself.correlate(new).exists(),
        )
    )
    given = sql.as_ids(set(held).intersection(gone_ids))
    return list(connection.execute(moved, given).all())


def refuse_moved_files(connection: Connection, moved: Iterable[sql.AnyRow]) -> list[int]:
    """Note holds of `moved_files`; returns their ids."""
    values = [{"kind": DecisionKind.HOLD, **row._mapping} for row in moved]
    if values:
        connection.execute(insert(refusal), values)
    return sorted({one["scan_id"] for one in values})


def refuse_pages(connection: Connection, first_id: int, page_ids: Iterable[int]) -> None:
    """What was said of a file before anybody knew of its later pages is said of them, too.

    So is what was said of it when it held other bytes: nobody knows which page is which.
    """
    first, page = scan.alias("first"), scan.alias("page")
    theirs = (
        select(refusal.c.kind, refusal.c.decision_id, page.c.id, refusal.c.sha256, page.c.page)
        .select_from(refusal)
        .join(first, first.c.id == refusal.c.scan_id)
        .join(page, page.c.id.in_(sql.given_ids(connection)))
        .where(first.c.id == first_id)
    )
    columns = ["kind", "decision_id", "scan_id", "sha256", "page"]
    connection.execute(insert(refusal).from_select(columns, theirs), sql.as_ids(page_ids))


def refuse_changed(
    connection: Connection, scans: ColumnElement[bool], given: Mapping[str, Any]
) -> None:
    """What was said of the bytes that scans held until now, elsewhere perhaps, is said of these.

    What was said of a page is said of all pages: they may have changed places.
    """
    other = refusal.alias("other")
    is_noted = and_(other.c.kind == refusal.c.kind, other.c.scan_id == scan.c.id)
    noted = select(other.c.id).where(is_noted).correlate(refusal, scan).exists()
    names = ["kind", "decision_id", "scan_id", "sha256", "page"]
    columns = (refusal.c[name] if name != "scan_id" else scan.c.id for name in names)
    theirs = select(*columns).join(scan, refusal.c.sha256 == scan.c.sha256)
    theirs = theirs.where(scans, ~noted).distinct()
    connection.execute(insert(refusal).from_select(names, theirs), given)


def bind_to_bytes(connection: Connection, digests: Mapping[int, str]) -> None:
    """Scans are read for the first time: what was said of them before is about these bytes.

    Args:
        connection: To the ledger.
        digests: The sha256 that was read, by the scan's id.
    """
    given = sql.given_ids(connection)
    unread = and_(refusal.c.sha256.is_(None), refusal.c.scan_id.in_(given))
    found = connection.execute(select(refusal.c.scan_id).where(unread), sql.as_ids(digests))
    for scan_id in set(found.scalars()):
        mine = and_(refusal.c.sha256.is_(None), refusal.c.scan_id == scan_id)
        connection.execute(update(refusal).where(mine).values(sha256=digests[scan_id]))


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
    either = union_all(
        *(select(new.c.item_id, refusal.c.id).join(refusal, which) for which in (of_scan, of_bytes))
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
        .order_by(case((_IS_HOLD, 1), else_=0), is_here, decision.c.id)
    )


@reads
def list_held_places(connection: Connection) -> list[str]:
    """Places where whatever is discovered is held."""
    return list(
        connection.execute(select(held_place.c.place).order_by(held_place.c.place)).scalars()
    )

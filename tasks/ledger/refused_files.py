"""What becomes of a person's no as files are found, read, moved and changed."""

from collections.abc import Iterable, Mapping

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.sql.selectable import FromClause

from tasks.ledger import sql
from tasks.ledger.engine import reads
from tasks.ledger.filters import places_condition
from tasks.ledger.records import Digest, Doubt
from tasks.ledger.refusals import IS_HOLD, refuse
from tasks.schema import (
    DecisionKind,
    decision,
    held_place,
    refusal,
    scan,
    store,
)

_COLUMNS = ["kind", "decision_id", "scan_id", "sha256", "page"]
_LEARNT = sql.rows_of("learnt", Digest)


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


def learn(connection: Connection, digests: Iterable[Digest]) -> list[int]:
    """Note what files hold that were refused unread, unless they were listed anew meanwhile.

    Returns:
        The scans of which it is known now.
    """
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
    read_now = {row.id: row.sha256 for row in learnt}
    bind_to_bytes(connection, read_now)
    return list(read_now)


def hold_bytes(connection: Connection, scan_ids: Iterable[int]) -> None:
    """Scans that are held were found to hold other bytes: these are held wherever they lie, too."""
    other = refusal.alias("other")
    mine = and_(other.c.decision_id == refusal.c.decision_id, other.c.scan_id == scan.c.id)
    is_noted = select(other.c.id).where(mine, other.c.sha256 == scan.c.sha256)
    bytes_of = scan.c.id, scan.c.sha256, scan.c.page
    held = (
        select(literal(DecisionKind.HOLD.value), refusal.c.decision_id, *bytes_of)
        .join(scan, scan.c.id == refusal.c.scan_id)
        .where(IS_HOLD, scan.c.id.in_(sql.these(scan_ids)), scan.c.sha256.is_not(None))
        .where(~is_noted.correlate(refusal, scan).exists())
        .distinct()
    )
    connection.execute(insert(refusal).from_select(_COLUMNS, held))


def refuse_found(connection: Connection, store_id: int, scan_ids: Iterable[int]) -> int:
    """Note holds of scans of a store that lie where a person has said so; returns how many."""
    places = connection.execute(select(held_place.c.decision_id, held_place.c.place)).all()
    if not places:
        return 0
    url = connection.execute(select(store.c.url).where(store.c.id == store_id)).scalar_one()
    found = scan.c.id.in_(sql.these(scan_ids))
    count = 0
    for decision_id, place in places:
        here = places_condition(connection, store_id, url, place)
        if here is not None:
            count += refuse(connection, DecisionKind.HOLD, decision_id, and_(found, here))
    return count


def moved_files(connection: Connection, gone_ids: Iterable[int]) -> list[sql.AnyRow]:
    """Files that are refused ones under another name, as refusals of them would be noted.

    Of a scan that was refused and that nobody has read the bytes are not known. Where it is gone,
    and there is another of its size and its very time or ETag that was not read either, or turned
    up after the no, it was moved.

    Args:
        connection: To the ledger.
        gone_ids: Scans that a listing did not bring, whether or not they count as vanished.
    """
    unread = and_(refusal.c.sha256.is_(None), refusal.c.scan_id.is_not(None))
    found = connection.execute(select(refusal.c.scan_id).where(unread)).scalars().all()
    if not found:
        return []
    old, new = scan.alias("old"), scan.alias("new")
    refused_and_gone = sql.these(set(found).intersection(gone_ids))
    is_gone = or_(old.c.vanished_at.is_not(None), old.c.id.in_(refused_and_gone))
    is_strong = and_(old.c.etag != "", ~old.c.etag.startswith("W/"))
    said = (refusal.c.kind, refusal.c.decision_id)
    gone = (
        select(*said, decision.c.decided_at, old.c.size_bytes, old.c.etag)
        .join(old, old.c.id == refusal.c.scan_id)
        .join(decision, decision.c.id == refusal.c.decision_id)
        .where(unread, is_gone, is_strong)
        .distinct()
        .cte("gone")
    )
    is_noted = and_(refusal.c.kind == gone.c.kind, refusal.c.scan_id == new.c.id)
    noted = select(refusal.c.id).where(is_noted).correlate(gone, new)
    bytes_of = (new.c.id.label("scan_id"), new.c.sha256, new.c.page)
    moved = (
        select(gone.c.kind, gone.c.decision_id, *bytes_of)
        .select_from(gone)
        .join(new, and_(new.c.size_bytes == gone.c.size_bytes, new.c.etag == gone.c.etag))
        .where(
            new.c.vanished_at.is_(None),
            new.c.id.not_in(refused_and_gone),
            or_(new.c.sha256.is_(None), new.c.found_at >= gone.c.decided_at),
            ~noted.exists(),
        )
    )
    return list(connection.execute(moved).all())


def refuse_moved_files(connection: Connection, moved: Iterable[sql.AnyRow]) -> list[int]:
    """Note refusals of `moved_files`; returns the ids of those that are held."""
    values = [dict(row._mapping) for row in moved]
    if values:
        connection.execute(insert(refusal), values)
    return sorted({one["scan_id"] for one in values if one["kind"] == DecisionKind.HOLD})


def refuse_pages(connection: Connection, first_id: int, page_ids: Iterable[int]) -> None:
    """What was said of a file before anybody knew of its later pages is said of them, too.

    So is what was said of it when it held other bytes: nobody knows which page is which. And what
    was said of the same bytes elsewhere before anybody had opened them.
    """
    first, page, other = scan.alias("first"), scan.alias("page"), scan.alias("other")
    is_same = and_(refusal.c.sha256 == first.c.sha256, other.c.sha256 == first.c.sha256)
    same = and_(is_same, _is_unopened(other))
    theirs = (
        select(refusal.c.kind, refusal.c.decision_id, page.c.id, refusal.c.sha256, page.c.page)
        .select_from(refusal)
        .join(other, other.c.id == refusal.c.scan_id)
        .join(first, or_(first.c.id == refusal.c.scan_id, same))
        .join(page, page.c.id.in_(sql.these(page_ids)))
        .where(first.c.id == first_id)
        .distinct()
    )
    connection.execute(insert(refusal).from_select(_COLUMNS, theirs))


def refuse_pages_of_copies(connection: Connection, scan_ids: Iterable[int]) -> None:
    """What was said of files that nobody has opened is said of the known pages of their copies."""
    first, page, noted = scan.alias("first"), scan.alias("page"), refusal.alias("noted")
    is_noted = and_(noted.c.kind == refusal.c.kind, noted.c.scan_id == page.c.id)
    theirs = (
        select(refusal.c.kind, refusal.c.decision_id, page.c.id, page.c.sha256, page.c.page)
        .select_from(refusal)
        .join(first, first.c.id == refusal.c.scan_id)
        .join(page, and_(page.c.sha256 == first.c.sha256, page.c.page > 0))
        .where(first.c.id.in_(sql.these(scan_ids)), _is_unopened(first))
        .where(~select(noted.c.id).where(is_noted).correlate(refusal, page).exists())
        .distinct()
    )
    connection.execute(insert(refusal).from_select(_COLUMNS, theirs))


def refuse_changed(connection: Connection, scans: ColumnElement[bool]) -> None:
    """What was said of the bytes that scans held until now, elsewhere perhaps, is said of these.

    What was said of a page is said of all pages: they may have changed places.
    """
    other = refusal.alias("other")
    is_noted = and_(other.c.kind == refusal.c.kind, other.c.scan_id == scan.c.id)
    noted = select(other.c.id).where(is_noted).correlate(refusal, scan).exists()
    columns = (refusal.c[name] if name != "scan_id" else scan.c.id for name in _COLUMNS)
    theirs = select(*columns).join(scan, refusal.c.sha256 == scan.c.sha256)
    theirs = theirs.where(scans, ~noted).distinct()
    connection.execute(insert(refusal).from_select(_COLUMNS, theirs))


def bind_to_bytes(connection: Connection, digests: Mapping[int, str]) -> None:
    """Scans are read for the first time: what was said of them before is about these bytes.

    Args:
        connection: To the ledger.
        digests: The sha256 that was read, by the scan's id.
    """
    unread = and_(refusal.c.sha256.is_(None), refusal.c.scan_id.in_(sql.these(digests)))
    found = connection.execute(select(refusal.c.scan_id).where(unread))
    for scan_id in set(found.scalars()):
        mine = and_(refusal.c.sha256.is_(None), refusal.c.scan_id == scan_id)
        connection.execute(update(refusal).where(mine).values(sha256=digests[scan_id]))


def _is_unopened(first: FromClause) -> ColumnElement[bool]:
    """On an alias of `scan`: a file whose pages nobody knows."""
    return and_(first.c.page == 0, first.c.pages.is_(None))

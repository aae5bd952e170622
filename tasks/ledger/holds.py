"""Holding scans, whether or not an item exists, and letting go of them."""

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    delete,
    false,
    func,
    insert,
    or_,
    select,
    true,
)

from tasks.errors import Reason, UsageError
from tasks.ledger import refusals, refused_files, sql
from tasks.ledger.decisions import Decision, carry_out, record
from tasks.ledger.engine import Database, reads, writes
from tasks.ledger.filters import condition_of, scans_at
from tasks.ledger.records import Digest, ItemFilter
from tasks.ledger.sweeping import uncount
from tasks.ledger.uris import one_name
from tasks.ledger.vanishing import WHO
from tasks.schema import (
    CLAIMED,
    AttemptEnding,
    DecisionKind,
    ItemStatus,
    decision,
    decision_item,
    derivative,
    held_place,
    item,
    refusal,
    scan,
    status_in,
)

HELD_FROM = (
    ItemStatus.PENDING,
    ItemStatus.FAILED,
    ItemStatus.QUARANTINED,
    ItemStatus.REVIEW,
    ItemStatus.PUBLISHED,
)
"""Where a hold takes items from; those in work are taken from their workers first."""


def hold(connection: Connection, chosen: ItemFilter, *, who: str, why: str) -> int:
    """Hold scans under every recipe, and what will lie at the place; returns how many are new.

    Where the filter says something of items, scans of such items are held; else all that lie there.
    """
    refusals.lock(connection)
    scans = _scans(connection, chosen)
    count = count_held(connection, chosen)
    # What somebody else holds is held by this person, too: the other may take that back.
    scans = and_(scans, ~_is_held_itself(sql.storable(who)))
    place = _new_place(connection, chosen)
    is_nothing = connection.execute(select(scan.c.id).where(scans).limit(1)).first() is None
    if is_nothing and place is None:
        return 0
    made = Decision(DecisionKind.HOLD, ItemStatus.HELD, who, why, scope=chosen.as_json())
    decision_id = record(connection, made.kind, who=who, why=why, scope=made.scope)
    if place is not None:
        connection.execute(insert(held_place).values(decision_id=decision_id, place=place))
    refusals.refuse(connection, made.kind, decision_id, scans)
    newly = select(refusal.c.scan_id).where(refusal.c.decision_id == decision_id)
    # Copies of the same bytes, too: what has been made of them is open to users, or may be soon.
    copies = select(scan.c.id).where(refusals.has_bytes_refused_by(decision_id))
    mine = or_(item.c.scan_id.in_(newly), item.c.scan_id.in_(copies))
    _take(connection, made, mine, decision_id)
    return count


def hold_found(connection: Connection, store_id: int, scan_ids: Iterable[int]) -> None:
    """Hold scans that lie where a person has said so: new ones, and where links lead now."""
    if not refused_files.refuse_found(connection, store_id, scan_ids):
        return
    made = Decision(
        DecisionKind.HOLD, ItemStatus.HELD, WHO, "it lies where all that is found waits"
    )
    found = and_(item.c.scan_id.in_(sql.these(scan_ids)), refusals.is_of_held_scan())
    _take(connection, made, found)


def refuse_moved_files(database: Database, gone_ids: Sequence[int]) -> None:
    """What was said of files that nobody has read stands for them under other names.

    Args:
        database: The ledger's.
        gone_ids: Scans that a listing did not bring, whether or not they count as vanished.
    """
    if database.read(lambda c: refused_files.moved_files(c, gone_ids)):
        database.write(lambda c: _refuse_moved_files(c, gone_ids))


def _refuse_moved_files(connection: Connection, gone_ids: Sequence[int]) -> None:
    refusals.lock(connection)
    moved = refused_files.refuse_moved_files(
        connection, refused_files.moved_files(connection, gone_ids)
    )
    made = Decision(DecisionKind.HOLD, ItemStatus.HELD, WHO, "a held file under another name")
    _take(connection, made, item.c.scan_id.in_(sql.these(moved)))


@writes
def learn_refused(connection: Connection, digests: Iterable[Digest]) -> None:
    """Note what files hold that were refused unread, unless they were listed anew meanwhile.

    Their copies are held with them.
    """
    refusals.lock(connection)
    hold_copies(connection, refused_files.learn(connection, digests))


def hold_copies(connection: Connection, scan_ids: Sequence[int]) -> None:
    """It is known now what these scans hold: if they are held, so are these bytes everywhere.

    What was made of their copies is open to users, or may be soon.
    """
    if not scan_ids or not connection.execute(select(refusals.ARE_THERE)).scalar():
        return
    refused_files.hold_bytes(connection, scan_ids)
    refused_files.refuse_pages_of_copies(connection, scan_ids)
    known = scan.alias("known")
    digests = select(known.c.sha256).where(known.c.id.in_(sql.these(scan_ids)))
    copies = select(scan.c.id).where(scan.c.sha256.in_(digests), refusals.is_held())
    made = Decision(DecisionKind.HOLD, ItemStatus.HELD, WHO, "the same bytes as a held file's")
    _take(connection, made, item.c.scan_id.in_(copies))


def _take(
    connection: Connection,
    made: Decision,
    mine: ColumnElement[bool],
    decision_id: int | None = None,
) -> None:
    """Hold items, those in work taken from their workers first."""
    in_work = and_(CLAIMED, mine)
    uncount(connection, in_work, AttemptEnding.REVOKED, detail="its scan is held")
    carry_out(connection, made, and_(status_in(*HELD_FROM), mine), decision_id=decision_id)


def release(connection: Connection, chosen: ItemFilter, *, who: str, why: str) -> int:
    """End holds of scans, and of places; returns how many scans are free.

    What was coloured goes to review, all else is to be coloured: a release publishes nothing.
    """
    refusals.lock(connection)
    ids = _held_ids(connection, chosen)
    places = _places_in(connection, chosen)
    if not ids and not places:
        return 0
    made = Decision(DecisionKind.RELEASE, ItemStatus.PENDING, who, why, scope=chosen.as_json())
    decision_id = record(connection, made.kind, who=who, why=why, scope=made.scope)
    connection.execute(delete(held_place).where(held_place.c.place.in_(places)))
    refusals.lift_holds(connection, ids)
    held = and_(status_in(ItemStatus.HELD), item.c.scan_id.in_(sql.these(ids)))
    done = Decision(made.kind, ItemStatus.REVIEW, who, why)
    carry_out(connection, done, and_(held, _was_coloured()), decision_id=decision_id)
    carry_out(connection, made, held, decision_id=decision_id)
    return len(ids)


def count_held(connection: Connection, chosen: ItemFilter) -> int:
    """How many scans `hold` would hold now."""
    fresh = and_(_scans(connection, chosen), ~_is_held_itself())
    found = select(func.count()).select_from(scan).where(fresh)
    return connection.execute(found).scalar_one()


def count_released(connection: Connection, chosen: ItemFilter) -> int:
    """How many scans `release` would let go of now."""
    return len(_held_ids(connection, chosen))


@reads
def list_all_held(connection: Connection, uris: Collection[str]) -> frozenset[str]:
    """Those of these URIs at which nothing lies but what is held, or will be once it is found."""
    if not uris:
        return frozenset()
    places = [f"{place.rstrip('/')}/" for place in refusals.list_held_places(connection)]
    is_any = connection.execute(select(select(refusal.c.id).where(refusals.IS_HOLD).exists()))
    if not is_any.scalar() and not places:
        return frozenset()
    found = []
    for uri in uris:
        try:
            there = scans_at(connection, uri)
        except UsageError:
            there = false()
        seen, known = (
            select(scan.c.id).where(there, which).limit(1)
            for which in (~refusals.is_held(), true())
        )
        if connection.execute(seen).first() is not None:
            continue
        is_known = connection.execute(known).first() is not None
        if is_known or f"{uri.rstrip('/')}/".startswith(tuple(places)):
            found.append(uri)
    return frozenset(found)


def _scans(
    connection: Connection, chosen: ItemFilter, status: ItemStatus | None = None
) -> ColumnElement[bool]:
    """On `scan`: the filter means it, by its items (in *status*) or by where it lies."""
    if chosen.is_about_items:
        items = select(item.c.scan_id).where(condition_of(connection, chosen))
        if status is not None:
            items = items.where(status_in(status))
        return scan.c.id.in_(items)
    conditions: list[ColumnElement[bool]] = [true()]
    if chosen.collections:
        conditions.append(scan.c.collection.in_(list(chosen.collections)))
    if chosen.uri is not None:
        try:
            conditions.append(scans_at(connection, chosen.uri))
        except UsageError:  # nothing is known there yet
            conditions.append(scan.c.id.is_(None))
    return and_(*conditions)


def _is_held_itself(who: str | None = None) -> ColumnElement[bool]:
    """On `scan`: somebody holds it itself, or *who* does."""
    own = select(refusal.c.id).where(refusals.IS_HOLD, refusal.c.scan_id == scan.c.id)
    if who is not None:
        own = own.join(decision, decision.c.id == refusal.c.decision_id)
        own = own.where(decision.c.who == who)
    return own.correlate(scan).exists()


def _held_ids(connection: Connection, chosen: ItemFilter) -> list[int]:
    theirs = select(item.c.id).where(item.c.scan_id == scan.c.id, status_in(ItemStatus.HELD))
    is_held = or_(_is_held_itself(), theirs.correlate(scan).exists())
    wanted = select(scan.c.id).where(_scans(connection, chosen, ItemStatus.HELD), is_held)
    return list(connection.execute(wanted).scalars())


def _new_place(connection: Connection, chosen: ItemFilter) -> str | None:
    """The place that a hold is to stand for; None where it names none, or one that is held."""
    if chosen.uri is None or chosen.is_about_items or chosen.collections:
        return None
    known = select(held_place.c.id).where(held_place.c.place == chosen.uri)
    return chosen.uri if connection.execute(known).first() is None else None


def _places_in(connection: Connection, chosen: ItemFilter) -> list[str]:
    """The held places that a release names, or that lie in the folder it names; or all."""
    if chosen.is_about_items or chosen.collections:
        return []
    places = refusals.list_held_places(connection)
    if chosen.uri is None:
        return places
    return [one for one in places if one_name(one).startswith(one_name(chosen.uri))]


def _was_coloured() -> ColumnElement[bool]:
    """On a held `item`: it has a derivative of the scan as it is."""
    latest = (
        select(decision_item.c.was)
        .where(
            decision_item.c.item_id == item.c.id,
            decision_item.c.became == ItemStatus.HELD,
        )
        .order_by(decision_item.c.decision_id.desc())
        .limit(1)
        .correlate(item)
        .scalar_subquery()
    )
    ended = (ItemStatus.REVIEW.value, ItemStatus.PUBLISHED.value)
    has_derivative = select(derivative.c.id).where(
        derivative.c.item_id == item.c.id, derivative.c.revision == item.c.revision
    )
    is_done = or_(latest.in_(ended), item.c.reason == Reason.DECIDED_BEFORE)
    return and_(is_done, has_derivative.correlate(item).exists())

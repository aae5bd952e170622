"""Outages: places of which nothing can be read, so that no scan in them is tried meanwhile.

A place is a source, or a folder in one. It is one row: whoever finds out writes it, every claim of
every worker passes its scans by until it is tried again, and a scan that is read, or a complete
listing, removes it. What waits stays pending, and no attempt counts.
"""

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, delete, func, literal, select, update
from sqlalchemy.sql.selectable import FromClause

from tasks.ledger import sql
from tasks.ledger.changes import ensure_store
from tasks.ledger.engine import reads, writes
from tasks.ledger.links import LAST_CHARACTER
from tasks.ledger.records import OutageRow
from tasks.schema import ItemStatus, Moment, item, outage, scan, status_in, store

#: How long a place that has just gone is left alone; then for as long again as it has been away.
FIRST_WAIT_S = 30.0
LONGEST_WAIT_S = 900.0


@writes
def begin(
    connection: Connection, source: str, place: str, why: str, *, wait_s: float = FIRST_WAIT_S
) -> float:
    """Let nothing be claimed of a place that cannot be read; returns for how long.

    Where it is known to be away, it waits for as long again as it has been, within limits.

    Args:
        connection: To the ledger.
        source: The URL that the scans are recorded under.
        place: What their keys begin with; "" for all of the source.
        why: The cause, with a remedy.
        wait_s: The least.
    """
    why = sql.storable(why)
    store_id = ensure_store(connection, source)
    here = and_(outage.c.store_id == store_id, outage.c.place == place)
    connection.execute(
        sql.insert_or(connection, outage)
        .values(store_id=store_id, place=place, why=why, since=sql.now(), until=sql.now())
        .on_conflict_do_nothing()
    )
    known = connection.execute(
        select(outage.c.since, outage.c.until, sql.now().label("now")).where(here).with_for_update()
    ).one()
    left_s = (known.until - known.now).total_seconds()
    away_s = (known.now - known.since).total_seconds()
    # Of several workers that meet with it at once, only the first makes the wait longer.
    wait_s = max(wait_s, left_s if left_s > 0 else min(away_s, LONGEST_WAIT_S))
    connection.execute(update(outage).where(here).values(until=sql.now(wait_s), why=why))
    return wait_s


@writes
def end(connection: Connection, source: str, key: str | None = None) -> None:
    """Let be claimed again what lies in a source, or in the places around one *key* of it."""
    ours = select(store.c.id).where(store.c.url == source)
    ended = delete(outage).where(outage.c.store_id.in_(ours))
    if key is not None:
        ended = ended.where(_lies_in(literal(key)))
    connection.execute(ended)


def is_out(items: FromClause) -> ColumnElement[bool]:
    """On `item`, or an alias of it: its scan lies in a place that is not tried now."""
    lying = scan.alias("lying")
    return (
        select(outage.c.id)
        .join(lying, and_(lying.c.store_id == outage.c.store_id, _lies_in(lying.c.key)))
        .where(lying.c.id == items.c.scan_id, outage.c.until > sql.now())
        .correlate(items)
        .exists()
    )


def are_there(connection: Connection) -> bool:
    """Whether any place is left alone now."""
    active = select(outage.c.id).where(outage.c.until > sql.now())
    return connection.execute(active.limit(1)).first() is not None


def next_try(connection: Connection, of: ColumnElement[bool]) -> datetime | None:
    """When the first of the places is tried again in which an item lies of which *of* holds."""
    held = (
        select(func.min(outage.c.until, type_=Moment()))
        .join(scan, and_(scan.c.store_id == outage.c.store_id, _lies_in(scan.c.key)))
        .join(item, item.c.scan_id == scan.c.id)
        .where(outage.c.until > sql.now(), of)
    )
    found: datetime | None = connection.execute(held).scalar()
    return found


def places(connection: Connection) -> frozenset[tuple[str, str]]:
    """Source and place of all that are on record."""
    known = select(store.c.url, outage.c.place).join(store, store.c.id == outage.c.store_id)
    return frozenset((row.url, row.place) for row in connection.execute(known))


@reads
def rows(connection: Connection) -> list[OutageRow]:
    """The places that are away and that scans wait for, with how many."""
    waiting = (
        select(
            store.c.url,
            outage.c.place,
            outage.c.since,
            outage.c.until,
            outage.c.why,
            func.count().label("scans"),
        )
        .select_from(outage)
        .join(store, store.c.id == outage.c.store_id)
        .join(scan, and_(scan.c.store_id == outage.c.store_id, _lies_in(scan.c.key)))
        .join(item, item.c.scan_id == scan.c.id)
        .where(status_in(ItemStatus.PENDING))
        .group_by(outage.c.id, store.c.url)
        .order_by(store.c.url, outage.c.place)
    )
    return [OutageRow(*row) for row in connection.execute(waiting)]


def _lies_in(key: ColumnElement[str]) -> ColumnElement[bool]:
    """On `outage`: *key* lies in its place."""
    return and_(key >= outage.c.place, key < outage.c.place.concat(LAST_CHARACTER))

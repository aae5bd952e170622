"""Writing what discovery found to differ: new scans, changed files, other collections."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Text,
    and_,
    insert,
    literal,
    null,
    or_,
    select,
    true,
    update,
)

from tasks.ledger import sql
from tasks.ledger.records import ListedObject
from tasks.ledger.sweeping import uncount
from tasks.ledger.vanishing import mark_later_pages_vanished, pages_of
from tasks.schema import (
    CLAIMED,
    AttemptEnding,
    ItemStatus,
    item,
    moment_text,
    scan,
    scan_revision,
    status_in,
    store,
)

IDENTITY = ("size_bytes", "etag", "version")
"""Where one of these differs, the file has changed."""

_FACTS = sql.Rows(
    "listed",
    scan_id=BigInteger,
    key=Text,
    size_bytes=BigInteger,
    etag=Text,
    version=Text,
    modified_at=Text,
)


@dataclass(frozen=True)
class Place:
    """Where the scans of one listing belong."""

    store_id: int
    collection: str
    run_id: int | None


@dataclass(frozen=True)
class Inserted:
    """What became of files that were not known when they were compared."""

    added: tuple[int, ...] = ()  #: ids of the scans made
    known: tuple[int, ...] = ()  #: ids of those that another process had made meanwhile


def facts_of(found: ListedObject) -> dict[str, Any]:
    """An object as it is written."""
    return {
        "key": found.key,
        "size_bytes": found.size_bytes,
        "etag": found.etag,
        "version": found.version,
        "modified_at": moment_text(found.modified_at),
    }


def ensure_store(connection: Connection, url: str) -> int:
    """The id of the store with this URL."""
    wanted = select(store.c.id).where(store.c.url == url)
    found: int | None = connection.execute(wanted).scalar()
    if found is None:
        new = sql.insert_or(connection, store).values(url=url)
        connection.execute(new.on_conflict_do_nothing())
        found = int(connection.execute(wanted).scalar_one())
    return found


def insert_scans(connection: Connection, place: Place, facts: Sequence[dict[str, Any]]) -> Inserted:
    """Make scans of files that are not known."""
    if not facts:
        return Inserted()
    listed = _FACTS.table(connection)
    columns = {
        "store_id": literal(place.store_id, BigInteger()),
        "key": listed.c.key,
        "page": literal(0),
        "collection": literal(place.collection),
        **{name: listed.c[name] for name in IDENTITY},
        "modified_at": sql.as_moment(listed.c.modified_at),
        "revision": literal(1),
        "run_id": literal(place.run_id, BigInteger()),
        "found_at": sql.now(),
    }
    new = sql.insert_or(connection, scan).from_select(
        list(columns), select(*columns.values()).where(true())
    )
    given = _FACTS.given(facts)
    added = connection.execute(
        new.on_conflict_do_nothing().returning(scan.c.id),  # another process lists the same
        given,
    )
    ids = tuple(added.scalars().all())  # at once: one by one takes twice as long
    if len(ids) == len(facts):
        return Inserted(ids)
    # Its ids may be below those that were there when this listing began: they count as seen.
    mine = set(ids)
    one = select(scan.c.id).where(
        scan.c.store_id == place.store_id, scan.c.key == listed.c.key, scan.c.page == 0
    )
    there = connection.execute(select(one.scalar_subquery()).select_from(listed), given)
    return Inserted(ids, tuple(found for found in there.scalars().all() if found not in mine))


def change_scans(connection: Connection, place: Place, facts: Sequence[dict[str, Any]]) -> None:
    """Give files that changed a new revision; the old one is kept on record.

    Items that wait or are being worked on become items of the new revision. Ended ones stay what
    they are, about the old revision, until they are enqueued again.
    """
    given = _FACTS.given(facts)
    ids = [one["scan_id"] for one in facts]
    listed = _FACTS.table(connection)
    connection.execute(
        select(scan.c.id).where(scan.c.id.in_(select(listed.c.scan_id))).with_for_update(), given
    )
    # Asked again under the lock: another process may have recorded the same change.
    is_changed = and_(
        scan.c.id == listed.c.scan_id,
        or_(*(scan.c[name].is_distinct_from(listed.c[name]) for name in IDENTITY)),
    )
    kept = ("revision", *IDENTITY, "modified_at", "sha256")
    old = select(scan.c.id, *(scan.c[name] for name in kept), sql.now()).where(is_changed)
    connection.execute(
        insert(scan_revision).from_select(["scan_id", *kept, "replaced_at"], old), given
    )
    read_later = {name: null() for name in ("sha256", "width", "height", "bits", "pages")}
    connection.execute(
        update(scan)
        .where(is_changed)
        .values(
            {name: listed.c[name] for name in IDENTITY}
            | read_later
            | {
                "modified_at": sql.as_moment(listed.c.modified_at),
                "revision": scan.c.revision + 1,
                "run_id": place.run_id,
            }
        ),
        given,
    )
    mark_later_pages_vanished(connection, ids)
    _take_from_workers(connection, ids)


def _take_from_workers(connection: Connection, scan_ids: Sequence[int]) -> None:
    parameters = sql.as_ids(scan_ids)
    mine = item.c.scan_id.in_(sql.given_ids(connection))
    uncount(
        connection,
        and_(CLAIMED, mine),
        AttemptEnding.REVOKED,
        detail="the scan changed",
        parameters=parameters,
    )
    revision = select(scan.c.revision).where(scan.c.id == item.c.scan_id).scalar_subquery()
    connection.execute(
        update(item)
        .where(mine, status_in(ItemStatus.PENDING, ItemStatus.HELD))
        .values(revision=revision, attempts=0),
        parameters,
    )


def move_scans(connection: Connection, place: Place, scan_ids: Sequence[int]) -> None:
    """Put files into the collection that they are now discovered for, with pages and items."""
    parameters = sql.as_ids(scan_ids)
    pages = pages_of(connection, from_page=0)
    for table, one in ((item, item.c.scan_id), (scan, scan.c.id)):
        moved = update(table).where(one.in_(pages)).values(collection=place.collection)
        connection.execute(moved, parameters)

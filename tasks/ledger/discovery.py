"""Recording a source's listing, however long it is.

The listing streams by in chunks. One query a chunk compares it with what is known; only what is new
or different is written, so a second look at an unchanged million writes nothing. Which scans were seen
is kept as one bit a scan (1.2 MB for 10 M), so the listing need not be sorted, and a known scan
without its bit has vanished, provided that the listing came to its end.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    Row,
    Text,
    and_,
    case,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    true,
    update,
)

from tasks.ledger import sql
from tasks.ledger.claims import release_items
from tasks.ledger.engine import Database
from tasks.ledger.filters import LAST_CHARACTER
from tasks.ledger.records import Discovered, ListedObject
from tasks.ledger.vanishing import mark_later_pages_vanished, mark_reappeared, mark_vanished
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

CHUNK_OBJECTS = 5_000
T = TypeVar("T")

_FACTS: dict[str, Any] = {
    "size_bytes": BigInteger(),
    "etag": Text(),
    "version": Text(),
    "modified_at": Text(),
}


@dataclass(frozen=True)
class _Listing:
    """What all chunks of one listing have in common."""

    store_id: int
    collection: str
    run_id: int | None


@dataclass
class _Comparison:
    """How a chunk differs from what is known."""

    new: list[dict[str, Any]] = field(default_factory=list)
    changed: list[dict[str, Any]] = field(default_factory=list)  # with the scan's id
    reappeared: list[int] = field(default_factory=list)
    moved: list[int] = field(default_factory=list)  # to another collection
    known: list[int] = field(default_factory=list)  # all that are not new

    @property
    def is_news(self) -> bool:
        return bool(self.new or self.changed or self.reappeared or self.moved)


class _Seen:
    """A set of scan ids, one bit each."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, number: int) -> bool:
        """Add *number*; False where it was there already."""
        byte, bit = number >> 3, 1 << (number & 7)
        if byte >= len(self._bits):
            self._bits.extend(bytes(byte + 4096 - len(self._bits)))
        is_new = not self._bits[byte] & bit
        self._bits[byte] |= bit
        return is_new

    def __contains__(self, number: int) -> bool:
        byte = number >> 3
        return byte < len(self._bits) and bool(self._bits[byte] & 1 << (number & 7))


def ensure_store(connection: Connection, url: str) -> int:
    """The id of the store with this URL."""
    wanted = select(store.c.id).where(store.c.url == url)
    found = connection.execute(wanted).scalar()
    if found is not None:
        return int(found)
    connection.execute(sql.insert_or(connection, store).values(url=url).on_conflict_do_nothing())
    return connection.execute(wanted).scalar_one()


def record_listing(
    database: Database,
    source: str,
    objects: Iterable[ListedObject],
    *,
    collection: str,
    run_id: int | None,
    prefix: str,
    complete: bool,
) -> Discovered:
    """Record what a source holds; see `Ledger.record_listing`."""
    store_id = database.write(lambda connection: ensure_store(connection, source))
    # What another process adds from now on is not ours to call vanished.
    newest = database.read(
        lambda connection: connection.execute(select(func.max(scan.c.id))).scalar()
    )
    listing = _Listing(store_id, collection, run_id)
    seen = _Seen()
    found = new = changed = reappeared = 0
    for chunk in _chunks(objects, CHUNK_OBJECTS):
        differs, added = _record_chunk(database, listing, chunk)
        found += sum(map(seen.add, [*differs.known, *added]))
        new += len(added)
        changed += len(differs.changed)
        reappeared += len(differs.reappeared)
    vanished = 0
    if complete and newest is not None:
        vanished = _record_vanished(database, listing, seen, prefix=prefix, newest=newest)
    return Discovered(
        found=found,
        new=new,
        changed=changed,
        unchanged=found - new - changed,
        vanished=vanished,
        reappeared=reappeared,
    )


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _record_chunk(
    database: Database, listing: _Listing, chunk: Sequence[ListedObject]
) -> tuple[_Comparison, list[int]]:
    """Compare, and write what differs; the differences, and the ids of the new scans."""
    rows = list({o.key: _as_row(o) for o in chunk}.values())
    given = sql.as_rows({**row, "n": n} for n, row in enumerate(rows))
    differs = database.read(lambda connection: _compare(connection, listing, rows, given))
    if not differs.is_news:
        return differs, []

    def write(connection: Connection) -> list[int]:
        added = _insert_new(connection, listing, differs.new)
        if differs.reappeared:
            mark_reappeared(connection, differs.reappeared)
        if differs.changed:
            _change(connection, listing, differs.changed)
        if differs.moved:
            _move(connection, listing, differs.moved)
        return added

    return differs, database.write(write)


def _as_row(found: ListedObject) -> dict[str, Any]:
    return {
        "key": found.key,
        "size_bytes": found.size_bytes,
        "etag": found.etag,
        "version": found.version,
        "modified_at": moment_text(found.modified_at),
    }


def _compare(
    connection: Connection, listing: _Listing, rows: Sequence[dict[str, Any]], given: str
) -> _Comparison:
    listed = sql.rows_table(connection, "listed", n=Integer(), key=Text(), **_FACTS)
    is_changed = or_(
        *(
            scan.c[name].is_distinct_from(listed.c[name])
            for name in ("size_bytes", "etag", "version")
        )
    )
    is_known = and_(
        scan.c.store_id == listing.store_id, scan.c.key == listed.c.key, scan.c.page == 0
    )
    # One number instead of three booleans: millions of rows come through here.
    difference = (
        case((is_changed, 1), else_=0)
        + case((scan.c.vanished_at.is_not(None), 2), else_=0)
        + case((scan.c.collection != listing.collection, 4), else_=0)
    )
    found = connection.execute(
        select(listed.c.n, scan.c.id, difference).select_from(listed.outerjoin(scan, is_known)),
        {"listed": given},
    )
    differs = _Comparison()
    for n, scan_id, bits in found:
        if scan_id is None:
            differs.new.append(rows[n])
            continue
        differs.known.append(scan_id)
        if bits & 1:
            differs.changed.append({**rows[n], "scan_id": scan_id})
        if bits & 2:
            differs.reappeared.append(scan_id)
        if bits & 4:
            differs.moved.append(scan_id)
    return differs


def _insert_new(
    connection: Connection, listing: _Listing, rows: Sequence[dict[str, Any]]
) -> list[int]:
    if not rows:
        return []
    listed = sql.rows_table(connection, "listed", key=Text(), **_FACTS)
    columns = {
        "store_id": literal(listing.store_id, BigInteger()),
        "key": listed.c.key,
        "page": literal(0),
        "collection": literal(listing.collection),
        **{name: listed.c[name] for name in ("size_bytes", "etag", "version")},
        "modified_at": sql.as_moment(listed.c.modified_at),
        "revision": literal(1),
        "run_id": literal(listing.run_id, BigInteger()),
        "found_at": sql.now(),
    }
    statement = sql.insert_or(connection, scan).from_select(
        list(columns), select(*columns.values()).where(true())
    )
    added = connection.execute(
        statement.on_conflict_do_nothing().returning(scan.c.id),  # another process lists the same
        {"listed": sql.as_rows(rows)},
    )
    return [row[0] for row in added]


def _change(connection: Connection, listing: _Listing, rows: Sequence[dict[str, Any]]) -> None:
    """Files that changed: a new revision, the old one kept on record, and nobody works on it any more."""
    given = {"listed": sql.as_rows(rows)}
    ids = [row["scan_id"] for row in rows]
    listed = sql.rows_table(connection, "listed", scan_id=BigInteger(), key=Text(), **_FACTS)
    is_changed = and_(
        scan.c.id == listed.c.scan_id,
        # Asked again under the lock: another process may have recorded the same change.
        or_(*(scan.c[n].is_distinct_from(listed.c[n]) for n in ("size_bytes", "etag", "version"))),
    )
    connection.execute(
        select(scan.c.id).where(scan.c.id.in_(select(listed.c.scan_id))).with_for_update(), given
    )
    kept = ("revision", "size_bytes", "etag", "version", "modified_at", "sha256")
    old = select(scan.c.id, *(scan.c[name] for name in kept), sql.now()).where(is_changed)
    connection.execute(
        insert(scan_revision).from_select(["scan_id", *kept, "replaced_at"], old), given
    )
    connection.execute(
        update(scan)
        .where(is_changed)
        .values(
            {name: listed.c[name] for name in ("size_bytes", "etag", "version")}
            | {name: null() for name in ("sha256", "width", "height", "bits", "pages")}
            | {
                "modified_at": sql.as_moment(listed.c.modified_at),
                "revision": scan.c.revision + 1,
                "run_id": listing.run_id,
            }
        ),
        given,
    )
    mark_later_pages_vanished(connection, ids)
    _take_from_workers(connection, ids)


def _take_from_workers(connection: Connection, scan_ids: Sequence[int]) -> None:
    """Items that wait or are being worked on become items of the new revision."""
    given = sql.ids_table(connection, "given")
    parameters = {"given": sql.as_ids(scan_ids)}
    mine = item.c.scan_id.in_(select(given.c.id))
    release_items(
        connection,
        [CLAIMED, mine],
        ending=AttemptEnding.REVOKED,
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


def _move(connection: Connection, listing: _Listing, scan_ids: Sequence[int]) -> None:
    """Scans whose source is now discovered for another collection, with their pages and items."""
    first = scan.alias("first")
    given = sql.ids_table(connection, "given")
    parameters = {"given": sql.as_ids(scan_ids)}
    pages = select(scan.c.id).where(
        scan.c.store_id == listing.store_id,
        scan.c.key.in_(select(first.c.key).where(first.c.id.in_(select(given.c.id)))),
    )
    connection.execute(
        update(item).where(item.c.scan_id.in_(pages)).values(collection=listing.collection),
        parameters,
    )
    connection.execute(
        update(scan).where(scan.c.id.in_(pages)).values(collection=listing.collection), parameters
    )


def _record_vanished(
    database: Database, listing: _Listing, seen: _Seen, *, prefix: str, newest: int
) -> int:
    """Mark the known scans under *prefix* that were not seen."""
    after, count = "", 0
    while True:
        rows = database.read(
            lambda connection, after=after: _known_after(connection, listing, prefix, after)
        )
        if not rows:
            return count
        after = rows[-1].key
        gone = [row.id for row in rows if row.id <= newest and row.id not in seen]
        if gone:
            count += database.write(lambda connection, gone=gone: mark_vanished(connection, gone))


def _known_after(
    connection: Connection, listing: _Listing, prefix: str, after: str
) -> Sequence[Row[Any]]:
    known = select(scan.c.id, scan.c.key).where(
        scan.c.store_id == listing.store_id,
        scan.c.key > after,
        scan.c.page == 0,
        scan.c.vanished_at.is_(None),
    )
    if prefix:
        known = known.where(scan.c.key >= prefix, scan.c.key < prefix + LAST_CHARACTER)
    return connection.execute(known.order_by(scan.c.key).limit(4 * CHUNK_OBJECTS)).all()

"""Recording a source's listing, however long it is.

The listing streams by in chunks. One query a chunk compares it with what is known; only what is new
or different is written, so a second look at an unchanged million writes nothing. Which scans were
seen is kept as one bit a scan (1.2 MB for 10 M), so the listing need not be sorted, and a known
scan without its bit has vanished, provided that the listing came to its end.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    Select,
    Text,
    and_,
    case,
    func,
    or_,
    select,
)

from tasks.ledger import sql
from tasks.ledger.changes import (
    IDENTITY,
    Inserted,
    Place,
    change_scans,
    ensure_store,
    facts_of,
    insert_scans,
    move_scans,
)
from tasks.ledger.engine import Database
from tasks.ledger.filters import LAST_CHARACTER
from tasks.ledger.records import Discovered, ListedObject, Missing
from tasks.ledger.vanishing import mark_left_out, mark_reappeared, mark_vanished
from tasks.schema import scan

CHUNK_OBJECTS = 5_000
T = TypeVar("T")

_LISTED = sql.Rows("listed", n=Integer, key=Text, size_bytes=BigInteger, etag=Text, version=Text)


@dataclass(frozen=True)
class Listing:
    """What is listed, and for what; see `Ledger.record_listing`."""

    source: str
    objects: Iterable[ListedObject]
    collection: str
    run_id: int | None
    prefix: str
    complete: bool
    leaves_out: Callable[[str], str]
    may_vanish: Callable[[Missing], bool]


@dataclass
class _Absent:
    """Known scans that the listing did not bring, by their ids."""

    known: int = 0
    missing: "array[int]" = field(default_factory=lambda: array("q"))
    folders: Counter[str] = field(default_factory=Counter)
    left_out: dict[str, "array[int]"] = field(default_factory=dict)  # by pattern

    def add(self, scan_id: int, key: str, pattern: str) -> None:
        """Take note of one."""
        if pattern:
            self.left_out.setdefault(pattern, array("q")).append(scan_id)
            self.known -= 1
        else:
            self.missing.append(scan_id)
            self.folders[key[: key.rfind("/") + 1]] += 1


@dataclass
class _Comparison:
    """How a chunk differs from what is known."""

    new: list[dict[str, Any]] = field(default_factory=list)
    changed: list[dict[str, Any]] = field(default_factory=list)  # with the scan's id
    reappeared: list[int] = field(default_factory=list)
    moved: list[int] = field(default_factory=list)  # from another collection
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


def record_listing(database: Database, listing: Listing) -> Discovered:
    """Record what a source holds; see `Ledger.record_listing`."""
    store_id = database.write(partial(ensure_store, url=listing.source))
    place = Place(store_id, listing.collection, listing.run_id)
    # What another process adds from now on is not ours to call vanished.
    newest = database.read(_newest)
    seen = _Seen()
    found = new = changed = reappeared = vanished = left_out = 0
    for objects in _chunks(listing.objects, CHUNK_OBJECTS):
        differs, inserted = _record_chunk(database, place, objects)
        found += len(differs.new) + sum(map(seen.add, differs.known))
        for scan_id in (*inserted.added, *inserted.known):
            seen.add(scan_id)
        new += len(inserted.added)
        changed += len(differs.changed)
        reappeared += len(differs.reappeared)
    if listing.complete:
        absent = _absent(database, place, seen, listing, newest=newest)
        left_out = _mark_left_out(database, absent)
        if listing.may_vanish(Missing(absent.known, absent.folders)):
            vanished = _mark_all(database, mark_vanished, absent.missing)
    return Discovered(
        found=found,
        new=new,
        changed=changed,
        unchanged=found - new - changed,
        vanished=vanished,
        left_out=left_out,
        reappeared=reappeared,
    )


def _newest(connection: Connection) -> int:
    return int(connection.execute(select(func.coalesce(func.max(scan.c.id), 0))).scalar_one())


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Give *items* in lists of *size*; where they break off, those before it first."""
    chunk: list[T] = []
    try:
        for one in items:
            chunk.append(one)
            if len(chunk) == size:
                yield chunk
                chunk = []
    except Exception:
        yield chunk
        raise
    if chunk:
        yield chunk


def _record_chunk(
    database: Database, place: Place, chunk: Sequence[ListedObject]
) -> tuple[_Comparison, Inserted]:
    """Compare, and write what differs; the differences, and what became of the new ones."""
    objects = list({found.key: found for found in chunk}.values())
    differs = database.read(lambda connection: _compare(connection, place, objects))
    if not differs.is_news:
        return differs, Inserted()
    return differs, database.write(lambda connection: _write(connection, place, differs))


def _compare(connection: Connection, place: Place, objects: Sequence[ListedObject]) -> _Comparison:
    rows = (
        {"n": n, "key": o.key, "size_bytes": o.size_bytes, "etag": o.etag, "version": o.version}
        for n, o in enumerate(objects)
    )
    compared = connection.execute(comparison(connection, place), _LISTED.given(rows))
    differs = _Comparison()
    for n, number in compared.all():
        if number is None:
            differs.new.append(facts_of(objects[n]))
            continue
        scan_id, bits = number >> 3, number & 7
        differs.known.append(scan_id)
        if bits & 1:
            differs.changed.append({**facts_of(objects[n]), "scan_id": scan_id})
        if bits & 2:
            differs.reappeared.append(scan_id)
        if bits & 4:
            differs.moved.append(scan_id)
    return differs


def comparison(connection: Connection, place: Place) -> Select[Any]:
    """For each listed object its scan's id and how it differs, in one number; NULL for a new one.

    Not a join: of a source that is listed for the first time the server's statistics know nothing,
    and it would read all scans of it for every chunk anew. So it can only look each key up.
    """
    listed = _LISTED.table(connection)
    is_known = and_(scan.c.store_id == place.store_id, scan.c.key == listed.c.key, scan.c.page == 0)
    is_changed = or_(*(scan.c[name].is_distinct_from(listed.c[name]) for name in IDENTITY))
    difference = (
        case((is_changed, 1), else_=0)
        + case((scan.c.vanished_at.is_not(None), 2), else_=0)
        + case((scan.c.collection != place.collection, 4), else_=0)
    )
    known = select(scan.c.id * 8 + difference).where(is_known).scalar_subquery()
    return select(listed.c.n, known.label("known"))


def _write(connection: Connection, place: Place, differs: _Comparison) -> Inserted:
    inserted = insert_scans(connection, place, differs.new)
    if differs.reappeared:
        mark_reappeared(connection, differs.reappeared)
    if differs.changed:
        change_scans(connection, place, differs.changed)
    if differs.moved:
        move_scans(connection, place, differs.moved)
    return inserted


def _absent(
    database: Database, place: Place, seen: _Seen, listing: Listing, *, newest: int
) -> _Absent:
    """Find the known scans under the listing's prefix that were not seen."""
    after, absent = "", _Absent()
    while rows := database.read(
        partial(_known_after, store_id=place.store_id, prefix=listing.prefix, after=after)
    ):
        after = rows[-1].key
        absent.known += len(rows)
        for row in rows:
            if row.id <= newest and row.id not in seen:
                absent.add(row.id, row.key, listing.leaves_out(row.key))
    return absent


def _mark_left_out(database: Database, absent: _Absent) -> int:
    return sum(
        _mark_all(database, partial(mark_left_out, pattern=pattern), ids)
        for pattern, ids in absent.left_out.items()
    )


def _mark_all(database: Database, mark: Callable[..., None], ids: Sequence[int]) -> int:
    """Mark scans, some thousands in a transaction; returns how many."""
    for start in range(0, len(ids), CHUNK_OBJECTS):
        database.write(partial(mark, scan_ids=ids[start : start + CHUNK_OBJECTS]))
    return len(ids)


def _known_after(
    connection: Connection, *, store_id: int, prefix: str, after: str
) -> Sequence[sql.AnyRow]:
    known = select(scan.c.id, scan.c.key).where(
        scan.c.store_id == store_id,
        scan.c.key > after,
        scan.c.page == 0,
        scan.c.vanished_at.is_(None),
    )
    if prefix:
        known = known.where(scan.c.key >= prefix, scan.c.key < prefix + LAST_CHARACTER)
    return connection.execute(known.order_by(scan.c.key).limit(4 * CHUNK_OBJECTS)).all()

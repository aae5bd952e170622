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
    Boolean,
    Connection,
    Integer,
    Select,
    Text,
    and_,
    case,
    func,
    literal,
    select,
)

from tasks.ledger import sql
from tasks.ledger.changes import (
    InsertedScans,
    Place,
    facts_of,
    insert_scans,
    is_told_otherwise,
    move_scans,
    relist_scans,
)
from tasks.ledger.engine import Database, reads
from tasks.ledger.holds import hold_found, refuse_moved_files
from tasks.ledger.links import begins, changed_links, record_links
from tasks.ledger.records import Doubt, ListingCounts, MissingScans
from tasks.ledger.sources import Router, find_routes
from tasks.ledger.vanishing import (
    mark_archived,
    mark_left_out,
    mark_reappeared,
    mark_restored,
    mark_vanished,
)
from tasks.schema import DOUBTED, scan, store
from tasks.storage import Link, ObjectInfo

CHUNK_OBJECTS = 5_000
T = TypeVar("T")

_LISTED = sql.Rows(
    "listed",
    n=Integer,
    key=Text,
    size_bytes=BigInteger,
    etag=Text,
    version=Text,
    modified_at=Text,
    archived=Boolean,
)
_FLAGS = 4  # bits by which a known scan differs


@dataclass
class _MissingScans:
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
    otherwise: list[dict[str, Any]] = field(default_factory=list)  # told of, with the scan's id
    reappeared: list[int] = field(default_factory=list)
    moved: list[int] = field(default_factory=list)  # from another collection
    archived: list[int] = field(default_factory=list)
    restored: list[int] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)  # that lead elsewhere than before
    linked: list[int] = field(default_factory=list)  # known scans under these
    known: list[int] = field(default_factory=list)  # all that are not new

    @property
    def is_news(self) -> bool:
        told = (self.new, self.otherwise, self.reappeared, self.moved, self.archived, self.restored)
        return any((*told, self.links))


@dataclass(frozen=True)
class _ChunkResult:
    """What came of writing a chunk."""

    inserted: InsertedScans = field(default_factory=InsertedScans)
    changed: int = 0


class _IdSet:
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


def record_listing(  # noqa: PLR0913 - each may be left out but three
    database: Database,
    source: str,
    objects: Iterable[ObjectInfo],
    *,
    collection: str,
    run_id: int | None = None,
    prefix: str = "",
    complete: bool = True,
    leaves_out: Callable[[str], str] = lambda _: "",
    may_vanish: Callable[[MissingScans], bool] = lambda _: True,
) -> ListingCounts:
    """Record what a source holds, in bounded memory and in many short transactions.

    What a file is, its bytes say. Where another ETag, time or version is listed, it is in doubt
    (`doubts`) until they are compared; where they are others for sure, it becomes a new
    revision of its scan: items that wait or are being worked on go back to pending for it,
    ended ones are due at the next `enqueue`. A known scan that the listing did not bring is
    marked vanished, never deleted, and nothing waits for it any more; when it comes back, so
    does its item. So it is with one that is archived, and restored.

    Args:
        database: Of the ledger.
        source: The store's normalised URL.
        objects: Its listing, in any order. When it raises, what came before is kept, and
            nothing is taken for vanished.
        collection: What its scans belong to; scans known under another are moved.
        run_id: The run that looks.
        prefix: The listing covers only keys that begin so.
        complete: False for a listing that ends early on purpose: nothing is taken for vanished.
        leaves_out: The pattern by which a key is left out of the listing, "" for none. Known
            scans that it names are marked as left out: what of them is not done is skipped.
        may_vanish: Asked when the listing is over, whether what it did not bring is gone.
    """
    router = database.write(partial(find_routes, url=source, collection=collection, run_id=run_id))
    # What another process adds from now on is not ours to call vanished.
    newest = database.read(_newest)
    seen = _IdSet()
    found = new = changed = reappeared = vanished = left_out = otherwise = 0
    for chunk in _chunks(objects, CHUNK_OBJECTS):
        for route, mine in router.sort(chunk):
            differs, written = _record_chunk(database, route.place, mine)
            found += len(differs.new) + sum(map(seen.add, differs.known))
            for scan_id in (*written.inserted.added, *written.inserted.known):
                seen.add(scan_id)
            new += len(written.inserted.added)
            changed += written.changed
            otherwise += len(differs.otherwise)
            reappeared += len(differs.reappeared)
    if complete:
        absent = _absent(
            database, router, seen, newest=newest, prefix=prefix, leaves_out=leaves_out
        )
        left_out = _mark_left_out(database, absent)
        if may_vanish(MissingScans(absent.known, absent.folders)):
            vanished = _mark_all(database, mark_vanished, absent.missing)
        # Whatever the loss is taken for: a refused file may just have another name now.
        refuse_moved_files(database, absent.missing)
    return ListingCounts(
        found=found,
        new=new,
        changed=changed,
        unchanged=found - new - changed,
        vanished=vanished,
        left_out=left_out,
        reappeared=reappeared,
        doubted=otherwise - changed,
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
    database: Database, place: Place, chunk: Sequence[ObjectInfo]
) -> tuple[_Comparison, _ChunkResult]:
    """Compare, and write what differs; the differences, and what came of them."""
    objects = list({found.key: found for found in chunk}.values())
    differs = database.read(lambda connection: _compare(connection, place, objects))
    if not differs.is_news:
        return differs, _ChunkResult()
    return differs, database.write(lambda connection: _write(connection, place, differs))


def _compare(connection: Connection, place: Place, objects: Sequence[ObjectInfo]) -> _Comparison:
    facts = [facts_of(found) for found in objects]
    rows = ({**one, "n": n} for n, one in enumerate(facts))
    compared = connection.execute(comparison(connection, place), _LISTED.given(rows))
    differs = _Comparison(links=changed_links(connection, place.store_id, objects))
    for n, number in compared.all():
        if number is None:
            differs.new.append(facts[n])
            continue
        scan_id, flags = number >> _FLAGS, number & (1 << _FLAGS) - 1
        differs.known.append(scan_id)
        if differs.links and objects[n].link in differs.links:
            differs.linked.append(scan_id)
        if flags & 1:
            differs.otherwise.append({**facts[n], "scan_id": scan_id})
        if flags & 2:
            differs.reappeared.append(scan_id)
        if flags & 4:
            differs.moved.append(scan_id)
        if flags & 8:
            (differs.archived if facts[n]["archived"] else differs.restored).append(scan_id)
    return differs


def comparison(connection: Connection, place: Place) -> Select[Any]:
    """For each listed object its scan's id and how it differs, in one number; NULL for a new one.

    Not a join: of a source that is listed for the first time the server's statistics know nothing,
    and it would read all scans of it for every chunk anew. So it can only look each key up.
    """
    listed = _LISTED.table(connection)
    is_known = and_(scan.c.store_id == place.store_id, scan.c.key == listed.c.key, scan.c.page == 0)
    is_elsewhere = scan.c.collection != place.collection
    difference = (
        case((is_told_otherwise(listed), 1), else_=0)
        + case((scan.c.vanished_at.is_not(None), 2), else_=0)
        + (literal(0) if place.keeps_collection else case((is_elsewhere, 4), else_=0))
        + case((scan.c.archived != listed.c.archived, 8), else_=0)
    )
    known = select(scan.c.id * (1 << _FLAGS) + difference).where(is_known).scalar_subquery()
    return select(listed.c.n, known.label("known"))


def _write(connection: Connection, place: Place, differs: _Comparison) -> _ChunkResult:
    record_links(connection, place.store_id, differs.links)
    inserted = insert_scans(connection, place, differs.new)
    if found := (*inserted.added, *differs.linked):
        hold_found(connection, place.store_id, found)
    changed = relist_scans(connection, place, differs.otherwise) if differs.otherwise else 0
    if differs.archived:
        mark_archived(connection, differs.archived)
    if differs.restored:
        mark_restored(connection, differs.restored)
    if differs.reappeared:
        mark_reappeared(connection, differs.reappeared)
    if differs.moved:
        move_scans(connection, place, differs.moved)
    return _ChunkResult(inserted, changed)


def _absent(  # noqa: PLR0913 - three of them are what was listed
    database: Database,
    router: Router,
    seen: _IdSet,
    *,
    newest: int,
    prefix: str,
    leaves_out: Callable[[str], str],
) -> _MissingScans:
    """Find the known scans under the listing's prefix that were not seen."""
    absent = _MissingScans()
    for route in router.routes:
        covered = route.prefix_of(prefix)
        if covered is None:
            continue
        after = ""
        while rows := database.read(
            partial(_known_after, store_id=route.store_id, prefix=covered, after=after)
        ):
            after = rows[-1].key
            absent.known += len(rows)
            for row in rows:
                if row.id <= newest and row.id not in seen:
                    key = route.listed_as(row.key)
                    absent.add(row.id, key, leaves_out(key))
    return absent


def _mark_left_out(database: Database, absent: _MissingScans) -> int:
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
        known = known.where(begins(scan.c.key, prefix))
    return connection.execute(known.order_by(scan.c.key).limit(4 * CHUNK_OBJECTS)).all()


@reads
def doubts(
    connection: Connection, source: str, *, after_key: str = "", limit: int = 64
) -> list[Doubt]:
    """Files in a source of which the listing tells otherwise, by key from *after_key* on.

    Their bytes are to be compared.
    """
    wanted = (
        select(scan.c.id, scan.c.key, scan.c.listing, scan.c.size_bytes)
        .join(store, store.c.id == scan.c.store_id)
        .where(
            store.c.url == source,
            scan.c.key > after_key,
            scan.c.page == 0,
            DOUBTED,
            scan.c.sha256.is_not(None),
            scan.c.vanished_at.is_(None),
            scan.c.archived.is_(False),
        )
        .order_by(scan.c.key)
        .limit(limit)
    )
    rows = connection.execute(wanted)
    return [Doubt(row.id, row.key, row.listing, row.size_bytes) for row in rows]

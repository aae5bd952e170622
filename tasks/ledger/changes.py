"""Writing what discovery found: new files, files that a listing tells otherwise of, moved ones.

What a file is, its bytes say. A listing that tells otherwise of it makes a doubt; only other bytes,
found by reading them, make a new revision.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    Text,
    and_,
    case,
    delete,
    func,
    literal,
    null,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.sql.selectable import CTE

from tasks.errors import Reason
from tasks.ledger import refusals, sql
from tasks.ledger.decisions import Decision, carry_out
from tasks.ledger.engine import writes
from tasks.ledger.holds import hold_copies
from tasks.ledger.records import Digest
from tasks.ledger.refused_files import refuse_changed
from tasks.ledger.sweeping import uncount
from tasks.ledger.vanishing import WHO, mark_later_pages_vanished, pages_of
from tasks.schema import (
    CLAIMED,
    DOUBTED,
    AttemptEnding,
    DecisionKind,
    ItemStatus,
    item,
    moment_text,
    scan,
    scan_revision,
    status_in,
    store,
)
from tasks.storage import ObjectInfo

FACTS = ("size_bytes", "etag", "version", "modified_at")
"""What a listing tells of a file."""

_LISTED = sql.Rows(
    "listed",
    scan_id=BigInteger,
    key=Text,
    size_bytes=BigInteger,
    etag=Text,
    version=Text,
    modified_at=Text,
    archived=Boolean,
)
_IS_KEPT = and_(scan_revision.c.scan_id == scan.c.id, scan_revision.c.revision == scan.c.revision)
_DIGESTS = sql.rows_of("digests", Digest)


@dataclass(frozen=True)
class Place:
    """Where the scans of one listing belong."""

    store_id: int
    collection: str
    run_id: int | None
    keeps_collection: bool = False  # known scans are not moved into *collection*


@dataclass(frozen=True)
class InsertedScans:
    """What became of files that were not known when they were compared."""

    added: tuple[int, ...] = ()  #: ids of the scans made
    known: tuple[int, ...] = ()  #: ids of those that another process had made meanwhile


def facts_of(found: ObjectInfo) -> dict[str, Any]:
    """An object as it is written."""
    return {
        "key": found.key,
        "size_bytes": found.size_bytes,
        "etag": found.etag,
        "version": found.version,
        "modified_at": moment_text(found.modified_at),
        "archived": found.is_archived,
    }


def is_told_otherwise(listed: CTE) -> ColumnElement[bool]:
    """On `scan`: the listing tells of it what may mean other bytes.

    An ETag that is weak, absent or made up of the time may differ, and not, whatever the bytes do:
    then size and time decide.
    """
    at_another_time = scan.c.modified_at != sql.as_moment(listed.c.modified_at)
    is_weak = or_(*(_is_weak(etag) for etag in (scan.c.etag, listed.c.etag)))
    return or_(
        scan.c.size_bytes != listed.c.size_bytes,
        scan.c.version.is_distinct_from(listed.c.version),
        case((is_weak, at_another_time), else_=scan.c.etag != listed.c.etag),
    )


def _is_weak(etag: ColumnElement[str]) -> ColumnElement[bool]:
    begins = func.substr(etag, 1, 2)
    return or_(etag == "", begins == "W/", func.substr(etag, 1, 9) == "modified-")


@writes
def ensure_store(connection: Connection, url: str) -> int:
    """The id of the store with this URL."""
    wanted = select(store.c.id).where(store.c.url == url)
    found: int | None = connection.execute(wanted).scalar()
    if found is None:
        new = sql.insert_or(connection, store).values(url=url)
        connection.execute(new.on_conflict_do_nothing())
        found = int(connection.execute(wanted).scalar_one())
    return found


def ensure_source(connection: Connection, url: str) -> int:
    """The id of the store with this URL, in which scans are looked for from now on."""
    store_id = ensure_store(connection, url)
    mine = update(store).where(store.c.id == store_id, store.c.is_source.is_(False))
    connection.execute(mine.values(is_source=True))
    return store_id


def insert_scans(
    connection: Connection, place: Place, facts: Sequence[dict[str, Any]]
) -> InsertedScans:
    """Make scans of files that are not known."""
    if not facts:
        return InsertedScans()
    listed = _LISTED.table(connection)
    columns = {
        "store_id": literal(place.store_id, BigInteger()),
        "key": listed.c.key,
        "page": literal(0),
        "collection": literal(place.collection),
        **_facts_in(listed),
        "archived": listed.c.archived,
        "revision": literal(1),
        "run_id": literal(place.run_id, BigInteger()),
        "found_at": sql.now(),
    }
    new = sql.insert_or(connection, scan).from_select(
        list(columns), select(*columns.values()).where(true())
    )
    given = _LISTED.given(facts)
    added = connection.execute(
        new.on_conflict_do_nothing().returning(scan.c.id),  # another process lists the same
        given,
    )
    ids = tuple(added.scalars().all())  # at once: one by one takes twice as long
    if len(ids) == len(facts):
        return InsertedScans(ids)
    # Its ids may be below those that were there when this listing began: they count as seen.
    mine = set(ids)
    one = select(scan.c.id).where(
        scan.c.store_id == place.store_id, scan.c.key == listed.c.key, scan.c.page == 0
    )
    there = connection.execute(select(one.scalar_subquery()).select_from(listed), given)
    return InsertedScans(ids, tuple(found for found in there.scalars().all() if found not in mine))


def relist_scans(connection: Connection, place: Place, facts: Sequence[dict[str, Any]]) -> int:
    """Write what is told otherwise of known files; returns how many hold other bytes for sure.

    Of a file whose bytes were read, another size means other bytes, and all else a doubt: nothing
    changes but what is on record of the listing, until its bytes are compared (`record_digests`).
    One that nobody has read yet is listed anew, unless an item has come to an end about it, or is
    just being worked on and the size is another.
    """
    given = _LISTED.given(facts)
    listed = _LISTED.table(connection)
    _lock(connection, [one["scan_id"] for one in facts])
    # Asked again under the lock: another process may have recorded the same.
    rows = connection.execute(
        select(
            scan.c.id,
            scan.c.sha256,
            (scan.c.size_bytes != listed.c.size_bytes).label("has_other_size"),
            _has_ended_unread().label("has_ended"),
            _is_claimed().label("is_claimed"),
        ).where(scan.c.id == listed.c.scan_id, is_told_otherwise(listed)),
        given,
    ).all()
    if not rows:
        return 0
    other = [
        row.id
        for row in rows
        if (row.has_other_size and (row.sha256 or row.is_claimed))
        or (row.has_ended and not row.sha256)
    ]
    _keep_facts(connection, {*other, *(row.id for row in rows if row.sha256)})
    if other:
        _begin_revision(connection, other, run_id=place.run_id)
    ids = [row.id for row in rows]
    _write_facts(connection, ids, given)
    _try_again(connection, ids)
    return len(other)


@writes
def record_digests(connection: Connection, digests: Iterable[Digest]) -> int:
    """Settle doubts; returns how many files hold other bytes, and have a new revision.

    The same bytes are no change: every item stays what it is. What a held file holds now is held.

    What the listing has told otherwise of since the bytes were read stays in doubt.
    """
    refusals.lock(connection)
    given = _DIGESTS.given(vars(one) for one in digests)
    found = _DIGESTS.table(connection)
    in_doubt = and_(
        scan.c.id == found.c.scan_id, scan.c.listing == found.c.listing, scan.c.sha256.is_not(None)
    )
    rows = connection.execute(
        select(scan.c.id, (scan.c.sha256 == found.c.sha256).label("is_same"))
        .where(in_doubt, DOUBTED)
        .order_by(scan.c.id)
        .with_for_update(of=scan),
        given,
    ).all()
    same = [row.id for row in rows if row.is_same]
    other = [row.id for row in rows if not row.is_same]
    if other:
        _keep_facts(connection, other)
        _begin_revision(connection, other, run_id=None)
        read = select(found.c.sha256).where(found.c.scan_id == scan.c.id).scalar_subquery()
        mine = scan.c.id.in_(sql.these(other))
        connection.execute(update(scan).where(mine).values(sha256=read), given)
        hold_copies(connection, other)
    _end_doubts(connection, same + other)
    return len(other)


def _facts_in(listed: CTE) -> dict[str, Any]:
    return {
        "size_bytes": listed.c.size_bytes,
        "etag": listed.c.etag,
        "version": listed.c.version,
        "modified_at": sql.as_moment(listed.c.modified_at),
    }


def _lock(connection: Connection, scan_ids: Sequence[int]) -> None:
    mine = select(scan.c.id).where(scan.c.id.in_(sql.these(scan_ids))).order_by(scan.c.id)
    connection.execute(mine.with_for_update())


def _has_ended_unread() -> ColumnElement[bool]:
    """On `scan`: an item has come to an end about bytes that nobody knows the digest of.

    So it has not where the file was never there to be read.
    """
    never_read = (Reason.VANISHED, Reason.ARCHIVED, Reason.STORAGE_UNAVAILABLE)
    ended = (
        ItemStatus.PUBLISHED,
        ItemStatus.REVIEW,
        ItemStatus.SKIPPED,
        ItemStatus.FAILED,
        ItemStatus.QUARANTINED,
        ItemStatus.REJECTED,
    )
    return (
        select(item.c.id)
        .where(
            item.c.scan_id == scan.c.id,
            item.c.revision == scan.c.revision,
            item.c.status.in_([status.value for status in ended]),
            func.coalesce(item.c.reason, "").not_in([reason.value for reason in never_read]),
        )
        .correlate(scan)
        .exists()
    )


def _is_claimed() -> ColumnElement[bool]:
    """On `scan`: a worker has it."""
    return select(item.c.id).where(item.c.scan_id == scan.c.id, CLAIMED).correlate(scan).exists()


def _keep_facts(connection: Connection, scan_ids: Collection[int]) -> None:
    """Keep what was listed of files when their bytes were read, unless it is kept already."""
    if not scan_ids:
        return
    mine = scan.c.id.in_(sql.these(scan_ids))
    settled = select(scan.c.id).where(mine, _IS_KEPT, ~DOUBTED).correlate(scan_revision)
    connection.execute(delete(scan_revision).where(settled.exists()))
    kept = ("revision", *FACTS, "sha256")
    old = select(scan.c.id, *(scan.c[name] for name in kept), sql.now()).where(mine)
    keep = sql.insert_or(connection, scan_revision).from_select(
        ["scan_id", *kept, "replaced_at"], old
    )
    connection.execute(keep.on_conflict_do_nothing())


def _begin_revision(connection: Connection, scan_ids: Sequence[int], *, run_id: int | None) -> None:
    """Give files that hold other bytes a new revision.

    Items that wait or are being worked on become items of the new revision. Ended ones stay what
    they are, about the old revision, until they are enqueued again.
    """
    refuse_changed(connection, scan.c.id.in_(pages_of(scan_ids)))
    mine = scan.c.id.in_(sql.these(scan_ids))
    theirs = select(scan.c.id).where(mine, _IS_KEPT).correlate(scan_revision)
    replaced = update(scan_revision).where(theirs.exists()).values(replaced_at=sql.now())
    connection.execute(replaced)
    facts = ("sha256", "width", "height", "bits", "pages", "title", "frames", "film_s")
    found_by = {} if run_id is None else {"run_id": run_id}
    begun = {"revision": scan.c.revision + 1, **dict.fromkeys(facts, null()), **found_by}
    connection.execute(update(scan).where(mine).values(begun))
    mark_later_pages_vanished(connection, scan_ids)
    _take_from_workers(connection, scan_ids)


def _write_facts(
    connection: Connection, scan_ids: Sequence[int], listing: Mapping[str, str]
) -> None:
    """Write what is listed now, for all pages of the files."""
    listed = _LISTED.table(connection)
    first, page = scan.alias("first"), scan.alias("page")
    pages = (
        select(page.c.id, first.c.id.label("first_id"))
        .join(first, and_(first.c.store_id == page.c.store_id, first.c.key == page.c.key))
        .where(first.c.id.in_(sql.these(scan_ids)))
        .subquery()
    )
    is_unread = scan.c.sha256.is_(None)
    connection.execute(
        update(scan)
        .where(scan.c.id == pages.c.id, pages.c.first_id == listed.c.scan_id)
        .values(
            **_facts_in(listed),
            listing=scan.c.listing + 1,
            read_listing=case((is_unread, scan.c.listing + 1), else_=scan.c.read_listing),
        ),
        listing,
    )


def _end_doubts(connection: Connection, scan_ids: Sequence[int]) -> None:
    pages = pages_of(scan_ids)
    settled = update(scan).where(scan.c.id.in_(pages), DOUBTED)
    connection.execute(settled.values(read_listing=scan.c.listing))
    replaced = select(scan.c.id).where(scan.c.id.in_(pages), _IS_KEPT).correlate(scan_revision)
    connection.execute(delete(scan_revision).where(replaced.exists()))


def _try_again(connection: Connection, scan_ids: Sequence[int]) -> None:
    """What failed because the file was not the one that was listed is listed anew."""
    again = Decision(DecisionKind.SCAN_CHANGED, ItemStatus.PENDING, WHO, "listed anew")
    refused = and_(
        status_in(ItemStatus.FAILED),
        item.c.reason == Reason.STORAGE_UNAVAILABLE,
        item.c.scan_id.in_(pages_of(scan_ids)),
    )
    carry_out(connection, again, refused)


def _take_from_workers(connection: Connection, scan_ids: Sequence[int]) -> None:
    mine = item.c.scan_id.in_(sql.these(scan_ids))
    uncount(connection, and_(CLAIMED, mine), AttemptEnding.REVOKED, detail="the scan changed")
    revision = select(scan.c.revision).where(scan.c.id == item.c.scan_id).scalar_subquery()
    connection.execute(
        update(item)
        .where(mine, status_in(ItemStatus.PENDING, ItemStatus.HELD))
        .values(revision=revision, attempts=0)
    )


def move_scans(connection: Connection, place: Place, scan_ids: Sequence[int]) -> None:
    """Put files into the collection that they are now discovered for, with pages and items."""
    pages = pages_of(scan_ids)
    for table, one in ((item, item.c.scan_id), (scan, scan.c.id)):
        connection.execute(update(table).where(one.in_(pages)).values(collection=place.collection))

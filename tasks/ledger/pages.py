"""The pages of a file beyond its first, which only the one who opened it knows of."""

from sqlalchemy import Connection, Integer, and_, null, select, update

from tasks.ledger import sql
from tasks.ledger.engine import writes
from tasks.ledger.enqueue import enqueue_scans
from tasks.ledger.holds import hold_copies
from tasks.ledger.refused_files import refuse_found, refuse_pages
from tasks.schema import ItemStatus, OrderMode, item, scan, work_order

_NUMBERS = sql.Rows("numbers", page=Integer)
_COPIED = (
    "collection",
    "size_bytes",
    "etag",
    "version",
    "modified_at",
    "revision",
    "run_id",
    "sha256",
    "listing",
    "read_listing",
)


@writes
def add_pages(connection: Connection, scan_id: int, pages: int) -> int:
    """Make scans of pages 1 to *pages* - 1, and items under the recipes that the first is under.

    They belong to the order that the first belongs to, if that is under way.

    `finish` does this for outcomes that say how many pages there are.

    Does nothing for the pages that are there already, so a worker that was killed half-way and is
    run again does no harm. Pages that an earlier revision of the file had, and this one has too,
    come back.

    Returns:
        How many scans are new.
    """
    first = connection.execute(select(scan).where(scan.c.id == scan_id)).one()
    number = _NUMBERS.table(connection).c.page
    columns = {
        **{name: scan.c[name] for name in ("store_id", "key", *_COPIED)},
        "page": number,
        "found_at": sql.now(),
    }
    copies = select(*columns.values()).where(scan.c.id == scan_id, scan.c.page < number)
    later = and_(
        scan.c.store_id == first.store_id,
        scan.c.key == first.key,
        scan.c.page.between(1, pages - 1),
    )
    known = set(connection.execute(select(scan.c.id).where(later)).scalars())
    connection.execute(
        sql.insert_or(connection, scan).from_select(list(columns), copies).on_conflict_do_nothing(),
        _NUMBERS.given({"page": page} for page in range(1, pages)),
    )
    added = set(connection.execute(select(scan.c.id).where(later)).scalars()) - known
    if added:
        refuse_pages(connection, scan_id, added)
        refuse_found(connection, first.store_id, added)
        hold_copies(connection, sorted(added))
    copied = {name: getattr(first, name) for name in _COPIED}
    connection.execute(
        update(scan)
        .where(later, scan.c.vanished_at.is_not(None))
        .values({**copied, "vanished_at": null()})
    )
    under_way = and_(work_order.c.id == item.c.order_id, work_order.c.ended_at.is_(None))
    live = (
        select(item.c.recipe_id, work_order.c.id)
        .outerjoin(work_order, under_way)
        .where(item.c.scan_id == scan_id, item.c.status != ItemStatus.SUPERSEDED)
    )
    for recipe_id, order_id in connection.execute(live).all():
        enqueue_scans(
            connection,
            later,
            recipe_id=recipe_id,
            mode=OrderMode.MISSING,
            order_id=order_id,
        )
    return len(added)

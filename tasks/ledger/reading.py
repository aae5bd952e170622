"""Asking the ledger: counts, lists, samples, and what there is to audit."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select

from tasks.errors import Reason, UsageError
from tasks.ledger import sql
from tasks.ledger.engine import reads
from tasks.ledger.filters import condition_of, scans_at
from tasks.ledger.notes import notes_in
from tasks.ledger.records import (
    Counts,
    DerivativeRow,
    ItemFilter,
    ItemRow,
    RecipeRow,
    ScanRow,
)
from tasks.ledger.uris import uri_of
from tasks.schema import (
    LOOKED_AFTER,
    LOOKED_AFTER_STATUSES,
    ItemStatus,
    derivative,
    item,
    item_tally,
    recipe,
    run,
    scan,
    scan_tally,
    status_in,
    store,
)


@reads
def counts(
    connection: Connection,
    recipe_id: int | None = None,
    *,
    collections: Sequence[str] | None = None,
) -> Counts:
    """How many items by status and reason, under one recipe or all.

    Sums the tallies: a few hundred rows, however many items there are.
    """
    items = select(item_tally.c.status, item_tally.c.reason, func.sum(item_tally.c.n))
    scans = select(scan_tally.c.vanished, func.sum(scan_tally.c.n))
    if recipe_id is not None:
        items = items.where(item_tally.c.recipe_id == recipe_id)
    if collections is not None:
        items = items.where(item_tally.c.collection.in_(list(collections)))
        scans = scans.where(scan_tally.c.collection.in_(list(collections)))
    by_status: dict[ItemStatus, int] = {}
    by_reason: dict[Reason, int] = {}
    grouped = items.group_by(item_tally.c.status, item_tally.c.reason)
    for status, reason, n in connection.execute(grouped):
        if not n:
            continue
        by_status[ItemStatus(status)] = by_status.get(ItemStatus(status), 0) + int(n)
        if reason:
            by_reason[Reason(reason)] = by_reason.get(Reason(reason), 0) + int(n)
    known = {
        bool(vanished): int(n)
        for vanished, n in connection.execute(scans.group_by(scan_tally.c.vanished))
    }
    return Counts(
        scans=sum(known.values()),
        vanished=known.get(True, 0),
        items={status: by_status[status] for status in ItemStatus if status in by_status},
        reasons={reason: by_reason[reason] for reason in Reason if reason in by_reason},
    )


@reads
def count_present(connection: Connection, source: str) -> int:
    """How many scans of the source with this URL are known, those that vanished not counted."""
    try:
        here = scans_at(connection, f"{source.rstrip('/')}/")
    except UsageError:
        return 0
    mine = select(scan.c.id).where(here, scan.c.page == 0, scan.c.vanished_at.is_(None))
    present = mine.subquery()
    return int(connection.execute(select(func.count()).select_from(present)).scalar_one())


@reads
def current_recipe(connection: Connection) -> RecipeRow | None:
    """The recipe in service: the last that `ensure_recipe` was asked for."""
    row = connection.execute(
        select(recipe).order_by(recipe.c.used_at.desc(), recipe.c.id.desc()).limit(1)
    ).first()
    return None if row is None else recipe_row(row)


@reads
def recipe_of_run(connection: Connection, run_id: int) -> RecipeRow | None:
    """The recipe that a run works under; None where it has enqueued nothing yet."""
    row = connection.execute(
        select(recipe).join(run, run.c.recipe_id == recipe.c.id).where(run.c.id == run_id)
    ).first()
    return None if row is None else recipe_row(row)


@reads
def find_recipe(connection: Connection, digest: str) -> RecipeRow:
    """The recipe whose digest begins so.

    Raises:
        UsageError: There is none, or more than one.
    """
    begins = recipe.c.digest.startswith(digest, autoescape=True)
    rows = connection.execute(select(recipe).where(begins).order_by(recipe.c.id).limit(2)).all()
    if len(rows) != 1:
        found = "more than one" if rows else "no"
        raise UsageError(f"{found} recipe begins with {digest!r}; `autochrome item` shows a scan's")
    return recipe_row(rows[0])


def recipe_row(row: Row[Any]) -> RecipeRow:
    """A recipe from its table's row."""
    return sql.record(RecipeRow, row)


def select_items() -> Select[Any]:
    """Everything that `item_row` needs."""
    return (
        select(item, scan.c.key, scan.c.page, store.c.url)
        .join(scan, scan.c.id == item.c.scan_id)
        .join(store, store.c.id == scan.c.store_id)
    )


def item_row(row: Row[Any]) -> ItemRow:
    """An item from a row of `select_items`."""
    return sql.record(
        ItemRow,
        row,
        uri=uri_of(row.url, row.key, row.page),
        status=ItemStatus(row.status),
        reason=Reason(row.reason) if row.reason else None,
        detail=row.detail or "",
        notes=notes_in(row.notes),
    )


@reads
def list_items(
    connection: Connection, chosen: ItemFilter, *, limit: int, after_id: int = 0
) -> list[ItemRow]:
    """Items that the filter finds, by id, from *after_id* on."""
    wanted = (
        select_items()
        .where(condition_of(connection, chosen), item.c.id > after_id)
        .order_by(item.c.id)
        .limit(limit)
    )
    return [item_row(row) for row in connection.execute(wanted)]


@reads
def samples(
    connection: Connection, recipe_id: int, *, per_reason: int = 5
) -> dict[tuple[ItemStatus, Reason], list[ItemRow]]:
    """A few items of each status and reason, through the index that is in this order."""
    groups = connection.execute(
        select(item_tally.c.status, item_tally.c.reason)
        .where(item_tally.c.recipe_id == recipe_id, item_tally.c.reason != "")
        .group_by(item_tally.c.status, item_tally.c.reason)
        .having(func.sum(item_tally.c.n) > 0)
        .order_by(item_tally.c.status, item_tally.c.reason)
    ).all()
    found = {}
    for status, reason in groups:
        wanted = (
            select_items()
            .where(
                status_in(ItemStatus(status)),
                item.c.recipe_id == recipe_id,
                item.c.reason == reason,
            )
            .order_by(item.c.id)
            .limit(per_reason)
        )
        if ItemStatus(status) in LOOKED_AFTER_STATUSES:
            wanted = wanted.where(LOOKED_AFTER)
        rows = [item_row(row) for row in connection.execute(wanted)]
        found[ItemStatus(status), Reason(reason)] = rows
    return found


def select_derivatives() -> Select[Any]:
    """Everything that `derivative_row` needs."""
    source = store.alias("source")
    return (
        select(
            derivative,
            store.c.url,
            item.c.recipe_id,
            source.c.url.label("source"),
            scan.c.key.label("scan_key"),
            scan.c.page,
        )
        .join(store, store.c.id == derivative.c.store_id)
        .join(item, item.c.id == derivative.c.item_id)
        .join(scan, scan.c.id == item.c.scan_id)
        .join(source, source.c.id == scan.c.store_id)
    )


def derivative_row(row: Row[Any]) -> DerivativeRow:
    """A derivative from a row of `select_derivatives`."""
    return sql.record(
        DerivativeRow,
        row,
        scan_uri=uri_of(row.source, row.scan_key, row.page),
        store=row.url,
    )


def scan_row(row: Row[Any]) -> ScanRow:
    """A scan from its table's row, with its store's URL."""
    return sql.record(
        ScanRow,
        row,
        uri=uri_of(row.url, row.key, row.page),
        source=row.url,
    )

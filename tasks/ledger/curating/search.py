"""Finding items by what a person has at hand: a number, a URI or name, a digest."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, func, select

from tasks.errors import UsageError
from tasks.ledger import refusals, sql
from tasks.ledger.engine import reads
from tasks.ledger.filters import scans_at
from tasks.ledger.reading import item_row, select_items
from tasks.ledger.records import ItemRow
from tasks.ledger.uris import uri_given
from tasks.schema import ItemStatus, item, scan

_DIGEST = re.compile(r"[0-9a-f]{8,64}")
_NUMBER = re.compile(r"[0-9]{1,17}")


@dataclass(frozen=True)
class Found:
    """An item that fits."""

    row: ItemRow
    title: str  #: what the scan's file calls its subject; may be empty
    is_held: bool  #: the item, or its scan


@reads
def search(connection: Connection, text: str, *, limit: int) -> list[Found]:
    """Items that *text* means: an item's number, a scan's URI or key, or how a sha256 begins.

    Each of these is one look into an index. Where none fits, *text* is looked for within keys, and
    then within titles, whatever their case: that reads an index of them all.
    """
    found: dict[int, Found] = {}
    for where in _ways(connection, text):
        for one in _items(connection, where, limit - len(found)):
            found.setdefault(one.row.id, one)
        if len(found) >= limit:
            break
    if not found and "://" not in text:
        for within in _within(text):
            wanted = select(scan.c.id).where(within).limit(limit)
            ids = connection.execute(wanted).scalars().all()
            for one in _items(connection, item.c.scan_id.in_(ids), limit) if ids else ():
                found.setdefault(one.row.id, one)
    return list(found.values())[:limit]


def _items(connection: Connection, where: ColumnElement[bool], limit: int) -> Iterator[Found]:
    wanted = (
        select_items()
        .add_columns(scan.c.title, refusals.is_held().label("is_held"))
        .where(where)
        .order_by(item.c.id)
        .limit(limit)
    )
    for row in connection.execute(wanted):
        is_held = bool(row.is_held) or row.status == ItemStatus.HELD
        yield Found(item_row(row), row.title or "", is_held)


def _within(text: str) -> Iterator[ColumnElement[bool]]:
    yield sql.like_glob(scan.c.key, ["", "*", text, "*", ""])
    has_title = scan.c.title.is_not(None)
    yield has_title & func.lower(scan.c.title).contains(text.lower(), autoescape=True)


def _ways(connection: Connection, text: str) -> Iterator[ColumnElement[bool]]:
    if _NUMBER.fullmatch(text):
        yield item.c.id == int(text)
    lowered = text.lower()
    if _DIGEST.fullmatch(lowered):
        yield _begins(scan.c.sha256, lowered)
    try:
        place = uri_given(text) if text.startswith(("/", "~", ".")) or "://" in text else text
        yield item.c.scan_id.in_(select(scan.c.id).where(scans_at(connection, place)))
    except UsageError:
        return


def _begins(column: ColumnElement[str], text: str) -> ColumnElement[bool]:
    return (column >= text) & (column < text + "g")

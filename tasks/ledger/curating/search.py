"""Finding items by what a person has at hand: a number, a URI or name, a digest."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, select

from tasks.errors import UsageError
from tasks.ledger import refusals
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
    is_held: bool  #: the item, or its scan


@reads
def search(connection: Connection, text: str, *, limit: int) -> list[Found]:
    """Items that *text* means: an item's number, a scan's URI or key, or how a sha256 begins.

    Each way is one look into an index.
    """
    found: dict[int, Found] = {}
    for where in _ways(connection, text):
        wanted = (
            select_items()
            .add_columns(refusals.is_held().label("is_held"))
            .where(where)
            .order_by(item.c.id)
            .limit(limit - len(found))
        )
        for row in connection.execute(wanted):
            one = Found(item_row(row), bool(row.is_held) or row.status == ItemStatus.HELD)
            found.setdefault(row.id, one)
        if len(found) >= limit:
            break
    return list(found.values())


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

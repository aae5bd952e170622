"""Finding items by what a person has at hand: a number, a URI or name, a digest."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, column, func, literal_column, select, table

from tasks.errors import UsageError
from tasks.ledger import refusals
from tasks.ledger.engine import reads
from tasks.ledger.filters import scans_at
from tasks.ledger.reading import item_row, select_items
from tasks.ledger.records import ItemRow
from tasks.ledger.sql import is_postgresql
from tasks.ledger.uris import uri_given
from tasks.schema import WORDS, ItemStatus, item, scan

_DIGEST = re.compile(r"[0-9a-f]{8,64}")
_NUMBER = re.compile(r"[0-9]{1,17}")
_WORD = re.compile(r"[^\W_]+")
_SHORT, _MOST_WORDS = 1, 12


@dataclass(frozen=True)
class Found:
    """An item that fits."""

    row: ItemRow
    title: str  #: what the scan's file calls its subject; may be empty
    is_held: bool  #: the item, or its scan


@reads
def search(connection: Connection, text: str, *, limit: int) -> list[Found]:
    """Items that *text* means: an item's number, a scan's URI or key, or how a sha256 begins.

    Each of these is one look into an index. Where none fits, *text* is taken for words of names and
    titles of scans that were read: whole ones first, then how they begin.
    """
    found: dict[int, Found] = {}
    for where in _ways(connection, text):
        for one in _items(connection, where, limit - len(found)):
            found.setdefault(one.row.id, one)
        if len(found) >= limit:
            break
    if not found and "://" not in text:
        words = _WORD.findall(text.lower())[:_MOST_WORDS]
        for begins in (False, True):
            ids = _scans_with(connection, words, limit, begin=begins) if words else ()
            for one in _items(connection, item.c.scan_id.in_(ids), limit) if ids else ():
                found.setdefault(one.row.id, one)
            if len(found) >= limit:
                break
    return list(found.values())[:limit]


def _scans_with(
    connection: Connection, words: Sequence[str], limit: int, *, begin: bool
) -> Sequence[int]:
    """Scans that have all of these words in their names and titles, or words that begin so."""
    # What begins with one letter is nearly everything.
    starts = [begin and len(word) > _SHORT for word in words]
    if begin and not any(starts):
        return ()
    pairs = list(zip(words, starts, strict=True))
    if is_postgresql(connection):
        asked = " & ".join(f"'{word}'{':*' if start else ''}" for word, start in pairs)
        query = func.to_tsquery(literal_column("'simple'"), asked)
        wanted = select(scan.c.id).where(scan.c.sha256.is_not(None), WORDS.op("@@")(query))
    else:
        asked = " ".join(f'"{word}"{"*" if start else ""}' for word, start in pairs)
        is_there = literal_column("scan_words").op("MATCH")(asked)
        wanted = select(column("rowid")).select_from(table("scan_words")).where(is_there)
    return connection.execute(wanted.limit(limit)).scalars().all()


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

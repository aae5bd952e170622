"""From an `ItemFilter` to SQL."""

from typing import Any
from urllib.parse import unquote

from sqlalchemy import ColumnElement, Connection, and_, or_, select, true

from tasks.errors import UsageError
from tasks.ledger import sql
from tasks.ledger.records import ItemFilter
from tasks.ledger.uris import split_page
from tasks.schema import LOOKED_AFTER, LOOKED_AFTER_STATUSES, item, scan, status_in, store

LAST_CHARACTER = "\U0010ffff"  # sorts behind every other, in UTF-8 as in Python
_WILDCARDS = ("*", "?")


def condition_of(connection: Connection, chosen: ItemFilter) -> ColumnElement[bool]:
    """The condition on `item` that every given field holds (execute with `parameters_of`).

    Raises:
        UsageError: The URI lies in no store that scans were discovered in.
    """
    conditions: list[ColumnElement[bool]] = [true()]
    if chosen.statuses:
        conditions.append(status_in(*chosen.statuses))
        if LOOKED_AFTER_STATUSES.issuperset(chosen.statuses):
            conditions.append(LOOKED_AFTER)  # says nothing new, but SQLite uses the index only so
    if chosen.reasons:
        conditions.append(item.c.reason.in_([reason.value for reason in chosen.reasons]))
    if chosen.collections:
        conditions.append(item.c.collection.in_(list(chosen.collections)))
    if chosen.recipe_id is not None:
        conditions.append(item.c.recipe_id == chosen.recipe_id)
    if chosen.older_than_s is not None:
        conditions.append(item.c.changed_at <= sql.now(-chosen.older_than_s))
    if chosen.ids is not None:
        conditions.append(item.c.id.in_(sql.given_ids(connection)))
    if chosen.uri is not None:
        scans = select(scan.c.id).where(scans_at(connection, chosen.uri))
        conditions.append(item.c.scan_id.in_(scans))
    return and_(*conditions)


def parameters_of(chosen: ItemFilter) -> dict[str, Any]:
    """What to execute a statement with `condition_of` with."""
    return {} if chosen.ids is None else sql.as_ids(chosen.ids)


def scans_at(connection: Connection, uri: str) -> ColumnElement[bool]:
    """The condition on `scan` that it lies at *uri*.

    A URI is exact, or a folder when it ends in "/" or is a source, or a pattern with ``*`` and
    ``?`` (which match "/" too). Without a scheme it is a key, or a pattern of keys, in any source.

    Raises:
        UsageError: It lies in no store that scans were discovered in.
    """
    file, page = split_page(uri)
    has_scans = select(scan.c.id).where(scan.c.store_id == store.c.id).exists()
    sources = connection.execute(select(store.c.id, store.c.url).where(has_scans)).all()
    found = [
        and_(scan.c.store_id == store_id, _key_condition(key))
        for store_id, url in sources
        if (key := _key_or_all(url, file)) is not None
    ]
    if not found:
        known = ", ".join(sorted(url for _, url in sources)) or "none yet"
        raise UsageError(f"no scans are known at {uri}; the sources are: {known}")
    condition = or_(*found)
    return condition if page is None else and_(condition, scan.c.page == page)


def _key_or_all(source: str, uri: str) -> str | None:
    """The key or pattern that *uri* means in *source*; "" for all of it, None for none of it."""
    if "://" not in uri:
        return uri
    # Sources are URIs, keys are not: what people write of a folder with a space is neither or both.
    plain = unquote(source) if source.startswith("file://") else source
    for root in (f"{source.rstrip('/')}/", f"{plain.rstrip('/')}/"):
        if root == uri.rstrip("/") + "/" or (uri.endswith("/") and root.startswith(uri)):
            return ""
        if uri.startswith(root):
            return uri.removeprefix(root)
    return None


def _key_condition(key: str) -> ColumnElement[bool]:
    if not key:
        return true()
    fixed = _fixed_part(key)
    if fixed == key and not key.endswith("/"):
        return scan.c.key == key
    pattern = key + "*" if fixed == key else key
    # The range lets the index find the folder; the pattern does the rest.
    return and_(
        scan.c.key >= fixed,
        scan.c.key < fixed + LAST_CHARACTER,
        sql.like_glob(scan.c.key, pattern),
    )


def _fixed_part(pattern: str) -> str:
    ends = [pattern.index(mark) for mark in _WILDCARDS if mark in pattern]
    return pattern[: min(ends, default=len(pattern))]

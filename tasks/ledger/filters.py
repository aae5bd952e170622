"""From an `ItemFilter` to SQL."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select, true

from tasks.errors import UsageError
from tasks.ledger import sql
from tasks.ledger.records import ItemFilter
from tasks.ledger.uris import (
    canonical,
    named_root,
    pattern_of,
    read_name,
    readings_of,
    root_of,
    without_links,
)
from tasks.schema import (
    LOOKED_AFTER,
    LOOKED_AFTER_STATUSES,
    PAGE,
    SETTLED,
    SETTLED_STATUSES,
    item,
    scan,
    status_in,
    store,
)

#: On `scan`: what a filter may be for. An index holds them alone.
SCANS_THAT_ARE = {"film": scan.c.frames.is_not(None), "page": PAGE}
LAST_CHARACTER = "\U0010ffff"  # sorts behind every other, in UTF-8 as in Python


def condition_of(connection: Connection, chosen: ItemFilter) -> ColumnElement[bool]:
    """The condition on `item` that every given field holds (execute with `parameters_of`).

    Raises:
        UsageError: The URI lies in no store that scans were discovered in.
    """
    conditions: list[ColumnElement[bool]] = [true(), *_status_of(chosen), *bounds_of(chosen)]
    if chosen.reasons:
        conditions.append(item.c.reason.in_([reason.value for reason in chosen.reasons]))
    if chosen.collections:
        conditions.append(item.c.collection.in_(list(chosen.collections)))
    if chosen.recipe_id is not None:
        conditions.append(item.c.recipe_id == chosen.recipe_id)
    if chosen.without_reason:
        conditions.append(item.c.reason.is_(None))
    if chosen.order_id is not None:
        conditions.append(item.c.order_id == chosen.order_id)
    if chosen.ids is not None:
        conditions.append(item.c.id.in_(sql.given_ids(connection)))
    if chosen.uri is not None:
        scans = select(scan.c.id).where(scans_at(connection, chosen.uri))
        conditions.append(item.c.scan_id.in_(scans))
    return and_(*conditions)


def _status_of(chosen: ItemFilter) -> list[ColumnElement[bool]]:
    """On `item`: its status; what the indexes hold is said once more: SQLite uses them only so."""
    if not chosen.statuses:
        return []
    conditions = [status_in(*chosen.statuses)]
    if chosen.recipe_id is not None and LOOKED_AFTER_STATUSES.issuperset(chosen.statuses):
        conditions.append(LOOKED_AFTER)
    elif SETTLED_STATUSES.issuperset(chosen.statuses):
        conditions.append(SETTLED)
    return conditions


def bounds_of(chosen: ItemFilter) -> list[ColumnElement[bool]]:
    """On `item`: its confidence, its time and what it is of are what the filter says."""
    conditions: list[ColumnElement[bool]] = []
    if chosen.older_than_s is not None:
        conditions.append(item.c.changed_at <= sql.now(-chosen.older_than_s))
    if chosen.least is not None:
        conditions.append(item.c.confidence >= chosen.least)
    if chosen.most is not None:
        conditions.append(item.c.confidence <= chosen.most)
    if chosen.since is not None:
        conditions.append(item.c.changed_at >= chosen.since)
    if chosen.until is not None:
        conditions.append(item.c.changed_at < chosen.until)
    if chosen.what:
        conditions.append(item.c.scan_id.in_(select(scan.c.id).where(SCANS_THAT_ARE[chosen.what])))
    return conditions


def parameters_of(chosen: ItemFilter) -> dict[str, Any]:
    """What to execute a statement with `condition_of` with."""
    return {} if chosen.ids is None else sql.as_ids(chosen.ids)


def scans_at(connection: Connection, uri: str) -> ColumnElement[bool]:
    """The condition on `scan` that it lies at *uri*.

    A URI is that of one scan, of a folder or source, or a pattern with ``*`` and ``?`` (which match
    "/" too): the first of these that is known. Without a scheme it is a key, or a pattern of keys,
    in any source. How names are written is in `tasks.ledger.uris`.

    Raises:
        UsageError: It lies in no store that scans were discovered in.
    """
    sources = _sources(connection)
    roots = {number: root_of(url) for number, url in sources.items()}
    found = _scans_under(connection, roots, uri)
    if found is None or not _has_scans(connection, found):
        # By another name of the same folder.
        real = {number: f"{canonical(url)}/" for number, url in sources.items()}
        other = _scans_under(connection, real, without_links(uri))
        found = found if other is None else other
    if found is None:
        known = ", ".join(sorted(map(named_root, roots.values()))) or "none yet"
        raise UsageError(f"no scans are known at {uri}; the sources are: {known}")
    return found


def places_condition(store_id: int, source: str, place: str) -> ColumnElement[bool] | None:
    """On `scan`: it is of that source, and lies at *place* or in it; None where nothing of it does.

    Whether there is a scan yet that tells a file from a folder or not.
    """
    found: list[ColumnElement[bool]] = []
    for root, name in ((root_of(source), place), (f"{canonical(source)}/", without_links(place))):
        roots = {store_id: root}
        found += [] if place.endswith("/") else _file_conditions(roots, name)
        others = (_folder_condition(roots, read_name(name)), _pattern_condition(roots, name))
        found += [one for one in others if one is not None]
    return or_(*found) if found else None


def _scans_under(
    connection: Connection, roots: Mapping[int, str], uri: str
) -> ColumnElement[bool] | None:
    for condition in () if uri.endswith("/") else _file_conditions(roots, uri):
        if _has_scans(connection, condition):
            return condition
    folder = _folder_condition(roots, read_name(uri))
    if folder is not None and _has_scans(connection, folder):
        return folder
    pattern = _pattern_condition(roots, uri)
    return folder if pattern is None else pattern


def _sources(connection: Connection) -> dict[int, str]:
    known = select(store.c.id, store.c.url).where(store.c.is_source.is_(True))
    return {row.id: row.url for row in connection.execute(known)}


def _has_scans(connection: Connection, condition: ColumnElement[bool]) -> bool:
    return connection.execute(select(scan.c.id).where(condition).limit(1)).first() is not None


def _file_conditions(roots: Mapping[int, str], uri: str) -> Iterator[ColumnElement[bool]]:
    """For each way to read *uri* as a file or a page of one: the condition that a scan is it."""
    for reading in readings_of(uri):
        keys = {number: _below(root, reading.name) for number, root in roots.items()}
        found = [and_(scan.c.store_id == n, scan.c.key == key) for n, key in keys.items() if key]
        if found:
            page = true() if reading.page is None else scan.c.page == reading.page
            yield and_(or_(*found), page)


def _below(root: str, name: str) -> str | None:
    """The key that *name* is under *root*; None where it lies elsewhere."""
    if "://" not in name:
        return name
    return name.removeprefix(root) if name.startswith(root) else None


def _folder_condition(roots: Mapping[int, str], name: str) -> ColumnElement[bool] | None:
    """The condition that a scan lies in the folder or source *name*, or in one below it."""
    folder = name.rstrip("/") + "/"
    places = []
    for number, root in roots.items():
        key = "" if root.startswith(folder) else _below(root, folder)
        if key is not None:
            places.append(and_(scan.c.store_id == number, _begins(key)))
    return or_(*places) if places else None


def _pattern_condition(roots: Mapping[int, str], uri: str) -> ColumnElement[bool] | None:
    parsed = pattern_of(uri)
    if parsed is None:
        return None
    (fixed, *others), marks = parsed
    places = []
    for number, root in roots.items():
        key = _below(root, fixed)
        if key is not None:
            glob = sql.like_glob(scan.c.key, _glob([key, *others], marks, uri))
            # The range lets the index find the folder; the pattern does the rest.
            places.append(and_(scan.c.store_id == number, _begins(key), glob))
    return or_(*places) if places else None


def _glob(parts: Sequence[str], marks: Sequence[str], uri: str) -> list[str]:
    """Literal parts and wildcards in turn; all that is in a folder, where it ends in "/"."""
    glob = [parts[0]]
    for mark, part in zip(marks, parts[1:], strict=True):
        glob += [mark, part]
    return [*glob, "*", ""] if uri.endswith("/") else glob


def _begins(key: str) -> ColumnElement[bool]:
    return and_(scan.c.key >= key, scan.c.key < key + LAST_CHARACTER) if key else true()

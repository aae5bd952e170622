"""From an `ItemFilter` to SQL."""

import operator
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import BigInteger, ColumnElement, Connection, Text, and_, or_, select, true

from tasks.errors import UsageError
from tasks.ledger import sql
from tasks.ledger.links import FileLinks, KeyCondition, Root, begins, linked_places
from tasks.ledger.records import ItemFilter
from tasks.ledger.uris import (
    canonical,
    keys_under,
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
_BETWEEN = "\0"  # parts of a pattern; no key holds it
#: A place of fewer scans is given by their numbers, where there are several places.
_FEW_SCANS = 100
#: So many places are conditions; the scans of others are all given by their numbers.
_MOST_PLACES = 200
_NAMES = sql.Rows("names", store=BigInteger, key=Text)


def condition_of(connection: Connection, chosen: ItemFilter) -> ColumnElement[bool]:
    """The condition on `item` that every given field holds.

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
        conditions.append(item.c.id.in_(sql.these(chosen.ids)))
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


def scans_at(connection: Connection, uri: str) -> ColumnElement[bool]:
    """The condition on `scan` that it lies at *uri*.

    A URI is that of one scan, of a folder or source, or a pattern with ``*`` and ``?`` (which match
    "/" too): the first of these that is known. Without a scheme it is a key, or a pattern of keys,
    in any source. How names are written is in `tasks.ledger.uris`; by another name of the same
    folder, by what a link in a source leads to, or with accents as other systems write them, scans
    are found where none are by this.

    Raises:
        UsageError: It lies in no store that scans were discovered in.
    """
    sources = _sources(connection)
    found: ColumnElement[bool] | None = None
    for address in _addresses(connection, sources, uri):
        condition = _scans_under(connection, address)
        if condition is not None and _has_scans(connection, condition):
            return condition
        found = condition if found is None else found
    if found is None:
        known = ", ".join(sorted(map(named_root, map(root_of, sources.values())))) or "none yet"
        raise UsageError(f"no scans are known at {uri}; the sources are: {known}")
    return found


def scans_at_any(connection: Connection, uris: Sequence[str]) -> ColumnElement[bool]:
    """The condition on `scan` that it lies at one of *uris*, of which there may be thousands.

    SQLite parses no thousand conditions in one: places of a few scans are given by their numbers.

    Raises:
        UsageError: One of them lies in no store that scans were discovered in.
    """
    if len(uris) == 1:
        return scans_at(connection, uris[0])
    files = _scans_by_name(connection, uris)
    numbers = {number for found in files.values() for number in found}
    places: list[ColumnElement[bool]] = []
    for uri in uris:
        if uri in files:
            continue
        here = scans_at(connection, uri)
        few = _FEW_SCANS if len(places) < _MOST_PLACES else None
        found = connection.execute(select(scan.c.id).where(here).limit(few)).scalars().all()
        if few is None or len(found) < few:
            numbers.update(found)
        else:
            places.append(here)
    return or_(scan.c.id.in_(sql.these(sorted(numbers))), *places)


def _scans_by_name(connection: Connection, uris: Sequence[str]) -> dict[str, list[int]]:
    """The scans of URIs that are names of files as they are written here, in one statement."""
    wanted = {}
    sources = _sources(connection)
    for uri in uris:
        if not uri.endswith("/"):
            reading = next(readings_of(uri))
            address = next(_addresses(connection, sources, uri))
            wanted[uri] = (
                reading.page,
                [
                    (root.store_id, key)
                    for root in address.roots
                    for key in root.keys(reading.name, respelt=False)
                ],
            )
    names = _NAMES.table(connection)
    given = ({"store": n, "key": key} for _, keys in wanted.values() for n, key in keys)
    rows = connection.execute(
        select(scan.c.store_id, scan.c.key, scan.c.page, scan.c.id).join(
            names, and_(scan.c.store_id == names.c.store, scan.c.key == names.c.key)
        ),
        _NAMES.given(given),
    )
    known = defaultdict(list)
    for row in rows:
        known[row.store_id, row.key].append(row)
    found = {
        uri: [one.id for at in keys for one in known[at] if page in {None, one.page}]
        for uri, (page, keys) in wanted.items()
    }
    return {uri: numbers for uri, numbers in found.items() if numbers}


def one_file_at(connection: Connection, uri: str) -> ColumnElement[bool]:
    """The condition on `scan` that it is the file at *uri*, or the page of one.

    Raises:
        UsageError: That names many files, or lies in no store that scans were discovered in.
    """
    here = scans_at(connection, uri)
    files = select(scan.c.store_id, scan.c.key).where(here).distinct().limit(2)
    if len(connection.execute(files).all()) > 1:
        raise UsageError(f"{uri} names many scans; name one")
    return here


def places_condition(
    connection: Connection, store_id: int, source: str, place: str
) -> ColumnElement[bool] | None:
    """On `scan`: it is of that source, and lies at *place* or in it; None where nothing of it does.

    Whether there is a scan yet that tells a file from a folder or not.
    """
    addresses = _addresses(connection, {store_id: source}, place)
    found = [one for where in addresses for one in _conditions(where)]
    return or_(*found) if found else None


@dataclass(frozen=True)
class Address:
    """A URI, and the roots of sources, all by their names or without links."""

    roots: Sequence[Root]
    uri: str
    respelt: bool
    links: FileLinks | None = None

    def having(self, name: str, condition: KeyCondition) -> list[ColumnElement[bool]]:
        """On `scan`, for each root, and for the links to files: it holds for what *name* may be."""
        places: Sequence[Root | FileLinks]
        places = (*self.roots, self.links) if self.links else self.roots
        return [
            place.has(keys, condition)
            for place in places
            if (keys := place.keys(name, respelt=self.respelt))
        ]


def _addresses(connection: Connection, sources: Mapping[int, str], uri: str) -> Iterator[Address]:
    """The ways to look for a URI, the likeliest first; what needs the disk or the ledger, late."""
    named = [Root(n, root_of(url)) for n, url in sources.items()]
    yield Address(named, uri, respelt=False)
    real = without_links(uri)
    folders, files = linked_places(connection, [*sources], real)
    roots = [*(Root(n, f"{canonical(url)}/") for n, url in sources.items()), *folders]
    yield Address(roots, real, respelt=False, links=files)
    yield Address(named, uri, respelt=True)
    yield Address(roots, real, respelt=True, links=files)


def _scans_under(connection: Connection, address: Address) -> ColumnElement[bool] | None:
    """The first condition that a scan is known for, else the last."""
    last = None
    for last in _conditions(address):
        if _has_scans(connection, last):
            break
    return last


def _sources(connection: Connection) -> dict[int, str]:
    known = select(store.c.id, store.c.url).where(store.c.is_source.is_(True))
    return {row.id: row.url for row in connection.execute(known)}


def _has_scans(connection: Connection, condition: ColumnElement[bool]) -> bool:
    return connection.execute(select(scan.c.id).where(condition).limit(1)).first() is not None


def _conditions(address: Address) -> Iterator[ColumnElement[bool]]:
    """On `scan`: it is the file, or the page of one, lies in the folder, or matches the pattern."""
    if not address.uri.endswith("/"):
        yield from _file_conditions(address)
    for found in (_in_folder(address), _matching(address)):
        if found is not None:
            yield found


def _file_conditions(address: Address) -> Iterator[ColumnElement[bool]]:
    """For each way to read the URI as a file or a page of one: the condition that a scan is it."""
    for reading in readings_of(address.uri):
        if found := address.having(reading.name, operator.eq):
            page = true() if reading.page is None else scan.c.page == reading.page
            yield and_(or_(*found), page)


def _in_folder(address: Address) -> ColumnElement[bool] | None:
    """The condition that a scan lies in the folder or source, or in one below it."""
    folder = read_name(address.uri).rstrip("/") + "/"
    found = address.having(folder, begins)
    found += [
        root.has([root.base], begins)
        for root in address.roots
        if keys_under(folder, root.name, respelt=address.respelt)
    ]
    return or_(*found) if found else None


def _matching(address: Address) -> ColumnElement[bool] | None:
    parsed = pattern_of(address.uri)
    if parsed is None:
        return None
    parts, marks = parsed
    matches = partial(_matches, marks=marks, uri=address.uri)
    name = _BETWEEN.join(parts)
    found = address.having(name, matches)
    found += [
        root.is_named(name, matches)
        for root in address.roots
        if root.name > parts[0] and root.name.startswith(parts[0])
    ]
    return or_(*found) if found else None


def _matches(
    column: ColumnElement[str], pattern: str, *, marks: Sequence[str], uri: str
) -> ColumnElement[bool]:
    """Literal parts and wildcards in turn; all that is in a folder, where it ends in "/"."""
    fixed, *others = pattern.split(_BETWEEN)
    glob = [fixed]
    for mark, part in zip(marks, others, strict=True):
        glob += [mark, part]
    glob += ["*", ""] if uri.endswith("/") else []
    # The range lets the index find the folder; the pattern does the rest.
    return and_(begins(column, fixed), sql.like_glob(column, glob))

"""Sources that overlap: whatever finds an object, it is one scan.

A source that lies in one that is known is a part of it; of those that were known before a source
around them, each keeps what it has. So every object belongs to exactly one source, whichever is
listed, in whatever order, by whatever name of the same folder.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, select, text

from tasks.ledger import sql
from tasks.ledger.changes import Place, ensure_source
from tasks.ledger.engine import reads
from tasks.ledger.uris import canonical, key_between
from tasks.schema import scan, store
from tasks.storage import ObjectInfo

_LOCK = 0x536F7572  # any number: all that make sources take turns


@dataclass(frozen=True)
class Route:
    """Where a listing's objects belong whose keys begin with *inside*.

    Attributes:
        store_id: Of the source that has them.
        url: Its address.
        inside: What their keys begin with in the listing: "", or ending in "/".
        base: What stands in its place in that source.
        place: Where their scans belong.
    """

    store_id: int
    url: str
    inside: str
    base: str
    place: Place

    def key_of(self, key: str) -> str:
        """An object's key in its source, by its key in the listing."""
        return self.base + key.removeprefix(self.inside)

    def listed_as(self, key: str) -> str:
        """The inverse of `key_of`."""
        return self.inside + key.removeprefix(self.base)

    def prefix_of(self, prefix: str) -> str | None:
        """What of its source a listing of *prefix* covers; None for nothing."""
        if prefix.startswith(self.inside):
            return self.key_of(prefix)
        return self.base if self.inside.startswith(prefix) else None


@dataclass
class Router:
    """The routes of one listing, the innermost first; the last takes all that no other does."""

    routes: Sequence[Route] = field(default_factory=list)

    def sort(self, objects: Iterable[ObjectInfo]) -> Iterator[tuple[Route, list[ObjectInfo]]]:
        """Give each route's objects, under their keys there."""
        *inner, rest = self.routes
        if not inner and rest.base == rest.inside:
            yield rest, list(objects)
            return
        sorted_: dict[str, list[ObjectInfo]] = {}
        for found in objects:
            route = next((one for one in inner if found.key.startswith(one.inside)), rest)
            sorted_.setdefault(route.inside, []).append(_moved(found, route))
        for route in self.routes:
            if route.inside in sorted_:
                yield route, sorted_[route.inside]


def _moved(found: ObjectInfo, route: Route) -> ObjectInfo:
    link = found.link and replace(found.link, key=route.key_of(found.link.key))
    return replace(found, key=route.key_of(found.key), link=link)


def find_routes(connection: Connection, url: str, *, collection: str, run_id: int | None) -> Router:
    """Where the objects of the source at *url* belong; it is made where it lies in none.

    Two that look at overlapping sources for the first time take turns.
    """
    if sql.is_postgresql(connection):
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    owner = _owner(connection, url)
    if owner is None:
        ensure_source(connection, url)
        owner = _owner(connection, url)
    if owner is None:
        raise RuntimeError(f"{url}: was made, and is not there")
    base = key_between(owner.url, url) or ""
    place = Place(owner.id, collection, run_id, keeps_collection=bool(base))
    inner = [
        Route(one.id, one.url, inside, "", _place_in(connection, one.id, place))
        for one in _sources(connection)
        if (inside := key_between(url, one.url)) and one.id != owner.id
    ]
    inner.sort(key=lambda route: len(route.inside), reverse=True)
    return Router([*inner, Route(owner.id, owner.url, "", base, place)])


@reads
def owners(connection: Connection, url: str) -> list[str]:
    """The addresses of the sources that have what a listing of *url* finds: they may overlap."""
    owner = _owner(connection, url)
    inner = [one.url for one in _sources(connection) if key_between(url, one.url)]
    return list(dict.fromkeys([*([owner.url] if owner else []), *inner]))


def _sources(connection: Connection) -> Sequence[sql.AnyRow]:
    known = select(store.c.id, store.c.url).where(store.c.is_source.is_(True)).order_by(store.c.id)
    return connection.execute(known).all()


def _owner(connection: Connection, url: str) -> sql.AnyRow | None:
    """The innermost known source around *url*, or itself; the first of several names of it."""
    around = [one for one in _sources(connection) if key_between(one.url, url) is not None]
    return max(around, key=lambda one: (len(canonical(one.url)), -one.id), default=None)


def _place_in(connection: Connection, store_id: int, place: Place) -> Place:
    """Scans of a source within stay in its collection."""
    known: Any = select(scan.c.collection).where(scan.c.store_id == store_id).limit(1)
    collection = connection.execute(known).scalar() or place.collection
    return Place(store_id, collection, place.run_id, keeps_collection=True)

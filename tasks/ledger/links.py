"""Links that lead out of sources: scans are known by the names of what they lead to, too."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Text,
    and_,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
)

from tasks.ledger import sql
from tasks.ledger.uris import FILE, fixed_names, keys_under
from tasks.schema import link, scan
from tasks.storage import Link, ObjectInfo

LAST_CHARACTER = "\U0010ffff"  # sorts behind every other, in UTF-8 as in Python
_LINKS = sql.Rows("links", store=BigInteger, key=Text, target=Text)
KeyCondition = Callable[[ColumnElement[str], str], ColumnElement[bool]]


@dataclass(frozen=True)
class Root:
    """A place by whose name scans are known: a source, or a folder that a link in one leads to.

    Attributes:
        store_id: Of the source.
        name: As `root_of` gives it.
        base: What the keys of its scans begin with: "", or the link's.
    """

    store_id: int
    name: str
    base: str = ""

    def keys(self, name: str, *, respelt: bool) -> list[str]:
        """The keys that *name* may be; without a scheme it is one in any source."""
        if self.base and "://" not in name:
            return []
        return [self.base + key for key in keys_under(self.name, name, respelt=respelt)]

    def has(self, keys: Sequence[str], condition: KeyCondition) -> ColumnElement[bool]:
        """On `scan`: it is of the source, and the condition holds for one of *keys*."""
        return and_(
            scan.c.store_id == self.store_id, or_(*(condition(scan.c.key, key) for key in keys))
        )

    def is_named(self, name: str, condition: KeyCondition) -> ColumnElement[bool]:
        """On `scan`: it is of the source, and the condition holds for its name in full."""
        full = literal(self.name) + func.substr(scan.c.key, len(self.base) + 1)
        return and_(self.has([self.base], begins), condition(full, name))


@dataclass(frozen=True)
class FileLinks:
    """All links to files: their scans are known by what these are called."""

    store_ids: Sequence[int]

    def keys(self, name: str, *, respelt: bool) -> list[str]:
        """The targets that *name* may be."""
        return keys_under(FILE, name, respelt=respelt) if "://" in name else []

    def has(self, keys: Sequence[str], condition: KeyCondition) -> ColumnElement[bool]:
        """On `scan`: it is a link, and the condition holds for what it leads to."""
        targets = or_(*(condition(link.c.target, key) for key in keys))
        leading = select(link.c.store_id, link.c.key).where(
            link.c.store_id.in_(self.store_ids), targets
        )
        return tuple_(scan.c.store_id, scan.c.key).in_(leading)


def begins(column: ColumnElement[str], start: str) -> ColumnElement[bool]:
    """The column's text begins with *start*; an index serves it."""
    return and_(column >= start, column < start + LAST_CHARACTER) if start else true()


def linked_places(
    connection: Connection, store_ids: Sequence[int], uri: str
) -> tuple[list[Root], FileLinks | None]:
    """What links of these sources lead to: folders around *uri* or in it; and files, if to any."""
    names = [name.removeprefix(FILE) for name in fixed_names(uri) if name.startswith(FILE)]
    around = {name[: at + 1] for name in names for at, char in enumerate(name) if char == "/"}
    related = or_(link.c.target.in_(around), *(begins(link.c.target, name) for name in names))
    is_folder = link.c.target.endswith("/")
    wanted = select(link).where(link.c.store_id.in_(store_ids), related)
    if not names:
        return [], None
    folders = connection.execute(wanted.where(is_folder))
    roots = [Root(row.store_id, FILE + row.target, row.key) for row in folders]
    has_files = connection.execute(wanted.where(~is_folder).limit(1)).first() is not None
    return roots, FileLinks(store_ids) if has_files else None


def changed_links(
    connection: Connection, store_id: int, objects: Iterable[ObjectInfo]
) -> list[Link]:
    """The links that objects are or lie under, as far as they are not on record so."""
    listed = {found.link for found in objects if found.link is not None}
    if not listed:
        return []
    names = _LINKS.table(connection)
    known = connection.execute(
        select(link.c.key, link.c.target).join(
            names, and_(link.c.store_id == store_id, link.c.key == names.c.key)
        ),
        _LINKS.given({"key": one.key} for one in listed),
    )
    return sorted(listed - {Link(row.key, row.target) for row in known}, key=lambda one: one.key)


def record_links(connection: Connection, store_id: int, links: Iterable[Link]) -> None:
    """Note where links lead now."""
    rows = [{"store_id": store_id, "key": one.key, "target": one.target} for one in links]
    if not rows:
        return
    new = sql.insert_or(connection, link)
    noted = new.on_conflict_do_update(
        index_elements=["store_id", "key"], set_={"target": new.excluded.target}
    )
    connection.execute(noted, rows)

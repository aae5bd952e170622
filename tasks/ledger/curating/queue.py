"""What waits for a curator, or has come to rest otherwise: filtered, from any place on."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Self

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Select,
    Text,
    Tuple,
    bindparam,
    func,
    literal,
    select,
    true,
    tuple_,
)

from tasks.errors import Reason, UsageError
from tasks.ledger.engine import reads
from tasks.ledger.filters import SCANS_THAT_ARE, bounds_of, scans_at
from tasks.ledger.holds import HELD_FROM
from tasks.ledger.reading import item_row, select_items
from tasks.ledger.records import ItemFilter, ItemRow
from tasks.ledger.refusals import is_of_held_scan
from tasks.ledger.sql import AnyRow, Rows, is_postgresql
from tasks.schema import (
    SETTLED,
    ItemStatus,
    Moment,
    item,
    item_tally,
    order_tally,
    scan,
    status_in,
    work_order,
)

Order = Literal["unsure", "oldest", "newest"]

#: A reason of none: what is in review because its collection says so.
NO_REASON = "none"
_HEAPS = Rows("heaps", collection=Text, reason=Text)
_ANOTHER_ORDER = "this place is of a queue in another order; begin at its head"


@dataclass(frozen=True)
class Queue:
    """What of all that waits, and in which order. An empty field means all.

    Attributes:
        collection: Only of this one.
        reason: Only for this one; `NO_REASON`: only what waits for none.
        least: Confidence from here on.
        most: Confidence up to here.
        since: In their status since then or later.
        until: In their status since before then.
        within: A folder or file (its pages), as a URI; the order is then that of names.
        order: Least sure first (of what is in review), or by time.
        status: One that items come to rest in; that of what waits for a curator.
        order_id: Of the night, or another order, that enqueued them last.
        what: Only films, or only pages of files that have several.
        with_held: Whether what is held, and what else there is of held scans, is listed.
    """

    collection: str = ""
    reason: Reason | Literal["none", ""] = ""
    least: float | None = None
    most: float | None = None
    since: datetime | None = None
    until: datetime | None = None
    within: str = ""
    order: Order = "unsure"
    status: ItemStatus = ItemStatus.REVIEW
    order_id: int | None = None
    what: Literal["", "film", "page"] = ""
    with_held: bool = False

    @property
    def is_by_time(self) -> bool:
        """Whether the order is that of time: only what is in review is listed by confidence."""
        is_bound = (self.since, self.until, self.order_id) != (None, None, None)
        return self.order != "unsure" or self.status is not ItemStatus.REVIEW or is_bound

    def as_filter(self) -> ItemFilter:
        """The same, for decisions about all of it."""
        has_reason = self.reason not in {"", NO_REASON}
        return ItemFilter(
            statuses=[self.status],
            reasons=[Reason(self.reason)] if has_reason else (),
            collections=[self.collection] if self.collection else (),
            without_reason=self.reason == NO_REASON,
            least=self.least,
            most=self.most,
            since=self.since,
            until=self.until,
            uri=self.within or None,
            order_id=self.order_id,
            what=self.what,
        )


@dataclass(frozen=True)
class Place:
    """A place in a queue: behind an item, whether or not that still waits."""

    value: str
    id: int

    @classmethod
    def read(cls, text: str) -> Self:
        """Read what `str` wrote.

        Raises:
            UsageError: It is none.
        """
        value, separator, number = text.rpartition("~")
        if not separator or not (number.isascii() and number.isdecimal()) or len(number) > 18:
            raise UsageError(f"{text[:80]!r} is no place in a queue; begin at its head")
        return cls(value, int(number))

    def __str__(self) -> str:
        return f"{self.value}~{self.id}"


@dataclass(frozen=True)
class QueueCount:
    """How many wait, by collection and reason ("" for none)."""

    collection: str
    reason: str
    items: int


@reads
def waiting(
    connection: Connection, status: ItemStatus = ItemStatus.REVIEW, *, order_id: int | None = None
) -> list[QueueCount]:
    """What waits for a curator, by collection and reason: summed from tallies, at any size.

    Args:
        connection: To the ledger.
        status: Or what has come to rest in another.
        order_id: Of this order alone.
    """
    tally = item_tally if order_id is None else order_tally
    by = (tally.c.collection, tally.c.reason)
    wanted = select(*by, func.sum(tally.c.n)).where(tally.c.status == status)
    if order_id is not None:
        wanted = wanted.where(order_tally.c.order_id == order_id)
    rows = connection.execute(wanted.group_by(*by).having(func.sum(tally.c.n) > 0).order_by(*by))
    return [QueueCount(collection, reason, int(n)) for collection, reason, n in rows]


@reads
def order_of_run(connection: Connection, run_id: int) -> int | None:
    """The order that a run worked off; None where it had none."""
    wanted = select(func.max(work_order.c.id)).where(work_order.c.run_id == run_id)
    return connection.execute(wanted).scalar()


@reads
def queue(
    connection: Connection,
    chosen: Queue,
    *,
    after: Place | None = None,
    limit: int = 20,
    backwards: bool = False,
) -> list[tuple[Place, ItemRow]]:
    """Items that wait, from a place on, each with its own place.

    Reads the head of an index for each collection and reason that the filter means, so a queue of
    a million costs what one of ten does.

    Args:
        connection: To the ledger.
        chosen: Which, and in what order.
        after: Behind which place; none: from the head.
        limit: At most so many.
        backwards: Before the place, the nearest first.

    Raises:
        UsageError: Nothing is known at the place that the filter names, or a place is of another
            order.
    """
    return Walk(connection, chosen, after, limit, backwards).rows()


@dataclass(frozen=True)
class Walk:
    """A look along a queue from one place on."""

    connection: Connection
    chosen: Queue
    after: Place | None
    limit: int
    is_backwards: bool

    def rows(self) -> list[tuple[Place, ItemRow]]:
        """What is found, each with its place."""
        if self.chosen.what and not self._is_there_any():
            return []
        if self.chosen.within:
            return self._within()
        ids = self._by_time() if self.chosen.is_by_time else self._by_confidence()
        wanted = select_items().where(item.c.id.in_(ids), status_in(self.chosen.status))
        by_id = {row.id: row for row in self.connection.execute(wanted)}
        listed = [by_id[number] for number in ids if number in by_id]
        return [(_place(row, self.chosen), item_row(row)) for row in listed]

    def _is_there_any(self) -> bool:
        """Whether there are such scans at all: else the whole queue would be looked through."""
        wanted = select(scan.c.id).where(SCANS_THAT_ARE[self.chosen.what]).limit(1)
        return self.connection.execute(wanted).first() is not None

    def _by_time(self) -> list[int]:
        descends = (self.chosen.order == "newest") != self.is_backwards
        there = None
        if self.after is not None:
            there = tuple_(literal(_moment(self.after), Moment()), literal(self.after.id))
        found = sorted(self._heads(item.c.changed_at, there, descends=descends), reverse=descends)
        return [number for _, number in found[: self.limit]]

    def _by_confidence(self) -> list[int]:
        """The least sure first; those without a confidence stand behind all others."""
        descends, after = self.is_backwards, self.after
        is_among_last = after is not None and not after.value
        there = None
        if after is not None:
            there = tuple_(literal(_confidence(after)), literal(after.id))
        found = sorted(self._heads(item.c.confidence, there, descends=descends), reverse=descends)
        sure = [number for _, number in found]
        if descends:
            last = self._unmeasured(after.id) if after and is_among_last else []
            return (last + sure)[: self.limit]
        if len(sure) < self.limit:
            sure += self._unmeasured(after.id if after and is_among_last else None)
        return sure[: self.limit]

    def there(self) -> list[ColumnElement[bool]]:
        """On `item`: all of the filter but collection, reason and place."""
        chosen = self.chosen
        where = [status_in(chosen.status), *bounds_of(chosen.as_filter())]
        if chosen.is_by_time:
            where.append(SETTLED)  # says nothing new, but SQLite uses the index only so
        if chosen.order_id is not None:
            where.append(item.c.order_id == chosen.order_id)
        if not chosen.with_held and chosen.status not in HELD_FROM:
            # A hold leaves what was rejected, skipped or superseded where it stands.
            where += [item.c.status != ItemStatus.HELD, ~is_of_held_scan()]
        return where

    def _heads(
        self, key: Column[Any], there: Tuple | None, *, descends: bool
    ) -> list[tuple[Any, int]]:
        """The first items of each heap behind a place: their keys and ids."""
        wanted = select(key, item.c.id).where(key.is_not(None)).limit(self.limit)
        if there is not None:
            here = tuple_(key, item.c.id)
            wanted = wanted.where(here < there if descends else here > there)
        # All of a heap have the same reason; that "is null" makes it so, PostgreSQL does not see.
        columns = (item.c.reason, key, item.c.id)
        order = [column.desc() if descends else column for column in columns]
        return [(value, number) for value, number in self._of_heaps(wanted.order_by(*order))]

    def _unmeasured(self, after_id: int | None) -> list[int]:
        """The first items of all heaps that have no confidence."""
        wanted = select(item.c.id).where(item.c.confidence.is_(None)).limit(self.limit)
        if after_id is not None:
            behind = item.c.id < after_id if self.is_backwards else item.c.id > after_id
            wanted = wanted.where(behind)
        columns = (item.c.reason, item.c.confidence, item.c.id)
        order = [column.desc() if self.is_backwards else column for column in columns]
        found = (row.id for row in self._of_heaps(wanted.order_by(*order)))
        return sorted(found, reverse=self.is_backwards)[: self.limit]

    def _of_heaps(self, wanted: Select[Any]) -> Iterator[AnyRow]:
        """Rows of each collection and reason that the filter means, by its index's head.

        PostgreSQL is asked once for all; of SQLite, which knows no LATERAL, nothing is far away:
        there the statement is made once, for making it costs more than the few rows that it reads.
        """
        chosen = self.chosen
        reason = "" if chosen.reason == NO_REASON else chosen.reason
        heaps = [
            {"collection": heap.collection, "reason": heap.reason}
            for heap in waiting(self.connection, chosen.status, order_id=chosen.order_id)
            if (not chosen.collection or heap.collection == chosen.collection)
            and (not chosen.reason or heap.reason == reason)
        ]
        for has_reason in (True, False):
            some = [heap for heap in heaps if bool(heap["reason"]) == has_reason]
            if some:
                yield from self._of_some(wanted.where(*self.there()), some, has_reason=has_reason)

    def _of_some(
        self, wanted: Select[Any], heaps: list[dict[str, str]], *, has_reason: bool
    ) -> Iterator[AnyRow]:
        """Rows of heaps that all have a reason, or all have none."""
        if is_postgresql(self.connection):
            one = _HEAPS.table(self.connection)
            same = item.c.reason == one.c.reason if has_reason else item.c.reason.is_(None)
            head = wanted.where(item.c.collection == one.c.collection, same).lateral("head")
            joined = select(head).select_from(one.join(head, true()))
            yield from self.connection.execute(joined, _HEAPS.given(heaps))
            return
        given_reason = item.c.reason == bindparam("heap_reason")
        statement = wanted.where(
            item.c.collection == bindparam("heap_collection"),
            given_reason if has_reason else item.c.reason.is_(None),
        )
        for heap in heaps:
            given = {"heap_collection": heap["collection"]}
            if has_reason:
                given["heap_reason"] = heap["reason"]
            yield from self.connection.execute(statement, given)

    def _within(self) -> list[tuple[Place, ItemRow]]:
        """What lies at one place, in the order of names and pages."""
        chosen = self.chosen
        where = [*self.there(), scans_at(self.connection, chosen.within)]
        if chosen.collection:
            where.append(item.c.collection == chosen.collection)
        if chosen.reason == NO_REASON:
            where.append(item.c.reason.is_(None))
        elif chosen.reason:
            where.append(item.c.reason == chosen.reason)
        columns = (scan.c.key, scan.c.page, item.c.id)
        if self.after is not None:
            page, _, name = self.after.value.partition(":")
            if not (page.isascii() and page.isdecimal()):
                raise UsageError(_ANOTHER_ORDER)
            there = tuple_(literal(name), literal(int(page)), literal(self.after.id))
            here = tuple_(*columns)
            where.append(here < there if self.is_backwards else here > there)
        order = [column.desc() if self.is_backwards else column for column in columns]
        wanted = select_items().where(*where).order_by(*order).limit(self.limit)
        rows = self.connection.execute(wanted)
        return [(Place(f"{row.page}:{row.key}", row.id), item_row(row)) for row in rows]


def _moment(place: Place) -> datetime:
    try:
        return datetime.fromisoformat(place.value).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(_ANOTHER_ORDER) from None


def _confidence(place: Place) -> float:
    try:
        return float(place.value) if place.value else 2.0  # behind all that were measured
    except ValueError:
        raise UsageError(_ANOTHER_ORDER) from None


def _place(row: AnyRow, chosen: Queue) -> Place:
    if chosen.is_by_time:
        return Place(row.changed_at.isoformat(), row.id)
    return Place("" if row.confidence is None else repr(row.confidence), row.id)

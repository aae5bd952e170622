"""The shares of orders: which are under way, which to open, and which were lost."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from tasks.ledger import films, sql
from tasks.ledger.engine import reads, writes
from tasks.ledger.orders.reading import get, is_late, list_open, lock, progress
from tasks.ledger.orders.records import OrderRow, Progress, ShareFigures, ShareRow
from tasks.ledger.orders.steering import SPENT_WITHIN_S
from tasks.ledger.records import RunEnding
from tasks.ledger.waiting import next_pending_in
from tasks.schema import OrderState, share, work_order

_OPEN = share.c.ended_at.is_(None)


@dataclass(frozen=True)
class Size:
    """How much a share may take on."""

    expected_items: int  #: open shares times this is what needs no further share
    max_items: int | None
    max_seconds: float | None


@writes
def open_shares(
    connection: Connection, *, window: int, sizes: Mapping[int, Size]
) -> Sequence[ShareRow]:
    """Open shares until *window* are open, over all orders; returns the new ones.

    For orders that run, the first of `list_open` first.

    However many ask at once, no more than *window* are open of an order and those before it in
    line: the orders are locked meanwhile. Shares of later ones are in nobody's way: they end with
    their batch.

    Args:
        connection: Of a transaction that may write.
        window: How many shares may be open.
        sizes: By order; others get none.
    """
    numbers = sorted(row.id for row in list_open(connection))  # locked in one order by all
    locked = {number: lock(connection, number) for number in numbers}
    room = window
    opened: list[ShareRow] = []
    for row in [locked[one.id] for one in list_open(connection)]:
        reached = progress(connection, row.id)
        room -= reached.shares_open
        size, mine = sizes.get(row.id), reached.shares_open
        if row.state is not OrderState.RUNNING or size is None:
            continue
        while room > 0 and (fitting := _fitting(connection, row, reached, size, mine)) is not None:
            opened.append(open_share(connection, row.id, fitting))
            room, mine = room - 1, mine + 1
    return opened


def _fitting(
    connection: Connection, row: OrderRow, reached: Progress, size: Size, shares: int
) -> Size | None:
    """The size of one more share of an order; None where the *shares* that are open will do.

    A shot of a film is worth a worker that has nothing else: several share a reel.
    """
    for_scans = -(-reached.left // size.expected_items)
    if shares >= for_scans + films.count_open(connection, row.id):
        return None
    if row.budget.max_seconds is None:
        return size
    left_s = row.budget.max_seconds - reached.worked_s - _reserved_s(connection, row.id)
    if left_s < SPENT_WITHIN_S:
        return None
    return replace(size, max_seconds=min(size.max_seconds or left_s, left_s))


def _reserved_s(connection: Connection, order_id: int) -> float:
    """The time that open shares may still take."""
    rows = connection.execute(
        select(share.c.begun_at, share.c.max_seconds, sql.now().label("now")).where(
            _OPEN, share.c.order_id == order_id
        )
    )
    return float(sum(max((row.max_seconds or 0.0) - _since_s(row), 0.0) for row in rows.all()))


def _since_s(row: sql.AnyRow) -> float:
    return 0.0 if row.begun_at is None else float((row.now - row.begun_at).total_seconds())


@writes
def open_share(connection: Connection, order_id: int, size: Size, *, worker: str = "") -> ShareRow:
    """Put a share on record that somebody will begin, or that *worker* just begins."""
    lock(connection, order_id)  # who opens one at the same moment gets the next number
    number = select(func.coalesce(func.max(share.c.number), 0) + 1).where(
        share.c.order_id == order_id
    )
    row = connection.execute(
        insert(share)
        .values(
            order_id=order_id,
            number=number.scalar_subquery(),
            max_items=size.max_items,
            max_seconds=size.max_seconds,
            created_at=sql.now(),
            begun_at=sql.now() if worker else None,
            worker=sql.storable(worker),
            seen_at=sql.now(),
            detail="",
            items=0,
        )
        .returning(*share.c)
    ).one()
    return _share_row(row)


@reads
def list_open_shares(connection: Connection) -> list[ShareRow]:
    """All open shares, oldest first."""
    rows = connection.execute(select(share).where(_OPEN).order_by(share.c.id))
    return [_share_row(row) for row in rows]


@reads
def list_shares(connection: Connection, order_id: int, *, limit: int | None = 20) -> list[ShareRow]:
    """The latest shares of an order, newest first."""
    rows = connection.execute(
        select(share)
        .where(share.c.order_id == order_id)
        .order_by(share.c.number.desc())
        .limit(limit)
    )
    return [_share_row(row) for row in rows]


@writes
def name_flow_run(connection: Connection, share_id: int, flow_run_id: str) -> None:
    """Keep which flow run a share is."""
    connection.execute(update(share).where(share.c.id == share_id).values(flow_run_id=flow_run_id))


@writes
def begin_share(connection: Connection, share_id: int, *, worker: str) -> ShareRow | None:
    """Record that *worker* works on it; None where it is over (lost, or its order is)."""
    row = connection.execute(
        update(share)
        .where(share.c.id == share_id, _OPEN)
        .values(
            begun_at=func.coalesce(share.c.begun_at, sql.now()),
            seen_at=sql.now(),
            worker=sql.storable(worker),
        )
        .returning(*share.c)
    ).first()
    return None if row is None else _share_row(row)


@writes
def beat_share(connection: Connection, share_id: int, *, items: int) -> bool:
    """Record that it is alive, and what it has done; False where it was given up meanwhile."""
    row = connection.execute(
        update(share)
        .where(share.c.id == share_id, _OPEN)
        .values(seen_at=sql.now(), items=items)
        .returning(share.c.id)
    ).first()
    return row is not None


@writes
def end_share(
    connection: Connection, share_id: int, ending: RunEnding, *, detail: str = ""
) -> None:
    """Record how a share ended; the first ending stands."""
    values = {"ended_at": sql.now(), "ending": ending, "detail": sql.storable(detail)}
    connection.execute(update(share).where(share.c.id == share_id, _OPEN).values(values))


@writes
def keep_figures(
    connection: Connection, share_id: int, *, items: int, figures: ShareFigures
) -> None:
    """Record what a share came to, also of one that was given up: that was done all the same."""
    connection.execute(
        update(share).where(share.c.id == share_id).values(items=items, figures=asdict(figures))
    )


@reads
def is_wanted(connection: Connection, share_id: int) -> bool:
    """Whether what a share has in work is still to be done: neither it nor its order is over."""
    found = (
        select(share.c.id)
        .join(work_order, work_order.c.id == share.c.order_id)
        .where(
            share.c.id == share_id,
            _OPEN,
            work_order.c.ended_at.is_(None),
            work_order.c.state != OrderState.CANCELLING,
        )
    )
    return connection.execute(found).first() is not None


@writes
def end_silent_shares(connection: Connection, *, after_s: float) -> int:
    """Give up shares that were begun and have not been heard of for so long; returns how many.

    Should one be alive all the same, its leases see to it that nothing is done twice.
    """
    silent = (
        update(share)
        .where(_OPEN, share.c.begun_at.is_not(None), share.c.seen_at <= sql.now(-after_s))
        .values(
            ended_at=share.c.seen_at,
            ending=RunEnding.ABORTED,
            detail="its worker was not heard of any more",
        )
    )
    return sql.affected(connection, silent)


@reads
def has_precedence(connection: Connection, order_id: int) -> OrderRow | None:
    """An order before this one in line of which something can be claimed now; None: there is none.

    What others hold already is in good hands: for that, nobody has to make room. Nor does whoever
    works under another recipe: he could not help.
    """
    mine = get(connection, order_id)
    for row in list_open(connection):
        if row.id == order_id:
            return None
        if row.recipe_id != mine.recipe_id:
            continue
        is_at_work = row.state is OrderState.RUNNING and not is_late(connection, row)
        if is_at_work and is_due(connection, row.id, within_s=0.0):
            return row
    return None


@reads
def goes_on(connection: Connection, order_id: int) -> bool:
    """Whether another batch of it may begin: it runs, has time left, and is first in line."""
    row = get(connection, order_id)
    if row.state is not OrderState.RUNNING or is_late(connection, row):
        return False
    return has_precedence(connection, order_id) is None


@reads
def share_goes_on(connection: Connection, share_id: int) -> bool:
    """Whether what takes long may be gone on with: the share has time left, its order goes on."""
    row = connection.execute(
        select(share, sql.now().label("now")).where(share.c.id == share_id)
    ).one()
    if row.ended_at is not None or (row.max_seconds and _since_s(row) > row.max_seconds):
        return False
    return goes_on(connection, row.order_id)


@reads
def is_due(connection: Connection, order_id: int, *, within_s: float) -> bool:
    """Whether an item of the order can be claimed now, or in so many seconds, or a shot of it."""
    soonest = (next_pending_in(connection, order_id), films.next_due(connection, order_id))
    limit: datetime = connection.execute(select(sql.now(within_s))).scalar_one()
    return any(moment is not None and moment <= limit for moment in soonest)


def _share_row(row: Row[Any]) -> ShareRow:
    return sql.record(
        ShareRow,
        row,
        ending=RunEnding(row.ending) if row.ending else None,
        figures=ShareFigures(**row.figures),
    )

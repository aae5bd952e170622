"""The shares of backfills: which are under way, which to open, and which were lost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from tasks.ledger import sql
from tasks.ledger.backfills.records import BackfillRow, Progress, ShareRow
from tasks.ledger.backfills.steering import SPENT_WITHIN_S, lock, open_backfills, progress
from tasks.ledger.records import RunEnding
from tasks.ledger.waiting import oldest_pending_in
from tasks.schema import BackfillState, run, share

_OPEN = share.c.ended_at.is_(None)


@dataclass(frozen=True)
class Size:
    """How much a share may take on."""

    expected_items: int  #: open shares times this is what needs no further share
    max_items: int | None
    max_seconds: float


def open_shares(
    connection: Connection, *, window: int, sizes: Mapping[int, Size]
) -> Sequence[ShareRow]:
    """Fill the window: open shares for backfills that run, the first of `open_backfills` first.

    However many ask at once, no more than *window* are open: the backfills are locked meanwhile.

    Args:
        connection: Of a transaction that may write.
        window: How many shares may be open, over all backfills.
        sizes: By backfill; others get none.
    """
    numbers = sorted(row.id for row in open_backfills(connection))  # locked in one order by all
    locked = {number: lock(connection, number) for number in numbers}
    rows = [locked[row.id] for row in open_backfills(connection)]
    room = (
        window
        - connection.execute(select(func.count()).select_from(share).where(_OPEN)).scalar_one()
    )
    opened: list[ShareRow] = []
    for row in rows:
        size = sizes.get(row.id)
        if row.state is not BackfillState.RUNNING or size is None:
            continue
        told = progress(connection, row.id)
        while room > 0 and (fitting := _fitting(row, told, size, opened, connection)) is not None:
            opened.append(open_share(connection, row.id, fitting))
            room -= 1
    return opened


def _fitting(
    row: BackfillRow, told: Progress, size: Size, opened: Sequence[ShareRow], connection: Connection
) -> Size | None:
    """The size of one more share of a backfill; None where those that are open will do."""
    mine = sum(one.backfill_id == row.id for one in opened)
    count = told.shares_open + mine
    if count * size.expected_items >= told.left:
        return None
    if row.budget.max_seconds is None:
        return size
    left_s = row.budget.max_seconds - told.worked_s - _reserved_s(connection, row.id)
    if left_s < SPENT_WITHIN_S:
        return None
    return replace(size, max_seconds=min(size.max_seconds, left_s))


def _reserved_s(connection: Connection, backfill_id: int) -> float:
    """The time that open shares may still take."""
    rows = connection.execute(
        select(share.c.begun_at, share.c.max_seconds, sql.now().label("now")).where(
            _OPEN, share.c.backfill_id == backfill_id
        )
    )
    return float(sum(max((row.max_seconds or 0.0) - _since_s(row), 0.0) for row in rows.all()))


def _since_s(row: sql.AnyRow) -> float:
    return 0.0 if row.begun_at is None else float((row.now - row.begun_at).total_seconds())


def open_share(
    connection: Connection, backfill_id: int, size: Size, *, is_begun: bool = False
) -> ShareRow:
    """Put a share on record that somebody will begin, or just begins."""
    number = select(func.coalesce(func.max(share.c.number), 0) + 1).where(
        share.c.backfill_id == backfill_id
    )
    row = connection.execute(
        insert(share)
        .values(
            backfill_id=backfill_id,
            number=number.scalar_subquery(),
            max_items=size.max_items,
            max_seconds=size.max_seconds,
            created_at=sql.now(),
            begun_at=sql.now() if is_begun else None,
            seen_at=sql.now(),
            detail="",
            items=0,
        )
        .returning(*share.c)
    ).one()
    return _share_row(row)


def list_open(connection: Connection) -> list[ShareRow]:
    """All open shares, oldest first."""
    rows = connection.execute(select(share).where(_OPEN).order_by(share.c.id))
    return [_share_row(row) for row in rows]


def list_shares(connection: Connection, backfill_id: int, *, limit: int) -> list[ShareRow]:
    """The latest shares of a backfill, newest first."""
    rows = connection.execute(
        select(share)
        .where(share.c.backfill_id == backfill_id)
        .order_by(share.c.number.desc())
        .limit(limit)
    )
    return [_share_row(row) for row in rows]


def name_flow_run(connection: Connection, share_id: int, flow_run_id: str) -> None:
    """Keep which flow run a share is."""
    connection.execute(update(share).where(share.c.id == share_id).values(flow_run_id=flow_run_id))


def begin(connection: Connection, share_id: int) -> ShareRow | None:
    """Record that somebody works on it; None where it is over (lost, or its backfill is)."""
    row = connection.execute(
        update(share)
        .where(share.c.id == share_id, _OPEN)
        .values(begun_at=func.coalesce(share.c.begun_at, sql.now()), seen_at=sql.now())
        .returning(*share.c)
    ).first()
    return None if row is None else _share_row(row)


def beat(connection: Connection, share_id: int, *, items: int) -> bool:
    """Record that it is alive, and what it has done; False where it was given up meanwhile."""
    row = connection.execute(
        update(share)
        .where(share.c.id == share_id, _OPEN)
        .values(seen_at=sql.now(), items=items)
        .returning(share.c.id)
    ).first()
    return row is not None


def end(
    connection: Connection, share_id: int, ending: RunEnding, *, items: int | None, detail: str
) -> None:
    """Record how a share ended; the first ending stands."""
    values: dict[str, Any] = {
        "ended_at": sql.now(),
        "ending": ending,
        "detail": sql.storable(detail),
    }
    if items is not None:
        values["items"] = items
    connection.execute(update(share).where(share.c.id == share_id, _OPEN).values(values))


def end_silent(connection: Connection, *, after_s: float) -> int:
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


def is_nightly_running(connection: Connection, *, seen_within_s: float) -> bool:
    """Whether a nightly run is under way that was heard of lately."""
    found = select(run.c.id).where(
        run.c.kind == "nightly", run.c.ended_at.is_(None), run.c.seen_at > sql.now(-seen_within_s)
    )
    return connection.execute(found.order_by(run.c.started_at.desc()).limit(1)).first() is not None


def is_due(connection: Connection, backfill_id: int, *, within_s: float) -> bool:
    """Whether an item of the backfill can be claimed now, or in so many seconds."""
    soonest = oldest_pending_in(connection, backfill_id)
    if soonest is None:
        return False
    limit: datetime = connection.execute(select(sql.now(within_s))).scalar_one()
    return soonest <= limit


def _share_row(row: Row[Any]) -> ShareRow:
    return ShareRow(
        id=row.id,
        backfill_id=row.backfill_id,
        number=row.number,
        flow_run_id=row.flow_run_id,
        max_items=row.max_items,
        max_seconds=row.max_seconds,
        created_at=row.created_at,
        begun_at=row.begun_at,
        seen_at=row.seen_at,
        ended_at=row.ended_at,
        ending=RunEnding(row.ending) if row.ending else None,
        detail=row.detail,
        items=row.items,
    )

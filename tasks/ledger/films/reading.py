"""How far films are, and what is known of their shots."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    case,
    func,
    select,
)

from tasks.errors import Reason
from tasks.ledger import sql
from tasks.ledger.engine import reads
from tasks.ledger.reading import derivative_row, select_derivatives
from tasks.ledger.records import (
    DerivativeRow,
    FilmProgress,
    ShotRow,
)
from tasks.schema import (
    CLAIMED,
    SHOT_UNFINISHED,
    ShotStatus,
    ShotVerdict,
    claim,
    derivative,
    item,
    shot,
)

OF_ITEM = and_(item.c.id == shot.c.item_id, item.c.revision == shot.c.revision)
IS_DUE = and_(SHOT_UNFINISHED, shot.c.due_at <= sql.now())


@reads
def standing(connection: Connection, token: str, item_id: int) -> FilmProgress:
    """How far a film is, and whether the claim of *token* still holds it."""
    is_mine = and_(CLAIMED, item.c.id == item_id, claim.c.token == token)
    held = select(item.c.id).join(claim, claim.c.id == item.c.claim_id).where(is_mine)
    mine = select(shot).join(item, OF_ITEM).where(item.c.id == item_id)
    rows = mine.subquery()
    is_done = rows.c.status == ShotStatus.DONE
    sums = connection.execute(
        select(
            func.count().label("shots"),
            func.coalesce(func.sum(case((is_done, 1), else_=0)), 0).label("done"),
        )
    ).one()
    failed = mine.where(shot.c.status == ShotStatus.FAILED).order_by(shot.c.number).limit(1)
    first_failed = connection.execute(failed).first()
    return FilmProgress(
        is_held=connection.execute(held).first() is not None,
        shots=int(sums.shots),
        done=int(sums.done),
        due_in_s=_due_in_s(connection, shot.c.item_id == item_id),
        failed=None if first_failed is None else shot_row(first_failed),
    )


@reads
def list_shots(connection: Connection, item_id: int) -> list[ShotRow]:
    """The shots of a film as the item has it, in order; none of a still picture."""
    mine = select(shot).join(item, OF_ITEM).where(item.c.id == item_id)
    return [shot_row(row) for row in connection.execute(mine.order_by(shot.c.number))]


@reads
def master_of(connection: Connection, item_id: int) -> DerivativeRow | None:
    """The master that was made last of a film, of the bytes that it holds now."""
    mine = and_(derivative.c.item_id == item.c.id, derivative.c.revision == item.c.revision)
    found = select_derivatives().where(item.c.id == item_id, mine, derivative.c.kind == "master")
    latest = derivative.c.written_at.desc(), derivative.c.id.desc()
    row = connection.execute(found.order_by(*latest).limit(1)).first()
    return None if row is None else derivative_row(row)


def next_due(connection: Connection, order_id: int) -> datetime | None:
    """When the first shot of a film that is in work for an order may be leased."""
    in_work = select(func.min(shot.c.due_at)).join(item, OF_ITEM)
    found: datetime | None = connection.execute(
        in_work.where(SHOT_UNFINISHED, CLAIMED, item.c.order_id == order_id)
    ).scalar()
    return found


@reads
def count_open(connection: Connection, order_id: int) -> int:
    """How many shots of an order's films wait for a worker now."""
    found = select(func.count()).select_from(shot).join(item, OF_ITEM)
    waiting: int = connection.execute(
        found.where(IS_DUE, CLAIMED, item.c.order_id == order_id)
    ).scalar_one()
    return waiting


def _due_in_s(connection: Connection, which: ColumnElement[bool]) -> float | None:
    soonest: datetime | None = connection.execute(
        select(func.min(shot.c.due_at)).join(item, OF_ITEM).where(SHOT_UNFINISHED, which)
    ).scalar()
    if soonest is None:
        return None
    now: datetime = connection.execute(select(sql.now())).scalar_one()
    return max(0.0, (soonest - now).total_seconds())


def shot_row(row: Row[Any]) -> ShotRow:
    """A shot from its table's row."""
    return sql.record(
        ShotRow,
        row,
        first=row.first_frame,
        status=ShotStatus(row.status),
        reason=Reason(row.reason) if row.reason else None,
        detail=row.detail or "",
        verdict=ShotVerdict(row.verdict) if row.verdict else None,
    )

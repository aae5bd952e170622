"""What stands about orders: which there are, how far they are, who decided what."""

from collections import Counter
from typing import Any

from sqlalchemy import Connection, Row, Select, func, or_, select

from tasks.errors import Reason, UsageError
from tasks.ledger import sql
from tasks.ledger.engine import reads
from tasks.ledger.orders.records import Budget, OrderRow, Progress, Scope, Transition
from tasks.schema import (
    DecisionKind,
    ItemStatus,
    Moment,
    OrderKind,
    OrderMode,
    OrderState,
    decision,
    order_tally,
    recipe,
    share,
    work_order,
)


@reads
def get(connection: Connection, order_id: int) -> OrderRow:
    """One order.

    Raises:
        UsageError: There is none of this number.
    """
    return _one(connection, select(work_order).where(work_order.c.id == order_id))


def lock(connection: Connection, order_id: int) -> OrderRow:
    """One order, which nobody else changes before this transaction ends.

    Raises:
        UsageError: There is none of this number.
    """
    return _one(connection, select(work_order).where(work_order.c.id == order_id).with_for_update())


def _one(connection: Connection, wanted: Select[Any]) -> OrderRow:
    row = connection.execute(wanted).first()
    if row is None:
        raise UsageError("there is no order of this number; see `autochrome orders list`")
    return row_of(row)


@reads
def list_open(connection: Connection) -> list[OrderRow]:
    """Those that have not ended: the highest priority first, then the oldest."""
    wanted = select(work_order).where(work_order.c.ended_at.is_(None))
    rows = connection.execute(wanted.order_by(work_order.c.priority.desc(), work_order.c.id))
    return [row_of(row) for row in rows]


@reads
def list_shown(connection: Connection, *, ended_within_s: float) -> list[OrderRow]:
    """Those that have not ended, and those that ended lately: their end is to be shown, too."""
    lately = or_(work_order.c.ended_at.is_(None), work_order.c.ended_at > sql.now(-ended_within_s))
    rows = connection.execute(select(work_order).where(lately).order_by(work_order.c.id))
    return [row_of(row) for row in rows]


@reads
def list_latest(connection: Connection, *, limit: int = 20) -> list[OrderRow]:
    """The latest, newest first."""
    rows = connection.execute(select(work_order).order_by(work_order.c.id.desc()).limit(limit))
    return [row_of(row) for row in rows]


@reads
def list_of_run(connection: Connection, run_id: int) -> list[OrderRow]:
    """Those whose claims count for a run, oldest first: a night's may have been ordered again."""
    rows = connection.execute(
        select(work_order).where(work_order.c.run_id == run_id).order_by(work_order.c.id)
    )
    return [row_of(row) for row in rows]


@reads
def find_recipe(connection: Connection, digest: str) -> int:
    """The id of a recipe; 0 where the ledger does not know it."""
    found = select(recipe.c.id).where(recipe.c.digest == digest)
    return int(connection.execute(found).scalar() or 0)


@reads
def left_s(connection: Connection, order_id: int) -> float | None:
    """Seconds until an order's deadline, below 0 where it has passed; None: it has none."""
    row = connection.execute(
        select(work_order.c.deadline_at, sql.now().label("now")).where(work_order.c.id == order_id)
    ).one()
    return None if row.deadline_at is None else (row.deadline_at - row.now).total_seconds()


def is_late(connection: Connection, row: OrderRow) -> bool:
    """Whether an order's deadline has passed."""
    left = left_s(connection, row.id)
    return left is not None and left <= 0


@reads
def progress(connection: Connection, order_id: int) -> Progress:
    """How far it is: sums of tallies, however many items there are."""
    tallied = (
        select(
            order_tally.c.status,
            order_tally.c.reason,
            func.sum(order_tally.c.n).label("n"),
        )
        .where(order_tally.c.order_id == order_id)
        .group_by(order_tally.c.status, order_tally.c.reason)
    )
    statuses: Counter[ItemStatus] = Counter()
    reasons: Counter[Reason] = Counter()
    for row in connection.execute(tallied):
        statuses[ItemStatus(row.status)] += int(row.n)
        if row.reason:
            reasons[Reason(row.reason)] += int(row.n)
    spans = connection.execute(
        select(
            share.c.begun_at,
            func.coalesce(share.c.ended_at, sql.now(), type_=Moment()).label("until"),
            share.c.ended_at,
        ).where(share.c.order_id == order_id)
    ).all()
    return Progress(
        statuses={status: statuses[status] for status in ItemStatus if statuses[status]},
        reasons={reason: n for reason, n in reasons.most_common() if n},
        worked_s=sum(
            (row.until - row.begun_at).total_seconds() for row in spans if row.begun_at is not None
        ),
        shares_open=sum(row.ended_at is None for row in spans),
        shares=len(spans),
    )


@reads
def transitions(connection: Connection, order_id: int) -> list[Transition]:
    """Who decided what about it, oldest first."""
    about = (
        DecisionKind.ORDER,
        DecisionKind.PAUSE,
        DecisionKind.RESUME,
        DecisionKind.CANCEL,
        DecisionKind.WITHDRAW,
    )
    rows = connection.execute(
        select(decision)
        .where(decision.c.order_id == order_id, decision.c.kind.in_(about))
        .order_by(decision.c.id)
    )
    return [Transition(row.kind, row.who, row.why, row.decided_at) for row in rows]


def row_of(row: Row[Any]) -> OrderRow:
    """An order from its table's row."""
    return sql.record(
        OrderRow,
        row,
        kind=OrderKind(row.kind),
        state=OrderState(row.state),
        mode=OrderMode(row.mode),
        scope=Scope.from_json(row.scope),
        budget=Budget(row.max_items, row.max_bytes, row.max_seconds),
    )

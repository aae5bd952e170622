"""What is still to come: when the next item is due, and which leases nobody will renew."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, and_, func, or_, select, update

from tasks.ledger import films, outages, sql
from tasks.ledger.engine import reads, writes
from tasks.schema import (
    CLAIMED,
    PENDING_ALONE,
    PENDING_FOR_NONE,
    PENDING_IN_ORDER,
    SHOT_UNFINISHED,
    ItemStatus,
    ShotStatus,
    claim,
    item,
    order_tally,
    shot,
    status_in,
    work_order,
)

_OPEN = claim.c.ended_at.is_(None)
_LEASED = shot.c.status == ShotStatus.CLAIMED


@reads
def oldest_waiting(connection: Connection, recipe_id: int | None = None) -> datetime | None:
    """When the first item was due that waits for the next order: left over, or let go of."""
    left_over = (
        select(order_tally.c.order_id)
        .join(work_order, work_order.c.id == order_tally.c.order_id)
        .where(order_tally.c.status == ItemStatus.PENDING, work_order.c.ended_at.is_not(None))
        .group_by(order_tally.c.order_id)
        .having(func.sum(order_tally.c.n) > 0)
    )
    let_go = select(item.c.not_before).where(PENDING_FOR_NONE).order_by(item.c.not_before).limit(1)
    if recipe_id is not None:
        left_over = left_over.where(work_order.c.recipe_id == recipe_id)
        let_go = let_go.where(item.c.recipe_id == recipe_id)
    orders = connection.execute(left_over).scalars().all()
    moments = [oldest_pending_in(connection, order_id) for order_id in orders]
    moments.append(connection.execute(let_go).scalar())
    return min((moment for moment in moments if moment is not None), default=None)


def oldest_pending_in(connection: Connection, order_id: int) -> datetime | None:
    """When the first pending item of an order was or will be due."""
    mine = item.c.order_id == order_id
    moments: list[datetime] = []
    for pending in (PENDING_IN_ORDER, PENDING_ALONE):
        due = select(item.c.not_before).where(pending, mine).order_by(item.c.not_before)
        moments += connection.execute(due.limit(1)).scalars()
    return min(moments, default=None)


def next_pending_in(connection: Connection, order_id: int) -> datetime | None:
    """When the first pending item of an order can be claimed, or its place is tried again."""
    if not outages.are_there(connection):
        return oldest_pending_in(connection, order_id)
    mine = and_(status_in(ItemStatus.PENDING), item.c.order_id == order_id)
    free = select(func.min(item.c.not_before)).where(mine, ~outages.is_out(item))
    soonest = (connection.execute(free).scalar(), outages.next_try(connection, mine))
    return min((moment for moment in soonest if moment is not None), default=None)


def waits_for_sources_alone(connection: Connection, order_id: int, *, longer_than_s: float) -> bool:
    """Whether all that is left of an order lies in places that are away, and for so long yet."""
    if not outages.are_there(connection):
        return False
    mine = item.c.order_id == order_id
    others = select(item.c.id).where(
        mine,
        or_(CLAIMED, and_(status_in(ItemStatus.PENDING), ~outages.is_out(item))),
    )
    if connection.execute(others.limit(1)).first() is not None:
        return False
    tried = outages.next_try(connection, and_(mine, status_in(ItemStatus.PENDING)))
    limit: datetime = connection.execute(select(sql.now(longer_than_s))).scalar_one()
    return tried is not None and tried > limit


@reads
def next_due_s(connection: Connection, order_id: int) -> float | None:
    """Seconds until an item of an order, or a shot of a film, can be had: 0 is now, None never."""
    leases = (
        select(func.min(claim.c.expires_at))
        .join(item, item.c.claim_id == claim.c.id)
        .where(CLAIMED, _OPEN, item.c.order_id == order_id)
    )
    soonest = (
        next_pending_in(connection, order_id),
        films.next_due(connection, order_id),
        connection.execute(leases).scalar(),
    )
    known = [moment for moment in soonest if moment is not None]
    if not known:
        return None
    now: datetime = connection.execute(select(sql.now())).scalar_one()
    return max(0.0, (min(known) - now).total_seconds())


@reads
def open_workers(connection: Connection, order_id: int | None = None) -> set[str]:
    """The names of those who hold a lease now, on anything of an order where one is given."""
    holding = select(claim.c.worker).where(_OPEN, claim.c.expires_at > sql.now())
    helping = select(shot.c.worker).where(SHOT_UNFINISHED, _LEASED, shot.c.due_at > sql.now())
    if order_id is not None:
        mine = item.c.order_id == order_id
        holding = holding.join(item, item.c.claim_id == claim.c.id).where(CLAIMED, mine)
        helping = helping.join(item, item.c.id == shot.c.item_id).where(mine)
    return {*connection.execute(holding).scalars(), *connection.execute(helping).scalars()}


@reads
def count_expired(connection: Connection, workers: Collection[str] = ()) -> int:
    """How many items `sweep` would take back now, those of *workers* among them."""
    is_over = or_(claim.c.expires_at <= sql.now(), claim.c.worker.in_(list(workers)))
    held = (
        select(func.count())
        .select_from(item)
        .join(claim, claim.c.id == item.c.claim_id)
        .where(CLAIMED, _OPEN, is_over)
    )
    return connection.execute(held).scalar_one()


@writes
def expire_leases(connection: Connection, workers: Collection[str]) -> int:
    """Let the leases of workers that are known to be gone run out now; returns how many.

    The next claim sweeps their items up; shots of films are leased anew.
    """
    expired = (
        update(claim)
        .where(_OPEN, claim.c.worker.in_(workers), claim.c.expires_at > sql.now())
        .values(expires_at=sql.now())
    )
    shots = (
        update(shot)
        .where(SHOT_UNFINISHED, _LEASED, shot.c.worker.in_(workers), shot.c.due_at > sql.now())
        .values(due_at=sql.now())
    )
    return sql.affected(connection, expired) + sql.affected(connection, shots)

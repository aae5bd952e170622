"""What is still to come: when the next item is due, and which leases nobody will renew."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Connection, func, select, update

from tasks.ledger import sql
from tasks.schema import CLAIMED, PENDING_ALONE, PENDING_TOGETHER, claim, item

_OPEN = claim.c.ended_at.is_(None)


def next_due_s(
    connection: Connection, recipe_id: int, collections: Sequence[str] | None
) -> float | None:
    """Seconds until an item can be claimed, by its delay or by another's lease; None: nothing waits."""
    moments: list[datetime] = []
    for waits in (PENDING_TOGETHER, PENDING_ALONE):
        soonest = select(func.min(item.c.not_before)).where(waits, item.c.recipe_id == recipe_id)
        if collections is not None:
            soonest = soonest.where(item.c.collection.in_(collections))
        moments += connection.execute(soonest).scalars().all()
    leases = (
        select(func.min(claim.c.expires_at))
        .join(item, item.c.claim_id == claim.c.id)
        .where(CLAIMED, _OPEN, claim.c.recipe_id == recipe_id)
    )
    if collections is not None:
        leases = leases.where(item.c.collection.in_(collections))
    moments += connection.execute(leases).scalars().all()
    known = [moment for moment in moments if moment is not None]
    if not known:
        return None
    now = connection.execute(select(sql.now())).scalar_one()
    return max(0.0, (min(known) - now).total_seconds())


def open_workers(connection: Connection) -> set[str]:
    """The names of those who hold a lease now."""
    return set(connection.execute(select(claim.c.worker).where(_OPEN)).scalars())


def expire_leases(connection: Connection, workers: Collection[str]) -> int:
    """Let the leases of these workers run out now; their items are swept up by the next claim."""
    expired = (
        update(claim)
        .where(_OPEN, claim.c.worker.in_(workers), claim.c.expires_at > sql.now())
        .values(expires_at=sql.now())
    )
    return sql.affected(connection, expired)

"""Ending attempts that no outcome ended, and sweeping up after workers that vanished."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    insert,
    literal,
    null,
    select,
    update,
)

from tasks.errors import Reason
from tasks.ledger import sql
from tasks.schema import CLAIMED, AttemptEnding, ItemStatus, attempt, claim, item

SWEPT_CLAIMS = 20  # at once; the next claim sweeps on

EXPIRED = (
    select(claim.c.id, claim.c.max_attempts, claim.c.worker)
    .where(claim.c.ended_at.is_(None), claim.c.expires_at <= sql.now())
    .order_by(claim.c.expires_at)
    .limit(SWEPT_CLAIMS)
    .with_for_update(skip_locked=True)
)


def uncount(
    connection: Connection,
    chosen: ColumnElement[bool],
    ending: AttemptEnding,
    *,
    detail: str,
    parameters: Mapping[str, str],
) -> int:
    """Put claimed items back to pending, their attempt uncounted but on record."""
    _record_endings(connection, chosen, _Ending(ending, ItemStatus.PENDING, detail), parameters)
    released = (
        update(item)
        .where(chosen)
        .values(
            status=ItemStatus.PENDING,
            claim_id=null(),
            attempts=item.c.attempts - 1,
            changed_at=sql.now(),
        )
    )
    return sql.affected(connection, released, parameters)


def sweep(connection: Connection) -> int:
    """Take back the items of leases that ran out.

    They are to be claimed once more, alone; after the last attempt they are quarantined.
    """
    expired = connection.execute(EXPIRED).all()
    return sum(_sweep_claim(connection, one) for one in expired)


def _sweep_claim(connection: Connection, expired: sql.AnyRow) -> int:
    held = and_(CLAIMED, item.c.claim_id == expired.id)
    used_up = and_(held, item.c.attempts >= expired.max_attempts)
    detail = f"the lease of {expired.worker} ran out"
    killed = _Ending(
        AttemptEnding.EXPIRED, ItemStatus.QUARANTINED, detail, reason=Reason.KILLED_WORKER
    )
    _record_endings(connection, used_up, killed, {})
    quarantined = (
        update(item)
        .where(used_up)
        .values(
            status=ItemStatus.QUARANTINED,
            reason=Reason.KILLED_WORKER,
            detail=detail,
            alone=True,
            claim_id=null(),
            changed_at=sql.now(),
        )
    )
    count = sql.affected(connection, quarantined)
    # What is still held has attempts left.
    _record_endings(
        connection, held, _Ending(AttemptEnding.EXPIRED, ItemStatus.PENDING, detail), {}
    )
    again = (
        update(item)
        .where(held)
        .values(
            status=ItemStatus.PENDING,
            alone=True,
            claim_id=null(),
            not_before=sql.now(),
            changed_at=sql.now(),
        )
    )
    count += sql.affected(connection, again)
    connection.execute(update(claim).where(claim.c.id == expired.id).values(ended_at=sql.now()))
    return count


@dataclass(frozen=True)
class _Ending:
    """How the attempts of some items ended, all alike."""

    ending: AttemptEnding
    status: ItemStatus
    detail: str
    reason: Reason | None = None


def _record_endings(
    connection: Connection,
    chosen: ColumnElement[bool],
    ended: _Ending,
    parameters: Mapping[str, str],
) -> None:
    columns = {
        "item_id": item.c.id,
        "claim_id": item.c.claim_id,
        "revision": item.c.revision,
        "number": item.c.attempts,
        "ending": literal(ended.ending.value),
        "status": literal(ended.status.value),
        "reason": literal(ended.reason.value) if ended.reason else null(),
        "detail": literal(ended.detail) if ended.detail else null(),
        "ended_at": sql.now(),
    }
    connection.execute(
        insert(attempt).from_select(list(columns), select(*columns.values()).where(chosen)),
        parameters,
    )

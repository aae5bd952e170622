"""Ending attempts that no outcome ended, and sweeping up after workers that vanished.

The items are locked before anything is noted about them. A worker that finishes, a discovery that
finds a scan changed and a sweeper may come to the same item at once; whoever is second finds it
changed and leaves it alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    insert,
    literal,
    null,
    select,
    update,
)

from tasks.errors import Reason
from tasks.ledger import sql
from tasks.ledger.engine import writes
from tasks.schema import CLAIMED, AttemptEnding, ItemStatus, attempt, claim, item

SWEPT_CLAIMS = 20  # at once; the next claim sweeps on

IS_EXPIRED = and_(claim.c.ended_at.is_(None), claim.c.expires_at <= sql.now())
EXPIRED = (
    select(claim.c.id, claim.c.max_attempts, claim.c.worker)
    .where(IS_EXPIRED)
    .order_by(claim.c.expires_at)
    .limit(SWEPT_CLAIMS)
    .with_for_update(skip_locked=True)
)


def uncount(  # noqa: PLR0913 - two of them have defaults
    connection: Connection,
    chosen: ColumnElement[bool],
    ending: AttemptEnding,
    *,
    detail: str,
    reason: Reason | None = None,
    wait_s: float = 0.0,
) -> int:
    """Put claimed items back to pending, their attempt uncounted but on record."""
    ids = [row.id for row in connection.execute(_locking(chosen))]
    _record_endings(connection, ids, _Ending(ending, ItemStatus.PENDING, detail, reason))
    released = (
        update(item)
        .where(item.c.id.in_(sql.these(ids)))
        .values(
            status=ItemStatus.PENDING,
            claim_id=null(),
            attempts=item.c.attempts - 1,
            not_before=sql.now(wait_s) if wait_s else item.c.not_before,
            changed_at=sql.now(),
        )
    )
    connection.execute(released)
    return len(ids)


@writes
def sweep(connection: Connection) -> int:
    """Take back the items of leases that ran out, as every claim does; returns how many.

    They are to be claimed once more, alone; after the last attempt they are quarantined.
    """
    expired = connection.execute(EXPIRED).all()
    return sum(_sweep_claim(connection, one) for one in expired)


def _sweep_claim(connection: Connection, expired: sql.AnyRow) -> int:
    held = connection.execute(_locking(and_(CLAIMED, item.c.claim_id == expired.id))).all()
    used_up = [row.id for row in held if row.attempts >= expired.max_attempts]
    again = [row.id for row in held if row.attempts < expired.max_attempts]
    detail = f"the lease of {expired.worker} ran out"
    if used_up:
        killed = _Ending(
            AttemptEnding.EXPIRED, ItemStatus.QUARANTINED, detail, reason=Reason.KILLED_WORKER
        )
        _suspect(connection, used_up, killed)
    if again:
        _suspect(connection, again, _Ending(AttemptEnding.EXPIRED, ItemStatus.PENDING, detail))
    connection.execute(update(claim).where(claim.c.id == expired.id).values(ended_at=sql.now()))
    return len(held)


@dataclass(frozen=True)
class _Ending:
    """How the attempts of some items ended, all alike."""

    ending: AttemptEnding
    status: ItemStatus
    detail: str
    reason: Reason | None = None


def _locking(chosen: ColumnElement[bool]) -> Select[tuple[int, int]]:
    return select(item.c.id, item.c.attempts).where(chosen).order_by(item.c.id).with_for_update()


def _suspect(connection: Connection, ids: Sequence[int], ended: _Ending) -> None:
    """Move items whose worker vanished, and remember it of them."""
    _record_endings(connection, ids, ended)
    moved = (
        update(item)
        .where(item.c.id.in_(sql.these(ids)))
        .values(
            status=ended.status,
            reason=ended.reason,
            detail=ended.detail if ended.reason else null(),
            alone=True,
            claim_id=null(),
            not_before=sql.now(),
            changed_at=sql.now(),
        )
    )
    connection.execute(moved)


def _record_endings(connection: Connection, ids: Sequence[int], ended: _Ending) -> None:
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
    chosen = select(*columns.values()).where(item.c.id.in_(sql.these(ids)))
    connection.execute(insert(attempt).from_select(list(columns), chosen))

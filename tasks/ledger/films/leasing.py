"""What whoever colours a shot does: leases it, renews that, and says what became of it."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    case,
    false,
    null,
    select,
    update,
)

from tasks.errors import Reason, Verdict
from tasks.ledger import sql
from tasks.ledger.claims import RUNS, claimed_item, new_token
from tasks.ledger.engine import Database, writes
from tasks.ledger.films.reading import IS_DUE, OF_ITEM
from tasks.ledger.records import (
    LeasedShot,
    ShotRequest,
    ShotResult,
)
from tasks.schema import (
    CLAIMED,
    ItemStatus,
    ShotStatus,
    ShotVerdict,
    item,
    shot,
    status_in,
)

ORDER = bindparam("order", type_=BigInteger)


def lease(ledger: Database, wanted: ShotRequest) -> LeasedShot | None:
    """Take a shot, and count an attempt: the first that is open, or whose lease ran out.

    One that has used up its attempts fails instead, and the next is taken.

    Returns:
        The shot; None where none is ready, or the order is not running, or is late.
    """
    token = new_token()
    is_retry = False

    def work(connection: Connection) -> LeasedShot | None:
        # When the connection was lost at the commit, the lease may have been made all the same.
        nonlocal is_retry
        again = select(shot).where(shot.c.token == token)
        found = connection.execute(again).first() if is_retry else None
        is_retry = True
        found = found or _take(connection, wanted, token)
        return None if found is None else _leased(connection, found)

    return ledger.write(work, forgetful=True)


def _take(connection: Connection, wanted: ShotRequest, token: str) -> Row[Any] | None:
    order = {"order": wanted.order_id}
    while (row := connection.execute(_next(wanted), order).first()) is not None:
        mine = update(shot).where(shot.c.id == row.id)
        if row.status != ShotStatus.CLAIMED or row.attempts < wanted.max_attempts:
            taken = {
                "status": ShotStatus.CLAIMED,
                "token": token,
                "worker": sql.storable(wanted.worker),
                "order_id": wanted.order_id,
                "due_at": sql.now(wanted.lease_s),
                "attempts": shot.c.attempts + 1,
            }
            return connection.execute(mine.values(**taken).returning(*shot.c)).one()
        killed = {
            "status": ShotStatus.FAILED,
            "token": null(),
            "reason": Reason.KILLED_WORKER,
            "detail": f"the lease of {row.worker} ran out",
        }
        connection.execute(mine.values(**killed))
    return None


def _next(wanted: ShotRequest) -> Select[Any]:
    """Lock the first shot that may be leased, passing over what others are just taking."""
    found = select(shot.c.id, shot.c.status, shot.c.attempts, shot.c.worker).join(item, OF_ITEM)
    if wanted.item_id is not None:
        found = found.where(item.c.id == wanted.item_id)
    if wanted.without:
        found = found.where(item.c.id.not_in(wanted.without))
    if wanted.revision is not None:
        found = found.where(item.c.revision == wanted.revision)
    return (
        found.where(IS_DUE, CLAIMED, item.c.order_id == ORDER, RUNS)
        .order_by(shot.c.item_id, shot.c.number)
        .limit(1)
        .with_for_update(of=shot, skip_locked=True)
    )


def _leased(connection: Connection, row: Row[Any]) -> LeasedShot:
    return sql.record(
        LeasedShot,
        row,
        first=row.first_frame,
        attempt=row.attempts,
        grey=row.verdict == ShotVerdict.REJECTED,
        film=claimed_item(connection, row.item_id),
    )


def _mine(token: str) -> ColumnElement[bool]:
    """On `shot`: the token holds it, and its lease lasts."""
    is_claimed = shot.c.status == ShotStatus.CLAIMED
    return and_(shot.c.token == token, is_claimed, shot.c.due_at > sql.now())


@writes
def renew(connection: Connection, token: str, *, lease_s: float) -> int:
    """Let a shot's lease last for *lease_s* from now; returns how many shots that is: 1 or 0."""
    longer = update(shot).where(_mine(token)).values(due_at=sql.now(lease_s))
    return sql.affected(connection, longer)


@writes
def finish(connection: Connection, token: str, done: ShotResult) -> bool:
    """Record what was made of a shot; False where it is in other hands, or its film changed.

    A film that gets on is no suspect, however often its workers vanish: the attempts of its item
    begin anew.
    """
    # Its holder may have let go of the film meanwhile: that is no reason to colour it twice.
    is_wanted = status_in(ItemStatus.CLAIMED, ItemStatus.PENDING)
    held = select(shot.c.item_id).join(item, OF_ITEM).where(_mine(token), is_wanted)
    item_id = connection.execute(held.with_for_update(of=shot)).scalar()
    if item_id is None:
        finished = and_(shot.c.token == token, shot.c.status == ShotStatus.DONE)
        return connection.execute(select(shot.c.id).where(finished)).first() is not None
    connection.execute(
        update(shot)
        .where(shot.c.token == token)
        .values(
            status=ShotStatus.DONE,
            reason=null(),
            detail=null(),
            finished_at=sql.now(),
            **vars(done),
        )
    )
    again = update(item).where(item.c.id == item_id, CLAIMED, item.c.attempts > 1)
    connection.execute(again.values(attempts=1))
    return True


@writes
def give_back(connection: Connection, token: str, *, wait_s: float = 0.0) -> bool:
    """Put a shot back that nobody is to blame for; the attempt does not count."""
    back = update(shot).where(_mine(token))
    values = {"status": ShotStatus.OPEN, "token": null(), "attempts": shot.c.attempts - 1}
    return sql.affected(connection, back.values(**values, due_at=sql.now(wait_s))) > 0


@writes
def fail(  # noqa: PLR0913 - two of them are what the ledger cannot know
    connection: Connection,
    token: str,
    reason: Reason,
    detail: str,
    *,
    max_attempts: int,
    wait_s: float,
) -> bool:
    """Record that a shot went wrong: it is tried again after a while where that may help.

    Returns:
        Whether the token held it.
    """
    may_pass = reason.verdict is Verdict.RETRY or reason is Reason.KILLED_WORKER
    again = shot.c.attempts < max_attempts if may_pass else false()
    values = {
        "status": case((again, ShotStatus.OPEN.value), else_=ShotStatus.FAILED.value),
        "due_at": sql.now(wait_s),
        "token": null(),
        "reason": reason,
        "detail": sql.storable(detail),
    }
    return sql.affected(connection, update(shot).where(_mine(token)).values(values)) > 0

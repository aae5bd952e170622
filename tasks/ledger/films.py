"""Films: one scan and one item, whose shots several workers lease, colour and finish.

The item's holder has the film: it records the shots, colours them one by one, and puts the reel
together. Whoever works for the same order and has nothing left to claim leases shots of it, too.
A shot's lease is its own, so a worker that vanishes costs a shot, and a holder that vanishes costs
nothing that was done: whoever claims the item next goes on from there.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
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
    delete,
    false,
    func,
    insert,
    null,
    select,
    update,
)

from tasks.errors import Reason, Verdict
from tasks.ledger import corrections, sql
from tasks.ledger.claims import RUNS, claimed_item, lock_claim, new_token
from tasks.ledger.engine import Database, reads, writes
from tasks.ledger.reading import derivative_row, select_derivatives
from tasks.ledger.records import (
    DerivativeRow,
    FilmFacts,
    FilmStanding,
    FoundShot,
    LeasedShot,
    ShotDone,
    ShotRequest,
    ShotRow,
)
from tasks.ledger.reopening import OPEN_AGAIN
from tasks.schema import (
    CLAIMED,
    SHOT_UNFINISHED,
    ItemStatus,
    ShotStatus,
    ShotVerdict,
    claim,
    derivative,
    item,
    scan,
    shot,
    status_in,
)

_OF_ITEM = and_(item.c.id == shot.c.item_id, item.c.revision == shot.c.revision)
_ORDER = bindparam("order", type_=BigInteger)
_IS_DUE = and_(SHOT_UNFINISHED, shot.c.due_at <= sql.now())


# --- the holder of the item ----------------------------------------------------------------------


@writes
def record_shots(
    connection: Connection,
    token: str,
    item_id: int,
    found: Iterable[FoundShot],
    facts: FilmFacts,
) -> bool:
    """Record what a film consists of, once for each revision of it.

    Args:
        connection: To the ledger.
        token: Of the claim that holds the item.
        item_id: The film's.
        found: Its shots, in order; together they are all of its frames.
        facts: What the film is.

    Returns:
        False where the item is in other hands by now: nothing is recorded then.
    """
    held = _held(connection, token, item_id)
    if held is None:
        return False
    connection.execute(
        update(scan)
        .where(scan.c.id == held.scan_id, scan.c.revision == held.revision)
        .values(
            frames=facts.frames,
            film_s=facts.seconds,
            width=facts.width,
            height=facts.height,
            bits=facts.bits,
        )
    )
    mine = and_(shot.c.item_id == item_id, shot.c.revision == held.revision)
    if connection.execute(select(shot.c.id).where(mine).limit(1)).first() is None:
        rows = [
            {
                "item_id": item_id,
                "revision": held.revision,
                "number": number,
                "first_frame": one.first,
                "frames": one.frames,
                "lead": one.lead,
                "tail": one.tail,
                "seek": one.seek,
                "status": ShotStatus.OPEN,
                "order_id": held.order_id,
            }
            for number, one in enumerate(found, start=1)
        ]
        connection.execute(insert(shot).values(due_at=sql.now()), rows)
    return True


@writes
def take_up(connection: Connection, token: str, item_id: int, *, correction_id: int = 0) -> int:
    """Go on with a film for the item's present order; returns how many shots are on record.

    Shots of bytes that the scan held before are forgotten. Those that were coloured, or are just
    being coloured, by something else than what was said of their frames up to *correction_id* are
    open again.
    """
    held = _held(connection, token, item_id)
    if held is None:
        return 0
    mine = shot.c.item_id == item_id
    connection.execute(delete(shot).where(mine, shot.c.revision != held.revision))
    shots = [_row(row) for row in connection.execute(select(shot).where(mine))]
    if anew := corrections.said_otherwise(connection, shots, correction_id):
        theirs = shot.c.id.in_(sql.given_ids(connection))
        connection.execute(update(shot).where(theirs).values(OPEN_AGAIN), sql.as_ids(anew))
    taken = update(shot).where(mine)
    values = {"order_id": held.order_id, "correction_id": correction_id}
    return sql.affected(connection, taken.values(values))


def _held(connection: Connection, token: str, item_id: int) -> sql.AnyRow | None:
    claim = lock_claim(connection, token)
    if claim is None:
        return None
    found = select(item.c.scan_id, item.c.revision, item.c.order_id)
    mine = and_(CLAIMED, item.c.id == item_id, item.c.claim_id == claim.id)
    return connection.execute(found.where(mine)).first()


@reads
def standing(connection: Connection, token: str, item_id: int) -> FilmStanding:
    """How far a film is, and whether the claim of *token* still holds it."""
    is_mine = and_(CLAIMED, item.c.id == item_id, claim.c.token == token)
    held = select(item.c.id).join(claim, claim.c.id == item.c.claim_id).where(is_mine)
    mine = select(shot).join(item, _OF_ITEM).where(item.c.id == item_id)
    rows = mine.subquery()
    is_done = rows.c.status == ShotStatus.DONE
    told = connection.execute(
        select(
            func.count().label("shots"),
            func.coalesce(func.sum(case((is_done, 1), else_=0)), 0).label("done"),
            func.coalesce(func.sum(rows.c.frames), 0).label("frames"),
            func.coalesce(func.sum(case((is_done, rows.c.frames), else_=0)), 0).label("ready"),
        )
    ).one()
    failed = mine.where(shot.c.status == ShotStatus.FAILED).order_by(shot.c.number).limit(1)
    first_failed = connection.execute(failed).first()
    return FilmStanding(
        is_held=connection.execute(held).first() is not None,
        shots=int(told.shots),
        done=int(told.done),
        frames=int(told.frames),
        frames_done=int(told.ready),
        due_in_s=_due_in_s(connection, shot.c.item_id == item_id),
        failed=None if first_failed is None else _row(first_failed),
    )


@writes
def reopen(connection: Connection, token: str, item_id: int, numbers: Sequence[int]) -> bool:
    """Have shots coloured once more: what was made of them is not there, or not wanted.

    Returns:
        False where the item is in other hands by now: its shots stay as they are then.
    """
    held = _held(connection, token, item_id)
    if held is None:
        return False
    connection.execute(
        update(shot)
        .where(
            shot.c.item_id == item_id,
            shot.c.revision == held.revision,
            shot.c.number.in_(list(numbers)),
            shot.c.status != ShotStatus.CLAIMED,
        )
        .values(OPEN_AGAIN)
    )
    return True


@writes
def forget_segments(connection: Connection, item_id: int) -> bool:
    """Where the reel is whole, its segments are not needed any more; whether there were any."""
    made = status_in(ItemStatus.PUBLISHED, ItemStatus.REVIEW)
    is_whole = select(item.c.id).where(item.c.id == item_id, made).exists()
    mine = and_(shot.c.item_id == item_id, shot.c.segment_key.is_not(None), is_whole)
    return connection.execute(update(shot).where(mine).values(segment_key=null())).rowcount > 0


# --- whoever colours a shot ----------------------------------------------------------------------


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
    found = select(shot.c.id, shot.c.status, shot.c.attempts, shot.c.worker).join(item, _OF_ITEM)
    if wanted.item_id is not None:
        found = found.where(item.c.id == wanted.item_id)
    if wanted.without:
        found = found.where(item.c.id.not_in(wanted.without))
    if wanted.revision is not None:
        found = found.where(item.c.revision == wanted.revision)
    return (
        found.where(_IS_DUE, CLAIMED, item.c.order_id == _ORDER, RUNS)
        .order_by(shot.c.item_id, shot.c.number)
        .limit(1)
        .with_for_update(of=shot, skip_locked=True)
    )


def _leased(connection: Connection, row: Row[Any]) -> LeasedShot:
    return LeasedShot(
        id=row.id,
        number=row.number,
        first=row.first_frame,
        frames=row.frames,
        lead=row.lead,
        tail=row.tail,
        seek=row.seek,
        token=row.token,
        attempt=row.attempts,
        grey=row.verdict == ShotVerdict.REJECTED,
        correction_id=row.correction_id,
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
def finish(connection: Connection, token: str, done: ShotDone) -> bool:
    """Record what was made of a shot; False where it is in other hands, or its film changed.

    A film that gets on is no suspect, however often its workers vanish: the attempts of its item
    begin anew.
    """
    # Its holder may have let go of the film meanwhile: that is no reason to colour it twice.
    is_wanted = status_in(ItemStatus.CLAIMED, ItemStatus.PENDING)
    held = select(shot.c.item_id).join(item, _OF_ITEM).where(_mine(token), is_wanted)
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


# --- looking -------------------------------------------------------------------------------------


@reads
def list_shots(connection: Connection, item_id: int) -> list[ShotRow]:
    """The shots of a film as the item has it, in order; none of a still picture."""
    mine = select(shot).join(item, _OF_ITEM).where(item.c.id == item_id)
    return [_row(row) for row in connection.execute(mine.order_by(shot.c.number))]


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
    in_work = select(func.min(shot.c.due_at)).join(item, _OF_ITEM)
    found: datetime | None = connection.execute(
        in_work.where(SHOT_UNFINISHED, CLAIMED, item.c.order_id == order_id)
    ).scalar()
    return found


@reads
def count_open(connection: Connection, order_id: int) -> int:
    """How many shots of an order's films wait for a worker now."""
    found = select(func.count()).select_from(shot).join(item, _OF_ITEM)
    waiting: int = connection.execute(
        found.where(_IS_DUE, CLAIMED, item.c.order_id == order_id)
    ).scalar_one()
    return waiting


def _due_in_s(connection: Connection, which: ColumnElement[bool]) -> float | None:
    soonest: datetime | None = connection.execute(
        select(func.min(shot.c.due_at)).join(item, _OF_ITEM).where(SHOT_UNFINISHED, which)
    ).scalar()
    if soonest is None:
        return None
    now: datetime = connection.execute(select(sql.now())).scalar_one()
    return max(0.0, (soonest - now).total_seconds())


def _row(row: Row[Any]) -> ShotRow:
    kept = {name: row._mapping[name] for name in ShotRow.__dataclass_fields__ if name in shot.c}
    return ShotRow(
        **kept
        | {
            "first": row.first_frame,
            "status": ShotStatus(row.status),
            "reason": Reason(row.reason) if row.reason else None,
            "detail": row.detail or "",
            "verdict": ShotVerdict(row.verdict) if row.verdict else None,
        }
    )

"""What whoever holds a film's item does: records its shots, goes on with them, has them redone."""

from collections.abc import Iterable, Sequence

from sqlalchemy import (
    Connection,
    and_,
    delete,
    insert,
    null,
    select,
    update,
)

from tasks.ledger import corrections, sql
from tasks.ledger.claims import lock_claim
from tasks.ledger.engine import writes
from tasks.ledger.films.reading import shot_row
from tasks.ledger.records import (
    FilmFacts,
    FoundShot,
)
from tasks.ledger.reopening import OPEN_AGAIN
from tasks.schema import (
    CLAIMED,
    ItemStatus,
    ShotStatus,
    item,
    scan,
    shot,
    status_in,
)


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
    shots = [shot_row(row) for row in connection.execute(select(shot).where(mine))]
    if anew := corrections.said_otherwise(connection, shots, correction_id):
        theirs = shot.c.id.in_(sql.these(anew))
        connection.execute(update(shot).where(theirs).values(OPEN_AGAIN))
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

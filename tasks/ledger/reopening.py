"""Shots that are to be coloured once more."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, null, or_, select, update

from tasks.ledger import sql
from tasks.schema import ShotStatus, ShotVerdict, item, shot

OPEN_AGAIN: dict[str, Any] = {
    "status": ShotStatus.OPEN,
    "token": null(),
    "attempts": 0,
    "due_at": sql.now(),
    "segment_key": null(),
}
"""What a shot is then; what was noted of it stays until it is done."""


def is_as_was_said() -> ColumnElement[bool]:
    """On `item`: of no shot of it has a curator said what it is not yet."""
    is_rejected = func.coalesce(shot.c.verdict, "") == ShotVerdict.REJECTED
    other = or_(and_(is_rejected, ~shot.c.is_grey), and_(~is_rejected, shot.c.is_grey))
    mine = and_(shot.c.item_id == item.c.id, shot.c.revision == item.c.revision)
    return ~select(shot.c.id).where(mine, other).correlate(item).exists()


def reopen_failed(connection: Connection, items: ColumnElement[bool]) -> None:
    """The items for which *items* holds are tried again by decision: so are their shots."""
    theirs = shot.c.item_id.in_(select(item.c.id).where(items))
    failed = update(shot).where(shot.c.status == ShotStatus.FAILED, theirs)
    connection.execute(failed.values(OPEN_AGAIN))

"""How many frames of films there are, and how many are coloured."""

from datetime import timedelta

from sqlalchemy import ColumnElement, Connection, and_, case, func, select, true

from tasks.ledger.engine import reads
from tasks.ledger.rates import covered_s
from tasks.ledger.records import FrameCount
from tasks.schema import ItemStatus, ShotStatus, item, scan, shot, status_in

#: Shots looked at for how fast frames come.
LATEST_SHOTS = 200

_OF_ITEM = and_(item.c.id == shot.c.item_id, item.c.revision == shot.c.revision)


@reads
def frames_of_order(connection: Connection, order_id: int) -> FrameCount:
    """The films that were begun for an order."""
    is_done = shot.c.status == ShotStatus.DONE
    row = connection.execute(
        select(
            func.count(shot.c.item_id.distinct()).label("films"),
            func.coalesce(func.sum(shot.c.frames), 0).label("frames"),
            func.coalesce(func.sum(case((is_done, shot.c.frames), else_=0)), 0).label("done"),
        ).where(shot.c.order_id == order_id)
    ).one()
    eta_s = _eta_s(connection, int(row.frames - row.done), shot.c.order_id == order_id)
    return FrameCount(int(row.films), int(row.frames), int(row.done), eta_s=eta_s)


@reads
def frames_of_archive(connection: Connection, recipe_id: int | None) -> FrameCount:
    """The films that are known, and how much of them is coloured under a recipe, or under any."""
    film = and_(scan.c.frames.is_not(None), scan.c.vanished_at.is_(None))
    known = connection.execute(
        select(
            func.count().label("films"),
            func.coalesce(func.sum(scan.c.frames), 0).label("frames"),
            func.coalesce(func.sum(scan.c.film_s), 0.0).label("seconds"),
        ).where(film)
    ).one()
    mine = item.join(scan, scan.c.id == item.c.scan_id)
    of_recipe = film if recipe_id is None else and_(film, item.c.recipe_id == recipe_id)
    made = status_in(ItemStatus.PUBLISHED, ItemStatus.REVIEW, ItemStatus.REJECTED)
    whole = select(func.coalesce(func.sum(scan.c.frames), 0)).select_from(mine)
    begun = (
        select(func.coalesce(func.sum(shot.c.frames), 0))
        .select_from(mine.join(shot, _OF_ITEM))
        .where(of_recipe, ~made, shot.c.status == ShotStatus.DONE)
    )
    done = sum(
        int(connection.execute(one).scalar_one()) for one in (whole.where(of_recipe, made), begun)
    )
    frames = int(known.frames)
    eta_s = _eta_s(connection, frames - done, true())
    return FrameCount(int(known.films), frames, done, float(known.seconds), eta_s)


def _eta_s(connection: Connection, left: int, which: ColumnElement[bool]) -> float | None:
    """How long so many frames take, by the shots that were finished last.

    As fast as all workers together were, while any was at work.
    """
    is_done = and_(shot.c.status == ShotStatus.DONE, shot.c.seconds.is_not(None), which)
    latest = select(shot.c.frames, shot.c.seconds, shot.c.finished_at).where(is_done)
    order = shot.c.finished_at.desc(), shot.c.id.desc()
    rows = connection.execute(latest.order_by(*order).limit(LATEST_SHOTS)).all()
    spans = [(row.finished_at - timedelta(seconds=row.seconds), row.finished_at) for row in rows]
    busy_s = covered_s(spans)
    return left * busy_s / sum(row.frames for row in rows) if left > 0 and busy_s else None

"""How many frames of films there are, and how many are coloured."""

from sqlalchemy import Connection, and_, case, func, select

from tasks.ledger.engine import reads
from tasks.ledger.records import FrameCount
from tasks.schema import ItemStatus, ShotStatus, item, scan, shot, status_in

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
    return FrameCount(int(row.films), int(row.frames), int(row.done))


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
    return FrameCount(int(known.films), int(known.frames), done, float(known.seconds))

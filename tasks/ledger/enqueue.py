"""Giving scans a pending item under a recipe, window by window, so that nothing is locked for long.

A scan is open under one recipe at a time: enqueueing it under another takes a pending or held item
of the older one over (held stays held), so nothing waits for a recipe that no run asks for.
"""

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    and_,
    case,
    false,
    func,
    literal,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.sql.selectable import FromClause

from tasks.errors import Reason
from tasks.ledger import corrections, refusals, sql
from tasks.ledger.decisions import Decision, carry_out
from tasks.ledger.engine import reads, writes
from tasks.ledger.records import Recipe
from tasks.ledger.uris import uri_of
from tasks.ledger.vanishing import ARCHIVED_DETAIL, GONE, GONE_DETAIL, GONE_REASON
from tasks.schema import (
    DecisionKind,
    ItemStatus,
    OrderMode,
    correction,
    item,
    recipe,
    scan,
    status_in,
    store,
    work_order,
)

WINDOW_SCANS = 20_000
WHO = "enqueue"

_ENDED = (
    ItemStatus.PUBLISHED,
    ItemStatus.REVIEW,
    ItemStatus.SKIPPED,
    ItemStatus.FAILED,
    ItemStatus.QUARANTINED,
    ItemStatus.REJECTED,
    ItemStatus.SUPERSEDED,
)
_OPEN = (ItemStatus.PENDING, ItemStatus.HELD)
_WITH_DERIVATIVE = (ItemStatus.PUBLISHED, ItemStatus.REVIEW)
_ANEW = {
    OrderMode.FAILED: (ItemStatus.FAILED,),
    OrderMode.CHANGED_RECIPE: (ItemStatus.SUPERSEDED,),
    OrderMode.ALL: tuple(status for status in _ENDED if status is not ItemStatus.REJECTED),
}
"""Which of this recipe's items are done once more, even where the scan did not change."""


@writes
def ensure_recipe(connection: Connection, wanted: Recipe) -> int:
    """The recipe's id, made where it is new; it is the one in service from now on."""
    statement = sql.insert_or(connection, recipe).values(
        digest=wanted.digest,
        checkpoint_digest=wanted.checkpoint_digest,
        outputs=dict(wanted.outputs),
        created_at=sql.now(),
        used_at=sql.now(),
    )
    recipe_id: int = connection.execute(
        statement.on_conflict_do_update(
            index_elements=["digest"], set_={"used_at": sql.now()}
        ).returning(recipe.c.id)
    ).scalar_one()
    return recipe_id


def window_end(connection: Connection, *, wanted: ColumnElement[bool], after: int) -> int | None:
    """The last scan of the window that begins behind *after*; None where none is left."""
    window = (
        select(scan.c.id)
        .where(wanted, scan.c.id > after)
        .order_by(scan.c.id)
        .limit(WINDOW_SCANS)
        .subquery()
    )
    return connection.execute(select(func.max(window.c.id))).scalar()


def enqueue_scans(
    connection: Connection,
    scans: ColumnElement[bool],
    *,
    recipe_id: int,
    mode: OrderMode,
    order_id: int | None = None,
) -> int:
    """Enqueue the scans for which the condition *scans* holds, for an order or for anyone."""
    added = _insert_new(connection, scans, recipe_id, mode, order_id)
    again = Decision(
        DecisionKind.ENQUEUE,
        ItemStatus.PENDING,
        WHO,
        f"enqueued again ({mode})",
        scope={"recipe_id": recipe_id},
        values={"revision": _revision_of_scan(), "order_id": order_id},
        order_id=order_id,
    )
    # Says nothing new, but leads SQLite from the window's scans to their items.
    theirs = item.c.scan_id.in_(select(scan.c.id).where(scans))
    due_again = and_(theirs, _is_due_again(scans, recipe_id, mode))
    count = added + carry_out(connection, again, due_again)
    if count:
        taken_over = Decision(
            DecisionKind.SUPERSEDE,
            ItemStatus.SUPERSEDED,
            WHO,
            "enqueued under another recipe",
            scope={"recipe_id": recipe_id},
            order_id=order_id,
        )
        carry_out(connection, taken_over, and_(theirs, _is_taken_over(scans, recipe_id)))
    return count


def is_due(scans: ColumnElement[bool], recipe_id: int, mode: OrderMode) -> ColumnElement[bool]:
    """On `scan`, of which *scans* holds: `enqueue_scans` would make or move an item of it."""
    again = (
        select(item.c.id)
        .where(item.c.scan_id == scan.c.id, _is_due_again(scans, recipe_id, mode))
        .correlate(scan)
    )
    return or_(and_(_is_due_new(recipe_id, mode), is_there()), again.exists())


@reads
def list_corrected(connection: Connection, recipe_id: int, *, limit: int) -> list[str]:
    """Scans that were corrected since they were coloured under this recipe, by their URIs."""
    mine = scan.c.id.in_(select(correction.c.scan_id))
    rows = connection.execute(
        select(store.c.url, scan.c.key, scan.c.page)
        .join(store, store.c.id == scan.c.store_id)
        .where(mine, is_due(mine, recipe_id, OrderMode.CORRECTED))
        .order_by(scan.c.id)
        .limit(limit)
    )
    return [uri_of(row.url, row.key, row.page) for row in rows]


def is_in_open_order(items: FromClause) -> ColumnElement[bool]:
    """On `item`, or an alias of it: it belongs to an order that has not ended."""
    under_way = select(work_order.c.id).where(
        work_order.c.id == items.c.order_id, work_order.c.ended_at.is_(None)
    )
    return under_way.correlate(items).exists()


def is_adopted(recipe_id: int) -> ColumnElement[bool]:
    """On `item`: it waits under this recipe, and for no order that will have it done."""
    return and_(
        item.c.recipe_id == recipe_id,
        status_in(ItemStatus.PENDING),
        ~is_in_open_order(item),
    )


def adopt(
    connection: Connection, scans: ColumnElement[bool], *, recipe_id: int, order_id: int
) -> int:
    """Let the items that wait for nobody wait for this order; returns how many."""
    theirs = item.c.scan_id.in_(select(scan.c.id).where(scans))
    adopted = update(item).where(theirs, is_adopted(recipe_id)).values(order_id=order_id)
    return sql.affected(connection, adopted)


def is_there() -> ColumnElement[bool]:
    """On `scan`: its file can be read."""
    return and_(scan.c.vanished_at.is_(None), scan.c.archived.is_(False))


def _insert_new(
    connection: Connection,
    scans: ColumnElement[bool],
    recipe_id: int,
    mode: OrderMode,
    order_id: int | None,
) -> int:
    other = item.alias("other")
    held_before = select(other.c.id).where(
        other.c.scan_id == scan.c.id, other.c.status == ItemStatus.HELD
    )
    is_held = or_(held_before.exists(), refusals.is_held())
    is_gone, is_archived = scan.c.vanished_at.is_not(None), scan.c.archived.is_(True)
    columns = {
        "scan_id": scan.c.id,
        "recipe_id": literal(recipe_id, BigInteger()),
        "collection": scan.c.collection,
        "revision": scan.c.revision,
        "status": case(
            (is_held, ItemStatus.HELD.value),
            (or_(is_gone, is_archived), GONE.value),
            else_=ItemStatus.PENDING.value,
        ),
        "reason": case(
            (is_held, null()),
            (is_gone, GONE_REASON.value),
            (is_archived, Reason.ARCHIVED.value),
            else_=null(),
        ),
        "detail": case(
            (is_held, null()),
            (is_gone, GONE_DETAIL),
            (is_archived, ARCHIVED_DETAIL),
            else_=null(),
        ),
        "attempts": literal(0),
        "alone": literal(value=False),
        "not_before": sql.now(),
        "created_at": sql.now(),
        "changed_at": sql.now(),
        "order_id": literal(order_id, BigInteger()),
    }
    chosen = select(*columns.values()).where(scans, _is_due_new(recipe_id, mode))
    missing = (
        sql.insert_or(connection, item)
        .from_select(list(columns), chosen.order_by(scan.c.id))
        .on_conflict_do_nothing()  # another run enqueues the same
    )
    return sql.affected(connection, missing)


def _is_due_new(recipe_id: int, mode: OrderMode) -> ColumnElement[bool]:
    """On `scan`: it gets its first item under this recipe."""
    if mode is OrderMode.FAILED:
        return false()
    if mode is OrderMode.CORRECTED:
        return and_(_has_none(recipe_id), corrections.is_corrected())
    has_none = _has_none(recipe_id)
    if mode is OrderMode.MISSING:
        return and_(has_none, ~_is_done_elsewhere(recipe_id))
    if mode is OrderMode.CHANGED_RECIPE:
        return and_(has_none, is_there(), _has_derivative_elsewhere(recipe_id))
    return has_none


def _has_none(recipe_id: int) -> ColumnElement[bool]:
    """On `scan`: it has no item under this recipe."""
    mine = item.alias("mine")
    return ~(
        select(mine.c.id).where(mine.c.scan_id == scan.c.id, mine.c.recipe_id == recipe_id).exists()
    )


def _is_due_again(
    scans: ColumnElement[bool], recipe_id: int, mode: OrderMode
) -> ColumnElement[bool]:
    """On `item`: it is this recipe's, has ended, and is done once more."""
    # Other bytes, or another word of a person about them.
    has_changed: ColumnElement[bool] = or_(
        item.c.revision < scan.c.revision, corrections.is_corrected_since()
    )
    if mode is OrderMode.CORRECTED:
        has_changed = corrections.is_corrected_since()
    if mode is OrderMode.MISSING:
        has_changed = and_(has_changed, ~_is_done_elsewhere(recipe_id))
    due = and_(has_changed, item.c.status.in_([s.value for s in _ENDED]))
    if mode in _ANEW:
        anew: ColumnElement[bool] = item.c.status.in_([s.value for s in _ANEW[mode]])
        if mode is OrderMode.CHANGED_RECIPE:
            anew &= _has_derivative_elsewhere(recipe_id)
        due = anew if mode is OrderMode.FAILED else or_(due, anew)
    its_scan = select(scan.c.id).where(scan.c.id == item.c.scan_id, scans, is_there(), due)
    return and_(item.c.recipe_id == recipe_id, its_scan.correlate(item).exists())


def _is_done_elsewhere(recipe_id: int) -> ColumnElement[bool]:
    """On `scan`: another recipe's item has dealt with it as it is now, or is just doing so.

    What waits for an open order is its own: it may be paused for a reason.
    """
    other = item.alias("done_elsewhere")
    return (
        select(other.c.id)
        .where(
            other.c.scan_id == scan.c.id,
            other.c.recipe_id != recipe_id,
            other.c.revision == scan.c.revision,
            ~corrections.is_corrected_since(other),
            or_(other.c.status != ItemStatus.PENDING, is_in_open_order(other)),
        )
        .correlate(scan)
        .exists()
    )


def _has_derivative_elsewhere(recipe_id: int) -> ColumnElement[bool]:
    """On `scan`: another recipe's derivative of it is in use."""
    other = item.alias("derived_elsewhere")
    return (
        select(other.c.id)
        .where(
            other.c.scan_id == scan.c.id,
            other.c.recipe_id != recipe_id,
            other.c.status.in_([status.value for status in _WITH_DERIVATIVE]),
        )
        .correlate(scan)
        .exists()
    )


def _is_taken_over(scans: ColumnElement[bool], recipe_id: int) -> ColumnElement[bool]:
    """On `item`: it is another recipe's and open, and its scan is open under this one too."""
    mine = item.alias("mine")
    taker = (
        select(mine.c.id)
        .join(scan, scan.c.id == mine.c.scan_id)
        .where(
            mine.c.scan_id == item.c.scan_id,
            mine.c.recipe_id == recipe_id,
            mine.c.status.in_([status.value for status in _OPEN]),
            scans,
        )
        .correlate(item)
    )
    return and_(
        item.c.recipe_id != recipe_id,
        item.c.status.in_([status.value for status in _OPEN]),
        taker.exists(),
    )


def _revision_of_scan() -> ColumnElement[int]:
    """On `item`: its scan's revision."""
    return (
        select(scan.c.revision).where(scan.c.id == item.c.scan_id).correlate(item).scalar_subquery()
    )

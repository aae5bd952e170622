"""Taking back what a cancelled order had enqueued and nobody had begun.

Enqueueing did three things, and each is undone: an item that it made is removed, one that had ended
before is again what it was, and an open one of another recipe that it took over is open again. What
had been begun (tried, or its worker vanished) has a history and stays: it waits for the nightly
run. What is in work when the order is cancelled comes to its end, or is given back and then
taken back here.
"""

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    and_,
    delete,
    insert,
    literal,
    null,
    select,
    update,
)

from tasks.ledger import decisions, sql
from tasks.ledger.orders.reading import lock
from tasks.ledger.orders.records import Withdrawal
from tasks.schema import (
    PENDING_ALONE,
    PENDING_IN_ORDER,
    AttemptEnding,
    DecisionKind,
    ItemStatus,
    OrderState,
    attempt,
    decision,
    decision_item,
    item,
    shot,
    status_in,
)

WINDOW_ITEMS = 10_000
WHO = "order"


def withdraw_window(connection: Connection, order_id: int) -> Withdrawal:
    """Take back some of a cancelled order's pending items; none left: `Withdrawn()`."""
    row = lock(connection, order_id)
    if row.state is not OrderState.CANCELLING:
        return Withdrawal()
    ids = _pending(connection, order_id)
    if not ids:
        return Withdrawal()
    decision_id = decisions.record(
        connection,
        DecisionKind.WITHDRAW,
        who=WHO,
        why=f"order {order_id} was cancelled",
        order_id=order_id,
    )
    restored = _restore(connection, ids, decision_id, order_id)
    decisions.supersede_restored(connection, decision_id)
    removed = _remove(connection, ids, decision_id, order_id)
    return Withdrawal(removed, restored, _keep(connection, ids, decision_id, order_id))


def _pending(connection: Connection, order_id: int) -> list[int]:
    ids: list[int] = []
    for pending in (PENDING_IN_ORDER, PENDING_ALONE):
        found = (
            select(item.c.id)
            .where(pending, item.c.order_id == order_id)
            .limit(WINDOW_ITEMS)
            .with_for_update()
        )
        ids += connection.execute(found).scalars()
    return ids


def _restore(connection: Connection, ids: list[int], decision_id: int, order_id: int) -> int:
    """Items that had ended before the order enqueued them again are what they were."""
    before = (
        select(decision_item.c.item_id, decision_item.c.was, decision_item.c.was_reason)
        .join(decision, decision.c.id == decision_item.c.decision_id)
        .where(
            decision.c.order_id == order_id,
            decision.c.kind == DecisionKind.ENQUEUE,
            decision_item.c.item_id.in_(sql.these(ids)),
        )
        .cte("before")
    )
    columns = {
        "decision_id": literal(decision_id, BigInteger()),
        "item_id": before.c.item_id,
        "was": literal(ItemStatus.PENDING.value),
        "became": before.c.was,
    }
    noted = insert(decision_item).from_select(list(columns), select(*columns.values()))
    count = sql.affected(connection, noted)
    detail = (
        select(attempt.c.detail)
        .where(attempt.c.item_id == item.c.id, attempt.c.status == before.c.was)
        .order_by(attempt.c.id.desc())
        .limit(1)
        .correlate(item, before)
        .scalar_subquery()
    )
    connection.execute(
        update(item)
        .where(item.c.id == before.c.item_id)
        .values(
            status=before.c.was,
            reason=before.c.was_reason,
            detail=detail,
            order_id=null(),
            changed_at=sql.now(),
        )
    )
    return count


def _remove(connection: Connection, ids: list[int], decision_id: int, order_id: int) -> int:
    """Items that the order made, and that have no history, are gone again.

    Their scans are as they were: not enqueued, or waiting under the recipe that they waited under.
    """
    begun = select(attempt.c.id).where(
        attempt.c.item_id == item.c.id,
        attempt.c.ending.in_([AttemptEnding.FINISHED.value, AttemptEnding.EXPIRED.value]),
    )
    decided = select(decision_item.c.item_id).where(decision_item.c.item_id == item.c.id)
    shots = select(shot.c.id).where(shot.c.item_id == item.c.id)
    found = connection.execute(
        select(item.c.id, item.c.scan_id).where(
            _still_ours(ids, order_id),
            *(~one.exists() for one in (begun, decided, shots)),
        )
    ).all()
    if not found:
        return 0
    mine = sql.these(row.id for row in found)
    connection.execute(delete(attempt).where(attempt.c.item_id.in_(mine)))
    connection.execute(delete(item).where(item.c.id.in_(mine)))
    scans = [row.scan_id for row in found]
    _reopen_taken_over(connection, scans, decision_id, order_id)
    return len(found)


def _reopen_taken_over(
    connection: Connection, scan_ids: list[int], decision_id: int, order_id: int
) -> None:
    """Open items of another recipe, which the order's had taken the place of, are open again."""
    taken = (
        select(decision_item.c.item_id, decision_item.c.was)
        .join(decision, decision.c.id == decision_item.c.decision_id)
        .join(item, item.c.id == decision_item.c.item_id)
        .where(
            decision.c.order_id == order_id,
            decision.c.kind == DecisionKind.SUPERSEDE,
            status_in(ItemStatus.SUPERSEDED),
            item.c.scan_id.in_(sql.these(scan_ids)),
        )
        .cte("taken")
    )
    columns = {
        "decision_id": literal(decision_id, BigInteger()),
        "item_id": taken.c.item_id,
        "was": literal(ItemStatus.SUPERSEDED.value),
        "became": taken.c.was,
    }
    noted = insert(decision_item).from_select(list(columns), select(*columns.values()))
    connection.execute(noted)
    connection.execute(
        update(item)
        .where(item.c.id == taken.c.item_id)
        .values(status=taken.c.was, detail=null(), changed_at=sql.now())
    )


def _keep(connection: Connection, ids: list[int], decision_id: int, order_id: int) -> int:
    """What has a history waits for the nightly run."""
    columns = {
        "decision_id": literal(decision_id, BigInteger()),
        "item_id": item.c.id,
        "was": item.c.status,
        "became": item.c.status,
    }
    left = _still_ours(ids, order_id)
    noted = insert(decision_item).from_select(list(columns), select(*columns.values()).where(left))
    count = sql.affected(connection, noted)
    connection.execute(update(item).where(left).values(order_id=null()))
    return count


def _still_ours(ids: list[int], order_id: int) -> ColumnElement[bool]:
    return and_(
        item.c.id.in_(sql.these(ids)),
        item.c.order_id == order_id,
        status_in(ItemStatus.PENDING),
    )

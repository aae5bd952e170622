"""From one state of a backfill to the next, each on record."""

from collections import Counter
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, or_, select, update

from tasks.errors import Reason, UsageError
from tasks.ledger import decisions, sql
from tasks.ledger.backfills.records import (
    BackfillRow,
    Budget,
    Order,
    Progress,
    Scope,
    Transition,
)
from tasks.ledger.records import RunEnding, RunFigures
from tasks.ledger.runs import finish_run, start_run
from tasks.schema import (
    BackfillMode,
    BackfillState,
    DecisionKind,
    ItemStatus,
    Moment,
    backfill,
    backfill_tally,
    decision,
    recipe,
    run,
    scan,
    share,
)

#: A budget of time with less than this left is spent: no share is worth its start.
SPENT_WITHIN_S = 60.0

_ENDINGS = {
    BackfillState.COMPLETED: RunEnding.COMPLETED,
    BackfillState.CANCELLED: RunEnding.CANCELLED,
}


def make(connection: Connection, order: Order, recipe_id: int, *, name: str) -> int:
    """Put a backfill on record, to be planned; what is discovered later is not in its plan."""
    run_id = start_run(connection, "backfill", name, recipe_id=recipe_id, flow_run_id=None)
    last = connection.execute(select(func.coalesce(func.max(scan.c.id), 0))).scalar_one()
    backfill_id: int = connection.execute(
        insert(backfill)
        .values(
            run_id=run_id,
            recipe_id=recipe_id,
            state=BackfillState.PLANNING,
            mode=order.mode,
            scope=order.scope.as_json(),
            priority=order.priority,
            **vars(order.budget),
            looked_at=0,
            last_scan_id=last,
            items=0,
            size_bytes=0,
            who=sql.storable(order.who),
            detail="",
            created_at=sql.now(),
            changed_at=sql.now(),
            figures={},
        )
        .returning(backfill.c.id)
    ).scalar_one()
    _note(connection, DecisionKind.BACKFILL, backfill_id, order.who, order.scope.in_words())
    return backfill_id


def pause(connection: Connection, backfill_id: int, *, who: str, why: str) -> BackfillRow:
    """planning, running -> paused; in another state, nothing."""
    row = lock(connection, backfill_id)
    if row.state in (BackfillState.PLANNING, BackfillState.RUNNING):
        _note(connection, DecisionKind.PAUSE, row.id, who, why)
        change_state(connection, row.id, BackfillState.PAUSED, why or f"by {who}")
    return lock(connection, backfill_id)


def resume(
    connection: Connection, backfill_id: int, budget: Budget, *, who: str, why: str
) -> BackfillRow:
    """Paused -> planning, from where it was; a running one gets the new budget only.

    Raises:
        UsageError: It has ended, or its budget is spent and *budget* is no larger.
    """
    row = lock(connection, backfill_id)
    if row.state in (BackfillState.CANCELLING, BackfillState.CANCELLED, BackfillState.COMPLETED):
        raise UsageError(
            f"backfill {row.id} is {row.state}; `autochrome backfill` orders a new one"
        )
    given = {name: value for name, value in vars(budget).items() if value is not None}
    if given:
        connection.execute(update(backfill).where(backfill.c.id == row.id).values(given))
        row = lock(connection, backfill_id)
    told = progress(connection, row.id)
    if not told.shares_open and (spent := spent_budget(row, told)) and not given:
        raise UsageError(
            f"{spent} spent; give it more with --max-items, --max-bytes or --max-hours"
        )
    if row.state is BackfillState.PAUSED:
        _note(connection, DecisionKind.RESUME, row.id, who, why)
        _begin_new_run(connection, row)
        change_state(connection, row.id, BackfillState.PLANNING, "")
    return lock(connection, backfill_id)


def _begin_new_run(connection: Connection, row: BackfillRow) -> None:
    """What failed before, and was mended, does not count for the failure budget any more."""
    old = connection.execute(select(run.c.name).where(run.c.id == row.run_id)).scalar_one()
    finish_run(connection, row.run_id, RunEnding.CANCELLED, figures=None, detail=row.detail)
    run_id = start_run(connection, "backfill", old, recipe_id=row.recipe_id, flow_run_id=None)
    connection.execute(update(backfill).where(backfill.c.id == row.id).values(run_id=run_id))


def cancel(connection: Connection, backfill_id: int, *, who: str, why: str) -> BackfillRow:
    """Any state that is not an end -> cancelling: from now on nothing of it is claimed."""
    row = lock(connection, backfill_id)
    if row.ended_at is None and row.state is not BackfillState.CANCELLING:
        _note(connection, DecisionKind.CANCEL, row.id, who, why)
        change_state(connection, row.id, BackfillState.CANCELLING, why or f"by {who}")
    return lock(connection, backfill_id)


def settle(connection: Connection, backfill_id: int) -> BackfillRow:
    """End a backfill of which nothing is left, and pause one whose budget is spent."""
    row = lock(connection, backfill_id)
    told = progress(connection, row.id)
    if row.state is BackfillState.CANCELLING and not told.left:
        _end(connection, row, BackfillState.CANCELLED, told)
    elif row.state is BackfillState.RUNNING:
        spent = spent_budget(row, told)
        if spent and not told.shares_open:
            more = f"`autochrome backfill resume {row.id}` with more of it goes on"
            pause(connection, row.id, who="its budget", why=f"{spent} spent; {more}")
        elif not told.left and not spent:
            _end(connection, row, BackfillState.COMPLETED, told)
    row = lock(connection, backfill_id)
    if row.state not in (BackfillState.PLANNING, BackfillState.RUNNING):
        _end_shares_not_begun(connection, row)
    return row


def _end_shares_not_begun(connection: Connection, row: BackfillRow) -> None:
    """Nobody need come for them; a flow run that comes all the same finds nothing to do."""
    connection.execute(
        update(share)
        .where(
            share.c.backfill_id == row.id, share.c.ended_at.is_(None), share.c.begun_at.is_(None)
        )
        .values(
            ended_at=sql.now(), ending=RunEnding.CANCELLED, detail=f"the backfill was {row.state}"
        )
    )


def spent_budget(row: BackfillRow, told: Progress) -> str:
    """Which budget keeps it from going on, in words; empty: none."""
    limit_s = row.budget.max_seconds
    if told.left:
        is_spent = limit_s is not None and told.worked_s >= limit_s - SPENT_WITHIN_S
        return f"its {(limit_s or 0) / 3600:g} hours of work are" if is_spent else ""
    if row.is_planned:
        return ""
    if row.budget.max_items is not None and row.items >= row.budget.max_items:
        return f"its budget of {row.budget.max_items:,} scans is"
    return f"its budget of {row.budget.max_bytes or 0:,} bytes is"


# --- rows ----------------------------------------------------------------------------------------


def lock(connection: Connection, backfill_id: int) -> BackfillRow:
    """One backfill, which nobody else changes before this transaction ends.

    Raises:
        UsageError: There is none of this number.
    """
    return _one(connection, select(backfill).where(backfill.c.id == backfill_id).with_for_update())


def get(connection: Connection, backfill_id: int) -> BackfillRow:
    """One backfill.

    Raises:
        UsageError: There is none of this number.
    """
    return _one(connection, select(backfill).where(backfill.c.id == backfill_id))


def _one(connection: Connection, wanted: Select[Any]) -> BackfillRow:
    row = connection.execute(wanted).first()
    if row is None:
        raise UsageError("there is no backfill of this number; see `autochrome backfill list`")
    return backfill_row(row)


def change_state(
    connection: Connection, backfill_id: int, state: BackfillState, detail: str
) -> None:
    """Move a locked backfill."""
    connection.execute(
        update(backfill)
        .where(backfill.c.id == backfill_id)
        .values(state=state, detail=sql.storable(detail), changed_at=sql.now())
    )


def _end(connection: Connection, row: BackfillRow, state: BackfillState, told: Progress) -> None:
    """Keep the counts as they are now: its items may belong to another backfill later."""
    figures = {status.value: n for status, n in told.statuses.items()}
    change_state(connection, row.id, state, row.detail)
    connection.execute(
        update(backfill).where(backfill.c.id == row.id).values(ended_at=sql.now(), figures=figures)
    )
    finish_run(
        connection,
        row.run_id,
        _ENDINGS[state],
        figures=RunFigures(enqueued=row.items, finished=figures),
        detail=row.detail,
    )


def _note(connection: Connection, kind: DecisionKind, backfill_id: int, who: str, why: str) -> None:
    decisions.record(connection, kind, who=who, why=why, backfill_id=backfill_id)


def open_backfills(connection: Connection) -> list[BackfillRow]:
    """Those that have not ended: the highest priority first, then the oldest."""
    wanted = select(backfill).where(backfill.c.ended_at.is_(None))
    rows = connection.execute(wanted.order_by(backfill.c.priority.desc(), backfill.c.id))
    return [backfill_row(row) for row in rows]


def shown_backfills(connection: Connection, *, ended_within_s: float) -> list[BackfillRow]:
    """Those that have not ended, and those that ended lately."""
    lately = or_(backfill.c.ended_at.is_(None), backfill.c.ended_at > sql.now(-ended_within_s))
    rows = connection.execute(select(backfill).where(lately).order_by(backfill.c.id))
    return [backfill_row(row) for row in rows]


def find_recipe(connection: Connection, digest: str) -> int:
    """The id of a recipe; 0 where there is none."""
    found = select(recipe.c.id).where(recipe.c.digest == digest)
    return int(connection.execute(found).scalar() or 0)


def list_backfills(connection: Connection, *, limit: int) -> list[BackfillRow]:
    """The latest, newest first."""
    rows = connection.execute(select(backfill).order_by(backfill.c.id.desc()).limit(limit))
    return [backfill_row(row) for row in rows]


def progress(connection: Connection, backfill_id: int) -> Progress:
    """How far it is: sums of tallies, however many items there are."""
    tallied = (
        select(
            backfill_tally.c.status,
            backfill_tally.c.reason,
            func.sum(backfill_tally.c.n).label("n"),
        )
        .where(backfill_tally.c.backfill_id == backfill_id)
        .group_by(backfill_tally.c.status, backfill_tally.c.reason)
    )
    statuses: Counter[ItemStatus] = Counter()
    reasons: Counter[Reason] = Counter()
    for row in connection.execute(tallied):
        statuses[ItemStatus(row.status)] += int(row.n)
        if row.reason:
            reasons[Reason(row.reason)] += int(row.n)
    spans = connection.execute(
        select(
            share.c.begun_at,
            func.coalesce(share.c.ended_at, sql.now(), type_=Moment()).label("until"),
            share.c.ended_at,
        ).where(share.c.backfill_id == backfill_id)
    ).all()
    return Progress(
        statuses={status: statuses[status] for status in ItemStatus if statuses[status]},
        reasons={reason: n for reason, n in reasons.most_common() if n},
        worked_s=sum(
            (row.until - row.begun_at).total_seconds() for row in spans if row.begun_at is not None
        ),
        shares_open=sum(row.ended_at is None for row in spans),
        shares=len(spans),
    )


def transitions(connection: Connection, backfill_id: int) -> list[Transition]:
    """What was decided about it, oldest first."""
    about = (
        DecisionKind.BACKFILL,
        DecisionKind.PAUSE,
        DecisionKind.RESUME,
        DecisionKind.CANCEL,
        DecisionKind.WITHDRAW,
    )
    rows = connection.execute(
        select(decision)
        .where(decision.c.backfill_id == backfill_id, decision.c.kind.in_(about))
        .order_by(decision.c.id)
    )
    return [Transition(row.kind, row.who, row.why, row.decided_at) for row in rows]


def backfill_row(row: Row[Any]) -> BackfillRow:
    """A backfill from its table's row."""
    return BackfillRow(
        id=row.id,
        run_id=row.run_id,
        recipe_id=row.recipe_id,
        state=BackfillState(row.state),
        mode=BackfillMode(row.mode),
        scope=Scope.from_json(row.scope),
        budget=Budget(row.max_items, row.max_bytes, row.max_seconds),
        priority=row.priority,
        looked_at=row.looked_at,
        last_scan_id=row.last_scan_id,
        items=row.items,
        size_bytes=row.size_bytes,
        who=row.who,
        detail=row.detail,
        created_at=row.created_at,
        changed_at=row.changed_at,
        ended_at=row.ended_at,
        figures=row.figures,
    )

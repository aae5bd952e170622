"""Runs, as the ledger saw them: when, over which recipe, what came of them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    case,
    func,
    insert,
    null,
    or_,
    select,
    update,
)

from tasks.ledger import sql
from tasks.ledger.records import Failures, RunEnding, RunFigures, RunRow
from tasks.redaction import without_secrets
from tasks.schema import claim, run

#: The kinds of runs that say every minute that they live.
BEATING = ("nightly", "run")

_LOST_DETAIL = "it gave no sign of life any more: its process or its machine is gone"


def start_run(
    connection: Connection,
    kind: str,
    name: str,
    *,
    recipe_id: int | None,
    flow_run_id: str | None,
) -> int:
    """Record that a run has begun; returns its id."""
    run_id: int = connection.execute(
        insert(run)
        .values(
            kind=kind,
            name=name,
            recipe_id=recipe_id,
            flow_run_id=flow_run_id,
            started_at=sql.now(),
            seen_at=sql.now(),
            figures=RunFigures().as_json(),
        )
        .returning(run.c.id)
    ).scalar_one()
    return run_id


def beat_run(
    connection: Connection, run_id: int, figures: RunFigures | None, recipe_id: int | None
) -> None:
    """Record that a run is alive, and its figures so far: it was away for long, and is not lost."""
    lives_on = run.c.ending == RunEnding.LOST
    values: dict[str, Any] = {
        "seen_at": sql.now(),
        "ended_at": case((lives_on, null()), else_=run.c.ended_at),
        "ending": case((lives_on, null()), else_=run.c.ending),
        "detail": case((lives_on, null()), else_=run.c.detail),
    }
    if figures is not None:
        values["figures"] = figures.as_json()
    if recipe_id is not None:
        values["recipe_id"] = recipe_id
    connection.execute(update(run).where(run.c.id == run_id).values(values))


def end_lost_runs(connection: Connection, *, silent_s: float) -> int:
    """End the runs that said that they live, and have not for so long; returns how many."""
    return connection.execute(
        update(run)
        .where(is_lost(silent_s))
        .values(
            ended_at=run.c.seen_at,
            ending=RunEnding.LOST,
            detail=_LOST_DETAIL,
        )
    ).rowcount


def is_lost(silent_s: float) -> ColumnElement[bool]:
    """Whether a run has been silent for so long that it lives no more."""
    return and_(
        run.c.kind.in_(BEATING), run.c.ended_at.is_(None), run.c.seen_at <= sql.now(-silent_s)
    )


def has_lost_runs(connection: Connection, *, silent_s: float) -> bool:
    """Whether there are runs for `end_lost_runs`."""
    return (
        connection.execute(select(run.c.id).where(is_lost(silent_s)).limit(1)).first() is not None
    )


def finish_run(
    connection: Connection,
    run_id: int,
    ending: RunEnding,
    *,
    figures: RunFigures | None,
    detail: str,
) -> None:
    """Record how a run ended; the first ending stands, unless the run was only taken for lost."""
    only_taken = run.c.ending == RunEnding.LOST
    values: dict[str, Any] = {
        "ended_at": sql.now(),
        "seen_at": sql.now(),
        "ending": ending,
        "detail": sql.storable(without_secrets(detail)),
    }
    if figures is not None:
        values["figures"] = figures.as_json()
    connection.execute(
        update(run)
        .where(run.c.id == run_id, or_(run.c.ended_at.is_(None), only_taken))
        .values(values)
    )


def list_runs(
    connection: Connection, *, kind: str | None, limit: int, silent_s: float
) -> list[RunRow]:
    """The latest runs, newest first; who has been silent for so long is told of as lost."""
    wanted = _as_seen(silent_s).order_by(run.c.started_at.desc(), run.c.id.desc()).limit(limit)
    if kind is not None:
        wanted = wanted.where(run.c.kind == kind)
    return [_run_row(row) for row in connection.execute(wanted)]


def get_run(connection: Connection, run_id: int, *, silent_s: float) -> RunRow | None:
    """One run; told of as lost where it has been silent for so long."""
    row = connection.execute(_as_seen(silent_s).where(run.c.id == run_id)).first()
    return None if row is None else _run_row(row)


def _as_seen(silent_s: float) -> Select[Any]:
    return select(run, case((is_lost(silent_s), 1), else_=0).label("is_silent"))


def _run_row(row: Row[Any]) -> RunRow:
    ending = RunEnding.LOST if row.is_silent else row.ending and RunEnding(row.ending)
    return RunRow(
        id=row.id,
        kind=row.kind,
        name=row.name,
        flow_run_id=row.flow_run_id,
        recipe_id=row.recipe_id,
        started_at=row.started_at,
        seen_at=row.seen_at,
        ended_at=row.seen_at if row.is_silent else row.ended_at,
        ending=ending or None,
        detail=_LOST_DETAIL if row.is_silent else row.detail or "",
        figures=RunFigures.from_json(row.figures),
    )


def failures(connection: Connection, run_ids: Sequence[int]) -> Failures:
    """What the claims of these runs came to, for the failure budget."""
    finished, failed = connection.execute(
        select(
            func.coalesce(func.sum(claim.c.finished), 0), func.coalesce(func.sum(claim.c.failed), 0)
        ).where(claim.c.run_id.in_(list(run_ids)))
    ).one()
    return Failures(finished=int(finished), failed=int(failed))

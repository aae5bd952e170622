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

from tasks.heartbeat import RUN_LOST_S
from tasks.ledger import sql
from tasks.ledger.engine import Database, reads, writes
from tasks.ledger.records import Failures, RunEnding, RunFigures, RunRow
from tasks.redaction import without_secrets
from tasks.schema import claim, run

#: The kinds of runs that say every minute that they live.
BEATING = ("nightly", "run")

_LOST_DETAIL = "it gave no sign of life any more: its process or its machine is gone"


@writes
def start_run(
    connection: Connection,
    kind: str,
    name: str,
    *,
    recipe_id: int | None = None,
    flow_run_id: str | None = None,
) -> int:
    """Record that a run has begun, and which ones are lost; returns its id."""
    _end_lost(connection)
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


@writes
def beat_run(
    connection: Connection,
    run_id: int,
    figures: RunFigures | None = None,
    *,
    recipe_id: int | None = None,
) -> None:
    """Record that a run is alive, its figures so far, and its recipe once that is known.

    One that was taken for lost was only away for long.
    """
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


def end_lost_runs(database: Database) -> int:
    """End the runs whose heartbeat has ended; returns how many. Whoever looks does it."""
    return database.write(_end_lost) if database.read(_has_lost) else 0


def _end_lost(connection: Connection) -> int:
    return connection.execute(
        update(run)
        .where(_is_lost())
        .values(
            ended_at=run.c.seen_at,
            ending=RunEnding.LOST,
            detail=_LOST_DETAIL,
        )
    ).rowcount


def _is_lost() -> ColumnElement[bool]:
    """On `run`: it has been silent for so long that it lives no more."""
    return and_(
        run.c.kind.in_(BEATING), run.c.ended_at.is_(None), run.c.seen_at <= sql.now(-RUN_LOST_S)
    )


def _has_lost(connection: Connection) -> bool:
    return connection.execute(select(run.c.id).where(_is_lost()).limit(1)).first() is not None


@writes
def finish_run(
    connection: Connection,
    run_id: int,
    ending: RunEnding,
    *,
    figures: RunFigures | None = None,
    detail: str = "",
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


@reads
def list_runs(connection: Connection, *, kind: str | None = None, limit: int = 20) -> list[RunRow]:
    """The latest runs, newest first; who has been silent for long is told of as lost."""
    wanted = _as_seen().order_by(run.c.started_at.desc(), run.c.id.desc()).limit(limit)
    if kind is not None:
        wanted = wanted.where(run.c.kind == kind)
    return [_run_row(row) for row in connection.execute(wanted)]


@reads
def get_run(connection: Connection, run_id: int) -> RunRow | None:
    """One run; told of as lost where it has been silent for long."""
    row = connection.execute(_as_seen().where(run.c.id == run_id)).first()
    return None if row is None else _run_row(row)


def _as_seen() -> Select[Any]:
    return select(run, case((_is_lost(), 1), else_=0).label("is_silent"))


def _run_row(row: Row[Any]) -> RunRow:
    ending = RunEnding.LOST if row.is_silent else row.ending and RunEnding(row.ending)
    return sql.record(
        RunRow,
        row,
        ended_at=row.seen_at if row.is_silent else row.ended_at,
        ending=ending or None,
        detail=_LOST_DETAIL if row.is_silent else row.detail or "",
        figures=RunFigures.from_json(row.figures),
    )


@reads
def count_failures(connection: Connection, run_ids: Sequence[int]) -> Failures:
    """How many items these runs finished, and how many failed, for the failure budget."""
    finished, failed = connection.execute(
        select(
            func.coalesce(func.sum(claim.c.finished), 0), func.coalesce(func.sum(claim.c.failed), 0)
        ).where(claim.c.run_id.in_(list(run_ids)))
    ).one()
    return Failures(finished=int(finished), failed=int(failed))

"""Trainings in the ledger: begun, taken up again after a kill, ended with a verdict."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select, update

from tasks.ledger import sql
from tasks.ledger.engine import reads, writes
from tasks.ledger.reference_records import TrainingRow, TrainingVerdict
from tasks.schema import checkpoint, reference_set, training

_parent = checkpoint.alias("parent")
_challenger = checkpoint.alias("challenger")


@writes
def begin_training(
    connection: Connection, reference_set_id: int, *, parent_id: int, run_id: int | None
) -> TrainingRow:
    """Record that a training has begun, or take up the one that did not end.

    One without a verdict, of the same set from the same parent, was killed: it goes on. Others
    without a verdict are given up: the champion or the references have changed since.
    """
    is_open = training.c.verdict.is_(None)
    same = (training.c.reference_set_id == reference_set_id) & (training.c.parent_id == parent_id)
    connection.execute(
        update(training)
        .where(is_open, ~same)
        .values(
            verdict=TrainingVerdict.FAILED,
            ended_at=sql.now(),
            why="it was interrupted, and the champion or the references have changed since",
        )
    )
    found = connection.execute(select(training.c.id).where(is_open, same)).first()
    if found is not None:
        connection.execute(update(training).where(training.c.id == found.id).values(run_id=run_id))
        return _get(connection, found.id)
    made = connection.execute(
        insert(training)
        .values(
            run_id=run_id,
            reference_set_id=reference_set_id,
            parent_id=parent_id,
            started_at=sql.now(),
            figures={},
        )
        .returning(training.c.id)
    ).scalar_one()
    return _get(connection, made)


@writes
def end_training(  # noqa: PLR0913 - one argument a column
    connection: Connection,
    training_id: int,
    verdict: TrainingVerdict,
    *,
    why: str,
    figures: Mapping[str, object],
    challenger_id: int | None = None,
) -> TrainingRow:
    """Record what came of a training; the first verdict stands."""
    conclude(
        connection,
        training_id,
        verdict,
        why=why,
        figures=figures,
        challenger_id=challenger_id,
    )
    return _get(connection, training_id)


def conclude(  # noqa: PLR0913 - one argument a column
    connection: Connection,
    training_id: int,
    verdict: TrainingVerdict,
    *,
    why: str,
    figures: Mapping[str, object],
    challenger_id: int | None,
) -> bool:
    """The same within a transaction; whether it had no verdict yet."""
    is_open = (training.c.id == training_id) & training.c.verdict.is_(None)
    ended = update(training).where(is_open)
    values = {
        "verdict": verdict,
        "why": sql.storable(why),
        "figures": dict(figures),
        "challenger_id": challenger_id,
        "ended_at": sql.now(),
    }
    return bool(sql.affected(connection, ended.values(values)))


@reads
def list_trainings(connection: Connection, *, limit: int = 200) -> list[TrainingRow]:
    """The latest trainings, newest first."""
    wanted = _select().order_by(training.c.id.desc()).limit(limit)
    return [_row(row) for row in connection.execute(wanted)]


def _select() -> Select[Any]:
    return (
        select(
            training,
            reference_set.c.digest.label("set_digest"),
            _parent.c.digest.label("parent_digest"),
            _challenger.c.digest.label("challenger_digest"),
        )
        .join(reference_set, reference_set.c.id == training.c.reference_set_id)
        .join(_parent, _parent.c.id == training.c.parent_id)
        .outerjoin(_challenger, _challenger.c.id == training.c.challenger_id)
    )


def _get(connection: Connection, training_id: int) -> TrainingRow:
    return _row(connection.execute(_select().where(training.c.id == training_id)).one())


def _row(row: Row[Any]) -> TrainingRow:
    return sql.record(
        TrainingRow,
        row,
        parent=row.parent_digest,
        challenger=row.challenger_digest,
        verdict=TrainingVerdict(row.verdict) if row.verdict else None,
        why=row.why or "",
    )

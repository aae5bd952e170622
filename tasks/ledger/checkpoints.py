"""The checkpoints that the ledger knows, and which of them is the champion.

The pointer moves in one transaction with the decision that says who moved it and why; the history
is those decisions. A checkpoint is named by the digest of its file, so a name cannot come to mean
other weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from tasks.errors import UsageError
from tasks.ledger import RecipeRow, sql
from tasks.ledger.decisions import record
from tasks.ledger.engine import reads, writes
from tasks.ledger.reading import recipe_row
from tasks.ledger.reference_records import TrainingRow, TrainingVerdict
from tasks.ledger.trainings import conclude
from tasks.schema import DecisionKind, champion, checkpoint, decision, recipe

_SLOT = "default"


@dataclass(frozen=True)
class CheckpointRow:
    """A registered checkpoint."""

    id: int
    digest: str
    name: str
    url: str
    card: Mapping[str, object]
    registered_by: str
    registered_at: datetime

    @property
    def is_foreign(self) -> bool:
        """Whether it was made elsewhere: only of such a one does the card state terms."""
        return bool(self.card.get("terms"))


@dataclass(frozen=True)
class Succession:
    """One move of the champion pointer."""

    kind: DecisionKind  # PROMOTE or ROLL_BACK
    checkpoint: CheckpointRow
    previous: CheckpointRow | None
    who: str
    why: str
    decided_at: datetime


@writes
def register_checkpoint(  # noqa: PLR0913 - one argument a column
    connection: Connection,
    digest: str,
    *,
    name: str,
    url: str,
    card: Mapping[str, object],
    who: str,
) -> CheckpointRow:
    """Make a checkpoint known; one that is known already stays as it was registered."""
    connection.execute(
        sql.insert_or(connection, checkpoint)
        .values(
            digest=digest,
            name=sql.storable(name),
            url=url,
            card=dict(card),
            registered_by=sql.storable(who),
            registered_at=sql.now(),
        )
        .on_conflict_do_nothing()
    )
    return find_registered(connection, digest)


@reads
def list_checkpoints(connection: Connection) -> list[CheckpointRow]:
    """All checkpoints, in the order of their registration."""
    return [_row(row) for row in connection.execute(select(checkpoint).order_by(checkpoint.c.id))]


@reads
def find_registered(connection: Connection, digest: str) -> CheckpointRow:
    """The one checkpoint whose digest begins so.

    Raises:
        UsageError: There is none, or more than one.
    """
    rows = connection.execute(
        select(checkpoint).where(checkpoint.c.digest.startswith(digest, autoescape=True)).limit(2)
    ).all()
    if len(rows) == 1:
        return _row(rows[0])
    found = (
        "more than one registered checkpoint begins" if rows else "no registered checkpoint begins"
    )
    raise UsageError(f"{found} with {digest!r}; `autochrome models` lists them")


@reads
def champion_checkpoint(connection: Connection) -> CheckpointRow | None:
    """The checkpoint in service; None before the first promotion."""
    row = connection.execute(
        select(checkpoint)
        .join(champion, champion.c.checkpoint_id == checkpoint.c.id)
        .where(champion.c.slot == _SLOT)
    ).first()
    return None if row is None else _row(row)


@writes
def promote(connection: Connection, digest: str, *, who: str, why: str) -> CheckpointRow:
    """Make a registered checkpoint the champion.

    Raises:
        UsageError: It is not registered, or the champion already.
    """
    chosen = find_registered(connection, digest)
    _point_at(connection, DecisionKind.PROMOTE, chosen, who=who, why=why)
    return chosen


@writes
def promote_trained(  # noqa: PLR0913 - what a decision and a verdict need
    connection: Connection,
    training: TrainingRow,
    digest: str,
    *,
    who: str,
    why: str,
    figures: Mapping[str, object],
) -> CheckpointRow:
    """Make a training's challenger the champion, and record its verdict, in one transaction.

    Raises:
        UsageError: The champion is no longer the one that the challenger was compared with, or the
            training has a verdict already. Nothing is changed.
    """
    chosen = find_registered(connection, digest)
    # Locked by the move; what was compared with is checked after it, and undone by the raise.
    previous = _point_at(connection, DecisionKind.PROMOTE, chosen, who=who, why=why)
    if previous is None or find_registered(connection, training.parent).id != previous:
        raise UsageError(
            f"the champion is no longer {training.parent[:12]}, which the challenger was "
            "compared with; run `autochrome finetune` again"
        )
    if not conclude(
        connection,
        training.id,
        TrainingVerdict.PROMOTED,
        why=why,
        figures=figures,
        challenger_id=chosen.id,
    ):
        raise UsageError(f"training {training.id} has its verdict already")
    return chosen


@writes
def roll_back(connection: Connection, *, who: str, why: str) -> CheckpointRow:
    """Make the checkpoint the champion again that was so before the present one was promoted.

    Raises:
        UsageError: There was none before.
    """
    line = _line_of_promotions(connection)
    if len(line) < 2:
        raise UsageError("no champion came before the present one; promote another instead")
    chosen = line[-2]
    _point_at(connection, DecisionKind.ROLL_BACK, chosen, who=who, why=why)
    return chosen


@reads
def recipes_of(connection: Connection, digest: str) -> list[RecipeRow]:
    """The recipes that used a checkpoint; every item and derivative names its recipe."""
    wanted = select(recipe).where(recipe.c.checkpoint_digest == digest).order_by(recipe.c.id)
    return [recipe_row(row) for row in connection.execute(wanted)]


def _point_at(
    connection: Connection, kind: DecisionKind, chosen: CheckpointRow, *, who: str, why: str
) -> int | None:
    """Move the pointer; returns the id of the checkpoint that was champion before."""
    decision_id = record(connection, kind, who=who, why=why, checkpoint_id=chosen.id)
    moved = {"checkpoint_id": chosen.id, "decision_id": decision_id, "since": sql.now()}
    first = sql.insert_or(connection, champion).values(slot=_SLOT, **moved)
    if sql.affected(connection, first.on_conflict_do_nothing()):
        return None
    # Locked, so that of two promotions at once each knows what it replaced.
    previous: int = connection.execute(
        select(champion.c.checkpoint_id).where(champion.c.slot == _SLOT).with_for_update()
    ).scalar_one()
    if previous == chosen.id:
        raise UsageError(f"{chosen.name} ({chosen.digest[:12]}) is the champion already")
    connection.execute(update(champion).where(champion.c.slot == _SLOT).values(moved))
    connection.execute(
        update(decision).where(decision.c.id == decision_id).values(previous_checkpoint_id=previous)
    )
    return previous


@reads
def history(connection: Connection) -> list[Succession]:
    """Every move of the champion pointer, oldest first."""
    known = {row.id: _row(row) for row in connection.execute(select(checkpoint))}
    rows = connection.execute(
        select(decision)
        .where(decision.c.kind.in_([DecisionKind.PROMOTE, DecisionKind.ROLL_BACK]))
        .order_by(decision.c.id)
    )
    return [
        Succession(
            kind=DecisionKind(row.kind),
            checkpoint=known[row.checkpoint_id],
            previous=known.get(row.previous_checkpoint_id),
            who=row.who,
            why=row.why,
            decided_at=row.decided_at,
        )
        for row in rows
    ]


def _line_of_promotions(connection: Connection) -> Sequence[CheckpointRow]:
    """Who would be champion, the present one last, if each were rolled back in turn."""
    line: list[CheckpointRow] = []
    for move in history(connection):
        if move.kind is DecisionKind.PROMOTE:
            line.append(move.checkpoint)
        else:
            line.pop()
    return line


def _row(row: Row[Any]) -> CheckpointRow:
    return sql.record(CheckpointRow, row)

"""Models: the champion, its challengers and the evidence; promoting, rolling back, approving."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from flows.desk.identity import Form, Looking, OpenDesk, Running
from flows.desk.pages import render
from flows.desk.review import reasons_in
from tasks.errors import UsageError
from tasks.ledger.checkpoints import (
    champion_checkpoint,
    history,
    list_checkpoints,
    promote,
    recipes_of,
    roll_back,
)
from tasks.ledger.trainings import list_trainings

router = APIRouter(include_in_schema=False)

_TRAININGS = 20
_HISTORY = 50
WIDTH, HEIGHT = 600, 180
#: What a training is watched by, as its looks name it, and for people.
WATCHED = {"references": "watched references", "base": "watched photographs of the base set"}


@dataclass(frozen=True)
class Curve:
    """Errors over the steps of a training, to be drawn in `WIDTH` × `HEIGHT`."""

    lines: Mapping[str, str]  #: by what was watched: points of a polyline
    low: float
    high: float
    steps: int


def curve_of(figures: Mapping[str, Any]) -> Curve | None:
    """The curve of a training's looks; None where there are too few."""
    looks = [look for look in figures.get("looks", ()) if isinstance(look.get("step"), int)]
    series = {
        name: [(look["step"], float(look[name])) for look in looks if name in look]
        for name in WATCHED
    }
    series = {name: points for name, points in series.items() if len(points) > 1}
    if not series:
        return None
    errors = [error for points in series.values() for _, error in points]
    low, high = min(errors), max(errors)
    steps = max(step for points in series.values() for step, _ in points)
    spread = (high - low) or 1.0
    lines = {
        name: " ".join(
            f"{WIDTH * step / (steps or 1):.1f},{HEIGHT * (high - error) / spread:.1f}"
            for step, error in points
        )
        for name, points in series.items()
    }
    return Curve(lines, low, high, steps)


@router.get("/models")
def models(request: Request, desk: OpenDesk, visitor: Looking) -> Response:
    """The networks that there are, which is in service, and why."""
    del visitor
    known = list_checkpoints(desk.ledger)
    moves = history(desk.ledger)[::-1]
    trainings = list_trainings(desk.ledger, limit=_TRAININGS)
    return render(
        request,
        "models.html.j2",
        champion=champion_checkpoint(desk.ledger),
        checkpoints=known[::-1],
        names={row.digest: row.name for row in known},
        recipes={row.digest: len(recipes_of(desk.ledger, row.digest)) for row in known},
        moves=moves[:_HISTORY],
        trainings=trainings,
        curves={row.id: curve_of(row.figures) for row in trainings},
        watched=WATCHED,
        width=WIDTH,
        height=HEIGHT,
    )


@router.post("/models/promote")
def promote_by_form(desk: OpenDesk, visitor: Running, form: Form) -> Response:
    """Make a checkpoint the champion: as `autochrome promote`, on evidence."""
    digest = form.get("checkpoint", "")
    if digest not in {row.digest for row in list_checkpoints(desk.ledger)}:
        raise UsageError("which checkpoint? Load the page again")
    promote(desk.ledger, digest, who=visitor.name, why=_why(form))
    return RedirectResponse("/models", 303)


@router.post("/models/roll-back")
def roll_back_by_form(desk: OpenDesk, visitor: Running, form: Form) -> Response:
    """Make the champion before the present one the champion again."""
    champion = champion_checkpoint(desk.ledger)
    if champion is None or champion.digest != form.get("checkpoint"):
        raise UsageError("the champion is another by now; load the page again")
    roll_back(desk.ledger, who=visitor.name, why=_why(form))
    return RedirectResponse("/models", 303)


def _why(form: Form) -> str:
    """The evidence, for the record.

    Raises:
        UsageError: There is none.
    """
    why = reasons_in(form)
    if not why:
        raise UsageError("why? The record needs a reason")
    return why

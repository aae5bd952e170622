"""How long people take for a decision."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from statistics import median

from sqlalchemy import Connection, select

from tasks.ledger import sql
from tasks.ledger.engine import reads
from tasks.schema import decision

#: More decisions than these are not looked at: the latest tell as much.
_MOST = 20_000


@dataclass(frozen=True)
class TimeTaken:
    """Decisions of one kind of row: how many, and how long half of them took at most."""

    name: str
    decisions: int
    median_s: float


@dataclass(frozen=True)
class DecisionPace:
    """How long decisions about one item took, those that were measured."""

    people: tuple[TimeTaken, ...]
    days: tuple[TimeTaken, ...]  #: the latest first, by UTC
    total: TimeTaken | None

    def needs_s(self, items: int) -> float | None:
        """How long so many items take one person at this pace."""
        return None if self.total is None else items * self.total.median_s


@reads
def decision_pace(connection: Connection, *, days: int) -> DecisionPace:
    """What was measured in the last days."""
    wanted = (
        select(decision.c.who, decision.c.decided_at, decision.c.seconds)
        .where(
            decision.c.seconds.is_not(None),
            decision.c.decided_at > sql.now(-days * 86_400),
        )
        .order_by(decision.c.decided_at.desc())
        .limit(_MOST)
    )
    rows = connection.execute(wanted).all()
    people: dict[str, list[float]] = {}
    on: dict[date, list[float]] = {}
    for row in rows:
        people.setdefault(row.who, []).append(row.seconds)
        on.setdefault(row.decided_at.date(), []).append(row.seconds)
    by_name = (_taken(name, seconds) for name, seconds in sorted(people.items()))
    by_day = (_taken(day.isoformat(), seconds) for day, seconds in on.items())
    everything = [row.seconds for row in rows]
    total = _taken("all", everything) if everything else None
    return DecisionPace(tuple(by_name), tuple(by_day), total)


def _taken(name: str, seconds: Iterable[float]) -> TimeTaken:
    taken = list(seconds)
    return TimeTaken(name, len(taken), median(taken))

"""How fast the work goes: the latest batches, through the primary key, however many there are."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from tasks.ledger import sql
from tasks.ledger.engine import reads
from tasks.schema import claim


@dataclass(frozen=True)
class EndedBatch:
    """A batch that has ended: how many items came to an end in it, and in how long."""

    claimed_at: datetime
    ended_at: datetime
    finished: int

    @property
    def seconds(self) -> float:
        """From the claim to the end."""
        return (self.ended_at - self.claimed_at).total_seconds()


@dataclass(frozen=True)
class Pace:
    """The latest batches, the newest first, and what time it is by the database's clock."""

    now: datetime
    batches: tuple[EndedBatch, ...]


@reads
def measure_pace(connection: Connection, *, limit: int = 200) -> Pace:
    """The last *limit* batches, without those that are open, and the database's time."""
    now: datetime = connection.execute(select(sql.now())).scalar_one()
    latest = (
        select(claim.c.claimed_at, claim.c.ended_at, claim.c.finished)
        .order_by(claim.c.id.desc())
        .limit(limit)
    )
    batches = tuple(
        EndedBatch(row.claimed_at, row.ended_at, row.finished)
        for row in connection.execute(latest)
        if row.ended_at is not None
    )
    return Pace(now, batches)

"""How fast work goes, and how much it writes: measured on the latest batches, never guessed.

One function for whoever tells a duration: the dry run of an order, the size of its shares, its
progress, and the backlog in the morning report.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from tasks.ledger.engine import reads
from tasks.schema import claim

#: Batches looked at: minutes of a GPU's work, hours of a CPU's.
LATEST_BATCHES = 400


@dataclass(frozen=True)
class Rates:
    """What the latest batches came to."""

    items: int  #: that came to an end
    source_bytes: int
    derivative_bytes: int
    busy_s: float  #: in which a worker had a batch, added up over workers
    span_s: float  #: in which any worker had one
    latest: datetime

    @property
    def items_per_s(self) -> float:
        """Pictures a second of all workers together, while any was at work."""
        return self.items / self.span_s

    @property
    def items_per_worker_s(self) -> float:
        """Pictures a second of one worker."""
        return self.items / self.busy_s

    def worker_s(self, items: int, size_bytes: int | None = None) -> float:
        """How long one worker takes: by the bytes of the scans where they are known."""
        if size_bytes and self.source_bytes:
            return size_bytes * self.busy_s / self.source_bytes
        return items / self.items_per_worker_s

    def eta_s(self, items: int) -> float:
        """How long as many workers as lately take."""
        return items / self.items_per_s

    def storage_bytes(self, size_bytes: int) -> int | None:
        """How much the derivatives of scans of so many bytes take; None: nothing to go by."""
        if not self.source_bytes:
            return None
        return round(size_bytes * self.derivative_bytes / self.source_bytes)


@reads
def measured_rates(connection: Connection, *, run_id: int | None = None) -> Rates | None:
    """The rates of the latest batches, or of those of one run; None where none has ended yet."""
    wanted = (
        select(claim)
        .where(claim.c.ended_at.is_not(None), claim.c.finished > 0)
        .order_by(claim.c.id.desc())
        .limit(LATEST_BATCHES)
    )
    if run_id is not None:
        wanted = wanted.where(claim.c.run_id == run_id)
    rows = connection.execute(wanted).all()
    if not rows:
        return None
    spans = [(row.worker, (row.claimed_at, row.ended_at)) for row in rows]
    workers = {worker for worker, _ in spans}
    busy_s = sum(covered_s(span for name, span in spans if name == worker) for worker in workers)
    if not busy_s:
        return None
    return Rates(
        items=sum(row.finished for row in rows),
        source_bytes=sum(row.source_bytes for row in rows),
        derivative_bytes=sum(row.derivative_bytes for row in rows),
        busy_s=busy_s,
        span_s=covered_s(span for _, span in spans),
        latest=max(row.ended_at for row in rows),
    )


def covered_s(spans: Iterable[tuple[datetime, datetime]]) -> float:
    """Seconds that lie in any of the spans: batches of one worker overlap."""
    total_s = 0.0
    until: datetime | None = None
    ordered: Sequence[tuple[datetime, datetime]] = sorted(spans)
    for begun, ended in ordered:
        start = begun if until is None else max(begun, until)
        if ended > start:
            total_s += (ended - start).total_seconds()
            until = ended
    return total_s

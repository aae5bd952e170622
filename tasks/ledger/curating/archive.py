"""The archive as a grid: what each night and order has come to, in each collection."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select

from tasks.errors import Reason
from tasks.ledger.engine import reads
from tasks.ledger.orders.reading import row_of
from tasks.ledger.orders.records import OrderRow
from tasks.schema import ItemStatus, item_tally, order_tally, run, work_order


@dataclass(frozen=True)
class Night:
    """An order, and the run that it counts for."""

    order: OrderRow
    run_name: str
    flow_run_id: str | None


@dataclass
class Cell:
    """How many items stand where now, and for which reasons."""

    statuses: dict[ItemStatus, int] = field(default_factory=dict)
    reasons: dict[tuple[ItemStatus, Reason], int] = field(default_factory=dict)

    @property
    def items(self) -> int:
        """All of them."""
        return sum(self.statuses.values())

    def add(self, status: ItemStatus, reason: str, n: int) -> None:
        """Count some more."""
        self.statuses[status] = self.statuses.get(status, 0) + n
        if reason:
            key = (status, Reason(reason))
            self.reasons[key] = self.reasons.get(key, 0) + n


@reads
def list_nights(connection: Connection, *, before: int | None = None, limit: int) -> list[Night]:
    """The latest orders, or those before one, newest first."""
    wanted = (
        select(work_order, run.c.name.label("run_name"), run.c.flow_run_id)
        .join(run, run.c.id == work_order.c.run_id)
        .order_by(work_order.c.id.desc())
        .limit(limit)
    )
    if before is not None:
        wanted = wanted.where(work_order.c.id < before)
    return [Night(row_of(row), row.run_name, row.flow_run_id) for row in connection.execute(wanted)]


@reads
def get_night(connection: Connection, order_id: int) -> Night | None:
    """One order; None where there is none of this number."""
    found = list_nights(connection, before=order_id + 1, limit=1)
    return found[0] if found and found[0].order.id == order_id else None


@reads
def list_cells(
    connection: Connection, order_ids: Sequence[int]
) -> Mapping[int, Mapping[str, Cell]]:
    """What these orders have come to, by order and collection: summed from tallies."""
    tally = order_tally
    by = (tally.c.order_id, tally.c.collection, tally.c.status, tally.c.reason)
    wanted = select(*by, func.sum(tally.c.n)).where(tally.c.order_id.in_(list(order_ids)))
    cells: dict[int, dict[str, Cell]] = {number: {} for number in order_ids}
    for number, collection, status, reason, n in connection.execute(wanted.group_by(*by)):
        if n:
            cell = cells[number].setdefault(collection, Cell())
            cell.add(ItemStatus(status), reason, int(n))
    return cells


@reads
def list_collections(connection: Connection) -> Mapping[str, Cell]:
    """How each collection stands, whatever recipe and order; without what was superseded."""
    tally = item_tally
    by = (tally.c.collection, tally.c.status, tally.c.reason)
    wanted = (
        select(*by, func.sum(tally.c.n))
        .where(tally.c.status != ItemStatus.SUPERSEDED)
        .group_by(*by)
        .order_by(tally.c.collection)
    )
    found: dict[str, Cell] = {}
    for collection, status, reason, n in connection.execute(wanted):
        cell = found.setdefault(collection, Cell())
        if n:
            cell.add(ItemStatus(status), reason, int(n))
    return found

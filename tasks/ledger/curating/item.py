"""One item as the desk shows it: the scan, its derivatives in use, what was decided last."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from tasks.ledger import refusals
from tasks.ledger.engine import reads
from tasks.ledger.films import list_shots
from tasks.ledger.reading import (
    derivative_row,
    item_row,
    scan_row,
    select_derivatives,
    select_items,
)
from tasks.ledger.records import DerivativeRow, ItemRow, ScanRow
from tasks.ledger.records.reading import DecisionRow
from tasks.ledger.records.shots import ShotRow
from tasks.ledger.story import decisions_of
from tasks.schema import DecisionKind, ItemStatus, derivative, item, opinion, scan, store


@dataclass(frozen=True)
class Opinion:
    """What one of two who must agree thinks."""

    who: str
    kind: DecisionKind
    why: str
    given_at: datetime


@dataclass(frozen=True)
class DeskItem:
    """An item, and all that a page about it needs."""

    row: ItemRow
    scan: ScanRow
    derivatives: tuple[DerivativeRow, ...]  #: of the scan as the item is about it
    decisions: tuple[DecisionRow, ...]  #: about the item, the latest last
    opinions: tuple[Opinion, ...]
    is_held: bool  #: the item, its scan, or its bytes elsewhere
    shots: tuple[ShotRow, ...]  #: of a film
    is_current: bool  #: the scan still holds the bytes that the item is about

    @property
    def is_film(self) -> bool:
        """Whether its scan is one, as far as anybody has looked."""
        return self.scan.frames is not None

    @property
    def seen(self) -> str:
        """What whoever decides says that he saw."""
        return self.row.seen

    def shot_of(self, frame: int) -> ShotRow | None:
        """The shot that a frame of a film is in; None where its shots are not known."""
        return next((shot for shot in self.shots if shot.shows(frame)), None)

    def derivative(self, kind: str) -> DerivativeRow | None:
        """The derivative of that kind."""
        return next((one for one in self.derivatives if one.kind == kind), None)


@reads
def desk_item(connection: Connection, item_id: int) -> DeskItem | None:
    """One item; None where there is none."""
    row = connection.execute(select_items().where(item.c.id == item_id)).first()
    if row is None:
        return None
    found = connection.execute(
        select(scan, store.c.url, refusals.is_held().label("is_held"))
        .join(store, store.c.id == scan.c.store_id)
        .where(scan.c.id == row.scan_id)
    ).one()
    files = connection.execute(
        select_derivatives()
        .where(
            derivative.c.item_id == item_id,
            derivative.c.revision == row.revision,
            derivative.c.correction_id == row.correction_id,
        )
        .order_by(derivative.c.id)
    )
    return DeskItem(
        row=item_row(row),
        scan=scan_row(found),
        derivatives=tuple(map(derivative_row, files)),
        decisions=tuple(decisions_of(connection, item_id)),
        opinions=tuple(opinions_of(connection, item_id)),
        is_held=bool(found.is_held) or row.status == ItemStatus.HELD,
        is_current=found.revision == row.revision,
        shots=tuple(list_shots(connection, item_id)) if found.frames is not None else (),
    )


def opinions_of(connection: Connection, item_id: int) -> Sequence[Opinion]:
    """What has been thought of an item since it came into its status."""
    rows = connection.execute(
        select(opinion)
        .join(item, item.c.id == opinion.c.item_id)
        .where(opinion.c.item_id == item_id, opinion.c.given_at >= item.c.changed_at)
        .order_by(opinion.c.given_at)
    )
    return [Opinion(row.who, DecisionKind(row.kind), row.why, row.given_at) for row in rows]

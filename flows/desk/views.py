"""An item as the desk shows it: who may see it, its pictures' addresses, what its file says."""

from dataclasses import dataclass
from typing import Literal

from fastapi import HTTPException

from flows.desk.desk import Desk
from flows.desk.identity import Visitor
from tasks.errors import UsageError
from tasks.ledger.corrections import of_bytes, of_frames
from tasks.ledger.curating import DECIDED_AT_DESK, DeskItem
from tasks.ledger.people import Role
from tasks.ledger.records import CorrectionRow
from tasks.ledger.reference_records import ReferenceRow
from tasks.ledger.references import find_reference
from tasks.pictures.showing import PictureFile, Which, picture_file
from tasks.scans.descriptive import Descriptive


@dataclass(frozen=True)
class ItemView:
    """An item and the addresses of its pictures; empty where there is none."""

    one: DeskItem
    scan_url: str
    colour_url: str
    said: Descriptive | None  #: what the scan's file says; None where nobody has looked lately
    kinds: tuple[str, ...]  #: what may be decided about it
    corrections: tuple[CorrectionRow, ...]  #: of a film: what counts, frame by frame


def may_see(visitor: Visitor, one: DeskItem) -> bool:
    """Whether a person may see an item: what is held is shown to the role run alone."""
    return visitor.may(Role.RUN) or not one.is_held


def seen_item(desk: Desk, visitor: Visitor, item_id: int, *, fresh: bool = True) -> DeskItem:
    """An item that this person may see.

    Raises:
        HTTPException: There is none, or its scan is held and the person has not the role for that.
    """
    one = desk.item(item_id, fresh=fresh)
    if one is None or not may_see(visitor, one):
        raise HTTPException(404, f"there is no item {item_id} that you may see")
    return one


def seen_reference(desk: Desk, visitor: Visitor, number: int) -> ReferenceRow:
    """A reference that this person may see.

    Raises:
        HTTPException: There is none, or its scan is held and the person has not the role for that.
    """
    try:
        return find_reference(desk.ledger, str(number), with_held=visitor.may(Role.RUN))
    except UsageError as error:
        raise HTTPException(404, str(error)) from error


def view_of(desk: Desk, one: DeskItem) -> ItemView:
    """What pages show of an item."""
    scan = shown_file(one, "scan")
    kept = desk.pictures.peek(scan) if scan else None
    rows = of_bytes(desk.ledger, one.scan.sha256, one.scan.page) if one.is_film else []
    counts = of_frames(rows, rows[-1].id) if rows else {}
    return ItemView(
        one,
        picture_url(one, "scan"),
        picture_url(one, "colour"),
        kept.pyramid.said if kept else None,
        tuple(kind for kind, sources in DECIDED_AT_DESK.items() if one.row.status in sources),
        tuple(counts[frame] for frame in sorted(counts)),
    )


def picture_url(one: DeskItem, which: Which) -> str:
    """The address of a picture of an item, by the IIIF Image API; empty where there is none."""
    file = shown_file(one, which)
    return "" if file is None else f"/iiif/{one.row.id}-{which}-{file.tag}"


def shown_file(one: DeskItem, which: Literal["scan", "colour"]) -> PictureFile | None:
    """The file behind a picture: a scan that holds other bytes by now is not shown as this one."""
    if which == "scan" and not one.is_current:
        return None
    return picture_file(one, which)

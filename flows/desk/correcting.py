"""Correcting: colours at places of a scan, as a page and as an API; teaching what came of it."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request
from pydantic import Field
from starlette.responses import JSONResponse, RedirectResponse, Response

from colormodel.correction import Correction
from colormodel.hints import HintError
from flows.desk.api import REFUSALS, Number, Refusal
from flows.desk.desk import Desk
from flows.desk.identity import Deciding, Looking, OpenDesk, Visitor
from flows.desk.pages import render
from flows.desk.statements import (
    AlternativePicture,
    CorrectionConflict,
    CorrectionState,
    Likely,
    Place,
    PlaceRequest,
    PreviewRequest,
    SavedCorrection,
    SaveRequest,
    Statement,
    TaughtReference,
)
from flows.desk.views import seen_item, seen_reference, shown_file, view_of
from tasks.corrections.saving import save_correction, withdraw_correction
from tasks.corrections.teaching import teach
from tasks.errors import UsageError
from tasks.ledger import corrections
from tasks.ledger.corrections import CorrectedMeanwhile
from tasks.ledger.curating import DeskItem
from tasks.ledger.people import Role
from tasks.ledger.records import CorrectionRow
from tasks.ledger.references import latest_references, list_references
from tasks.pictures.showing import PictureFile, frame_file

pages = APIRouter(include_in_schema=False)
router = APIRouter(
    prefix="/api",
    tags=["correct"],
    responses={
        **REFUSALS,
        404: {"model": Refusal, "description": "No item that you may see, or its scan is gone"},
        502: {"model": Refusal, "description": "The scan or the network is not to be had now"},
    },
)

#: References that colours may be taken from.
_REFERENCES = 24
_REFERENCE_PX = 420
_KEPT = {"Cache-Control": "private, max-age=86400, immutable"}
Frame = Annotated[
    Annotated[int, Field(ge=0, lt=1 << 60)] | None,
    Query(description="Of a film: which frame is meant, from 0; of a scan, none"),
]
_JPEG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}}}

#: Colours that things often had, to begin with: names, and sRGB.
PALETTE = (
    ("Skin, light", "#c99a7b"),
    ("Skin, dark", "#7a4f39"),
    ("Hair, brown", "#5a4030"),
    ("Khaki", "#9a8a63"),
    ("Olive drab", "#5f5b3a"),
    ("Denim", "#4a5d7e"),
    ("Navy", "#2c3550"),
    ("Wine red", "#6f2a35"),
    ("Brick", "#9c5a45"),
    ("Wood", "#8b6a48"),
    ("Straw", "#c7ad74"),
    ("Grass", "#6d7f47"),
    ("Foliage", "#4c6238"),
    ("Sky", "#8fb0d2"),
    ("Water", "#5f7f8c"),
    ("Earth", "#7b6750"),
    ("Brass", "#a9894f"),
    ("Grey", "#808080"),
)


# --- the page ------------------------------------------------------------------------------------


@pages.get("/items/{item_id}/correct")
def correct(
    request: Request, item_id: Number, desk: OpenDesk, visitor: Deciding, frame: Frame = None
) -> Response:
    """The page on which a scan, or a frame of a film, is corrected."""
    one = seen_item(desk, visitor, item_id)
    if one.is_film and frame is None:
        middle = one.shots[0].first + one.shots[0].frames // 2 if one.shots else 0
        return RedirectResponse(f"/items/{item_id}/correct?frame={middle}", 303)
    _scan_of(one, frame)
    rows = _said_of(desk, one)
    standing = _standing(desk, one, frame, rows)
    view = view_of(desk, one)
    grey = f"{view.scan_url}/full/!1600,1600/0/default.jpg"
    return render(
        request,
        "correct.html.j2",
        view=view,
        grey=grey if frame is None else f"/items/{item_id}/frames/{frame}.jpg",
        frame=frame,
        shot=one.shot_of(frame or 0),
        others=_others(one, frame, rows),
        palette=PALETTE,
        standing=standing,
        history=standing.history,
        references=_newest_references(desk, visitor),
    )


@pages.get("/items/{item_id}/frames/{number}.jpg")
def frame_picture(
    item_id: Number,
    number: Annotated[int, Path(ge=0, lt=1 << 60)],
    desk: OpenDesk,
    visitor: Deciding,
) -> Response:
    """A frame of a film as it is, in greys."""
    opened = desk.colours.sessions.open(_scan(desk, visitor, item_id, number))
    return Response(opened.grey(), media_type="image/jpeg", headers=_KEPT)


@pages.get("/correct/references/{number}.jpg")
def reference(number: Number, desk: OpenDesk, visitor: Deciding) -> Response:
    """A reference, small, for its colours."""
    row = seen_reference(desk, visitor, number)
    file = PictureFile(row.store, row.key, row.sha256[:16], pixels=row.width * row.height)
    jpeg = desk.colours.sessions.small_reference(file, longest_px=_REFERENCE_PX)
    return Response(jpeg, media_type="image/jpeg", headers=_KEPT)


# --- the API -------------------------------------------------------------------------------------


@router.get("/items/{item_id}/correction")
def what_stands(
    item_id: Number, desk: OpenDesk, visitor: Looking, frame: Frame = None
) -> CorrectionState:
    """What people have said of a scan's colours, and what of it counts."""
    one = seen_item(desk, visitor, item_id)
    _check_frame(one, frame)
    return _standing(desk, one, frame, _said_of(desk, one))


@router.post("/items/{item_id}/colours", response_class=Response, responses=_JPEG)
def colours(
    item_id: Number, asked: PreviewRequest, desk: OpenDesk, visitor: Deciding, frame: Frame = None
) -> Response:
    """What the whole picture would look like, at screen size."""
    opened = desk.colours.sessions.open(_scan(desk, visitor, item_id, frame))
    return Response(opened.picture(_read(asked.said)), media_type="image/jpeg")


@router.post("/items/{item_id}/likely")
def likely(
    item_id: Number, asked: PlaceRequest, desk: OpenDesk, visitor: Deciding, frame: Frame = None
) -> Place:
    """What is at a place, and what the network thinks likely there."""
    opened = desk.colours.sessions.open(_scan(desk, visitor, item_id, frame))
    shown = opened.place(asked.x, asked.y, _read(asked.said))
    return Place(
        here=shown.here,
        likely=[Likely(rgb=one.rgb, probability=one.probability) for one in shown.likely],
    )


@router.post("/items/{item_id}/alternatives")
def alternatives(
    item_id: Number, asked: PreviewRequest, desk: OpenDesk, visitor: Deciding, frame: Frame = None
) -> list[AlternativePicture]:
    """Other plausible colourings, in which all that was said holds."""
    opened = desk.colours.sessions.open(_scan(desk, visitor, item_id, frame))
    return [
        AlternativePicture(
            said=one.alternative.correction.as_json(),
            difference=one.alternative.difference,
            jpeg=base64.b64encode(one.jpeg).decode("ascii"),
        )
        for one in opened.alternatives(_read(asked.said))
    ]


@router.post("/items/{item_id}/correction", responses={409: {"model": CorrectionConflict}})
def save(
    item_id: Number, asked: SaveRequest, desk: OpenDesk, visitor: Deciding, frame: Frame = None
) -> SavedCorrection:
    """Put a correction on record, and have the scan coloured by it. 409: somebody was faster."""
    one = seen_item(desk, visitor, item_id)
    row = save_correction(
        desk.ledger,
        one.row.uri,
        _read(asked.said),
        who=visitor.name,
        note=asked.note.strip(),
        seen=asked.seen,
        frame=frame,
    )
    desk.colours.saved(visitor.name)
    desk.decided(item_id)
    return _saved(row)


@router.post("/items/{item_id}/correction/withdraw", responses={409: {"model": Refusal}})
def withdraw(  # noqa: PLR0913, PLR0917  the parameters of a URL
    item_id: Number,
    desk: OpenDesk,
    visitor: Deciding,
    why: Annotated[str, Query(max_length=1000)] = "",
    frame: Frame = None,
    seen: Annotated[int | None, Query(ge=0, lt=1 << 60, description="Which is meant")] = None,
) -> SavedCorrection:
    """Take the correction that counts back; the one before counts again. 409: it is another."""
    one = seen_item(desk, visitor, item_id)
    _check_frame(one, frame)
    try:
        row = withdraw_correction(
            desk.ledger, one.row.uri, who=visitor.name, why=why.strip(), seen=seen, frame=frame
        )
    except UsageError as error:
        raise HTTPException(409, str(error)) from error
    desk.colours.saved(visitor.name)
    desk.decided(item_id)
    return _saved(row)


@router.post("/items/{item_id}/teach", responses={409: {"model": Refusal}})
def teach_it(item_id: Number, desk: OpenDesk, visitor: Deciding) -> TaughtReference:
    """Make a reference of the corrected picture: for training alone. 409: it cannot be one now."""
    one = seen_item(desk, visitor, item_id)
    try:
        answer = teach(desk.settings, desk.ledger, one.row.uri, who=visitor.name)
    except UsageError as error:
        raise HTTPException(409, str(error)) from error
    if answer.verdict is not None:
        raise HTTPException(409, f"it is not learnt from: {answer.verdict.detail}")
    # Without a number of its own, it was a reference before.
    return TaughtReference(reference=answer.reference_id or _taught(desk, one))


def overtaken(error: CorrectedMeanwhile) -> Response:
    """Who was faster, as the API says it."""
    last = error.last
    told = CorrectionConflict(
        detail=str(error),
        id=last.id if last else 0,
        last=_saved(last) if last else None,
    )
    return JSONResponse(told.model_dump(mode="json"), 409)


def _read(said: Statement) -> Correction:
    try:
        return Correction.from_json(json.loads(said.model_dump_json()), "said")
    except HintError as error:
        raise UsageError(str(error)) from error


def _scan(desk: Desk, visitor: Visitor, item_id: int, frame: int | None) -> PictureFile:
    return _scan_of(seen_item(desk, visitor, item_id, fresh=False), frame)


def _scan_of(one: DeskItem, frame: int | None) -> PictureFile:
    _check_frame(one, frame)
    file = shown_file(one, "scan") if frame is None else frame_file(one, frame)
    if file is None or one.scan.sha256 is None or not one.is_current:
        raise HTTPException(404, "the scan was not read yet, or holds other bytes by now")
    return file


def _check_frame(one: DeskItem, frame: int | None) -> None:
    last = (one.scan.frames or 0) - 1
    if one.is_film and frame is None:
        raise UsageError(f"item {one.row.id} is a film: say which frame of it, 0 to {last}")
    if frame is not None and not 0 <= frame <= last:
        has = f"frames 0 to {last}" if one.is_film else "no frames: it is no film"
        raise HTTPException(404, f"item {one.row.id} has {has}")


def _said_of(desk: Desk, one: DeskItem) -> list[CorrectionRow]:
    """All that was said of a scan's bytes, the latest last."""
    return corrections.of_bytes(desk.ledger, one.scan.sha256, one.scan.page)


def _standing(
    desk: Desk, one: DeskItem, frame: int | None, rows: Sequence[CorrectionRow]
) -> CorrectionState:
    counts = corrections.counting(rows, frame)
    number, made_with = counts.id if counts else 0, one.row.correction_id
    if frame is not None:
        told = corrections.of_frames(rows, made_with).get(frame)
        made_with = told.id if told else 0
    return CorrectionState(
        id=number,
        said=dict(counts.said) if counts else None,
        is_coloured=made_with == number,
        status=one.row.status,
        taught=_taught(desk, one),
        history=[_saved(row) for row in rows if row.frame == frame and not row.is_withdrawal],
    )


def _taught(desk: Desk, one: DeskItem) -> int:
    """The reference that was made of the corrected derivative in use; 0: none."""
    made = {file.sha256 for file in one.derivatives if file.correction_id}
    rows = list_references(desk.ledger, digests=made) if made else []
    return rows[0].id if rows else 0


def _others(one: DeskItem, frame: int | None, rows: Sequence[CorrectionRow]) -> list[CorrectionRow]:
    """What counts of other frames that the shot of a frame looks at."""
    shot = one.shot_of(frame or 0)
    if frame is None or shot is None or not rows:
        return []
    found = corrections.of_frames(rows, rows[-1].id)
    return [found[at] for at in sorted(found) if at != frame and shot.looks_at(at)]


def _saved(row: CorrectionRow) -> SavedCorrection:
    said: Mapping[str, Any] = row.said
    return SavedCorrection(
        id=row.id,
        who=row.who,
        at=row.made_at,
        note=row.note,
        said=dict(said),
        withdrawn_by=row.withdrawn_by,
    )


def _newest_references(desk: Desk, visitor: Visitor) -> list[int]:
    with_held = visitor.may(Role.RUN)
    rows = latest_references(desk.ledger, limit=_REFERENCES, with_held=with_held)
    return [row.id for row in rows]

"""References: a gallery, deliveries by dragging files, withdrawal, and what each has taught."""

import re
import secrets
import shutil
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi import Path as InPath
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from flows.desk.colorize import receive
from flows.desk.desk import Desk
from flows.desk.identity import Deciding, Form, Looking, OpenDesk, Visitor, read_files
from flows.desk.multipart import Part
from flows.desk.pages import render
from flows.desk.review import reasons_in
from flows.desk.views import seen_reference
from tasks.errors import AutochromeError, UsageError
from tasks.ledger.people import Role
from tasks.ledger.reference_records import Certainty, Description, ReferenceKind, Split
from tasks.ledger.references import (
    latest_references,
    withdraw_references,
    witnesses_of,
)
from tasks.pictures.showing import PictureFile
from tasks.references.adding import Delivery, add_references
from tasks.references.finding import Found
from tasks.references.manifest import describe
from tasks.references.rules import Refusal
from tasks.storage.keys import shown

router = APIRouter(include_in_schema=False)

_SHOWN = 60
MOST_FILES = 200
_MOST_BYTES = 2 << 30
_SAID = ("kind", "rights", "citation", "date", "place", "certainty", "note")
_KEPT = {"Cache-Control": "private, max-age=86400, immutable"}

Number = Annotated[int, InPath(ge=1, lt=1 << 60)]
Token = Annotated[str, InPath(pattern=r"^[0-9a-f]{16}$")]


class FileResult(BaseModel):
    """What became of one file of a delivery."""

    number: int
    name: str
    reference: int | None
    split: Split | None
    refusal: Refusal | None
    detail: str


@router.get("/references")
def gallery(  # noqa: PLR0913, PLR0917  what a URL may say
    request: Request,
    desk: OpenDesk,
    visitor: Looking,
    before: Annotated[int | None, Query(ge=1, lt=1 << 60)] = None,
    of_set: Annotated[int | None, Query(alias="set", ge=1, lt=1 << 60)] = None,
    withdrawn: str = "",
) -> Response:
    """References, the latest first: all that stand, those withdrawn, or a training's."""
    rows = latest_references(
        desk.ledger,
        before=before,
        limit=_SHOWN + 1,
        withdrawn=None if of_set is not None else bool(withdrawn),
        set_id=of_set,
        with_held=visitor.may(Role.RUN),
    )
    return render(
        request,
        "references.html.j2",
        rows=rows[:_SHOWN],
        before=rows[_SHOWN - 1].id if len(rows) > _SHOWN else None,
        of_set=of_set,
        withdrawn=bool(withdrawn),
        may_teach=visitor.may(Role.DECIDE),
        most_files=MOST_FILES,
        most_mb=desk.settings.desk_upload_mb,
        kinds=list(ReferenceKind),
        certainties=list(Certainty),
    )


@router.get("/references/{number}")
def reference(request: Request, number: Number, desk: OpenDesk, visitor: Looking) -> Response:
    """A reference, and which networks it has taught."""
    row = seen_reference(desk, visitor, number)
    return render(
        request,
        "reference.html.j2",
        row=row,
        witnesses=witnesses_of(desk.ledger, row.id),
        may_teach=visitor.may(Role.DECIDE),
    )


@router.get("/references/{number}/picture")
def picture(number: Number, desk: OpenDesk, visitor: Looking) -> Response:
    """A reference, small."""
    row = seen_reference(desk, visitor, number)
    file = PictureFile(row.store, row.key, row.sha256[:16], pixels=row.width * row.height)
    try:
        jpeg = desk.pictures.small(file)
    except (AutochromeError, OSError) as error:
        raise HTTPException(404, str(error)) from error
    return Response(jpeg, media_type="image/jpeg", headers=_KEPT)


@router.post("/references/{number}/withdraw")
def withdraw(number: Number, desk: OpenDesk, visitor: Deciding, form: Form) -> Response:
    """Use a reference no more: as `autochrome references withdraw`."""
    why = reasons_in(form)
    if not why:
        raise UsageError("why? The record needs a reason")
    row = seen_reference(desk, visitor, number)
    withdraw_references(desk.ledger, [row.id], who=visitor.name, why=why)
    return RedirectResponse(f"/references/{number}", 303)


@router.post("/references/deliveries/by-form")
async def deliver_by_form(
    request: Request, desk: OpenDesk, visitor: Deciding, form: Form
) -> Response:
    """Receive a delivery as one form, and have it checked: without scripts."""
    files = [one for one in await read_files(request) if one.filename][:MOST_FILES]
    taken = await run_in_threadpool(_take_form, desk, visitor, files, form)
    return render(request, "delivered.html.j2", taken=taken)


def _take_form(desk: Desk, visitor: Visitor, files: list[Part], form: Form) -> list[FileResult]:
    folder = _folder(desk, visitor, secrets.token_hex(8))
    _forget(desk, visitor)
    folder.mkdir(parents=True)
    for number, file in enumerate(files):
        (folder / str(number)).write_bytes(file.content)
        (folder / f"{number}.name").write_text(shown(file.filename[:400]), "utf-8")
    return hand_in(folder.name, desk, visitor, form)


@router.post("/references/deliveries/{token}/{number}", status_code=204)
async def upload(  # noqa: PLR0913, PLR0917  the parameters of a URL
    request: Request,
    token: Token,
    number: Annotated[int, InPath(ge=0, lt=MOST_FILES)],
    desk: OpenDesk,
    visitor: Deciding,
    name: Annotated[str, Query(max_length=400)],
) -> Response:
    """Receive one file of a delivery, as the body."""
    folder = _folder(desk, visitor, token)
    if not folder.is_dir():
        _forget(desk, visitor)  # one delivery a person: what was not handed in is given up
        folder.mkdir(parents=True)
    if sum(file.stat().st_size for file in folder.iterdir()) > _MOST_BYTES:
        raise HTTPException(413, f"a delivery of more than {_MOST_BYTES >> 30} GiB is too large")
    path = folder / str(number)
    try:
        await receive(request, path, most=desk.settings.desk_upload_mb << 20)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    (folder / f"{number}.name").write_text(shown(name), "utf-8")
    return Response(status_code=204)


@router.post("/references/deliveries/{token}")
def hand_in(token: Token, desk: OpenDesk, visitor: Deciding, form: Form) -> list[FileResult]:
    """Check what was received, all together, and take in what may be a reference."""
    folder = _folder(desk, visitor, token)
    numbers = sorted(int(file.stem) for file in folder.glob("*.name")) if folder.is_dir() else []
    if not numbers:
        raise UsageError("there is nothing in this delivery; choose files first")
    names = {one: (folder / f"{one}.name").read_text("utf-8") for one in numbers}
    said = {name: form[name].strip()[:1000] for name in _SAID if form.get(name)}
    described = describe(Description(curator=visitor.name), said)
    origins = {one: f"desk:{token}/{one}/{name}" for one, name in names.items()}
    try:
        answers = add_references(
            desk.settings,
            desk.ledger,
            Delivery(
                found=[Found(origins[one], described, folder / str(one)) for one in numbers],
                collection=form.get("collection", "").strip()[:200] or "references",
                who=visitor.name,
                vouched=bool(form.get("vouch")),
            ),
        )
    finally:
        _forget(desk, visitor)
    return [
        FileResult(
            number=one,
            name=names[one],
            reference=answer.reference_id,
            split=answer.split,
            refusal=answer.verdict.refusal if answer.verdict else None,
            # How the file is called here is nobody's business.
            detail=_plain(answer.verdict.detail, folder) if answer.verdict else "",
        )
        for one, answer in zip(numbers, answers, strict=True)
    ]


def _plain(detail: str, folder: Path) -> str:
    return re.sub(
        rf"\S*{re.escape(str(folder.parent.parent))}\S*:\s*|desk:[0-9a-f]+/\d+/", "", detail
    )


def _folder(desk: Desk, visitor: Visitor, token: str) -> Path:
    return _home(desk, visitor) / token


def _home(desk: Desk, visitor: Visitor) -> Path:
    return desk.pictures.folder / "deliveries" / visitor.name.encode().hex()[:200]


def _forget(desk: Desk, visitor: Visitor) -> None:
    shutil.rmtree(_home(desk, visitor), ignore_errors=True)

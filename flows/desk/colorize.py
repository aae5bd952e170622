"""`POST /api/colorize`: one picture in, a coloured one out, for a camera app or a catalogue."""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query, Request
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response

from colormodel.correction import Correction, parse_correction
from colormodel.hints import HintError
from flows.desk.api import REFUSALS, Refusal
from flows.desk.desk import Desk
from flows.desk.identity import Deciding, OpenDesk
from tasks.errors import AutochromeError, Reason, UsageError, Verdict, reason_of
from tasks.filetypes import Format
from tasks.pictures.colouring import ColourPicture, ColourRequest, colour_picture

router = APIRouter(prefix="/api", tags=["colorize"], responses=REFUSALS)

_PICTURE: dict[str, dict[str, str]] = {"image/jpeg": {}, "image/tiff": {}}
_MOST_SAID = 200_000
#: What is the picture's own fault.
_ITS_OWN = frozenset({Verdict.SKIP, Verdict.QUARANTINE, Verdict.FAIL})


def _colour(desk: Desk, path: Path, wanted: ColourRequest) -> ColourPicture:
    with desk.colours.line.turn():
        colorizer = desk.colours.sessions.colorizer
        return colour_picture(desk.settings, desk.pictures, colorizer, path, wanted)


@router.post(
    "/colorize",
    response_class=Response,
    responses={
        200: {"content": _PICTURE, "description": "The picture, its tone kept, gated"},
        413: {
            "model": Refusal,
            "description": "The file or its picture is too large",
        },
        422: {"model": Refusal, "description": "It is no greyscale photograph that can be read"},
        429: {
            "model": Refusal,
            "description": "Too many are at it: see `Retry-After`",
        },
    },
    openapi_extra={
        "parameters": [
            {
                "name": "said",
                "in": "query",
                "description": "What a person says, as for corrections; at most 200,000 characters",
                "content": {
                    "application/json": {"schema": {"$ref": "#/components/schemas/Statement"}}
                },
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                kind: {"schema": {"type": "string", "format": "binary"}}
                for kind in sorted(one.media_type for one in Format)
            },
        },
    },
)
async def colorize(
    request: Request,
    desk: OpenDesk,
    visitor: Deciding,
    answer: Annotated[
        Literal["jpeg", "master"],
        Query(description="A JPEG, or the lossless file of the scan's depth where there is one"),
    ] = "jpeg",
    uri: Annotated[str, Query(max_length=2000, description="Where it is from, for XMP")] = "",
) -> Response:
    """Colour one picture, sent as the body: JPEG, PNG, TIFF or JPEG 2000. Nothing of it is kept."""
    said = _correction(request.query_params.get("said", ""))
    wanted = ColourRequest(uri, said, visitor.name, answer == "master")
    line = desk.colours.line
    if wait_s := line.enter():
        raise HTTPException(
            429,
            "as many pictures as can be are being coloured: try again in a moment",
            headers={"Retry-After": str(round(wait_s))},
        )
    folder = Path(tempfile.mkdtemp(dir=desk.pictures.folder))
    try:
        path = folder / "scan"
        await receive(request, path, most=desk.settings.desk_upload_mb << 20)
        made = await run_in_threadpool(_colour, desk, path, wanted)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise _named(error) from error
    finally:
        line.leave()
    return FileResponse(
        made.path,
        media_type=made.content_type,
        headers={"X-Confidence": f"{made.confidence:.3f}"},
        background=BackgroundTask(shutil.rmtree, folder, ignore_errors=True),
    )


async def receive(request: Request, path: Path, *, most: int) -> None:
    """Write a body of at most so many bytes to a file.

    Raises:
        HTTPException: It is larger, or empty.
    """
    received = 0
    with path.open("wb") as file:
        async for chunk in request.stream():
            received += len(chunk)
            if received > most:
                raise HTTPException(413, f"the file is larger than {most >> 20} MiB")
            file.write(chunk)
    if not received:
        raise HTTPException(422, "the body is empty: send the picture's file as it is")


def _named(error: BaseException) -> BaseException:
    """A refusal that says whether it is the picture's own fault."""
    if not isinstance(error, AutochromeError) or isinstance(error, UsageError):
        return error
    reason = reason_of(error)
    if reason is Reason.TOO_LARGE:
        return HTTPException(413, str(error))
    return HTTPException(422, f"{reason}: {error}") if reason.verdict in _ITS_OWN else error


def _correction(said: str) -> Correction:
    if len(said) > _MOST_SAID:
        raise UsageError(f"said: more than {_MOST_SAID:,} characters")
    try:
        return parse_correction(said, "said") if said else Correction()
    except HintError as error:
        raise UsageError(str(error)) from error

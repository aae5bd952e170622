"""Pictures by the IIIF Image API 3.0, level 1, at `/iiif/ITEM-scan-TAG` and `…-colour-TAG`."""

import re
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from flows.desk.desk import Desk
from flows.desk.identity import Looking, OpenDesk, Visitor, is_secure
from flows.desk.views import seen_item, shown_file
from tasks.errors import AutochromeError
from tasks.pictures.cache import CachedPyramid
from tasks.pictures.region import cut, describe_service, read_region
from tasks.pictures.showing import which_of

router = APIRouter(include_in_schema=False)

Number = Annotated[int, Path(ge=1, lt=1 << 60)]
_IDENTIFIER = re.compile(r"([0-9]{1,18})-(scan|colour)-([0-9a-f]{16})")
#: The tag changes with the bytes; whoever may see it once may keep it for a day.
_KEPT = {"Cache-Control": "private, max-age=86400, immutable"}
_JSON = 'application/ld+json;profile="http://iiif.io/api/image/3/context.json"'


@router.get("/iiif/{identifier}")
def lead_to_info(identifier: str, visitor: Looking) -> Response:
    """The description of a picture, for clients that know its address alone."""
    del visitor
    return RedirectResponse(f"/iiif/{identifier}/info.json", 303)


@router.get("/iiif/{identifier}/info.json")
def info(request: Request, identifier: str, desk: OpenDesk, visitor: Looking) -> Response:
    """How large a picture is, and in which pieces it is best asked for."""
    kept = _kept(desk, visitor, identifier)
    scheme = "https" if is_secure(request) else request.url.scheme
    base = f"{scheme}://{request.url.netloc}/iiif/{identifier}"
    size = kept.pyramid
    service = describe_service(base, width=size.width, height=size.height)
    return JSONResponse(service, media_type=_JSON, headers=_KEPT)


@router.get("/iiif/{identifier}/{region}/{size}/{rotation}/{form}")
def piece(  # noqa: PLR0913, PLR0917  the API's own
    identifier: str,
    region: str,
    size: str,
    rotation: str,
    form: str,
    desk: OpenDesk,
    visitor: Looking,
) -> Response:
    """A piece of a picture, at the size that is asked for."""
    if rotation != "0" or form not in {"default.jpg", "color.jpg"}:
        raise HTTPException(400, "only rotation 0 and default.jpg are given")
    kept = _kept(desk, visitor, identifier)
    pyramid = kept.pyramid
    wanted = read_region(region, size, width=pyramid.width, height=pyramid.height)
    return Response(cut(kept.path, wanted), media_type="image/jpeg", headers=_KEPT)


@router.get("/items/{item_id}/doubt.png")
def doubt(item_id: Number, desk: OpenDesk, visitor: Looking) -> Response:
    """Where the network in service doubts its colours, to be laid over the derivative."""
    one = seen_item(desk, visitor, item_id)
    file = shown_file(one, "scan")
    if file is None or one.is_film:
        raise HTTPException(404, "the scan holds other bytes by now")
    png = desk.colours.sessions.open(file).doubt()
    return Response(png, media_type="image/png", headers={"Cache-Control": "private, max-age=600"})


def _kept(desk: Desk, visitor: Visitor, identifier: str) -> CachedPyramid:
    match = _IDENTIFIER.fullmatch(identifier)
    if match is None:
        raise HTTPException(404)
    number, which, tag = match.groups()
    one = seen_item(desk, visitor, int(number), fresh=False)
    file = shown_file(one, which_of(which))
    if file is None or file.tag != tag:
        raise HTTPException(404, "this picture is not there any more; load the page again")
    try:
        return desk.pictures.pyramid(file)
    except AutochromeError as error:
        raise HTTPException(404, str(error)) from error

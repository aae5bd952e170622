"""Figures, the output's files, the way on to Prefect's UI: for whoever runs the archive."""

import logging
import re
from itertools import chain
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import RedirectResponse, Response, StreamingResponse

from flows.desk.identity import OpenDesk, Program
from flows.web.addresses import ui_url
from flows.web.login import LOGIN_PATH
from tasks.errors import AutochromeError
from tasks.filetypes import media_type_of
from tasks.report.metrics import exposition
from tasks.storage import ObjectInfo, ObjectStore
from tasks.storage.keys import is_storable

logger = logging.getLogger(__name__)

router = APIRouter(include_in_schema=False)

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
#: A report is a page of our own; whatever else lies there is not to run as one.
_SANDBOX = "sandbox allow-popups"


@router.get("/metrics")
def metrics(desk: OpenDesk, visitor: Program) -> Response:
    """What an alert needs to know."""
    del visitor
    return Response(exposition(desk.ledger), media_type=CONTENT_TYPE_LATEST)


@router.get("/login")
def login(desk: OpenDesk, visitor: Program) -> Response:
    """Lead a browser that has shown this machine's password on to Prefect's UI."""
    auth = desk.settings.api_auth
    if visitor.way != "password" or auth is None:
        return RedirectResponse("/", 303)
    secret = quote(auth.get_secret_value(), safe="")
    return RedirectResponse(f"{ui_url(desk.settings)}{LOGIN_PATH}#{secret}", 303)


@router.get("/enter")
def enter(request: Request, visitor: Program) -> Response:
    """Lead a browser that has shown this machine's password to the desk, by a link without it."""
    del visitor
    return RedirectResponse(f"{request.url.scheme}://{request.headers['host']}/", 303)


@router.get("/files/{key:path}")
def file(request: Request, key: str, desk: OpenDesk, visitor: Program) -> Response:
    """A file of the output. For whoever runs the archive: a report may show what is held since."""
    del visitor
    if not is_storable(key):
        raise HTTPException(404)
    try:
        return send_file(desk.output, key, request)
    except AutochromeError as error:
        logger.warning("%s: %s", request.url.path, error)
        raise HTTPException(404) from error


def send_file(output: ObjectStore, key: str, request: Request) -> Response:
    """Send an object, or the part that is asked for, as it comes from the store.

    Raises:
        HTTPException: It is not there, or ends before that part.
        AutochromeError: The store does not give it.
    """
    info = output.stat(key)
    if info is None:
        raise HTTPException(404)
    part = _part(request.headers.get("range", ""), info)
    chunks = output.stream(key, part, etag=info.etag)
    first = next(chunks, b"")  # what the store refuses, it refuses here
    is_whole = len(part) == info.size_bytes
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Length": str(len(part)),
        "Content-Security-Policy": _SANDBOX,
        "Content-Type": media_type_of(key),
        "ETag": f'"{info.etag}"',
    }
    if not is_whole:
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{info.size_bytes}"
    status = 200 if is_whole else 206
    return StreamingResponse(chain([first], chunks), status_code=status, headers=headers)


def _part(asked: str, info: ObjectInfo) -> range:
    """The bytes that a Range header asks for; all of them where it asks for nothing or for much."""
    size = info.size_bytes
    match = _RANGE.fullmatch(asked.strip())
    if match is None or match[0] == "bytes=-":
        return range(size)
    begin, end = match[1], match[2]
    if not begin:
        part = range(max(size - int(end), 0), size)
    else:
        part = range(int(begin), min(int(end) + 1 if end else size, size))
    if not part:
        raise HTTPException(416, headers={"Content-Range": f"bytes */{size}"})
    return part

"""A small read-only web server: metrics for Prometheus, reports and derivatives for browsers."""

import base64
import binascii
import hmac
import logging
import mimetypes
import re
import socket
import threading
import time
from itertools import chain
from types import TracebackType
from typing import Self
from urllib.parse import quote

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from flows.serving.environment import allowed_names, ui_url
from flows.serving.guard import Guard
from flows.serving.prefect_server import LOGIN_PATH
from tasks.errors import AutochromeError, UsageError
from tasks.ledger import Ledger
from tasks.report.metrics import exposition
from tasks.settings import Settings
from tasks.storage import ObjectInfo, ObjectStore, open_store
from tasks.storage.keys import is_storable

logger = logging.getLogger(__name__)

_START_S = 30.0
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
#: A report is a page of our own; whatever else lies there is not to run as one.
_SANDBOX = "sandbox allow-popups"


class WebServer:
    """Serves `/metrics` and, below `/files/`, the output store; in a thread, while it is open.

    It asks for the name and password that the settings hold. `/login` leads a browser that has
    shown them on to Prefect's UI, and logs it in there.
    """

    def __init__(self, settings: Settings, ledger: Ledger, *, files: bool) -> None:
        if settings.api_auth is None:
            raise UsageError("a password is missing: set AUTOCHROME_API_AUTH to name:password")
        output = open_store(settings.output, settings=settings, writable=True) if files else None
        app = _application(settings, ledger, output)
        config = uvicorn.Config(
            app, lifespan="off", log_config=None, access_log=False, server_header=False
        )
        self._socket = _bind(settings.host, settings.web_port)
        self._server = uvicorn.Server(config)
        self.url = f"http://{settings.host}:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="web", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        end = time.monotonic() + _START_S
        while not self._server.started and self._thread.is_alive() and time.monotonic() < end:
            time.sleep(0.01)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join()
        self._socket.close()


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen()
    except OSError as error:
        bound.close()
        raise UsageError(
            f"port {port} on {host} cannot be used: {error.strerror}; end what uses it, or set "
            "AUTOCHROME_WEB_PORT to another"
        ) from error
    return bound


def _application(settings: Settings, ledger: Ledger, output: ObjectStore | None) -> ASGIApp:
    auth = settings.api_auth.get_secret_value() if settings.api_auth else ""

    def metrics(request: Request) -> Response:
        del request
        return Response(exposition(ledger), media_type=CONTENT_TYPE_LATEST)

    def login(request: Request) -> Response:
        del request
        return RedirectResponse(f"{ui_url(settings)}{LOGIN_PATH}#{quote(auth, safe='')}", 303)

    def file(request: Request) -> Response:
        key = request.path_params["key"]
        if output is None or not is_storable(key):
            raise HTTPException(404)
        try:
            return _file(output, key, request)
        except AutochromeError as error:
            logger.warning("%s: %s", request.url.path, error)
            raise HTTPException(404) from error

    return Starlette(
        routes=[
            Route("/metrics", metrics),
            Route("/login", login),
            Route("/files/{key:path}", file),
        ],
        middleware=[
            Middleware(Guard, host=settings.host, names=allowed_names(settings)),
            Middleware(_Password, auth=auth),
        ],
    )


class _Password:
    """Asks for name and password (HTTP Basic)."""

    def __init__(self, app: ASGIApp, *, auth: str) -> None:
        self._app = app
        self._auth = auth.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_shown(Request(scope)):
            asking = {"WWW-Authenticate": 'Basic realm="Autochrome", charset="UTF-8"'}
            await Response(status_code=401, headers=asking)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_shown(self, request: Request) -> bool:
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            decoded = base64.b64decode(shown.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        return hmac.compare_digest(decoded, self._auth)


def _file(output: ObjectStore, key: str, request: Request) -> Response:
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
        "Content-Type": mimetypes.guess_type(key)[0] or "application/octet-stream",
        "ETag": f'"{info.etag}"',
    }
    if not is_whole:
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{info.size_bytes}"
    status = 200 if is_whole else 206
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
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

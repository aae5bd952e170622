"""The desk as an application: its routes, and what stands before all of them."""

import logging
from importlib.metadata import version
from urllib.parse import quote

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flows.desk import (
    api,
    archive,
    colorize,
    correcting,
    films,
    items,
    models,
    ordering,
    outputs,
    pace,
    pictures,
    references,
    review,
    signing,
    static,
    wall,
)
from flows.desk.desk import Desk
from flows.desk.identity import (
    ASKING,
    URLENCODED,
    Identity,
    NotSignedIn,
    check_form,
    form_kind,
)
from flows.desk.pages import render, wants_page
from flows.web.addresses import allowed_names
from flows.web.guard import Guard
from tasks.errors import AutochromeError, DatabaseUnavailable, UsageError
from tasks.ledger.corrections import CorrectedMeanwhile
from tasks.ledger.curating import DecidedMeanwhile

logger = logging.getLogger(__name__)

#: Nothing in line, nothing from elsewhere; pictures that scripts have drawn are blobs.
CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "media-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
MOST_BODY_BYTES = 1 << 20
#: Here pictures are sent, and as much is read as the settings say.
_UPLOADS = ("/api/colorize", "/references/deliveries/")
#: All routes there are. Whoever adds a page names its router here.
ROUTERS = (
    *(module.router for module in (review, wall, archive, ordering, models, references)),
    *(module.router for module in (items, pace, pictures, signing, api, correcting, colorize)),
    *(correcting.pages, films.router, films.api, static.router, outputs.router),
)


def desk_app(desk: Desk) -> FastAPI:
    """The pages and the API over a desk.

    What changes anything needs a form's word by `check_form`, which stands before all routes.
    """
    settings = desk.settings
    app = FastAPI(
        title="Autochrome desk",
        version=version("autochrome"),
        description="What waits for a curator, what was decided, and the pictures. "
        "GET /api/events tells as server-sent events what is decided meanwhile. "
        "Sign in by HTTP Basic; what changes anything needs the header X-CSRF-Token with the "
        "form_token of GET /api/me.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(check_form)],
        middleware=[
            Middleware(_Head),
            Middleware(Guard, host=settings.host, names=allowed_names(settings)),
            Middleware(_Headers),
            Middleware(_BodyLimit, most_upload_bytes=settings.desk_upload_mb << 20),
            Middleware(Identity, desk=desk),
        ],
    )
    for router in ROUTERS:
        app.include_router(router)
    app.add_exception_handler(NotSignedIn, _not_signed_in)
    app.add_exception_handler(DecidedMeanwhile, _decided_meanwhile)
    app.add_exception_handler(CorrectedMeanwhile, _corrected_meanwhile)
    app.add_exception_handler(AutochromeError, _refused)
    app.add_exception_handler(HTTPException, _http_refused)
    app.add_exception_handler(RequestValidationError, _not_understood)
    return app


def _say(request: Request, status: int, message: str, headers: dict[str, str] | None) -> Response:
    """A refusal, as a page or as JSON."""
    if wants_page(request):
        return render(request, "message.html.j2", status=status, message=message, headers=headers)
    return JSONResponse({"detail": message}, status, headers=headers)


def _not_signed_in(request: Request, error: Exception) -> Response:
    del error
    if request.state.is_local:
        # The browser asks for this machine's password, and keeps it for this server alone.
        return PlainTextResponse(
            "This needs the name and password of this machine: open the link that "
            "`autochrome login` prints.\n",
            401,
            headers=ASKING,
        )
    if wants_page(request) and request.method == "GET":
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/sign-in?next={quote(here, safe='')}", 303)
    return _say(request, 401, "nobody is signed in: sign in first", None)


def _decided_meanwhile(request: Request, error: Exception) -> Response:
    assert isinstance(error, DecidedMeanwhile)  # noqa: S101  for it alone
    if wants_page(request):
        return render(
            request, "message.html.j2", status=409, message=str(error), item_id=error.item_id
        )
    told = api.meanwhile(error)
    return JSONResponse(told.model_dump(mode="json"), 409)


def _corrected_meanwhile(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, CorrectedMeanwhile)  # noqa: S101  for it alone
    return correcting.overtaken(error)


def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, DatabaseUnavailable):
        status = 503
    elif isinstance(error, UsageError):
        status = 400
    else:
        status = 502
        logger.warning("%s: %s", request.url.path, error)
    return _say(request, status, str(error), None)


def _http_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  for it alone
    message = str(error.detail)
    if error.status_code == 404 and message == "Not Found":
        message = "there is nothing here"
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_methods_at(request))
    return _say(request, error.status_code, message, headers)


def _methods_at(request: Request) -> list[str]:
    """What may be done at a path: by all of its routes, of which Starlette names the first's."""
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, Route)]
    fits = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    methods = {method for route in fits for method in route.methods or ()}
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)


def _not_understood(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  for it alone
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:])
    return _say(request, 422, f"{where or 'the request'}: {first['msg']}", None)


class _Head:
    """Answers HEAD, wherever GET is answered, with what that would say of its body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        is_answered = False

        async def send_head(message: Message) -> None:
            nonlocal is_answered
            if not is_answered:
                is_answered = True
                await send(message)
                await send({"type": "http.response.body"})

        async def receive_until_answered() -> Message:
            # Files and events end here: nobody listens to what they hold.
            return {"type": "http.disconnect"} if is_answered else await receive()

        await self._app({**scope, "method": "GET"}, receive_until_answered, send_head)


class _Headers:
    """What browsers are told about every answer, unless a route says otherwise."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", CONTENT_POLICY)
                headers.setdefault("Cache-Control", "no-store")
                headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
            await send(message)

        await self._app(scope, receive, send_with_headers)


class _BodyLimit:
    """Refuses bodies that are longer than any form, request or picture of the desk."""

    def __init__(self, app: ASGIApp, *, most_upload_bytes: int) -> None:
        self._app = app
        self._most_upload_bytes = most_upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = MOST_BODY_BYTES
        headers = Headers(scope=scope)
        if scope["path"].startswith(_UPLOADS) and form_kind(headers) != URLENCODED:
            most = self._most_upload_bytes
        said = headers.get("content-length", "0")
        if not said.isdecimal() or int(said) > most:
            await PlainTextResponse("That is too much at once.\n", 413)(scope, receive, send)
            return
        read = 0

        async def receive_some() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > most:
                raise HTTPException(413, "that is too much at once")
            return message

        await self._app(scope, receive_some, send)

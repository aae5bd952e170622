"""Prefect's server behind a guard: `python -m flows.serving.prefect_server --host 127.0.0.1`.

As `prefect server start`, with three differences: without a password it does not start, requests
under foreign names and from foreign pages are refused (`guard`), and a link can log a browser in.
It needs nothing of Autochrome but this file and the guard, and reads Prefect's own settings.
"""

import argparse
import base64
import hashlib
import os
import sys
from collections.abc import Sequence

import uvicorn
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from flows.serving.guard import Guard, known_address

#: Where a browser is logged in; the password follows as a fragment, which no server is sent.
LOGIN_PATH = "/autochrome/login"

#: Prefect's own login page puts the password under this name, for this server alone.
_SCRIPT = """
const bytes = new TextEncoder().encode(decodeURIComponent(location.hash.slice(1)));
localStorage.setItem("prefect-password", btoa(String.fromCharCode(...bytes)));
location.replace("/");
"""
_PAGE = f'<!doctype html><meta charset="utf-8"><title>Autochrome</title><script>{_SCRIPT}</script>'
_SCRIPT_DIGEST = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m flows.serving.prefect_server")
    parser.add_argument("--host", default="127.0.0.1", help="address to serve at")
    parser.add_argument("--port", type=int, default=4200, help="port to serve at")
    parser.add_argument(
        "--allow",
        default="",
        metavar="NAMES",
        help="names or URLs under which browsers and workers know this server, parted by ;",
    )
    given = parser.parse_args(arguments)
    if not os.environ.get("PREFECT_SERVER_API_AUTH_STRING"):
        sys.exit("who may log in? Set PREFECT_SERVER_API_AUTH_STRING to name:password")
    names = [name.strip() for name in given.allow.split(";") if name.strip()]
    try:
        for name in names:
            known_address(name)
    except ValueError as error:
        sys.exit(f"--allow: {error}")
    # Prefect allows every page of every server unless it is told; read when it is imported.
    os.environ["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] = f"http://{given.host}:{given.port}"
    from prefect.server.api.server import create_app  # noqa: PLC0415  see above
    from prefect.settings import get_current_settings  # noqa: PLC0415

    settings = get_current_settings().server
    uvicorn.run(
        Guard(_Login(create_app(final=True)), host=given.host, names=names),
        host=given.host,
        port=given.port,
        timeout_keep_alive=settings.api.keepalive_timeout,
        ws_ping_interval=settings.api.websocket_ping_interval,
        ws_ping_timeout=settings.api.websocket_ping_timeout,
        log_level=settings.logging_level.lower(),
    )


class _Login:
    """Adds the page that logs a browser in."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_login = scope["type"] == "http" and scope["path"] == LOGIN_PATH
        await (_login_page() if is_login else self._app)(scope, receive, send)


def _login_page() -> HTMLResponse:
    policy = f"default-src 'none'; script-src 'sha256-{_SCRIPT_DIGEST}'"
    return HTMLResponse(
        _PAGE, headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"}
    )


if __name__ == "__main__":
    main()

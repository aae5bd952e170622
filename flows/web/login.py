"""The page that logs a browser in to Prefect's UI."""

import base64
import hashlib

from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send

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


class LoginPage:
    """Adds the page to Prefect's server."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the page, or let the server answer."""
        is_login = scope["type"] == "http" and scope["path"] == LOGIN_PATH
        await (_login_page() if is_login else self._app)(scope, receive, send)


def _login_page() -> HTMLResponse:
    policy = f"default-src 'none'; script-src 'sha256-{_SCRIPT_DIGEST}'"
    return HTMLResponse(
        _PAGE, headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"}
    )

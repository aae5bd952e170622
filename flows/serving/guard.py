"""Who may ask a server of ours at all: by what name it was called, and by which page.

A browser sends what any page asks it to, also to servers that only this machine reaches. So the
name in `Host` must be one of ours (or another's name has been made to lead here), and a page that
asks must come from the same server. A password is asked for behind this, not instead.
"""

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
ANY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104  what is bound to is told by the caller

#: Browsers let no other page frame ours, embed what we send, or learn which page led to it.
_HEADERS = {
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Refuses requests and websockets under a foreign name (400) or from a foreign page (403).

    Args:
        app: What is guarded.
        host: The address that it is bound to.
        names: Names under which it is known besides that one and those of loopback; a URL stands
            for the name in it.
    """

    def __init__(self, app: ASGIApp, *, host: str, names: Iterable[str] = ()) -> None:
        self._app = app
        self._known = {_name_in(name) for name in names}
        self._allowed = LOOPBACK | {host.lower()} | self._known
        self._takes_any_address = host in ANY_ADDRESS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the guarded application answer."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        if refusal := self._refusal(scope):
            await _refuse(refusal, scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_ours(_host_of(f"//{hosts[0]}")):
            return PlainTextResponse(
                "This server is not known under that name; AUTOCHROME_ALLOWED_HOSTS adds one.\n",
                400,
            )
        if not self._is_from_us(scope, headers, hosts[0]):
            return PlainTextResponse("Pages of other servers may not ask this one.\n", 403)
        return None

    def _is_ours(self, name: str) -> bool:
        if name in self._allowed:
            return True
        # Nobody's name leads a browser here under an address: it was typed, or is a link to us.
        return self._takes_any_address and _is_address(name)

    def _is_from_us(self, scope: Scope, headers: Headers, host: str) -> bool:
        if "origin" in headers:
            origin = headers["origin"].lower()
            is_own = origin in {f"http://{host}".lower(), f"https://{host}".lower()}
            # Behind a proxy that calls us by another name, the page's is one that we were told.
            return is_own or _host_of(origin) in self._known
        # Current browsers say of requests without an origin where they come from; others do not.
        if headers.get("sec-fetch-site", "none") in {"same-origin", "none"}:
            return True
        is_link = headers.get("sec-fetch-mode") == "navigate"
        return is_link and scope.get("method") in {"GET", "HEAD"}


async def _refuse(refusal: PlainTextResponse, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()  # that somebody wants to connect
        await send({"type": "websocket.close", "code": 1008})  # before it was accepted: HTTP's 403
        return
    await refusal(scope, receive, send)


def _name_in(name: str) -> str:
    _, _, rest = name.rpartition("://")
    return _host_of(f"//{rest.partition('/')[0]}")


def _host_of(address: str) -> str:
    """The name or address in *address*, without port and brackets; empty where there is none."""
    try:
        parts = urlsplit(address)
        parts.port  # noqa: B018  raises where it is none
    except ValueError:
        return ""
    is_plain = not (parts.path or parts.query or parts.fragment or "@" in parts.netloc)
    return (parts.hostname or "") if is_plain else ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

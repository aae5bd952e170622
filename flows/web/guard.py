"""Who may ask a server of ours at all: by what name it was called, and by which page.

A browser sends what any page asks it to, also to servers that only this machine reaches. So the
name in `Host` must be one of ours (or another's name has been made to lead here), and a page that
asks must come from the same server: by scheme, name and port, for other servers of the same
machine are strangers. A password is asked for behind this, not instead.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
ANY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104  what is bound to is told by the caller

_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"[a-z0-9_][a-z0-9_.-]*")

#: Browsers let no other page frame ours, embed what we send, or learn which page led to it.
_HEADERS = {
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class Address(NamedTuple):
    """Where a server is; without a scheme or a port, as far as that says."""

    scheme: str  #: empty where none is named
    name: str  #: in lower case, an IPv6 address without brackets
    port: int | None


class Guard:
    """Refuses requests and websockets under a foreign name (400) or from a foreign page (403).

    Args:
        app: What is guarded.
        host: The address that it is bound to.
        names: Names under which it is known besides that one and those of loopback. A URL names a
            page's origin as well, where a proxy calls this server by another name than browsers do.

    Raises:
        ValueError: One is neither a name nor a URL.
    """

    def __init__(self, app: ASGIApp, *, host: str, names: Iterable[str] = ()) -> None:
        self._app = app
        known = {known_address(name) for name in names}
        self._origins = {one for one in known if one.scheme}
        self._allowed = LOOPBACK | {_normal(host)} | {one.name for one in known}
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
        hosts = [_address_of(f"//{host}") for host in headers.getlist("host")]
        host = hosts[0] if len(hosts) == 1 else None
        if host is None or not self._is_ours(host.name):
            return PlainTextResponse(
                "This server is not known under that name; AUTOCHROME_ALLOWED_HOSTS adds one.\n",
                400,
            )
        if not self._is_from_us(scope, headers, host):
            return PlainTextResponse("Pages of other servers may not ask this one.\n", 403)
        return None

    def _is_ours(self, name: str) -> bool:
        if name in self._allowed:
            return True
        # Nobody's name leads a browser here under an address: it was typed, or is a link to us.
        return self._takes_any_address and _is_address(name)

    def _is_from_us(self, scope: Scope, headers: Headers, host: Address) -> bool:
        if "origin" in headers:
            origins = [_address_of(origin) for origin in headers.getlist("origin")]
            return len(origins) == 1 and self._is_our_page(origins[0], host)
        # Current browsers say of requests without an origin where they come from; others do not.
        if headers.get("sec-fetch-site", "none") in {"same-origin", "none"}:
            return True
        is_link = headers.get("sec-fetch-mode") == "navigate"
        return is_link and scope.get("method") in {"GET", "HEAD"}

    def _is_our_page(self, origin: Address | None, host: Address) -> bool:
        """Whether a page's origin, None where it has none that can be told, is this server."""
        if origin is None or origin.scheme not in _PORTS:
            return False  # `null`, too: a page in a sandbox, or a file
        if origin in self._origins:
            return True
        if host.port is None and any(one.name == host.name for one in self._origins):
            return False  # ports 80 and 443 may be two servers: it was told which is ours
        # Whether a proxy in front speaks TLS, only the page's origin tells.
        port = _PORTS[origin.scheme] if host.port is None else host.port
        return (origin.name, origin.port) == (host.name, port)


async def _refuse(refusal: PlainTextResponse, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()  # that somebody wants to connect
        await send({"type": "websocket.close", "code": 1008})  # before it was accepted: HTTP's 403
        return
    await refusal(scope, receive, send)


def known_address(name: str) -> Address:
    """A name, address or URL of a server, as settings have it; a URL's path does not count.

    Raises:
        ValueError: It is none of them.
    """
    scheme, _, rest = name.rpartition("://")
    netloc = rest.partition("/")[0]
    if _is_address(netloc):
        netloc = f"[{netloc}]" if ":" in netloc else netloc
    address = _address_of(f"{scheme}://{netloc}" if scheme else f"//{netloc}")
    if address is None or not is_name(address.name) or address.scheme not in {"", *_PORTS}:
        raise ValueError(
            f"{name!r} is no name of a server; write such as scans.example.org, [2001:db8::5] or "
            "https://scans.example.org:8443, one with other letters than a to z as xn--…"
        )
    return address


def is_name(name: str) -> bool:
    """Whether a server can have this name, or it is an address, without port and brackets."""
    return _is_address(name) or _NAME.fullmatch(name.lower()) is not None


def _address_of(url: str) -> Address | None:
    """What *url* says without a path; None where it is no address of a server."""
    try:
        parts = urlsplit(url)
        port = parts.port  # raises where it is none
    except ValueError:
        return None
    is_plain = not (parts.path or parts.query or parts.fragment or "@" in parts.netloc)
    if not is_plain or not parts.hostname:
        return None
    port = _PORTS.get(parts.scheme) if port is None else port
    return Address(parts.scheme, _normal(parts.hostname), port)


def _normal(name: str) -> str:
    """A name in the one spelling under which it is compared."""
    return str(ipaddress.ip_address(name)) if _is_address(name) else name.lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

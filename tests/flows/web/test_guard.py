"""Requests under foreign names and from foreign pages are refused, links and our own are not."""

import asyncio
from collections.abc import Mapping

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Message
from starlette.websockets import WebSocket

from flows.web.guard import Guard


async def _connected(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close()


def guarded(host: str = "127.0.0.1", *names: str) -> Guard:
    """A server behind a guard."""
    route = Route("/", lambda _: PlainTextResponse("in"), methods=["GET", "POST"])
    return Guard(Starlette(routes=[route, WebSocketRoute("/", _connected)]), host=host, names=names)


def ask(guard: Guard, headers: Mapping[str, str], method: str = "GET") -> httpx.Response:
    """What it answers."""

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(guard)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:4200") as one:
            return await one.request(method, "/", headers=dict(headers))

    return asyncio.run(asked())


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:4200", "localhost:4200", "LOCALHOST", "[::1]:4200", "localhost:8080"],
)
def test_names_of_this_machine_are_known(host: str) -> None:
    """With any port: it may be forwarded."""
    assert ask(guarded(), {"Host": host}).text == "in"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example.org",
        "evil.example.org:4200",
        "127.0.0.1.evil.example.org",
        "localhost.evil.example.org",
        "evil.localhost:4200",
        "127.0.0.1@evil.example.org",
        "evil.example.org@127.0.0.1",
        "127.0.0.1:4200/evil",
        "127.0.0.1:port",
        "192.168.1.7",
        "0.0.0.0:4200",
        "[::1",
        "",
    ],
)
def test_foreign_names_are_refused(host: str) -> None:
    """However they are dressed."""
    assert ask(guarded(), {"Host": host}).status_code == 400


def test_a_server_for_all_is_known_under_its_names_and_addresses() -> None:
    """No foreign page is ever called by an address that leads here."""
    guard = guarded("0.0.0.0", "scans.example.org", "https://colour.example.org/ui")  # noqa: S104  nothing is bound
    for host in ("scans.example.org:4200", "colour.example.org", "192.168.1.7:4200", "[fe80::1]"):
        assert ask(guard, {"Host": host}).text == "in", host
    for host in ("example.org", "evil.scans.example.org"):
        assert ask(guard, {"Host": host}).status_code == 400, host


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example.org",
        "http://127.0.0.1:8888",
        "http://localhost:4200",
        "http://127.0.0.1",
        "http://127.0.0.1:42000",
        "file://",
        "null",
        "",
    ],
)
def test_foreign_pages_are_refused(origin: str, method: str) -> None:
    """Those of other servers of this machine, too; and nothing allows the browser to read it."""
    answer = ask(guarded(), {"Origin": origin}, method)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_our_own_pages_may_ask() -> None:
    """Directly, through a forwarded port, behind a proxy with TLS, whatever it calls us."""
    assert ask(guarded(), {"Origin": "http://127.0.0.1:4200"}, "POST").text == "in"
    forwarded = {"Host": "localhost:8080", "Origin": "http://localhost:8080"}
    assert ask(guarded(), forwarded, "POST").text == "in"
    page = {"Origin": "https://scans.example.org"}
    assert ask(guarded("127.0.0.1", "https://scans.example.org/ui"), page, "POST").text == "in"
    for known in ("scans.example.org", "https://scans.example.org"):
        told = {"Host": "scans.example.org", **page}
        assert ask(guarded("127.0.0.1", known), told, "POST").text == "in"
    on_port = {"Host": "scans.example.org:8443", "Origin": "https://scans.example.org:8443"}
    assert ask(guarded("127.0.0.1", "https://scans.example.org:8443"), on_port).text == "in"
    by_number = {"Host": "[2001:db8:0::5]:4200", "Origin": "http://[2001:db8::5]:4200"}
    assert ask(guarded("127.0.0.1", "2001:DB8::5"), by_number, "POST").text == "in"


@pytest.mark.parametrize(
    "origin",
    [
        "http://scans.example.org",
        "https://scans.example.org:9000",
        "http://scans.example.org:443",
        "ftp://scans.example.org",
        "scans.example.org",
        "null",
    ],
)
@pytest.mark.parametrize("host", ["127.0.0.1:4200", "scans.example.org"])
def test_pages_of_other_servers_under_our_names_are_refused(host: str, origin: str) -> None:
    """Another port is another server, and so is the port of another scheme."""
    guard = guarded("127.0.0.1", "https://scans.example.org", "127.0.0.1:1")
    assert ask(guard, {"Host": host, "Origin": origin}, "POST").status_code == 403


def test_a_name_without_a_url_says_nothing_of_pages() -> None:
    """Where a proxy calls us by another name, only a URL tells which pages are ours."""
    guard = guarded("127.0.0.1", "scans.example.org")
    assert ask(guard, {"Origin": "https://scans.example.org:9000"}, "POST").status_code == 403


@pytest.mark.parametrize(
    "name",
    ["x:8o", "[::1", "", "https://", "a b", "me@scans.example.org", "*.example.org", "file:///x",
     "2001:db8::5:port", "a;b", "m\u00fcller.example.org"],
)  # fmt: skip
def test_what_is_no_name_is_never_known(name: str) -> None:
    """Or everything that is no name would be known by it."""
    with pytest.raises(ValueError, match="is no name of a server"):
        guarded("127.0.0.1", name)


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
        ("GET", {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, 200),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ("GET", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ("POST", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 403),
        ("POST", {}, 200),
    ],
)
def test_without_an_origin_the_browser_says_where_it_comes_from(
    method: str, headers: dict[str, str], status: int
) -> None:
    """A link may lead here; a picture or script of a foreign page may not. Programs say nothing."""
    assert ask(guarded(), headers, method).status_code == status


def test_no_page_may_frame_or_embed_what_is_sent() -> None:
    """Or a click could be stolen."""
    headers = ask(guarded(), {}).headers
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({}, ["websocket.accept", "websocket.close"]),
        ({"origin": "http://127.0.0.1:4200"}, ["websocket.accept", "websocket.close"]),
        ({"origin": "http://evil.example.org"}, ["websocket.close"]),
        ({"host": "evil.example.org"}, ["websocket.close"]),
    ],
)
def test_websockets_are_guarded_too(headers: dict[str, str], told: list[str]) -> None:
    """Browsers let any page open one; only its origin tells."""
    wanted = {"host": "127.0.0.1:4200"} | headers
    scope = {
        "type": "websocket",
        "path": "/",
        "headers": [(name.encode(), value.encode()) for name, value in wanted.items()],
    }
    sent: list[str] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message["type"])

    asyncio.run(guarded()(scope, receive, send))
    assert sent == told

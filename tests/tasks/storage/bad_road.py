"""A bad road to a good S3 server: a proxy on loopback that does what networks and servers do."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

SECRET = "hunter2-never-to-be-seen"
_ERROR = """<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>{code}</Code><Message>key {secret}
&#10;second line</Message><AWSAccessKeyId>{secret}</AWSAccessKeyId></Error>"""


@dataclass
class Fault:
    """What happens to the next *times* requests with *method* whose path holds *path*.

    Attributes:
        method: "GET", "PUT", …; "" for each.
        path: Part of the path with its query.
        status: Answer with this instead of asking the server; `code` is S3's word for it.
        cut: Send the head and half of the body, then "reset" or "close" the connection.
        corrupt: Change one byte of the body.
        hang_s: Say nothing for so long, then close.
        lose_answer: Let the server do its work, and close without telling.
        headers: Send these instead of the server's; one that is empty is taken away.
        replace: Bytes of the body, and what stands there instead.
    """

    method: str
    path: str = ""
    times: int = 10_000
    status: int = 0
    code: str = ""
    cut: str = ""
    corrupt: bool = False
    hang_s: float = 0.0
    lose_answer: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    replace: tuple[bytes, bytes] = (b"", b"")

    def __str__(self) -> str:
        return self.code or self.cut or ("hang" if self.hang_s else "lost answer")


@dataclass
class BadRoad:
    """The proxy as a test sees it: `faults` to come, `requests` and `headers` that came.

    While it is closed, connections are refused, and those that were open are cut.
    """

    endpoint: str
    is_closed: bool = False
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    closed: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take_fault(self, method: str, path: str) -> Fault | None:
        """Note a request; return what shall happen to it."""
        with self._lock:
            self.requests.append((method, path))
            for fault in self.faults:
                if fault.method in {"", method} and fault.path in path and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None

    def count(self, method: str, path: str = "") -> int:
        """How many such requests came."""
        return sum(m == method and path in p for m, p in self.requests)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    road: BadRoad
    upstream: str

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that go away are the tests' matter."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def handle_any(self) -> None:
        """Pass a request on, or have its fault happen."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.road.is_closed:
            self.close_connection = True
            return
        self.server.road.headers.append({k.lower(): v for k, v in self.headers.items()})
        fault = self.server.road.take_fault(self.command, self.path)
        if fault is None:
            self._answer(*self._ask(body))
        elif fault.status:
            text = "" if self.command == "HEAD" else _ERROR.format(code=fault.code, secret=SECRET)
            self._answer(fault.status, {"Content-Type": "application/xml"}, text.encode())
        elif fault.hang_s:
            threading.Event().wait(fault.hang_s)
            self.close_connection = True
        else:
            self._spoil(fault, *self._ask(body))

    # The names that the base class looks for.
    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = handle_any  # noqa: N815

    def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = HTTPConnection(self.server.upstream, timeout=30)
        connection.request(self.command, self.path, body, dict(self.headers.items()))
        answer = connection.getresponse()
        got = answer.status, dict(answer.getheaders()), answer.read()
        connection.close()
        return got

    def _answer(
        self, status: int, headers: dict[str, str], body: bytes, *, send: int | None = None
    ) -> None:
        self.send_response_only(status)
        length = headers.get("Content-Length") if self.command == "HEAD" else str(len(body))
        for name, value in headers.items():
            if name.lower() not in {"content-length", "connection", "transfer-encoding"}:
                self.send_header(name, value)
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        self.wfile.write(body[:send])

    def _spoil(self, fault: Fault, status: int, headers: dict[str, str], body: bytes) -> None:
        if fault.corrupt:
            self._answer(status, headers, bytes([body[0] ^ 1]) + body[1:])
            return
        if fault.headers or fault.replace[0]:
            others = {k: v for k, v in headers.items() if k.lower() not in fault.headers}
            told = {name: value for name, value in fault.headers.items() if value}
            self._answer(status, others | told, body.replace(*fault.replace))
            return
        if not fault.lose_answer:
            self._answer(status, headers, body, send=len(body) // 2)
        self.wfile.flush()
        self.close_connection = True
        if fault.cut == "reset":  # closing with this set sends RST instead of FIN
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing: faults are the tests' matter."""


@contextlib.contextmanager
def bad_road_to(endpoint: str) -> Iterator[BadRoad]:
    """Run the proxy in front of *endpoint*."""
    road = BadRoad("")
    server = _serve(road, endpoint, port=0)
    port = server.server_address[1]
    road.endpoint = f"http://127.0.0.1:{port}"

    @contextlib.contextmanager
    def closed() -> Iterator[None]:
        nonlocal server
        road.is_closed = True
        _end(server)
        yield
        road.is_closed = False
        server = _serve(road, endpoint, port=port)

    road.closed = closed
    yield road
    _end(server)


def _serve(road: BadRoad, endpoint: str, *, port: int) -> _Server:
    server = _Server(("127.0.0.1", port), _Handler)
    server.upstream = urlsplit(endpoint).netloc
    server.road = road
    threading.Thread(
        target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.05}
    ).start()
    return server


def _end(server: _Server) -> None:
    server.shutdown()
    server.server_close()

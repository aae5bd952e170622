"""Servers that take what notifications send: a webhook and a mail server, on loopback."""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def webhook() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A URL, and the JSON that was posted to it so far."""
    got: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook/secret-path", got
        server.shutdown()


class _Mail(socketserver.StreamRequestHandler):
    """As much of SMTP as a client needs to hand over a message."""

    def handle(self) -> None:
        self._say("220 here")
        lines = iter(lambda: self.rfile.readline().decode().strip(), "")
        for line in lines:
            word = line[:4].upper()
            if word == "DATA":
                self._say("354 go on")
                message = list(iter(lambda: self.rfile.readline().decode().rstrip("\r\n"), "."))
                self.server.got.append("\n".join(message))  # type: ignore[attr-defined]
            self._say("221 bye" if word == "QUIT" else "250 fine")
            if word == "QUIT":
                return

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


@contextmanager
def mail_server() -> Iterator[tuple[int, list[str]]]:
    """Its port, and the messages that it was given so far."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Mail) as server:
        server.got = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], server.got  # type: ignore[attr-defined]
        server.shutdown()

"""A small read-only web server: metrics for Prometheus, reports and derivatives for browsers."""

import base64
import hmac
import logging
import mimetypes
import shutil
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

from prometheus_client import CONTENT_TYPE_LATEST

from tasks.errors import AutochromeError, UsageError
from tasks.ledger import Ledger
from tasks.metrics import exposition
from tasks.settings import Settings
from tasks.storage import ObjectStore, open_store
from tasks.storage.keys import is_storable

logger = logging.getLogger(__name__)

_LOCAL = {"127.0.0.1", "localhost", "::1"}


class WebServer:
    """Serves `/metrics` and, below `/files/`, the output store; in a thread, while it is open.

    Beyond localhost it asks for the name and password that the settings hold.
    """

    def __init__(self, settings: Settings, ledger: Ledger, *, files: bool) -> None:
        if settings.host not in _LOCAL and settings.api_auth is None:
            raise UsageError(
                f"{settings.host} can be reached from elsewhere: set AUTOCHROME_API_AUTH to "
                "name:password, or use --host 127.0.0.1"
            )
        output = open_store(settings.output, settings=settings, writable=True) if files else None
        handler = partial(_Handler, _Served(settings, ledger, output))
        try:
            self._server = ThreadingHTTPServer((settings.host, settings.web_port), handler)
        except OSError as error:
            raise UsageError(
                f"port {settings.web_port} on {settings.host} cannot be used: {error.strerror}; "
                "end what uses it, or set AUTOCHROME_WEB_PORT to another"
            ) from error
        self._server.daemon_threads = True
        self.url = f"http://{settings.host}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="web", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Served:
    """What is served, and to whom."""

    def __init__(self, settings: Settings, ledger: Ledger, output: ObjectStore | None) -> None:
        self.ledger = ledger
        self.output = output
        auth = settings.api_auth.get_secret_value() if settings.api_auth else ""
        self._expected = f"Basic {base64.b64encode(auth.encode()).decode()}" if auth else ""

    def is_allowed(self, authorization: str) -> bool:
        """Whether the request shows name and password, if they are asked for."""
        if not self._expected:
            return True
        return hmac.compare_digest(authorization.encode(), self._expected.encode())


class _Handler(BaseHTTPRequestHandler):
    """Answers GET; everything else is refused by the base class."""

    server_version = "Autochrome"
    sys_version = ""
    timeout = 60

    def __init__(self, served: _Served, *args: object) -> None:
        self._served = served
        super().__init__(*args)  # type: ignore[arg-type]  # as socketserver calls it

    def do_GET(self) -> None:
        """Answer one request; what goes wrong is told to the client and the log."""
        if not self._served.is_allowed(self.headers.get("Authorization", "")):
            self.send_response(HTTPStatus.UNAUTHORIZED)
            self.send_header("WWW-Authenticate", 'Basic realm="Autochrome"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path = urlsplit(self.path).path
        self._answer(self._metrics if path == "/metrics" else partial(self._file, path))

    def _answer(self, answer: Callable[[], None]) -> None:
        try:
            answer()
        except AutochromeError as error:
            logger.warning("%s: %s", self.path, error)
            self.send_error(HTTPStatus.NOT_FOUND)
        except ConnectionError:
            self.close_connection = True

    def _metrics(self) -> None:
        body = exposition(self._served.ledger)
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", CONTENT_TYPE_LATEST)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _file(self, path: str) -> None:
        """Send an object of the output by way of a temporary file: they may be large."""
        output = self._served.output
        key = unquote(path).removeprefix("/files/")
        known = output is not None and path.startswith("/files/") and is_storable(key)
        if not known or output is None or output.stat(key) is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with tempfile.TemporaryDirectory(prefix="autochrome-") as folder:
            file = Path(folder) / "object"
            output.fetch(key, file)
            self.send_response(HTTPStatus.OK)
            self.send_header(
                "Content-Type", mimetypes.guess_type(key)[0] or "application/octet-stream"
            )
            self.send_header("Content-Length", str(file.stat().st_size))
            # A report is a page of our own; whatever else lies there is not to run as one.
            self.send_header("Content-Security-Policy", "sandbox allow-popups")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            with file.open("rb") as content:
                shutil.copyfileobj(content, self.wfile)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Requests are no news."""
        logger.debug(format, *args)

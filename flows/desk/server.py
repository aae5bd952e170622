"""A web server in a thread: the desk, or the figures alone."""

import hmac
import socket
import threading
import time
from types import TracebackType
from typing import Self

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from flows.desk.identity import ASKING, basic_credentials
from flows.serving.environment import allowed_names
from flows.serving.guard import Guard
from tasks.errors import UsageError
from tasks.ledger import Ledger
from tasks.report.metrics import exposition
from tasks.settings import Settings

_START_S = 30.0
#: A URL may carry what is said of a picture.
_MOST_HEADERS_BYTES = 1 << 20


class WebServer:
    """Serves an application at the web port, in a thread, while it is open.

    Raises:
        UsageError: The port is in use.
    """

    def __init__(self, settings: Settings, app: ASGIApp) -> None:
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            h11_max_incomplete_event_size=_MOST_HEADERS_BYTES,
            proxy_headers=False,  # whose word about others is believed, the desk's settings say
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


def metrics_app(settings: Settings, ledger: Ledger) -> ASGIApp:
    """`/metrics` alone, for whoever has the password.

    Raises:
        UsageError: There is no password.
    """
    if settings.api_auth is None:
        raise UsageError("a password is missing: set AUTOCHROME_API_AUTH to name:password")
    auth = settings.api_auth.get_secret_value().encode()

    def metrics(request: Request) -> Response:
        shown = basic_credentials(request.headers)
        if shown is None or not hmac.compare_digest(shown, auth):
            return Response(status_code=401, headers=ASKING)
        return Response(exposition(ledger), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[Route("/metrics", metrics)],
        middleware=[Middleware(Guard, host=settings.host, names=allowed_names(settings))],
    )


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

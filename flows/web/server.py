"""A web server in a thread: the desk, or the figures alone."""

import socket
import threading
import time
from types import TracebackType
from typing import Self

import uvicorn
from starlette.types import ASGIApp

from tasks.errors import UsageError
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


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol, or asyncio leaves Nagle's algorithm on, and each answer waits 40 ms.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
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

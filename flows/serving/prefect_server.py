"""Prefect's server behind a guard: `python -m flows.serving.prefect_server --host 127.0.0.1`.

As `prefect server start`, with three differences: without a password it does not start, requests
under foreign names and from foreign pages are refused (`guard`), and a link can log a browser in.
It needs nothing of Autochrome but this file, the guard and the login page, and reads Prefect's own
settings.
"""

import argparse
import os
import sys
from collections.abc import Sequence

import uvicorn

from flows.web.guard import Guard, known_address
from flows.web.login import LoginPage


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
        Guard(LoginPage(create_app(final=True)), host=given.host, names=names),
        host=given.host,
        port=given.port,
        timeout_keep_alive=settings.api.keepalive_timeout,
        ws_ping_interval=settings.api.websocket_ping_interval,
        ws_ping_timeout=settings.api.websocket_ping_timeout,
        log_level=settings.logging_level.lower(),
    )


if __name__ == "__main__":
    main()

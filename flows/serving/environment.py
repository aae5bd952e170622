"""The variables under which Prefect's server, workers and clients find each other."""

import os
import socket

from flows.prefect_home import TASK_RUNS_TOGETHER
from tasks.settings import Settings

#: Prefect's events are most of what its database holds.
_EVENTS_KEPT = "P7D"


def api_url(settings: Settings) -> str:
    """The API, as this machine reaches it."""
    own = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  what is bound to, read only
    return f"{_base(own.get(settings.host, settings.host), settings.port)}/api"


def ui_url(settings: Settings) -> str:
    """The UI, as people's browsers find it."""
    return _base(_public_host(settings), settings.port)


def web_url(settings: Settings) -> str:
    """Metrics and the output."""
    return _base(_public_host(settings), settings.web_port)


def _public_host(settings: Settings) -> str:
    return socket.getfqdn() if settings.host in {"0.0.0.0", "::"} else settings.host  # noqa: S104  as above


def is_local(settings: Settings) -> bool:
    """Whether only this machine reaches the server."""
    return settings.host in {"127.0.0.1", "localhost", "::1"}


def _base(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def client_environment(settings: Settings) -> dict[str, str]:
    """What a client of the server needs; to be set before Prefect is imported."""
    environment = {
        "PREFECT_HOME": str(settings.home.absolute() / "prefect"),
        "PREFECT_API_URL": api_url(settings),
        "PREFECT_UI_URL": ui_url(settings),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "tasks,flows",
        "PREFECT_CLIENT_METRICS_ENABLED": "false",
    }
    if settings.api_auth is not None:
        environment["PREFECT_API_AUTH_STRING"] = settings.api_auth.get_secret_value()
    return environment


def server_environment(settings: Settings) -> dict[str, str]:
    """What the server itself needs."""
    environment = _inherited() | client_environment(settings)
    environment |= {
        # Relative to wherever the browser is: the server may have several names.
        "PREFECT_SERVER_UI_API_URL": "/api",
        "PREFECT_UI_URL": ui_url(settings),
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # The second UI (/v2) asks an analytics company for its configuration on every page, though
        # analytics are off; the first does not (Prefect 3.8.8).
        "PREFECT_SERVER_UI_V2_ENABLED": "false",
        "PREFECT_EVENTS_RETENTION_PERIOD": _EVENTS_KEPT,
        **TASK_RUNS_TOGETHER,
    }
    if settings.api_auth is not None:
        environment["PREFECT_SERVER_API_AUTH_STRING"] = settings.api_auth.get_secret_value()
    if settings.prefect_database_url is not None:
        url = settings.prefect_database_url.get_secret_value()
        scheme, _, rest = url.partition("://")
        environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = (
            f"postgresql+asyncpg://{rest}" if scheme in {"postgresql", "postgres"} else url
        )
    return environment


def worker_environment(settings: Settings, *, gpu: int | None = None) -> dict[str, str]:
    """What a worker needs, and the flow runs that it starts in folders of their own."""
    environment = _inherited() | client_environment(settings) | settings.as_environment()
    environment.setdefault("AUTOCHROME_PUBLIC_URL", f"{web_url(settings)}/files")
    environment["PREFECT_WORKER_QUERY_SECONDS"] = "2"
    environment["PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES"] = "false"
    if gpu is not None:
        environment["CUDA_VISIBLE_DEVICES"] = str(gpu)
        environment["AUTOCHROME_DEVICE"] = "cuda"
    return environment


def _inherited() -> dict[str, str]:
    """This process's variables, less those of another Prefect server or another Autochrome."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AUTOCHROME_")
        and name not in {"PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_PROFILE"}
    }

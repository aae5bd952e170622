"""The variables under which Prefect's server, workers and clients find each other."""

import json
import os
from pathlib import Path

from flows.prefect_home import TASK_RUNS_TOGETHER
from flows.web.addresses import api_url, ui_url, web_url
from tasks.errors import UsageError
from tasks.settings import Settings

#: Prefect's events are most of what its database holds.
_EVENTS_KEPT = "P7D"

#: How often the server looks for what is late, paused too long or to be scheduled anew, and workers
#: that are gone: every five seconds by default, which is most of what a server at rest does.
_LOOKS_S = {
    "LATE_RUNS": "30",
    "PAUSE_EXPIRATIONS": "60",
    "REPOSSESSOR": "60",
    "CLEANUP_RECONCILER": "60",
    "SCHEDULER_RECENT_DEPLOYMENTS": "15",
}

#: Runs that ended so long ago are deleted, with their logs and artifacts: the ledger remembers.
RUNS_KEPT_S = 30 * 86_400


def prefect_home(settings: Settings) -> Path:
    """Where Prefect's client keeps what it needs to find and ask the server: PREFECT_HOME."""
    return settings.home.absolute() / "prefect"


def client_environment(settings: Settings) -> dict[str, str]:
    """What a client of the server needs; to be set before Prefect is imported."""
    environment = {
        "PREFECT_HOME": str(prefect_home(settings)),
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


def write_profile(settings: Settings) -> None:
    """Let `prefect` commands under this PREFECT_HOME find the server, and be let in."""
    known = client_environment(settings)
    profile = [
        f"{name} = {json.dumps(known[name], ensure_ascii=False)}"
        for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING")
    ]
    text = "\n".join(["active = 'autochrome'", "[profiles.autochrome]", *profile, ""])
    _write_secret(prefect_home(settings) / "profiles.toml", text)


def write_login(settings: Settings, link: str) -> None:
    """Keep the link for `autochrome login`, which need not be told again where all is served."""
    _write_secret(_login_file(settings), link)


def read_login(settings: Settings) -> str:
    """The link of the `serve` or `desk` that was started last with this home.

    Raises:
        UsageError: There has been none.
    """
    file = _login_file(settings)
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{file}: {(error.strerror or 'unreadable').lower()}; start `autochrome serve` first, "
            "and name its --home if it was given one"
        ) from error


def _login_file(settings: Settings) -> Path:
    return settings.home.absolute() / "login"


def _write_secret(file: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as new:
        new.write(text)
    part.replace(file)


def server_environment(settings: Settings) -> dict[str, str]:
    """What the server itself needs."""
    environment = _inherited() | client_environment(settings)
    environment |= {
        # Relative to wherever the browser is: the server may have several names.
        "PREFECT_SERVER_UI_API_URL": "/api",
        "PREFECT_UI_URL": ui_url(settings),
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # The second UI (/v2) asks an analytics company for its configuration on every page, though
        # analytics are off; the first does not (Prefect 3.8.8; 3.9.1 holds the same code).
        "PREFECT_SERVER_UI_V2_ENABLED": "false",
        "PREFECT_EVENTS_RETENTION_PERIOD": _EVENTS_KEPT,
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(RUNS_KEPT_S),
        **{f"PREFECT_SERVER_SERVICES_{name}_LOOP_SECONDS": s for name, s in _LOOKS_S.items()},
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

"""How Prefect is set up when a command brings it along rather than finding it configured."""

import os
import secrets
from pathlib import Path

#: What it is told of task runs, the server writes down together, every 5 s, rather than each state
#: in a transaction of its own: 16 ms of CPU a task run in place of 47. A killed server may lose
#: these seconds: they are for people to look at; what became of scans is in the ledger.
TASK_RUNS_TOGETHER = {"PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "50"}


def use_local_prefect(home: Path) -> None:
    """Let Prefect's local API keep its database in *home*, and stay quiet on the network.

    To be called before Prefect is imported. What the environment already says wins. Nobody else
    on this machine, and no page in a browser, is let in: the password ends with the command.
    """
    if "PREFECT_API_URL" not in os.environ:
        auth = f"autochrome:{secrets.token_urlsafe(24)}"
        os.environ["PREFECT_SERVER_API_AUTH_STRING"] = os.environ["PREFECT_API_AUTH_STRING"] = auth
    for name, value in {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "http://127.0.0.1",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # machines may be busy
        "PREFECT_LOGGING_EXTRA_LOGGERS": "tasks,flows",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        # Nobody makes automations in a server that ends with the command.
        "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
        # Nor are its forms for credentials and the like used: to record them takes 2 s of CPU.
        "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
        **TASK_RUNS_TOGETHER,
    }.items():
        os.environ.setdefault(name, value)

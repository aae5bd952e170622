"""How Prefect is set up when a command brings it along rather than finding it configured."""

import os
from pathlib import Path


def use_local_prefect(home: Path) -> None:
    """Let Prefect's local API keep its database in *home*, and stay quiet on the network.

    To be called before Prefect is imported. What the environment already says wins.
    """
    for name, value in {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # machines may be busy
        "PREFECT_LOGGING_EXTRA_LOGGERS": "tasks,flows",
        "PREFECT_LOGGING_LEVEL": "WARNING",
    }.items():
        os.environ.setdefault(name, value)

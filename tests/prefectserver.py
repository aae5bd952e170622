"""Fixture: Prefect's own API over a database in memory, for flows that tests run in-process."""

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

# Read when Prefect is first imported: nothing of a test goes to the network.
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")


@pytest.fixture(scope="session")
def prefect_api() -> Iterator[None]:
    """Prefect's API, started once: it takes seconds."""
    from prefect.testing.utilities import prefect_test_harness  # noqa: PLC0415  2 s, only where asked

    with ExitStack() as opened:
        with pytest.MonkeyPatch.context() as environment:
            # Of this server alone: no flow that runs in-process has a block or an automation.
            environment.setenv("PREFECT_SERVER_REGISTER_BLOCKS_ON_START", "false")
            environment.setenv("PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED", "false")
            opened.enter_context(prefect_test_harness(server_startup_timeout=120))
        yield

"""Fixture: Prefect's own API over a database in memory, for flows that tests run in-process."""

import os
from collections.abc import Iterator

import pytest

# Read when Prefect is first imported: nothing of a test goes to the network.
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")


@pytest.fixture(scope="session")
def prefect_api() -> Iterator[None]:
    """Prefect's API, started once: it takes seconds."""
    from prefect.testing.utilities import prefect_test_harness  # noqa: PLC0415  2 s, only where asked

    with prefect_test_harness(server_startup_timeout=120):
        yield

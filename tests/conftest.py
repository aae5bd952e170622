"""What all tests share."""

import gc
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Continuous integration judges a change by the same examples each time; at a desk every run draws
# others. How long an example takes tells of the machine, not of the code.
settings.register_profile("desk", deadline=None)
settings.register_profile("integration", deadline=None, derandomize=True)
settings.load_profile("integration" if os.environ.get("CI") else "desk")

# Tests run beside each other. Threads of libraries that compute would wait for cores by turning in
# circles: on two busy cores, convolutions take ten times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No trial of the processor: a test's pictures are the same on every machine.
os.environ["XDG_CACHE_HOME"] = f"{os.devnull}/none"

pytest_plugins = [
    "tests.databases",
    "tests.s3server",
    "tests.workers",
    "tests.prefectserver",
    "tests.schools",
    "tests.templates",
    "tests.desks",
]


@pytest.fixture(autouse=True, scope="session")
def unfrozen() -> Iterator[None]:
    """Commands freeze what they import (`tasks.batch.loading`): here that is everything.

    Frozen to the end, libraries of the tests would report it all as leaked.
    """
    yield
    gc.unfreeze()

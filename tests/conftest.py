"""What all tests share."""

import gc
from collections.abc import Iterator

import pytest

pytest_plugins = [
    "tests.databases",
    "tests.s3server",
    "tests.workshops",
    "tests.prefectserver",
    "tests.schools",
]


@pytest.fixture(autouse=True, scope="session")
def unfrozen() -> Iterator[None]:
    """Commands freeze what they import (`tasks.loading`): here that is everything, tests included.

    Frozen to the end, libraries of the tests would report it all as leaked.
    """
    yield
    gc.unfreeze()

"""What the tests of several subjects share."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def shared_path() -> Iterator[Path]:
    """A folder that accounts other than root can come to, as pytest's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="autochrome-tests-"))
    folder.chmod(0o777)
    yield folder
    for found, _, _ in os.walk(folder):
        with contextlib.suppress(OSError):
            Path(found).chmod(0o700)
    shutil.rmtree(folder)

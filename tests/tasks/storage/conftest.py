"""Two places, a folder and a bucket, and files to put there."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.settings import Settings
from tests.tasks.storage.places import BucketPlace, FolderPlace, MakeFile, Place


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty folder, then an empty prefix of a bucket."""
    if request.param == "s3":
        return BucketPlace(request.getfixturevalue("s3_bucket"))
    root = tmp_path / "archive"
    root.mkdir()
    return FolderPlace(root, Settings())


@pytest.fixture
def make_file(tmp_path: Path) -> MakeFile:
    """Make files with given content outside of any store."""
    return MakeFile(tmp_path)


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

"""Two places, a folder and a bucket, and files to put there."""

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

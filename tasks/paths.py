"""Paths as people write them."""

import os
from pathlib import Path


def is_folder(path: Path) -> bool:
    """Whether a folder is there and can be asked about.

    `Path.is_dir` raises where its name is too long, its folder may not be read, its share is away.
    """
    return os.path.isdir(path)  # noqa: PTH112 - see above


def is_file(path: Path) -> bool:
    """Whether a regular file is there and can be asked about; see `is_folder`."""
    return os.path.isfile(path)  # noqa: PTH113 - see above


def absolute_path(text: str) -> Path:
    """The path that *text* names, absolute; links in it are kept as they were written.

    "~" is the home folder, and "~name" that of a user of this machine. Where there is none, as for
    "./~name", it is a file's own name.
    """
    return Path(os.path.abspath(os.path.expanduser(text)))  # noqa: PTH100, PTH111 - see above

"""Paths as people write them."""

import os
from pathlib import Path


def absolute_path(text: str) -> Path:
    """The path that *text* names, absolute; links in it are kept as they were written.

    "~" is the home folder, and "~name" that of a user of this machine. Where there is none, as for
    "./~name", it is a file's own name.
    """
    return Path(os.path.abspath(os.path.expanduser(text)))  # noqa: PTH100, PTH111 - see above

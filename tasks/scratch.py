"""Scratch folders: where scans lie while they are worked on, and what killed runs left of them.

They may hold restricted scans. So nobody else may look into one, and what a run could not remove
because it was killed is removed when the next one begins: at once where its process is known to be
gone, a day later where nobody can tell, as of another host that uses the same disk.
"""

import logging
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tasks.errors import OutputFull, SourceNotFound
from tasks.heartbeat import beating
from tasks.paths import is_folder
from tasks.processes import has_ended, is_of_this_place, worker_name
from tasks.settings import Settings

logger = logging.getLogger(__name__)

_PREFIX = "autochrome-"
_NAME = re.compile(r"autochrome-[a-z0-9_]{8}\Z")  # as `tempfile` writes them
_OWNER = "owner"
_FORGOTTEN_AFTER_S = 24 * 3600
_BEAT_S = 3600.0  # how often one that is in use is made younger: a desk may be idle for days


@contextmanager
def scratch_folder(settings: Settings) -> Iterator[Path]:
    """A folder for what is worked on, gone afterwards.

    Raises:
        SourceNotFound: The settings name a folder that does not exist.
        OutputFull: It cannot be made.
    """
    if settings.scratch is not None and not is_folder(settings.scratch):
        raise SourceNotFound(
            f"the scratch folder {settings.scratch} does not exist; make it, or set "
            "AUTOCHROME_SCRATCH to another"
        )
    try:
        folder = tempfile.TemporaryDirectory(
            prefix=_PREFIX, dir=settings.scratch, ignore_cleanup_errors=True
        )
        path = Path(folder.name)
        (path / _OWNER).write_text(worker_name())
    except OSError as error:
        raise OutputFull(
            f"no scratch folder can be made: {error}; free space there, or set AUTOCHROME_SCRATCH"
        ) from error
    with folder, beating(lambda: _touch(path), every_s=_BEAT_S):
        _sweep_beside(path)
        yield path


def _touch(path: Path) -> None:
    with suppress(OSError):
        os.utime(path)


def _sweep_beside(mine: Path) -> None:
    """Remove the folders of runs that are gone. *mine* tells the time, by the disk's own clock."""
    now = mine.stat().st_mtime
    left = [path for path in mine.parent.glob(f"{_PREFIX}*") if _is_left_over(path, now)]
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    gone = sum(not path.exists() for path in left)
    if gone:
        logger.warning("removed %d scratch folders in %s that killed runs left", gone, mine.parent)


def _is_left_over(path: Path, now: float) -> bool:
    """Whether *path* is a scratch folder of this account whose run is surely over."""
    if not _NAME.match(path.name):
        return False
    with suppress(OSError):
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            return False
        owner = _owner_of(path)
        if is_of_this_place(owner):
            return has_ended(owner)
        return now - status.st_mtime > _FORGOTTEN_AFTER_S
    return False


def _owner_of(path: Path) -> str:
    try:
        return (path / _OWNER).read_text()
    except (OSError, UnicodeDecodeError):  # just being made, or by a version that wrote none
        return ""

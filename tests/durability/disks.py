"""Disks that a test may fill: small ones in memory, mounted for as long as a block lasts."""

import ctypes
import ctypes.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

READ_ONLY, _REMOUNT, _DETACH = 1, 32, 2
_LIBC = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[Path]:
    """A disk at *folder*.

    Raises:
        OSError: Nothing may be mounted here, which root in a container may lack leave to.
    """
    folder.mkdir()
    _mount(folder, b"tmpfs", 0, f"size={size_bytes}".encode())
    try:
        yield folder
    finally:
        _LIBC.umount2(os.fsencode(folder), _DETACH)


def make_read_only(disk: Path) -> None:
    """Let nothing be written there any more."""
    _mount(disk, None, READ_ONLY | _REMOUNT, None)


def fill(file: Path, *, leave_bytes: int = 0) -> None:
    """Write *file* as large as its disk has room for."""
    found = os.statvfs(file.parent)
    file.write_bytes(bytes(max(0, found.f_bavail * found.f_bsize - leave_bytes)))


def _mount(folder: Path, kind: bytes | None, flags: int, options: bytes | None) -> None:
    if _LIBC.mount(kind, os.fsencode(folder), kind, flags, options) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(folder))

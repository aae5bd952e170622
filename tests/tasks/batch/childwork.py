"""Work for a pixel pool's children that ends in every way it can."""

import ctypes
import errno
import os
import signal
import time
from pathlib import Path

from tasks.derivatives.second_reading import read_again
from tasks.errors import TruncatedScan
from tasks.scans.findings import examine
from tasks.scans.header import ReadLimits
from tasks.scans.reader import open_scan


def double(number: int) -> int:
    """Succeed."""
    return 2 * number


def group(_: object) -> int:
    """The process group that a signal would have to name."""
    return os.getpgid(0)


def crash(_: object) -> None:
    """Read address 0, as a broken decoder does."""
    ctypes.string_at(0)


def hang(_: object) -> None:
    """Never end."""
    time.sleep(3600)


def hang_without_the_lock(_: object) -> None:
    """Never end, and hear no SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(3600)


def hoard(size_bytes: int) -> int:
    """Take memory."""
    return len(bytearray(size_bytes))


def refuse(name: str) -> None:
    """Raise an error of ours."""
    raise TruncatedScan(f"{name}: ends early")


def fill_disk(_: object) -> None:
    """Raise what a full disk raises."""
    raise OSError(errno.ENOSPC, "No space left on device")


def loaded_modules(_: object) -> list[str]:
    """Tell what this process has imported."""
    import sys  # noqa: PLC0415  asked in the child

    return sorted(sys.modules)


def process_id(_: object) -> int:
    """Tell who works."""
    return os.getpid()


def environment(names: list[str]) -> list[str | None]:
    """Tell some variables of this process's environment."""
    return [os.environ.get(name) for name in names]


def read_whole(path: Path) -> str:
    """Read all that there is to read of a file, and judge it.

    Raises:
        AutochromeError: It cannot be read, or need not be coloured.
    """
    limits = ReadLimits(max_pixels=50_000_000, max_buffer_bytes=256 << 20)
    scan = open_scan(path, limits=limits, scratch=path.parent)
    rows = sum(len(strip) for _, strip in scan.strips())
    if rows != scan.header.height:
        return f"half a picture: {rows} rows of {scan.header.height}"
    examine(scan)
    return "picture"


def read_twice(path: Path) -> int:
    """Read a scan a second time, as the gate does; give its rows."""
    return sum(len(strip) for _, strip in read_again(open_scan(path)).strips(64))

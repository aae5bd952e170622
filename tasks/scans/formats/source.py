"""Bounded access to a file's bytes, and files put together from parts of it.

Nothing is read past a file's end, or without a limit.
"""

import io
import os
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import BinaryIO, cast

from tasks.errors import TruncatedScan, UnreadableScan

BLOCK_BYTES = 1 << 20  # a file is walked in pieces of this size: memory stays bounded
_READ_AHEAD_BYTES = 1 << 16


def damaged(what: str) -> UnreadableScan:
    """A file that contradicts itself, with what to do."""
    return UnreadableScan(f"{what}; restore the file from a copy")


def cut_off(what: str) -> TruncatedScan:
    """A file that ends before its picture does, with what to do."""
    return TruncatedScan(f"{what}; fetch it again, or rescan")


class ByteSource:
    """A file's bytes by position."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, io.SEEK_END)

    @property
    def identity(self) -> tuple[int, ...]:
        """What tells this file, as it is now, from all others; nothing of bytes in memory."""
        try:
            found = os.fstat(self._file.fileno())
        except io.UnsupportedOperation:
            return ()
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    @classmethod
    def of_bytes(cls, data: bytes) -> "ByteSource":
        """Give access to bytes in memory, such as an EXIF block."""
        return cls(io.BytesIO(data))

    def read(self, offset: int, size: int) -> bytes:
        """Read exactly *size* bytes at *offset*.

        Raises:
            TruncatedScan: The file ends before.
        """
        if offset < 0 or size < 0 or offset + size > self.size:
            raise cut_off(
                f"the file ends at byte {self.size:,}, but its structure speaks of bytes "
                f"{offset:,} to {offset + size:,}"
            )
        self._file.seek(offset)
        return self._file.read(size)

    def read_up_to(self, offset: int, size: int) -> bytes:
        """Read *size* bytes at *offset*, or as many as there are."""
        offset = min(offset, self.size)
        return self.read(offset, max(0, min(size, self.size - offset)))

    def assembled(self, parts: "Iterable[Part]") -> BinaryIO:
        """Open a file that consists of *parts*; it is good while this source's file is open."""
        return cast("BinaryIO", io.BufferedReader(_AssembledFile(self, parts), _READ_AHEAD_BYTES))


@dataclass(frozen=True)
class Span:
    """Bytes of a file: where they begin, and how many they are."""

    offset: int
    size: int


Part = bytes | Span


def joined(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Make one span of those that follow one another."""
    found: list[Part] = []
    for part in parts:
        last = found[-1] if found else b""
        if isinstance(part, bytes) and isinstance(last, bytes) and found:
            found[-1] = last + part
        elif (
            isinstance(part, Span)
            and isinstance(last, Span)
            and last.offset + last.size == part.offset
        ):
            found[-1] = Span(last.offset, last.size + part.size)
        else:
            found.append(part)
    return tuple(found)


class _AssembledFile(io.RawIOBase):
    """Bytes of ours and spans of a file, read as one file."""

    def __init__(self, source: ByteSource, parts: Iterable[Part]) -> None:
        self._source = source
        self._parts = [part for part in parts if _size(part)]
        self._ends = list(accumulate(_size(part) for part in self._parts))
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        end = self._ends[-1] if self._ends else 0
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: end}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        """Read up to the end of the part that the position is in."""
        number = bisect_right(self._ends, self._position)
        if number == len(self._parts):
            return 0
        part, end = self._parts[number], self._ends[number]
        start = self._position - (end - _size(part))
        count = min(len(buffer), end - self._position)
        if isinstance(part, bytes):
            buffer[:count] = part[start : start + count]
        else:
            buffer[:count] = self._source.read(part.offset + start, count)
        self._position += count
        return count


def _size(part: Part) -> int:
    return len(part) if isinstance(part, bytes) else part.size

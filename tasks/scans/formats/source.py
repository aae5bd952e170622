"""Bounded random access to a file's bytes: nothing is read past its end, or without a limit."""

import io
from typing import BinaryIO

from tasks.errors import TruncatedScan

BLOCK_BYTES = 1 << 20  # a file is walked in pieces of this size: memory stays bounded


class ByteSource:
    """A file's bytes by position."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, io.SEEK_END)

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
            raise TruncatedScan(
                f"the file ends at byte {self.size:,}, but its structure speaks of bytes "
                f"{offset:,} to {offset + size:,}; fetch it again, or rescan"
            )
        self._file.seek(offset)
        return self._file.read(size)

    def read_up_to(self, offset: int, size: int) -> bytes:
        """Read *size* bytes at *offset*, or as many as there are."""
        return self.read(offset, max(0, min(size, self.size - offset)))

"""A JPEG file as its marker segments and coded scans, without decoding any of it.

Terms and marker codes are those of ITU-T T.81 (ISO/IEC 10918-1), annex B.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from tasks.errors import AutochromeError, TruncatedScan
from tasks.scans.formats.markers import DAC, DHT, EOI, SOI, SOS, STANDALONE, XMP, walk_markers
from tasks.scans.formats.source import ByteSource

BASELINE, EXTENDED, PROGRESSIVE = 0xC0, 0xC1, 0xC2

#: Frame headers: SOF0 to SOF15, without the three other markers that share their range.
FRAMES = frozenset(range(0xC0, 0xD0)) - {DHT, 0xC8, DAC}

#: Most bytes that one segment's payload can hold: its length field counts itself.
PAYLOAD_BYTES = 65_533

#: Largest XMP packet that one segment can hold.
XMP_BYTES = PAYLOAD_BYTES - len(XMP)

_NO_DATA = memoryview(b"")


class JpegLayoutError(Exception):
    """The file is not laid out so that it can safely be taken apart; the message says why."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A marker with its payload and, for a start of scan, the coded data behind it.

    Attributes:
        marker: The marker's second byte.
        payload: What follows the length field.
        data: Entropy-coded data with its restart markers; empty for all but SOS.
        data_at: Where that data starts in the file that was parsed.
    """

    marker: int
    payload: bytes
    data: memoryview = _NO_DATA
    data_at: int = 0

    def encoded(self) -> list[bytes | memoryview]:
        """The segment as it stands in a file, in pieces that need no copying."""
        length = struct.pack(">BBH", 0xFF, self.marker, len(self.payload) + 2)
        return [length, self.payload, self.data]

    def is_app(self, marker: int, name: bytes) -> bool:
        """Whether this is the application segment *marker* that starts with *name*."""
        return self.marker == marker and self.payload.startswith(name)


@dataclass(frozen=True)
class JpegFile:
    """A JPEG file from SOI to EOI.

    Attributes:
        segments: All segments in their order, without SOI and EOI.
        size_bytes: Bytes from SOI to the end of EOI; what follows in the file is no part of it.
    """

    segments: tuple[Segment, ...]
    size_bytes: int

    @property
    def frame(self) -> Segment:
        """The one frame header.

        Raises:
            JpegLayoutError: There is none, or more than one.
        """
        frames = [segment for segment in self.segments if segment.marker in FRAMES]
        if len(frames) != 1:
            raise JpegLayoutError(f"it has {len(frames)} frame headers")
        return frames[0]

    @property
    def scans(self) -> tuple[Segment, ...]:
        """The start-of-scan segments, with their data."""
        return tuple(segment for segment in self.segments if segment.marker == SOS)


def parse_jpeg(data: bytes) -> JpegFile:
    """Take a JPEG file apart at its markers.

    Args:
        data: The file; further bytes after EOI are left alone.

    Raises:
        JpegLayoutError: No SOI, stray bytes between segments, a length that leaves the file, or
            no EOI.
    """
    view = memoryview(data)
    if data[:2] != b"\xff\xd8":
        raise JpegLayoutError("it does not start with SOI")
    segments: list[Segment] = []
    try:
        for one in walk_markers(ByteSource.of_bytes(data)):
            if one.stray or one.code in {SOI, *STANDALONE}:
                raise JpegLayoutError(f"stray bytes or markers at byte {one.at - one.stray}")
            if one.code == EOI:
                return JpegFile(tuple(segments), one.end)
            end = one.data_end
            while end > one.end and data[end - 1] == 0xFF:  # fill bytes are no part of the data
                end -= 1
            place = one.end if one.code == SOS else 0
            segments.append(Segment(one.code, one.payload, view[one.end : end], place))
    except TruncatedScan as error:
        raise JpegLayoutError("it ends without EOI, or a segment's length leaves it") from error
    except AutochromeError as error:
        raise JpegLayoutError(str(error).partition("; ")[0]) from error
    raise JpegLayoutError("it ends without EOI")


def encoded(segments: Iterator[Segment] | list[Segment]) -> list[bytes | memoryview]:
    """A whole file of *segments*, in pieces that need no copying."""
    pieces: list[bytes | memoryview] = [b"\xff\xd8"]
    for segment in segments:
        pieces += segment.encoded()
    return [*pieces, b"\xff\xd9"]

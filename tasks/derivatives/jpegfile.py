"""A JPEG file as its marker segments and coded scans, without decoding any of it.

Terms and marker codes are those of ITU-T T.81 (ISO/IEC 10918-1), annex B.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

SOI, EOI, SOS, DQT, DHT, DAC, DNL, DRI, DHP, EXP, COM = (
    0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xCC, 0xDC, 0xDD, 0xDE, 0xDF, 0xFE,
)  # fmt: skip
APP0, APP1, APP2, APP8, APP9, APP11, APP13, APP14 = (
    0xE0, 0xE1, 0xE2, 0xE8, 0xE9, 0xEB, 0xED, 0xEE,
)  # fmt: skip
BASELINE, EXTENDED, PROGRESSIVE = 0xC0, 0xC1, 0xC2

#: Frame headers: SOF0 to SOF15, without the three other markers that share their range.
FRAMES = frozenset(range(0xC0, 0xD0)) - {DHT, 0xC8, DAC}

#: Most bytes that one segment's payload can hold: its length field counts itself.
PAYLOAD_BYTES = 65_533

EXIF, XMP, XMP_MORE = (
    b"Exif\0\0",
    b"http://ns.adobe.com/xap/1.0/\0",
    b"http://ns.adobe.com/xmp/extension/\0",
)
ICC, MPF, ADOBE, JFIF, SPIFF = b"ICC_PROFILE\0", b"MPF\0", b"Adobe", b"JFIF\0", b"SPIFF\0"
PHOTOSHOP = b"Photoshop 3.0\0"

#: Largest XMP packet that one segment can hold.
XMP_BYTES = PAYLOAD_BYTES - len(XMP)

# Inside entropy-coded data FF is followed by 00 or a restart marker; any other follower ends it.
# The pattern begins with one byte, for which the search is ten times as fast as for a choice.
_END_OF_DATA = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")


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
    at = 2
    while True:
        marker, at = _next_marker(data, at)
        if marker == EOI:
            return JpegFile(tuple(segments), at)
        length = int.from_bytes(data[at : at + 2], "big")
        end = at + length
        if length < 2 or end > len(data):
            raise JpegLayoutError(
                f"segment FF{marker:02X} at byte {at - 2} has an impossible length"
            )
        payload = data[at + 2 : end]
        if marker == SOS:
            stop = _end_of_data(data, end)
            segments.append(Segment(marker, payload, view[end:stop], end))
            at = stop
        else:
            segments.append(Segment(marker, payload))
            at = end


def encoded(segments: Iterator[Segment] | list[Segment]) -> list[bytes | memoryview]:
    """A whole file of *segments*, in pieces that need no copying."""
    pieces: list[bytes | memoryview] = [b"\xff\xd8"]
    for segment in segments:
        pieces += segment.encoded()
    return [*pieces, b"\xff\xd9"]


def _next_marker(data: bytes, at: int) -> tuple[int, int]:
    if data[at : at + 1] != b"\xff":
        what = "it ends without EOI" if at >= len(data) else f"stray bytes at byte {at}"
        raise JpegLayoutError(what)
    while data[at : at + 1] == b"\xff":
        at += 1
    if at >= len(data):
        raise JpegLayoutError("it ends without EOI")
    marker = data[at]
    if marker in {0x00, 0x01, SOI} or 0xD0 <= marker <= 0xD7:
        raise JpegLayoutError(f"marker FF{marker:02X} at byte {at - 1} has no place there")
    return marker, at + 1


def _end_of_data(data: bytes, start: int) -> int:
    found = _END_OF_DATA.search(data, start)
    if found is None:
        raise JpegLayoutError("it ends inside a scan, without EOI")
    end = found.start()
    while end > start and data[end - 1] == 0xFF:  # fill bytes are no part of the data
        end -= 1
    return end

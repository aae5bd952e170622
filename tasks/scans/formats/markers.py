"""The one walk over a JPEG's marker segments, and their codes (ITU-T T.81, annex B)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tasks.scans.formats.source import BLOCK_BYTES, ByteSource, cut_off, damaged

SOI, EOI, SOS, DQT, DHT, DAC, DNL, DRI, DHP, EXP, COM, SOF_LS = (
    0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xCC, 0xDC, 0xDD, 0xDE, 0xDF, 0xFE, 0xF7,
)  # fmt: skip
APP0, APP1, APP2, APP8, APP9, APP11, APP12, APP13, APP14, APP15 = (
    0xE0, 0xE1, 0xE2, 0xE8, 0xE9, 0xEB, 0xEC, 0xED, 0xEE, 0xEF,
)  # fmt: skip
STANDALONE = {0x01, *range(0xD0, 0xD8)}  # without a length: restart markers, and one for no use
#: What application segments begin with.
EXIF, XMP, XMP_MORE, ICC, MPF, ADOBE, JFIF, SPIFF, PHOTOSHOP, DUCKY = (
    b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0",
    b"ICC_PROFILE\0", b"MPF\0", b"Adobe", b"JFIF\0", b"SPIFF\0", b"Photoshop 3.0\0", b"Ducky",
)  # fmt: skip

PHOTOSHOPS = (PHOTOSHOP, b"Adobe_Photoshop2.5:\0\0", b"Adobe_Photoshop2.5:")  # as it began

_MARKER = re.compile(rb"\xff[\x01\xc0-\xfe]")  # the others are reserved
# Inside entropy-coded data FF is followed by 00 or a restart marker; any other follower ends it.
# The pattern begins with one byte, for which the search is ten times as fast as for a choice.
_END_OF_DATA = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_END_OF_DATA_LS = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")  # it stuffs bits, not bytes
_MAX_SEGMENTS = 1 << 16


@dataclass(frozen=True, slots=True)
class Marker:
    """A marker with its segment.

    Attributes:
        code: The marker's second byte.
        at: Where the marker lies.
        payload: What follows the length field.
        end: The place behind it.
        data_end: The place behind the coded data of a start of scan; else `end`.
        stray: Bytes before the marker that belong to no segment.
    """

    code: int
    at: int
    payload: bytes
    end: int
    data_end: int
    stray: int


def walk_markers(source: ByteSource) -> Iterator[Marker]:
    """Go from the file's first marker, SOI, which is not given, to EOI, which is.

    Raises:
        TruncatedScan: The file ends before EOI.
        UnreadableScan: What must be a segment is none, or there are absurdly many.
    """
    position, end_of_data = 2, _END_OF_DATA
    for _ in range(_MAX_SEGMENTS):
        at, stray, pair = position, 0, source.read_up_to(position, 2)
        if not _MARKER.fullmatch(pair):
            at = _next(source, position, _MARKER)
            # Fill bytes, 0xFF, may come before each marker.
            between = source.read_up_to(position, min(at - position, BLOCK_BYTES))
            stray = at - position if between.strip(b"\xff") else 0
            pair = source.read_up_to(at, 2)
        if len(pair) < 2:
            raise cut_off(f"the JPEG ends at byte {source.size:,} without its end-of-image marker")
        code, end, payload = pair[1], at + 2, b""
        if code not in {EOI, *STANDALONE}:
            size = int.from_bytes(source.read(end, 2), "big")
            if size < 2:
                raise damaged(
                    f"the JPEG's segment at byte {end:,} has the impossible length {size}"
                )
            payload, end = source.read(end + 2, size - 2), end + size
        end_of_data = _END_OF_DATA_LS if code == SOF_LS else end_of_data
        position = _next(source, end, end_of_data) if code == SOS else end
        yield Marker(code, at, payload, end, position, stray)
        if code == EOI:
            return
    raise damaged(f"the JPEG has more than {_MAX_SEGMENTS:,} segments")


def _next(source: ByteSource, position: int, marker: re.Pattern[bytes]) -> int:
    """Find the next marker; the file's end where there is none."""
    while position < source.size:
        block = source.read_up_to(position, BLOCK_BYTES)
        match = marker.search(block)
        if match:
            return position + match.start()
        position += max(1, len(block) - 1)  # a marker may lie across two blocks
    return source.size

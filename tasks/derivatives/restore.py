r"""What a spliced JPEG carries so that the original can be had back, byte for byte.

The record is the original file without its entropy-coded data, which the spliced file still holds
as its first scans. It stands in APP9 segments, each `AUTOCHROME\0`, a format version (1 byte), its
number from 0 and the count of segments (2 bytes each, big-endian), then a part of the record:

    sha256 of the original (32 bytes) | its size (8 bytes, big-endian) | zlib stream of pieces

where the pieces are `size (8 bytes, big-endian) | bytes`: what stood before the first scan's data,
between the first and the second, …, behind the last. Because whole segments are kept, other tools
may edit the metadata of the spliced file and the original still comes back.
"""

import hashlib
import struct
import zlib
from collections.abc import Sequence

from tasks.derivatives.jpegfile import PAYLOAD_BYTES, JpegFile, JpegLayoutError, Segment, parse_jpeg
from tasks.errors import FixityMismatch, UnreadableScan, UsageError
from tasks.scans.formats.markers import APP9

NAME = b"AUTOCHROME\0"
VERSION = 1

#: More than this in headers and behind EOI, and the file is no case for a splice.
MAX_BYTES = 16 << 20

_HEAD = struct.Struct(">32sQ")
_PART = struct.Struct(">BHH")
_SIZE = struct.Struct(">Q")
_PART_BYTES = PAYLOAD_BYTES - len(NAME) - _PART.size


def restore_segments(original: bytes, parsed: JpegFile) -> list[Segment]:
    """The segments from which `restore_original` rebuilds *original*.

    Raises:
        JpegLayoutError: What stands around the coded data is too much to be carried along.
    """
    pieces = _pieces_around(original, parsed.scans)
    if sum(map(len, pieces)) > MAX_BYTES:
        raise JpegLayoutError(f"over {MAX_BYTES} bytes stand outside its coded data")
    stream = b"".join(_SIZE.pack(len(piece)) + piece for piece in pieces)
    head = _HEAD.pack(hashlib.sha256(original).digest(), len(original))
    record = head + zlib.compress(stream, 9)
    parts = [record[at : at + _PART_BYTES] for at in range(0, len(record), _PART_BYTES)]
    return [
        Segment(APP9, NAME + _PART.pack(VERSION, number, len(parts)) + part)
        for number, part in enumerate(parts)
    ]


def restore_original(spliced: bytes) -> bytes:
    """Rebuild the greyscale file from which a spliced JPEG was made.

    Raises:
        UsageError: The file carries no record of an original: it is no spliced JPEG.
        UnreadableScan: The record is damaged.
        FixityMismatch: The result's sha256 is not the recorded one: the luminance was changed.
    """
    try:
        parsed = parse_jpeg(spliced)
    except JpegLayoutError as error:
        raise UnreadableScan(f"not a sound JPEG file: {error}; take another copy of it") from error
    record = _record(parsed)
    digest, size_bytes = _HEAD.unpack_from(record)
    try:
        pieces = _unpack(record[_HEAD.size :])
    except (zlib.error, struct.error) as error:
        raise UnreadableScan(
            f"its record of the original is damaged ({error}); take another copy of it"
        ) from error
    original = b"".join(_interleave(pieces, parsed.scans))
    if len(original) != size_bytes or hashlib.sha256(original).digest() != digest:
        raise FixityMismatch(
            f"rebuilt {len(original)} bytes where {size_bytes} with sha256 {digest.hex()} are "
            "recorded: the picture was re-encoded after colouring; take another copy of it"
        )
    return original


def _pieces_around(original: bytes, scans: Sequence[Segment]) -> list[bytes]:
    pieces, at = [], 0
    for scan in scans:
        pieces.append(original[at : scan.data_at])
        at = scan.data_at + len(scan.data)
    return [*pieces, original[at:]]


def _record(parsed: JpegFile) -> bytes:
    parts: dict[int, bytes] = {}
    count = 0
    for segment in parsed.segments:
        if segment.is_app(APP9, NAME) and len(segment.payload) >= len(NAME) + _PART.size:
            version, number, count = _PART.unpack_from(segment.payload, len(NAME))
            if version != VERSION:
                raise UsageError(
                    f"its record of the original has format {version}, not {VERSION}; "
                    "use a newer Autochrome"
                )
            parts[number] = segment.payload[len(NAME) + _PART.size :]
    if not parts:
        raise UsageError(
            "it carries no record of an original: only greyscale JPEG files coloured by splicing "
            "can be restored, and only while their APP9 segments are kept"
        )
    record = b"".join(parts[number] for number in sorted(parts))
    if sorted(parts) != list(range(count)) or len(record) < _HEAD.size:
        raise UnreadableScan("its record of the original is incomplete; take another copy of it")
    return record


def _unpack(stream: bytes) -> list[bytes]:
    opened = zlib.decompressobj()
    # The sizes of as many pieces as there can be scans are far below the second MAX_BYTES.
    raw = opened.decompress(stream, 2 * MAX_BYTES)
    if not opened.eof:
        raise zlib.error("it does not end")
    pieces, at = [], 0
    while at < len(raw):
        (size,) = _SIZE.unpack_from(raw, at)
        at += _SIZE.size
        pieces.append(raw[at : at + size])
        at += size
    return pieces


def _interleave(pieces: Sequence[bytes], scans: Sequence[Segment]) -> list[bytes | memoryview]:
    if not 2 <= len(pieces) <= len(scans):  # the chroma scans are behind the last piece
        raise UnreadableScan("scans are missing from it; take another copy of it")
    joined: list[bytes | memoryview] = []
    for piece, scan in zip(pieces, scans, strict=False):
        joined += [piece, scan.data]
    return joined[: 2 * len(pieces) - 1]

"""JPEG 2000 (ITU-T T.800): the codestream of a JP2 file, of a JPX each, or one alone."""

import re
import struct
from dataclasses import dataclass

from tasks.errors import TruncatedScan, UnsupportedFormat
from tasks.filetypes import Format
from tasks.scans.formats.exif import read_exif_block
from tasks.scans.formats.jp2boxes import Boxes, read_boxes
from tasks.scans.formats.source import BLOCK_BYTES, ByteSource, Part, Span, cut_off, damaged
from tasks.scans.formats.statements import statements_of_exif, statements_of_space
from tasks.scans.formats.structure import (
    CONVERTED,
    Photometric,
    Statement,
    Structure,
    Values,
    press_profile,
)

_SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_IMPOSSIBLE = re.compile(rb"\xff[\x90\x93-\xff]")  # amid packets; 91 and 92 delimit them
_CODESTREAM = b"\xff\x4f\xff\x51"
_SOT = 0xFF90
_CMYK, _LAB, _SRGB, _GREY, _SYCC = 12, 14, 16, 17, 18  # enumerated colour spaces
_MAX_TILE_PARTS = 1_000_000
_MAX_BITS = 24  # deeper ones come back from OpenJPEG as other numbers
_FAMILY = {b"jpm ": "a compound document (JPM)", b"mjp2": "a Motion JPEG 2000 film"}
_END_MARKER = b"\xff\xd9"
_VENDORS = Statement("colour specification", fault="it is in a vendor's way")
_DECODED_BYTES_A_SAMPLE = 6, 20  # the decoder works in 32 bits; levels are floating point


@dataclass(frozen=True)
class _Size:
    """The SIZ marker segment."""

    width: int
    height: int
    depths: tuple[int, ...]
    signs: tuple[bool, ...]
    tiles: int


def is_jp2(head: bytes) -> bool:
    """Whether a file begins as JP2 or as a bare codestream."""
    return head.startswith((_SIGNATURE, _CODESTREAM))


def read_jp2(source: ByteSource, page: int = 0) -> Structure:
    """Read what the boxes and the main header say, and see that every tile part is there.

    A JPX may hold several pictures: they are its pages.

    Raises:
        TruncatedScan: The file ends before its end-of-codestream marker.
        UnreadableScan: Boxes or markers are not what the format asks for.
        UnsupportedFormat: CMYK without a profile, components of which some are signed.
    """
    boxes = Boxes()
    if source.read(0, 4) == _CODESTREAM:
        boxes.codestreams.append(0)
    else:
        _refuse_family(source.read_up_to(20, 4))
        read_boxes(source, 0, source.size, boxes)
    start = _codestream(boxes, page)
    size = _read_size(source, start)
    end = _walk_tile_parts(source, start, size.tiles, boxes.notes)
    channels = _channels(boxes, size)
    photometric = _photometric(boxes, channels)
    bits = boxes.palette[0] + 1 if boxes.palette else max(size.depths[:channels])
    is_converted = photometric in CONVERTED
    is_cmyk = photometric == Photometric.CMYK
    is_signed = any(size.signs)
    low = -(1 << bits - 1) if is_signed else 0
    is_open = bits > 16 or (is_signed and bits in {8, 16})
    return Structure(
        format=Format.JP2,
        width=size.width,
        height=size.height,
        stored_bits=bits,
        channels=3 if is_cmyk else channels,
        photometric=photometric,
        compression="JPEG 2000",
        has_alpha=len(size.depths) > channels,
        white=(1 << bits) - 1 if bits not in {8, 16} and bits < 16 and not is_converted else None,
        pages=len(boxes.codestreams),
        parts=_parts(boxes, size, Span(start, end - start)),
        depths=() if boxes.palette else size.depths,
        values=Values(low, low + (1 << bits) - 1, is_signed, is_open=is_open),
        buffer_bytes=size.width
        * size.height
        * max(len(size.depths), len(boxes.palette))
        * _DECODED_BYTES_A_SAMPLE[bits > 16],
        resolution_ppcm=boxes.resolution,
        statements=()
        if is_converted
        else (
            *statements_of_space(boxes.enumerated),
            *([_VENDORS] if boxes.is_vendors else []),
            *statements_of_exif(boxes.exif),
        ),
        icc=None if is_converted else boxes.icc,
        ink_icc=press_profile(boxes.icc, "JPEG 2000") if is_cmyk else None,
        exif=read_exif_block(boxes.exif),
        blocks=tuple(boxes.blocks),
        notes=tuple(boxes.notes),
    )


def _refuse_family(brand: bytes) -> None:
    if brand in _FAMILY:
        raise UnsupportedFormat(f"{_FAMILY[brand]}; extract its pictures")


def _codestream(boxes: Boxes, page: int) -> int:
    """Where a page's codestream begins."""
    count = len(boxes.codestreams)
    if not count:
        raise damaged("the JP2 holds no codestream")
    if page >= count:
        raise damaged(f"the JPX holds {count} pictures, page {page + 1} is not among them")
    for layer in boxes.layers:
        if not (layer.decisive or layer.icc or layer.enumerated is not None):
            continue
        if count > 1:
            raise UnsupportedFormat(
                f"a JPX of {count} pictures with colours of their own; extract each as a JP2"
            )
        if not boxes.icc and boxes.enumerated is None:
            boxes.icc, boxes.enumerated = layer.icc, layer.enumerated
        boxes.decisive += layer.decisive
        boxes.palette = boxes.palette or layer.palette
        boxes.alpha_channels = boxes.alpha_channels or layer.alpha_channels
    return boxes.codestreams[page]


def _parts(boxes: Boxes, size: _Size, codestream: Span) -> tuple[Part, ...]:
    """Give the codestream, in a JP2 of our own where boxes say what its components are.

    A profile is left out: the codec would apply it, to sRGB, and of 16 bits wrongly.
    """
    data = (codestream, _END_MARKER)
    if not boxes.decisive and boxes.enumerated != _SYCC:
        return data
    colours = _SRGB if len(size.depths) > 2 or boxes.palette else _GREY
    colours = _SYCC if boxes.enumerated == _SYCC else colours
    header = b"".join(number.to_bytes(4, "big") for number in (size.height, size.width))
    header += len(size.depths).to_bytes(2, "big") + bytes((size.depths[0] - 1, 7, 0, 0))
    inner = _box(b"ihdr", header) + _box(b"colr", b"\1\0\0" + colours.to_bytes(4, "big"))
    inner += b"".join(_box(kind, body) for kind, body in boxes.decisive)
    brand = _box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return (_SIGNATURE + brand + _box(b"jp2h", inner) + b"\0\0\0\0jp2c", *data)


def _box(kind: bytes, body: bytes) -> bytes:
    return (8 + len(body)).to_bytes(4, "big") + kind + body


def _read_size(source: ByteSource, start: int) -> _Size:
    head = source.read(start, 42)
    right, bottom, left, top, wide, high, first, upper, count = struct.unpack(">8x8IH", head)
    if head[:4] != _CODESTREAM or not 0 < count <= 16384:
        raise damaged("the JPEG 2000 codestream does not begin with its size")
    parts = source.read(start + 42, 3 * count)
    across, down = min(parts[1::3]), min(parts[2::3])
    if right <= left or bottom <= top or not (across and down and wide and high):
        raise damaged(
            f"the JPEG 2000 announces {right - left} × {bottom - top} pixels in tiles of {wide} × "
            f"{high}, of which its components have every {across} × {down}th"
        )
    return _Size(
        width=-(-right // across) - -(-left // across),
        height=-(-bottom // down) - -(-top // down),
        depths=tuple((depth & 0x7F) + 1 for depth in parts[::3]),
        signs=tuple(depth > 0x7F for depth in parts[::3]),
        tiles=-(-(right - first) // wide) * -(-(bottom - upper) // high),
    )


def _walk_tile_parts(source: ByteSource, start: int, tiles: int, notes: list[str]) -> int:
    """Follow the lengths of the tile parts and see that every tile is there; give their end."""
    position, seen = _first_tile_part(source, start), set[int]()
    for _ in range(_MAX_TILE_PARTS):
        head = source.read_up_to(position, 10)
        if len(head) < 10 or int.from_bytes(head[:2], "big") != _SOT:
            break
        size = int.from_bytes(head[6:10], "big")
        if size and size < 14:
            break
        # The last tile part may leave its length open (A.4.2): then it ends where all does.
        end = position + size if size else source.size
        if end > source.size:
            raise _cut_short(source)
        seen.add(int.from_bytes(head[4:6], "big"))
        position = _check_packets(source, position, end, is_open=not size)
        if not size:
            break
    if source.read_up_to(position, 2) == _END_MARKER and len(seen) == tiles:
        return position
    if len(seen) < tiles and position + 2 > source.size:
        raise _cut_short(source)
    if len(seen) != tiles:
        raise damaged(
            f"the JPEG 2000 codestream has no tile part at byte {position:,}, and {len(seen):,} of "
            f"{tiles:,} tiles before"
        )
    notes.append(f"the JPEG 2000 codestream lacks its last marker at byte {position:,}")
    return position


def _cut_short(source: ByteSource) -> TruncatedScan:
    return cut_off(f"the JPEG 2000 codestream ends at byte {source.size:,}, within its data")


def _check_packets(source: ByteSource, start: int, end: int, *, is_open: bool) -> int:
    """See that a tile part's data holds no code that its bit stuffing makes impossible (B.10.1).

    Of one whose length is open, such a code is where it ends.
    """
    position = start + 12
    while source.read_up_to(position, 2) not in {b"\xff\x93", b""}:
        position += 2 + max(2, int.from_bytes(source.read_up_to(position + 2, 2), "big"))
    while position < end - 1:
        block = source.read(position + 2, min(BLOCK_BYTES, end - position - 2))
        match = _IMPOSSIBLE.search(block)
        if match and is_open and match.group(0) == _END_MARKER:
            return position + 2 + match.start()
        if match:
            raise damaged(
                f"the JPEG 2000 codestream is damaged at byte {position + 2 + match.start():,}: "
                "there is a marker amid its data"
            )
        position += max(1, len(block) - 1)  # a pair may lie across two blocks
    if is_open:
        raise _cut_short(source)
    return end


def _first_tile_part(source: ByteSource, start: int) -> int:
    """Pass over the main header's segments."""
    position = start + 2
    while True:
        head = source.read(position, 4)
        marker, size = int.from_bytes(head[:2], "big"), int.from_bytes(head[2:], "big")
        if marker < 0xFF00 or size < 2:
            raise damaged(f"the JPEG 2000 codestream has no marker at byte {position:,}")
        if marker == _SOT:
            return position
        position += 2 + size


def _channels(boxes: Boxes, size: _Size) -> int:
    """Count colour channels, inks among them, and refuse what is not read."""
    if len(set(size.signs)) > 1 or max(size.depths) > _MAX_BITS:
        raise UnsupportedFormat(
            f"a JPEG 2000 of components {', '.join(map(str, size.depths))} bits deep, some of them "
            "signed or too deep; convert it to 8 or 16 bits a sample"
        )
    if boxes.palette:
        return _palette_channels(boxes, size)
    channels = len(size.depths) - boxes.alpha_channels
    if _is_cmyk(boxes) and channels >= 4:
        return 4
    if channels in {2, 4} and not boxes.alpha_channels:
        channels -= 1  # a channel more than colours, unexplained: alpha
    if channels not in {1, 3}:
        raise UnsupportedFormat(f"a JPEG 2000 of {len(size.depths)} components; convert it to grey")
    return channels


def _is_cmyk(boxes: Boxes) -> bool:
    return boxes.enumerated == _CMYK or (boxes.icc or b"")[16:20] == b"CMYK"


def _palette_channels(boxes: Boxes, size: _Size) -> int:
    """Count the colours that a palette makes of one component."""
    is_plain = len(set(boxes.palette)) == 1 and boxes.palette[0] < 16  # bit 7: signed
    if not is_plain or len(boxes.palette) not in {1, 3} or len(size.depths) != 1:
        raise UnsupportedFormat(
            f"a JPEG 2000 of {len(size.depths)} components under a palette of "
            f"{len(boxes.palette)} columns; convert it to grey"
        )
    return len(boxes.palette)


def _photometric(boxes: Boxes, channels: int) -> Photometric:
    if boxes.palette:
        return Photometric.PALETTE
    if channels in {1, 4}:
        return Photometric.MIN_IS_BLACK if channels == 1 else Photometric.CMYK
    if boxes.enumerated == _LAB:  # with T.801's ranges, which are those of T.42
        return Photometric.ITU_LAB
    return Photometric.YCBCR if boxes.enumerated == _SYCC else Photometric.RGB

"""Text chunks of PNG: plain, compressed, international; and profiles that tools put there."""

import re
import zlib
from collections.abc import Iterable

from tasks.scans.formats.blocks import MAX_BLOCK_BYTES, Block, BlockKind
from tasks.scans.formats.exif import decode_text
from tasks.scans.formats.markers import EXIF, PHOTOSHOP, XMP
from tasks.scans.formats.source import BLOCK_BYTES

_XMP_KEYWORD = "xml:com.adobe.xmp"
_RAW_PROFILE = re.compile(r"raw profile type (\w+)$")
_RAW = re.compile(rb"\s*\w+\s+(\d+)\s+([0-9a-fA-F\s]*)$")  # ImageMagick: name, length, hexadecimal


def png_blocks(
    chunks: Iterable[tuple[bytes, bytes, str]],
) -> tuple[bytes | None, tuple[Block, ...]]:
    """Read the text among a PNG's chunks, each given by its kind, its body and its fault.

    Returns:
        EXIF where a raw profile holds it, and the blocks.
    """
    exif: bytes | None = None
    blocks, inflater = [], Inflater()
    for kind, body, fault in chunks:
        if kind not in {b"tEXt", b"zTXt", b"iTXt"}:
            continue
        block = _block(kind, body, fault, inflater)
        raw = _RAW_PROFILE.match(block.name)
        if raw and not block.fault:
            block = _profile(raw[1], block)
            if block.name == "exif":
                exif = exif or block.data
                continue
        blocks.append(block)
    return exif, tuple(blocks)


class Inflater:
    """Decompresses one piece after the other, up to a limit of them all: few bytes may be many."""

    def __init__(self) -> None:
        self._left = MAX_BLOCK_BYTES

    def whole(self, data: bytes) -> bytes | None:
        """Decompress a piece; None where that fails, or more would come."""
        inflater, found, piece = zlib.decompressobj(), bytearray(), data
        try:
            while self._left > 0 and not inflater.eof and (piece or data):
                piece = inflater.decompress(data, min(self._left, BLOCK_BYTES))
                data = inflater.unconsumed_tail
                found += piece
                self._left -= len(piece)  # those of a piece that fails, too
        except zlib.error:
            return None
        return bytes(found) if inflater.eof else None


def _block(kind: bytes, body: bytes, fault: str, inflater: Inflater) -> Block:
    """One chunk's text in UTF-8: Latin-1 by the specification, but tools write others, too."""
    keyword, _, rest = body.partition(b"\0")
    name = keyword.decode("latin-1").lower()
    place = f"chunk {kind.decode()} \u201c{name}\u201d" if name else f"chunk {kind.decode()}"
    found = None if fault else _text(kind, rest, inflater)
    of = BlockKind.XMP if name == _XMP_KEYWORD else BlockKind.TEXT
    if found is None:
        return Block(of, place, b"", name, fault or "cannot be decompressed")
    return Block(of, place, found, name)


def _text(kind: bytes, rest: bytes, inflater: Inflater) -> bytes | None:
    if kind == b"tEXt":
        return decode_text(rest).encode()
    if kind == b"zTXt":
        found = inflater.whole(rest[1:])
        return None if found is None else decode_text(found).encode()
    parts = rest[2:].split(b"\0", 2)  # language, translated keyword, text
    if len(parts) < 3:
        return None
    return parts[2] if rest[:1] == b"\0" else inflater.whole(parts[2])


def _profile(kind: str, block: Block) -> Block:
    """What a raw profile holds; one that is damaged is named."""
    match = _RAW.match(block.data)
    data = bytes.fromhex(match[2].decode("ascii")) if match and _is_even(match[2]) else b""
    if match is None or len(data) != int(match[1]):
        return Block(BlockKind.TEXT, block.place, b"", block.name, "is no whole profile")
    if data.startswith(EXIF) or kind == "exif":
        return Block(BlockKind.TEXT, block.place, data.removeprefix(EXIF), "exif")
    data = data.removeprefix(PHOTOSHOP).removeprefix(XMP)
    if data.startswith(b"8BIM"):
        return Block(BlockKind.PHOTOSHOP, block.place, data)
    if kind in {"iptc", "8bim"}:
        return Block(BlockKind.IPTC, block.place, data)
    return Block(
        BlockKind.XMP if kind in {"xmp", "app1"} else BlockKind.TEXT, block.place, data, kind
    )


def _is_even(digits: bytes) -> bool:
    return len(b"".join(digits.split())) % 2 == 0

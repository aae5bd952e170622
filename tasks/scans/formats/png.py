"""PNG (third edition): the walk over its chunks, each one's checksum with it."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from tasks.errors import TruncatedScan, UnreadableScan
from tasks.scans.formats.exif import read_exif_block
from tasks.scans.formats.pngtext import inflated, png_blocks
from tasks.scans.formats.source import BLOCK_BYTES, ByteSource
from tasks.scans.formats.statements import statements_of_chunks, statements_of_exif
from tasks.scans.formats.structure import Format, Photometric, Structure

_COLOUR_TYPES = {  # depths that the specification allows, and what the samples mean
    0: ({1, 2, 4, 8, 16}, Photometric.MIN_IS_BLACK, False),
    2: ({8, 16}, Photometric.RGB, False),
    3: ({1, 2, 4, 8}, Photometric.PALETTE, False),
    4: ({8, 16}, Photometric.MIN_IS_BLACK, True),
    6: ({8, 16}, Photometric.RGB, True),
}
_STATING = {b"cICP", b"sRGB", b"gAMA", b"cHRM"}
_KEPT = {b"IHDR", b"iCCP", b"eXIf", b"pHYs", b"tEXt", b"zTXt", b"iTXt", *_STATING}
_MAX_KEPT_BYTES = 8 << 20


@dataclass(frozen=True)
class _Chunk:
    kind: bytes
    body: bytes
    fault: str = ""


def read_png(source: ByteSource) -> Structure:
    """Read what a PNG's chunks say, and see that it is all there, by its checksums.

    Raises:
        TruncatedScan: The file ends before its IEND chunk.
        UnreadableScan: A checksum fails, or the header says what PNG does not allow.
    """
    chunks = list(_walk(source))
    header = chunks[0].body if chunks and chunks[0].kind == b"IHDR" else b""
    if len(header) != 13:
        raise UnreadableScan("the PNG does not begin with its header; restore the file from a copy")
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    bits, colour_type, interlace = header[8], header[9], header[12]
    depths, photometric, has_alpha = _COLOUR_TYPES.get(colour_type, (set(), Photometric.RGB, False))
    if not width or not height or bits not in depths:
        raise UnreadableScan(
            f"the PNG announces {width} × {height} pixels of {bits} bits in colour type "
            f"{colour_type}, which PNG does not allow; restore the file from a copy"
        )
    if not any(chunk.kind == b"IDAT" for chunk in chunks):
        raise UnreadableScan("the PNG holds no picture data; restore the file from a copy")
    channels = 1 if photometric == Photometric.MIN_IS_BLACK else 3
    has_alpha = has_alpha or any(chunk.kind == b"tRNS" for chunk in chunks)
    exif, blocks = png_blocks((chunk.kind, chunk.body, chunk.fault) for chunk in chunks)
    exif = next((chunk.body for chunk in chunks if chunk.kind == b"eXIf"), exif)
    stating = {chunk.kind: chunk.body for chunk in reversed(chunks) if chunk.kind in _STATING}
    return Structure(
        format=Format.PNG,
        width=width,
        height=height,
        stored_bits=bits,
        channels=channels,
        photometric=photometric,
        compression="deflate",
        has_alpha=has_alpha,
        buffer_bytes=width * height * (channels + has_alpha) * (2 if bits == 16 else 1)
        if interlace
        else 0,
        resolution_ppcm=_resolution(chunks),
        icc=_profile(chunks),
        statements=(*statements_of_chunks(stating, bits), *statements_of_exif(exif)),
        exif=read_exif_block(exif),
        blocks=blocks,
    )


def _walk(source: ByteSource) -> Iterator[_Chunk]:
    position = 8
    while True:
        head = source.read_up_to(position, 8)
        if len(head) < 8:
            raise TruncatedScan(
                f"the PNG ends at byte {source.size:,} without its IEND chunk; "
                "fetch it again, or rescan"
            )
        size, kind = int.from_bytes(head[:4], "big"), head[4:]
        if position + 12 + size > source.size:
            raise TruncatedScan(
                f"the PNG ends at byte {source.size:,}, within its chunk {_name(kind)} of {size:,} "
                "bytes; fetch it again, or rescan"
            )
        is_critical = not kind[0] & 0x20
        if is_critical:
            _check(source, position, size, kind)
        yield _chunk(source, position, size, kind)
        if kind == b"IEND":
            return
        position += 12 + size


def _chunk(source: ByteSource, position: int, size: int, kind: bytes) -> _Chunk:
    if kind not in _KEPT:
        return _Chunk(kind, b"")
    if size > _MAX_KEPT_BYTES:
        return _Chunk(kind, b"", f"announces {size:,} bytes")
    body = source.read(position + 8, size)
    checksum = int.from_bytes(source.read(position + 8 + size, 4), "big")
    fault = "" if zlib.crc32(body, zlib.crc32(kind)) == checksum else "fails its checksum"
    return _Chunk(kind, body, fault)


def _check(source: ByteSource, position: int, size: int, kind: bytes) -> None:
    """Compare a chunk's checksum with its bytes, a block at a time."""
    checksum = zlib.crc32(kind)
    for start in range(0, size, BLOCK_BYTES):
        block = source.read(position + 8 + start, min(BLOCK_BYTES, size - start))
        checksum = zlib.crc32(block, checksum)
    if checksum != int.from_bytes(source.read(position + 8 + size, 4), "big"):
        raise UnreadableScan(
            f"the PNG's chunk {_name(kind)} at byte {position:,} fails its checksum; "
            "restore the file from a copy"
        )


def _name(kind: bytes) -> str:
    return repr(kind.decode("ascii", "backslashreplace"))


def _resolution(chunks: list[_Chunk]) -> tuple[float, float] | None:
    body = next((chunk.body for chunk in chunks if chunk.kind == b"pHYs"), b"")
    if len(body) != 9 or body[8] != 1:
        return None
    x, y = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
    return (x / 100, y / 100) if x and y else None


def _profile(chunks: list[_Chunk]) -> bytes | None:
    body = next((chunk.body for chunk in chunks if chunk.kind == b"iCCP"), b"")
    name, _, rest = body.partition(b"\0")
    return inflated(rest[1:]) if name else None

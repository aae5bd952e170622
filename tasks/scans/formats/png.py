"""PNG (third edition): the walk over its chunks; checksums of the picture are the decoder's."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from tasks.filetypes import Format
from tasks.scans.formats.blocks import Block, BlockKind
from tasks.scans.formats.exif import read_exif_block
from tasks.scans.formats.markers import EXIF
from tasks.scans.formats.pngtext import Inflater, png_blocks
from tasks.scans.formats.source import BLOCK_BYTES, ByteSource, Part, Span, cut_off, damaged, joined
from tasks.scans.formats.statements import statements_of_chunks, statements_of_exif
from tasks.scans.formats.structure import Photometric, Statement, Structure

_COLOUR_TYPES = {  # depths that the specification allows, and what the samples mean
    0: ({1, 2, 4, 8, 16}, Photometric.MIN_IS_BLACK, False),
    2: ({8, 16}, Photometric.RGB, False),
    3: ({1, 2, 4, 8}, Photometric.PALETTE, False),
    4: ({8, 16}, Photometric.MIN_IS_BLACK, True),
    6: ({8, 16}, Photometric.RGB, True),
}
_STATING = {b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM"}
_KEPT = {b"IHDR", b"tRNS", b"eXIf", b"pHYs", b"tEXt", b"zTXt", b"iTXt", *_STATING}
_DECISIVE = {b"IHDR", b"PLTE", b"IDAT"}  # alpha is dropped, so tRNS is not among them
_LOST_PROFILE = Statement("ICC profile", fault="it cannot be decompressed")
_MAX_KEPT_BYTES = 8 << 20
_MAX_CHUNKS = 1_000_000
_IEND = bytes.fromhex("0000000049454e44ae426082")


@dataclass(frozen=True)
class _Chunk:
    kind: bytes
    body: bytes
    fault: str = ""


@dataclass
class _Chunks:
    """What the walk collects.

    Attributes:
        kept: The chunks that are read here.
        parts: What decides about the pixels.
        data: Spans of the compressed data, bodies of IDAT.
        notes: What is wrong with the rest.
    """

    kept: list[_Chunk] = field(default_factory=list)
    parts: list[Part] = field(default_factory=lambda: [Span(0, 8)])
    data: list[Part] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_png(source: ByteSource) -> Structure:
    """Read what a PNG's chunks say, and see that its picture is all there.

    Raises:
        TruncatedScan: The file ends before its picture does.
        UnreadableScan: The header's checksum fails, or it says what PNG does not allow.
    """
    found = _walk(source)
    chunks = found.kept
    header = chunks[0].body if chunks and chunks[0].kind == b"IHDR" else b""
    if len(header) != 13 or chunks[0].fault:
        raise damaged("the PNG does not begin with its header, or that fails its checksum")
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    bits, colour_type, interlace = header[8], header[9], header[12]
    depths, photometric, has_alpha = _COLOUR_TYPES.get(colour_type, (set(), Photometric.RGB, False))
    if not width or not height or bits not in depths:
        raise damaged(
            f"the PNG announces {width} × {height} pixels of {bits} bits in colour type "
            f"{colour_type}, which PNG does not allow"
        )
    if not found.data:
        raise damaged("the PNG holds no picture data")
    channels = 1 if photometric == Photometric.MIN_IS_BLACK else 3
    exif, blocks = png_blocks((chunk.kind, chunk.body, chunk.fault) for chunk in chunks)
    exif = next((c.body.removeprefix(EXIF) for c in chunks if c.kind == b"eXIf"), exif)
    whole = [chunk for chunk in chunks if not chunk.fault]
    stating = {chunk.kind: chunk.body for chunk in reversed(whole) if chunk.kind in _STATING}
    icc = _profile(whole)
    return Structure(
        format=Format.PNG,
        width=width,
        height=height,
        stored_bits=bits,
        channels=channels,
        photometric=photometric,
        compression="deflate",
        has_alpha=has_alpha or any(chunk.kind == b"tRNS" for chunk in chunks),
        parts=joined((*found.parts, _IEND)),
        buffer_bytes=width * height * (channels + has_alpha) * (2 if bits == 16 else 1)
        if interlace
        else 0,
        resolution_ppcm=_resolution(chunks),
        icc=icc,
        statements=(
            *(_LOST_PROFILE for chunk in whole if chunk.kind == b"iCCP" and icc is None),
            *(
                Statement(f"{chunk.kind.decode()} chunk", fault=f"it {chunk.fault}")
                for chunk in chunks
                if chunk.fault and chunk.kind in _STATING
            ),
            *statements_of_chunks(stating, bits),
            *statements_of_exif(exif),
        ),
        exif=read_exif_block(exif),
        blocks=(*blocks, *_further_pictures(chunks)),
        notes=tuple(found.notes),
    )


def _further_pictures(chunks: list[_Chunk]) -> Iterator[Block]:
    """Name the frames of an animated PNG beside its still picture: nothing reads them."""
    if any(chunk.kind == b"fdAT" for chunk in chunks):
        yield Block(BlockKind.PICTURE, "chunks fdAT", b"", fault="was not read")


def _walk(source: ByteSource) -> _Chunks:
    found, position = _Chunks(), 8
    for _ in range(_MAX_CHUNKS):
        head = source.read_up_to(position, 8)
        size, kind = int.from_bytes(head[:4], "big"), head[4:]
        if len(head) < 8 or position + 12 + size > source.size:
            _allow_missing_end(source, found, kind)
            return found
        if kind == b"fdAT":
            found.kept.append(_Chunk(kind, b""))
        if kind in _KEPT:
            one = _chunk(source, position, size, kind)
            if found.data and kind in _STATING:  # decoders pass it by there (11.3)
                one = _Chunk(kind, b"", "stands behind the picture's data")
            found.kept.append(one)
        if kind in _DECISIVE:
            found.parts.append(Span(position, 12 + size))
        if kind == b"IDAT":
            found.data.append(Span(position + 8, size))
        if kind == b"IEND":
            return found
        position += 12 + size
    raise damaged(f"the PNG has more than {_MAX_CHUNKS:,} chunks")


def _allow_missing_end(source: ByteSource, found: _Chunks, kind: bytes) -> None:
    """Let a file end after its picture.

    Raises:
        TruncatedScan: It ends within it.
    """
    within = f", within its chunk {_name(kind)}" if kind else ""
    if kind == b"IDAT" or not _is_complete(source, found.data):
        raise cut_off(f"the PNG ends at byte {source.size:,}{within}, before its picture does")
    found.notes.append(f"the PNG ends at byte {source.size:,}{within}; its picture is whole")


def _is_complete(source: ByteSource, data: list[Part]) -> bool:
    """Whether compressed data comes to its end."""
    inflater, file = zlib.decompressobj(), source.assembled(data)
    try:
        while not inflater.eof and (block := file.read(BLOCK_BYTES)):
            while block and not inflater.eof:
                inflater.decompress(block, BLOCK_BYTES)
                block = inflater.unconsumed_tail
    except zlib.error:
        return False
    return inflater.eof


def _chunk(source: ByteSource, position: int, size: int, kind: bytes) -> _Chunk:
    if size > _MAX_KEPT_BYTES:
        return _Chunk(kind, b"", f"announces {size:,} bytes")
    body = source.read(position + 8, size)
    checksum = int.from_bytes(source.read(position + 8 + size, 4), "big")
    fault = "" if zlib.crc32(body, zlib.crc32(kind)) == checksum else "fails its checksum"
    return _Chunk(kind, body, fault)


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
    return Inflater().whole(rest[1:]) if name else None

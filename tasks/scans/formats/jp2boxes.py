"""The boxes of a JP2 or JPX file (ITU-T T.800, annex I; T.801, annex M)."""

import struct
from dataclasses import dataclass, field

from tasks.scans.formats.blocks import Block, BlockKind, unnamed_block
from tasks.scans.formats.source import ByteSource, cut_off

_UUIDS = {
    bytes.fromhex("be7acfcb97a942e89c71999491e3afac"): BlockKind.XMP,
    bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38"): BlockKind.IPTC,
    bytes.fromhex("09a14e97c0b442e0bebf36df6f0ce36f"): BlockKind.IPTC,  # Adobe's plug-in
    bytes.fromhex("2c4c0100850440b9a03e562148d6dfeb"): BlockKind.PHOTOSHOP,
}
_EXIF_UUIDS = {b"JpgTiffExif->JP2", bytes.fromhex("0537cdab9d0c4431a72afa561f2a113e")}
_MAX_BOX_BYTES = 16 << 20
_MAX_BOXES = 100_000
_NESTING = {b"jp2h", b"res ", b"asoc"}
_LAYERS = {b"jpch", b"jplh", b"cgrp"}  # of one picture of a JPX
DECISIVE = {b"pclr", b"cmap", b"cdef"}  # what the codestream's components mean


@dataclass
class Boxes:
    """What the boxes say.

    Attributes:
        codestreams: Where they begin: of a JPX each is a picture.
        is_vendors: Whether colours are specified in a vendor's way.
        layers: What is said of one of them alone.
    """

    codestreams: list[int] = field(default_factory=list)
    layers: "list[Boxes]" = field(default_factory=list)
    decisive: list[tuple[bytes, bytes]] = field(default_factory=list)
    enumerated: int | None = None
    icc: bytes | None = None
    is_vendors: bool = False
    palette: tuple[int, ...] = ()
    alpha_channels: int = 0
    resolution: tuple[float, float] | None = None
    exif: bytes | None = None
    blocks: list[Block] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_boxes(source: ByteSource, start: int, end: int, boxes: Boxes, *, depth: int = 0) -> None:
    """Read boxes one after the other, and those within.

    Raises:
        TruncatedScan: They break off before the first codestream.
    """
    position = start
    for _ in range(_MAX_BOXES):
        if position + 8 > end:
            return
        head = source.read(position, 8)
        size, kind, body = int.from_bytes(head[:4], "big"), head[4:], position + 8
        if size == 1:
            size, body = int.from_bytes(source.read_up_to(position + 8, 8), "big"), position + 16
        size = size or end - position
        if kind == b"jp2c":
            boxes.codestreams.append(body)
        elif size < body - position or position + size > end:
            _allow_broken_boxes(source, position, boxes)
            return
        elif kind in _LAYERS and depth < len(_NESTING):
            inner = Boxes()
            read_boxes(source, body, position + size, inner, depth=depth + 1)
            boxes.layers += [inner, *inner.layers]
            boxes.blocks += inner.blocks
        elif kind in _NESTING and depth < len(_NESTING):
            read_boxes(source, body, position + size, boxes, depth=depth + 1)
        elif position + size - body <= _MAX_BOX_BYTES:
            _take(boxes, kind, source.read(body, position + size - body))
        position += max(size, 8)


def _allow_broken_boxes(source: ByteSource, position: int, boxes: Boxes) -> None:
    """Let boxes break off behind the codestream, which needs none of them.

    Raises:
        TruncatedScan: They break off before it.
    """
    if not boxes.codestreams:
        raise cut_off(
            f"the JP2 breaks off in its box at byte {position:,} of {source.size:,}, before its "
            "picture"
        )
    boxes.notes.append(f"the boxes of the JP2 break off at byte {position:,}, behind its picture")


def _take(boxes: Boxes, kind: bytes, body: bytes) -> None:
    if kind in DECISIVE:
        boxes.decisive.append((kind, body))
    if kind == b"colr" and len(body) > 3:
        if boxes.enumerated is not None or boxes.icc:
            return  # all but the first are for other readers (T.800, I.5.3.3)
        if body[0] == 1 and len(body) >= 7:
            boxes.enumerated = int.from_bytes(body[3:7], "big")
        elif body[0] in {2, 3}:
            boxes.icc = body[3:]
        else:
            boxes.is_vendors = True
    elif kind == b"pclr":
        boxes.palette = tuple(body[3 : 3 + body[2]]) if len(body) > 3 else (0xFF,)
    elif kind == b"cdef":
        entries = [body[i : i + 6] for i in range(2, len(body) - 5, 6)]
        boxes.alpha_channels = sum(entry[2:4] in {b"\0\1", b"\0\2"} for entry in entries)
    elif kind in {b"resc", b"resd"} and len(body) >= 10:
        boxes.resolution = boxes.resolution or _resolution(body)
    elif kind in {b"uuid", b"xml ", b"jp2i"}:
        _take_metadata(boxes, kind, body)


def _take_metadata(boxes: Boxes, kind: bytes, body: bytes) -> None:
    """Take a box of metadata; XML that holds RDF is read as XMP is."""
    if kind == b"uuid":
        name, body = body[:16], body[16:]
        if name in _EXIF_UUIDS:
            boxes.exif = boxes.exif or body.removeprefix(b"Exif\0\0")
        elif name in _UUIDS:
            boxes.blocks.append(Block(_UUIDS[name], "a box uuid", body))
        else:
            boxes.blocks += unnamed_block("a box uuid", body)
    elif kind == b"xml ":
        boxes.blocks += unnamed_block("a box xml", body)
    else:
        fault = "is of a kind that nothing reads"
        boxes.blocks.append(Block(BlockKind.TEXT, "the box of property rights", b"", fault=fault))


def _resolution(body: bytes) -> tuple[float, float] | None:
    """Decode pixels per metre, down and across: numerator, denominator and power of ten each."""
    above_y, below_y, above_x, below_x, power_y, power_x = struct.unpack(">4H2b", body[:10])
    if not (above_y and below_y and above_x and below_x) or max(abs(power_y), abs(power_x)) > 12:
        return None
    return above_x / below_x * 10.0**power_x / 100, above_y / below_y * 10.0**power_y / 100

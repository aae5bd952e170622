"""JPEG (ITU-T T.81): the walk over its segments, from the first marker to the last."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import simplejpeg

from tasks.errors import TruncatedScan, UnsupportedFormat
from tasks.filetypes import Format
from tasks.scans.formats import markers
from tasks.scans.formats.blocks import Block, BlockKind, unnamed_block
from tasks.scans.formats.exif import decode_text, read_exif_block
from tasks.scans.formats.markers import walk_markers
from tasks.scans.formats.source import BLOCK_BYTES, ByteSource, Part, Span, damaged, joined
from tasks.scans.formats.statements import statements_of_exif
from tasks.scans.formats.structure import Photometric, Structure, press_profile

_JPEG_LS = "JPEG-LS"
_CODINGS = {
    0xC0: "baseline", 0xC1: "extended", 0xC2: "progressive", 0xC3: "lossless",
    0xC5: "hierarchical", 0xC6: "hierarchical", 0xC7: "hierarchical",
    0xC9: "arithmetic", 0xCA: "progressive arithmetic", 0xCB: "lossless arithmetic",
    0xCD: "hierarchical", 0xCE: "hierarchical", 0xCF: "hierarchical",
    markers.SOF_LS: _JPEG_LS,
}  # fmt: skip
_REFUSED = {"hierarchical", "lossless arithmetic"}
_DEEP = {"extended", "progressive", "lossless"}  # may have more than 8 bits
_END_MARKER, _TAIL_BYTES = b"\xff\xd9", 32
_DECISIVE = {*range(0xC0, 0xD0), markers.SOS, markers.DQT, markers.DRI}  # frames, tables, scans
_JFIF = bytes.fromhex("ffe000104a46494600010101000100010000")
_ADOBE = bytes.fromhex("ffee000e41646f62650064") + bytes(4)  # then the transform
_CM_PER_INCH = 2.54
_WHOLE_BLOCK = (1 << 64) - 1


@dataclass
class _Segments:
    """What the walk collects.

    Attributes:
        parts: What decides about the pixels, the frame header as `frame_part` of it.
        lines: The height that follows the first scan's data (DNL).
        extraneous: Bytes between segments that belong to none, and where the first ones lie.
    """

    frame: tuple[str, bytes] | None = None
    frame_part: int = 0
    lines: int = 0
    parts: list[Part] = field(default_factory=lambda: [b"\xff\xd8"])
    extraneous: tuple[int, int] = (0, 0)
    icc: dict[int, bytes] = field(default_factory=dict)
    exif: list[bytes] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    photoshop: list[bytes] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    density: tuple[int, int, int] | None = None
    adobe_transform: int | None = None
    end: int = 0
    scans: int = 0
    sent: dict[int, int] = field(default_factory=dict)  # bits of coefficients, by component
    has_end: bool = True


def read_jpeg(source: ByteSource) -> Structure:
    """Read what a JPEG's markers say, and see that it is all there.

    Raises:
        TruncatedScan: The file ends before its end-of-image marker.
        UnreadableScan: There is no frame, or what must be a segment is none.
        UnsupportedFormat: Hierarchical coding, or CMYK without a profile.
    """
    found = _Segments()
    try:
        _walk(source, found)
    except TruncatedScan as error:
        if _END_MARKER in source.read_up_to(max(0, source.size - _TAIL_BYTES), _TAIL_BYTES):
            raise damaged(
                "the JPEG's segments point beyond its end, although it has its end-of-image marker"
            ) from error
        if not _is_complete(source, found):
            raise
    if found.frame is None or not found.scans:
        raise damaged("the JPEG holds no picture: no frame header before its end")
    coding, frame = found.frame
    bits, height, width, components = _frame_numbers(frame, found.lines)
    _refuse(coding, bits, components)
    icc = b"".join(found.icc[i] for i in sorted(found.icc)) or None
    is_cmyk = components == 4
    whole = "progressive" in coding or (found.scans > 1 and components > 1)
    is_deep = bits != 8 or coding in {"lossless", _JPEG_LS}
    exif = b"".join(found.exif)
    return Structure(
        format=Format.JPEG,
        width=width,
        height=height,
        stored_bits=bits,
        channels=3 if is_cmyk else components,
        photometric=_photometric(components, found.adobe_transform),
        compression=coding,
        white=(1 << bits) - 1 if bits not in {8, 16} else None,
        parts=_parts(found, coding, height, source.size),
        buffer_bytes=2 * width * height * components * (whole + is_deep),
        resolution_ppcm=_resolution(found.density),
        statements=statements_of_exif(exif),
        icc=None if is_cmyk else icc,
        ink_icc=press_profile(icc, "JPEG") if is_cmyk else None,
        exif=read_exif_block(exif),
        blocks=(*_blocks(found), *_further_pictures(source, found.end)),
        notes=tuple(_notes(found)),
    )


def _notes(found: _Segments) -> Iterator[str]:
    count, place = found.extraneous
    if count:
        yield f"{count:,} bytes between the JPEG's segments belong to none, from byte {place:,} on"
    if not found.has_end:
        yield "the JPEG ends without its end-of-image marker; its picture is whole"
    if found.lines:
        yield f"the JPEG's height, {found.lines:,}, follows its data (DNL)"
    is_progressive = found.frame is not None and "progressive" in found.frame[0]
    if is_progressive and any(sent != _WHOLE_BLOCK for sent in found.sent.values()):
        yield "the JPEG's scans do not send all detail: it was cut off once, or made so"


def _parts(found: _Segments, coding: str, height: int, size: int) -> tuple[Part, ...]:
    """Give what decides about the pixels, with a height before the data and an end after it."""
    if coding == _JPEG_LS:
        return (Span(0, size),)
    if found.lines:
        frame = found.parts[found.frame_part]
        if isinstance(frame, bytes):
            found.parts[found.frame_part] = frame[:5] + height.to_bytes(2, "big") + frame[7:]
    start, *others = found.parts
    return joined((start, *_adobe(found), *others, _END_MARKER))


def _adobe(found: _Segments) -> Iterator[bytes]:
    """Adobe's segment as libjpeg takes it: under a number that it does not know is YCbCr."""
    if found.adobe_transform is not None and found.frame is not None:
        coded = 2 if found.frame[1][5] == 4 else 1
        yield _ADOBE + bytes([coded if found.adobe_transform else 0])


def _frame_numbers(frame: bytes, lines: int) -> tuple[int, int, int, int]:
    if len(frame) < 6 or len(frame) < 6 + 3 * frame[5]:
        raise damaged("the JPEG's frame header is too short")
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    height = height or lines
    if not height or not width or not frame[5]:
        raise damaged(f"the JPEG announces {width} × {height} pixels in {frame[5]} components")
    return frame[0], height, width, frame[5]


def _refuse(coding: str, bits: int, components: int) -> None:
    if components not in {1, 3, 4} or (components == 4 and (bits != 8 or coding == _JPEG_LS)):
        raise UnsupportedFormat(
            f"a JPEG of {components} components of {bits} bits in {coding} coding; "
            "convert it to grey"
        )
    is_free = coding in {"lossless", _JPEG_LS}
    allowed = range(2, 17) if is_free else (8, 12) if coding in _DEEP else (8,)
    if bits not in allowed:
        raise damaged(
            f"the JPEG announces {bits} bits a sample in {coding} coding, which JPEG does not allow"
        )


def _photometric(components: int, adobe_transform: int | None) -> Photometric:
    if components in {1, 4}:
        return Photometric.MIN_IS_BLACK if components == 1 else Photometric.CMYK
    return Photometric.RGB if adobe_transform == 0 else Photometric.YCBCR


def _is_complete(source: ByteSource, found: _Segments) -> bool:
    """Whether nothing but the end-of-image marker is missing: the decoder wants for no bit.

    Of one scan of all components, that is: more may come that would refine the picture.
    """
    if found.scans != 1 or found.frame is None or found.frame[0] != "baseline":
        return False
    with source.assembled((*found.parts, _END_MARKER)) as file:
        try:
            simplejpeg.decode_jpeg(file.read(), "GRAY")
        except ValueError:  # libjpeg's warnings, too
            return False
    found.has_end = False
    return True


def _walk(source: ByteSource, found: _Segments) -> None:
    for one in walk_markers(source):
        if one.stray:
            count, place = found.extraneous
            found.extraneous = count + one.stray, place or one.at - one.stray
        _take(found, one.code, one.payload)
        if found.frame and found.frame[0] in _REFUSED:  # nor could the walk follow it to the end
            raise UnsupportedFormat(
                f"a JPEG in {found.frame[0]} coding; convert it to baseline JPEG or to TIFF"
            )
        found.scans += one.code == markers.SOS
        found.end = one.end
        if one.code in _CODINGS and found.frame_part == len(found.parts):
            # Its height may be wanting.
            found.parts.append(source.read(one.at, one.data_end - one.at))
        elif one.code in _DECISIVE:
            found.parts.append(Span(one.at, one.data_end - one.at))


def _take(found: _Segments, marker: int, body: bytes) -> None:
    if marker in _CODINGS:
        found.frame_part = len(found.parts) if found.frame is None else found.frame_part
        found.frame = found.frame or (_CODINGS[marker], body)
    elif marker == markers.SOS:
        _take_scan(found, body)
    elif marker == markers.DNL and len(body) >= 2:
        is_open = found.frame is not None and not any(found.frame[1][1:3])
        found.lines = int.from_bytes(body[:2], "big") if is_open else 0
    elif marker == markers.APP0 and body.startswith(markers.JFIF) and len(body) >= 12:
        numbers = body[7], int.from_bytes(body[8:10], "big"), int.from_bytes(body[10:12], "big")
        found.density = numbers
        found.parts.append(_JFIF)
    elif marker == markers.APP14 and body.startswith(markers.ADOBE) and len(body) >= 12:
        found.adobe_transform = body[11]
    elif marker == markers.COM:
        found.comments.append(decode_text(body))
    elif markers.APP0 <= marker <= markers.APP15:
        _take_metadata(found, marker, body)


def _take_metadata(found: _Segments, marker: int, body: bytes) -> None:
    """Take an application segment that decides no pixel."""
    if marker == markers.APP1:
        _take_app1(found, body)
    elif marker == markers.APP2 and body.startswith(markers.ICC) and len(body) > 14:
        found.icc.setdefault(body[12], body[14:])
    elif marker == markers.APP12 and body.startswith(markers.DUCKY):
        found.blocks += _ducky(body[len(markers.DUCKY) :])
    elif marker == markers.APP13:
        _take_app13(found, body)
    else:
        found.blocks += unnamed_block(f"segment APP{marker - markers.APP0}", body)


def _ducky(body: bytes) -> Iterator[Block]:
    """What Photoshop writes when it saves for the web: numbered parts, of which two are texts."""
    while len(body) > 4 and (number := int.from_bytes(body[:2], "big")):
        size = int.from_bytes(body[2:4], "big")
        text = body[8 : 4 + size].decode("utf-16-be", "replace").strip("\0 ")
        name = {2: "comment", 3: "copyright"}.get(number, "")
        if name and text:
            yield Block(BlockKind.TEXT, "segment APP12", text.encode(), name=name)
        body = body[4 + size :]


def _take_scan(found: _Segments, body: bytes) -> None:
    """Note which coefficients a scan sends to the last bit."""
    if not body or len(body) < 4 + 2 * body[0]:
        return
    first, last, bits = body[1 + 2 * body[0] : 4 + 2 * body[0]]
    whole = (2 << last) - (1 << first) if first <= last < 64 and not bits & 15 else 0
    for component in body[1 : 1 + 2 * body[0] : 2]:
        found.sent[component] = found.sent.get(component, 0) | whole


def _take_app13(found: _Segments, body: bytes) -> None:
    head = next((one for one in markers.PHOTOSHOPS if body.startswith(one)), b"")
    if head:
        found.photoshop.append(body[len(head) :])
    elif body.startswith(b"\x1c"):  # datasets of IPTC without Photoshop's head
        found.blocks.append(Block(BlockKind.IPTC, "segment APP13", body))
    else:
        found.blocks += unnamed_block("segment APP13", body)


def _take_app1(found: _Segments, body: bytes) -> None:
    """Take EXIF, which may go on in further segments, or a part of XMP."""
    if body.startswith(b"Exif\0"):
        begins = body[6:8] in {b"II", b"MM"}
        if not (begins and found.exif):
            found.exif.append(body[6:])
        elif body[6:] not in found.exif:
            fault = "stands there a second time, and was not read"
            found.blocks.append(Block(BlockKind.TEXT, "segment APP1 of EXIF", b"", fault=fault))
    elif body.startswith(markers.XMP):
        found.blocks.append(Block(BlockKind.XMP, "segment APP1", body[len(markers.XMP) :]))
    elif body.startswith(markers.XMP_MORE):
        more = body[len(markers.XMP_MORE) :]
        found.blocks.append(Block(BlockKind.EXTENDED_XMP, "segment APP1", more))
    else:
        found.blocks += unnamed_block("segment APP1", body)


def _blocks(found: _Segments) -> Iterator[Block]:
    yield from found.blocks
    if found.photoshop:  # what does not fit into one segment goes on in the next
        yield Block(BlockKind.PHOTOSHOP, "segment APP13", b"".join(found.photoshop))
    comment = "\n".join(found.comments).strip("\0 ")
    yield Block(BlockKind.TEXT, "a comment", comment.encode(), name="comment")


def _further_pictures(source: ByteSource, end: int) -> Iterator[Block]:
    """Name a picture that follows the first, as Multi-Picture Format has it: nothing reads it."""
    while end < source.size:
        rest = source.read_up_to(end, BLOCK_BYTES)
        if b"\xff\xd8\xff" in rest:
            place = "the bytes behind the JPEG's end"
            yield Block(BlockKind.PICTURE, place, b"", fault="was not read")
            return
        end += max(1, len(rest) - 2)  # a start may lie across two blocks


def _resolution(density: tuple[int, int, int] | None) -> tuple[float, float] | None:
    if density is None or not density[1] or not density[2] or density[0] not in {1, 2}:
        return None
    per_cm = _CM_PER_INCH if density[0] == 1 else 1.0
    return density[1] / per_cm, density[2] / per_cm

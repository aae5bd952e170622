"""EXIF, and the tags of a TIFF that mean the same: of any type and count, anywhere in the file.

Whatever a tag claims to be, it is read or it is named; it never raises, and decides no pixel but by
an orientation that exists.
"""

import codecs
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from tasks.errors import AutochromeError
from tasks.scans.formats.blocks import MAX_BLOCK_BYTES, OF_RIGHTS, Block, BlockKind
from tasks.scans.formats.exiftags import Tag
from tasks.scans.formats.ifd import Directory, read_directory, read_layout
from tasks.scans.formats.position import read_position
from tasks.scans.formats.source import ByteSource

_UTF16 = (Tag.XPTitle, Tag.XPComment, Tag.XPAuthor, Tag.XPKeywords, Tag.XPSubject)
#: Tags whose text is carried over.
_TEXTS = (Tag.DocumentName, Tag.ImageDescription, Tag.Artist, Tag.Copyright, *_UTF16)
_INNER_TEXTS = (
    Tag.DateTimeOriginal, Tag.OffsetTimeOriginal, Tag.DateTimeDigitized, Tag.OffsetTimeDigitized,
    Tag.UserComment,
)  # fmt: skip
_BLOCKS = {700: BlockKind.XMP, 33723: BlockKind.IPTC, 34377: BlockKind.PHOTOSHOP}
_OF_MACHINES = {Tag.Make, Tag.Model, Tag.Software}  # the rights they state are their own
_CHARACTERS = 1, 2, 6, 7, 129  # types that hold bytes; the last is UTF-8 of EXIF 3.0
_MAX_TEXT_BYTES = 1 << 20
_SIGN = re.compile(rb"(?<![A-Za-z\x80-\xff])\xa9(?![A-Za-z\x80-\xff])")  # in nearly all of them ©
_MARKS = codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE
_CODES = {b"ASCII\0\0\0": "utf-8", b"UNICODE\0": "utf-16", b"JIS\0\0\0\0\0": "iso2022_jp"}

#: Pixels an inch or centimetre beyond which nobody scans: finer than a wave of light by far.
_MOST_PER_UNIT = 1e7


#: What is said of a text that states no coding and is no UTF-8.
UNSURE = "does not say which characters it is in; it was read as Windows-1252"


@dataclass(frozen=True)
class Exif:
    """What was read.

    Attributes:
        texts: Text by tag, its strings separated by NUL where there are several.
        orientation: 1 to 8; 1 where it is not said, or cannot be.
        resolution_ppcm: Pixels per centimetre across and down, as stored.
        position: Where it was taken, by the names that XMP has for it in its namespace of EXIF.
        blocks: XMP, IPTC and Photoshop's resources: of a TIFF, and in EXIF as some tools write it.
        notes: What is odd, a sentence each.
        unread: What may have been description or rights and could not be read, a sentence each.
    """

    texts: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    orientation: int = 1
    resolution_ppcm: tuple[float, float] | None = None
    position: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    blocks: tuple[Block, ...] = ()
    notes: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


def read_exif_block(data: bytes | None) -> Exif:
    """Read an EXIF block, as JPEG, PNG and JPEG 2000 hold it, from its byte order on."""
    if not data:
        return Exif()
    source = ByteSource.of_bytes(data)
    try:
        if data[:2] not in {b"II", b"MM"}:
            return Exif(unread=("EXIF begins with no byte order, and cannot be read",))
        return read_exif(read_directory(source, *read_layout(source)))
    except AutochromeError as error:
        return Exif(unread=(f"EXIF cannot be read: {_what(error)}",))


def read_exif(directory: Directory) -> Exif:
    """Read what a directory and the EXIF directory below it say; a TIFF's is one of its pages."""
    notes: list[str] = []
    unread: list[str] = []
    texts = dict(_texts(directory, _TEXTS, unread))
    unread += _further_rights(directory)
    orientation = _number(directory, Tag.Orientation, 1, notes)
    if orientation not in range(1, 9):
        notes.append(f"Orientation is {orientation:g}, which means nothing; taken for upright")
        orientation = 1
    resolution = _resolution(directory, notes)
    place = int(_number(directory, Tag.ExifIFD, 0, notes, "the pointer to EXIF"))
    if place:
        try:
            inner = read_directory(directory.source, directory.layout, place)
            texts.update(_texts(inner, _INNER_TEXTS, unread))
            if note := inner.entries.get(Tag.MakerNote):
                notes.append(
                    f"EXIF holds maker notes, {note.size:,} bytes in a form of the maker's own: "
                    "they stay in a spliced JPEG, and are in no other derivative"
                )
        except AutochromeError as error:
            unread.append(f"the EXIF directory cannot be read: {_what(error)}")
    place = int(_number(directory, Tag.GPSInfoIFD, 0, notes, "the pointer to GPS"))
    position = read_position(directory, place, notes, unread) if place else {}
    texts = {tag: text for tag, text in texts.items() if text}
    return Exif(
        texts,
        int(orientation),
        resolution,
        position,
        tuple(_blocks(directory)),
        tuple(notes),
        tuple(unread),
    )


def _blocks(directory: Directory) -> Iterator[Block]:
    for tag, kind in _BLOCKS.items():
        entry = directory.entries.get(tag)
        if entry is None:
            continue
        data, fault = directory.data(tag, limit=MAX_BLOCK_BYTES) or b"", ""
        if directory.is_beyond(tag):
            fault = "lies beyond the file's end"
        elif entry.size > MAX_BLOCK_BYTES:
            fault = f"announces {entry.size:,} bytes"
        yield Block(kind, f"tag {tag}", data, fault=fault)


def _texts(
    directory: Directory, tags: Sequence[Tag], unread: list[str]
) -> Iterator[tuple[int, str]]:
    """Texts of tags; what cannot be read is named."""
    for tag in tags:
        entry, name = directory.entries.get(tag), tag.name
        if tag in directory.unknown or (entry and entry.kind not in _CHARACTERS):
            unread.append(f"{name} is no text by its type, and was not read")
        elif entry and entry.size > _MAX_TEXT_BYTES:
            unread.append(f"{name} announces {entry.size:,} bytes, and was not read")
        elif entry and directory.is_beyond(tag):
            unread.append(f"{name} lies beyond the end of its block")
        elif entry:
            text, is_sure = _decoded(tag, directory.data(tag) or b"", directory.layout.order)
            if not is_sure:
                unread.append(f"{name} {UNSURE}")
            yield int(tag), text


def _further_rights(directory: Directory) -> Iterator[str]:
    """Name tags of text that are not read, and speak of rights."""
    for tag, entry in directory.entries.items():
        is_text = entry.kind in {2, 129} and entry.size <= _MAX_TEXT_BYTES
        if not is_text or tag in _TEXTS or tag in _BLOCKS or tag in _OF_MACHINES:
            continue
        data = directory.data(tag) or b""
        if OF_RIGHTS.search(data) or _SIGN.search(data.replace(b"\xc2\xa9", b"\xa9")):
            yield f"tag {tag} speaks of rights, and was not read"


def _number(
    directory: Directory, tag: int, default: float, notes: list[str], name: str = ""
) -> float:
    """The first number of a tag; *default* where there is none, which is noted."""
    entry, name = directory.entries.get(tag), name or Tag(tag).name
    if tag in directory.unknown:
        notes.append(f"{name} is of a type that nobody has defined; it is taken for absent")
    if entry is None or not entry.count:
        return default
    try:
        found = directory.values(tag, most=1)
    except AutochromeError:
        notes.append(f"{name} lies beyond the end of its block; it is taken for absent")
        return default
    if not found.size:
        notes.append(f"{name} is stored as text, not as a number; it is taken for absent")
        return default
    return float(found[0]) if math.isfinite(found[0]) else default


def _resolution(directory: Directory, notes: list[str]) -> tuple[float, float] | None:
    """Pixels per centimetre, where both sides and the unit make sense."""
    x = _number(directory, Tag.XResolution, 0, notes)
    y = _number(directory, Tag.YResolution, 0, notes)
    unit = _number(directory, Tag.ResolutionUnit, 2, notes)
    if unit not in {2, 3} or not (0 < x < _MOST_PER_UNIT and 0 < y < _MOST_PER_UNIT):
        return None
    per_cm = 2.54 if unit == 2 else 1.0
    return x / per_cm, y / per_cm


def _decoded(tag: int, data: bytes, order: str) -> tuple[str, bool]:
    """A text, and whether its characters are sure."""
    coding, is_plain = "", True
    if tag in _UTF16:
        coding = "utf-16-le"
    elif tag == Tag.UserComment:
        coding, data = _CODES.get(data[:8], ""), data[8:]
        if coding == "utf-16":
            coding = _utf16(data, order)
    try:
        text = data[: len(data) // 2 * 2 if "16" in coding else None].decode(coding or "utf-8")
    except UnicodeDecodeError:
        text, is_plain = decode_text(data), is_certain(data)
    return text.strip("\0 ").strip(), is_plain


def _utf16(data: bytes, order: str) -> str:
    """UTF-16's byte order: as a mark says, or where the zeros of Latin letters lie, or EXIF's."""
    if data.startswith(_MARKS):
        return "utf-16"
    high, low = (data[place::2].count(0) for place in (0, 1))
    is_big = order == ">" if high == low else high > low
    return "utf-16-be" if is_big else "utf-16-le"


def _what(error: AutochromeError) -> str:
    """What is wrong, without the remedy: nobody need scan again for this."""
    return str(error).partition(";")[0]


def is_certain(data: bytes) -> bool:
    """Whether text that states no coding can be read in one way: of others a guess may be wrong."""
    data = _SIGN.sub(b"", data)
    try:
        data.decode("utf-16" if data.startswith(_MARKS) else "utf-8")
    except UnicodeDecodeError:
        return False
    return True


def decode_text(data: bytes) -> str:
    """Text that states no coding: UTF-8 where it can be, else what Windows and Latin-1 share.

    UTF-16 behind its mark, as some programs put it everywhere.
    """
    is_marked = data.startswith(_MARKS)
    for coding in (("utf-16",) if is_marked else ()) + ("utf-8", "cp1252"):
        try:
            return data.decode(coding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")

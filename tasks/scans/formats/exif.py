"""EXIF, and the tags of a TIFF that mean the same: of any type and count, anywhere in the file.

Whatever a tag claims to be, it is read or it is named; it never raises, and decides no pixel but by
an orientation that exists.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from tasks.errors import AutochromeError
from tasks.scans.formats.ifd import Directory, read_directory, read_layout
from tasks.scans.formats.source import ByteSource

DOCUMENT_NAME, DESCRIPTION, ARTIST, COPYRIGHT = 0x010D, 0x010E, 0x013B, 0x8298
XP_TITLE, XP_COMMENT, XP_AUTHOR, XP_SUBJECT = 0x9C9B, 0x9C9C, 0x9C9D, 0x9C9F
DATE_ORIGINAL, OFFSET_ORIGINAL, DATE_DIGITIZED, OFFSET_DIGITIZED, USER_COMMENT = (
    0x9003, 0x9011, 0x9004, 0x9012, 0x9286,
)  # fmt: skip
_EXIF_IFD, _ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _UNIT = (
    0x8769,
    0x0112,
    0x011A,
    0x011B,
    0x0128,
)

#: Tags whose text is carried over, by the names that people know them under.
_TEXTS = {
    DOCUMENT_NAME: "DocumentName",
    DESCRIPTION: "ImageDescription",
    ARTIST: "Artist",
    COPYRIGHT: "Copyright",
    XP_TITLE: "XPTitle",
    XP_COMMENT: "XPComment",
    XP_AUTHOR: "XPAuthor",
    XP_SUBJECT: "XPSubject",
}
_INNER_TEXTS = {
    DATE_ORIGINAL: "DateTimeOriginal",
    OFFSET_ORIGINAL: "OffsetTimeOriginal",
    DATE_DIGITIZED: "DateTimeDigitized",
    OFFSET_DIGITIZED: "OffsetTimeDigitized",
    USER_COMMENT: "UserComment",
}
_UTF16 = {XP_TITLE, XP_COMMENT, XP_AUTHOR, XP_SUBJECT}
_CHARACTERS = 1, 2, 6, 7, 129  # types that hold bytes; the last is UTF-8 of EXIF 3.0
_MAX_TEXT_BYTES = 1 << 20
_CODES = {b"ASCII\0\0\0": "utf-8", b"UNICODE\0": "utf-16", b"JIS\0\0\0\0\0": "iso2022_jp"}


#: Pixels an inch or centimetre beyond which nobody scans: finer than a wave of light by far.
_MOST_PER_UNIT = 1e7


@dataclass(frozen=True)
class Exif:
    """What was read.

    Attributes:
        texts: Text by tag, its strings separated by NUL where there are several.
        orientation: 1 to 8; 1 where it is not said, or cannot be.
        resolution_ppcm: Pixels per centimetre across and down, as stored.
        notes: What is odd, a sentence each.
        unread: What may have been description or rights and could not be read, a sentence each.
    """

    texts: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    orientation: int = 1
    resolution_ppcm: tuple[float, float] | None = None
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
    found = _Reading(directory)
    texts = dict(found.texts(_TEXTS))
    orientation = found.number(_ORIENTATION, "Orientation", 1)
    if orientation not in range(1, 9):
        found.notes.append(
            f"Orientation is {orientation:g}, which means nothing; taken for upright"
        )
        orientation = 1
    resolution = found.resolution()
    inner = found.below(_EXIF_IFD, "EXIF")
    if inner is not None:
        texts.update(inner.texts(_INNER_TEXTS))
        found.notes += inner.notes
        found.unread += inner.unread
    return Exif(
        texts={tag: text for tag, text in texts.items() if text},
        orientation=int(orientation),
        resolution_ppcm=resolution,
        notes=tuple(found.notes),
        unread=tuple(found.unread),
    )


class _Reading:
    """One directory, and what was wrong with it."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self.notes: list[str] = []
        self.unread: list[str] = []

    def texts(self, names: Mapping[int, str]) -> Iterator[tuple[int, str]]:
        """Texts of tags by their names; what cannot be read is named."""
        for tag, name in names.items():
            entry = self._directory.entries.get(tag)
            if tag in self._directory.unknown or (entry and entry.kind not in _CHARACTERS):
                self.unread.append(f"{name} is no text by its type, and was not read")
            elif entry and entry.size > _MAX_TEXT_BYTES:
                self.unread.append(f"{name} announces {entry.size:,} bytes, and was not read")
            elif entry:
                try:
                    data = self._directory.source.read(entry.offset, entry.size)
                except AutochromeError:
                    self.unread.append(f"{name} lies beyond the end of its block")
                else:
                    yield tag, _decoded(tag, data)

    def number(self, tag: int, name: str, default: float) -> float:
        """The first number of a tag; *default* where there is none."""
        entry = self._directory.entries.get(tag)
        if entry is None or not entry.count:
            return default
        if entry.kind in {2, 129}:
            self.notes.append(f"{name} is stored as text, not as a number; it is taken for absent")
            return default
        try:
            found = float(self._directory.first(tag))
        except AutochromeError:
            self.notes.append(f"{name} lies beyond the end of its block; it is taken for absent")
            return default
        return found if math.isfinite(found) else default

    def resolution(self) -> tuple[float, float] | None:
        """Pixels per centimetre, where both sides and the unit make sense."""
        x = self.number(_X_RESOLUTION, "XResolution", 0)
        y = self.number(_Y_RESOLUTION, "YResolution", 0)
        unit = self.number(_UNIT, "ResolutionUnit", 2)
        if unit not in {2, 3} or not (0 < x < _MOST_PER_UNIT and 0 < y < _MOST_PER_UNIT):
            return None
        per_cm = 2.54 if unit == 2 else 1.0
        return x / per_cm, y / per_cm

    def below(self, tag: int, name: str) -> "_Reading | None":
        """The directory that a tag points to."""
        place = int(self.number(tag, f"the pointer to {name}", 0))
        if not place:
            return None
        directory = self._directory
        try:
            return _Reading(read_directory(directory.source, directory.layout, place))
        except AutochromeError as error:
            self.unread.append(f"the {name} directory cannot be read: {_what(error)}")
            return None


def _decoded(tag: int, data: bytes) -> str:
    if tag in _UTF16:
        return data[: len(data) // 2 * 2].decode("utf-16-le", "replace").strip("\0 ")
    if tag == USER_COMMENT:
        coding, data = _CODES.get(data[:8], ""), data[8:]
        if coding and coding != "utf-8":
            return data.decode(coding, "replace").strip("\0 ")
    return decode_text(data).strip("\0 ").strip()


def _what(error: AutochromeError) -> str:
    """What is wrong, without the remedy: nobody need scan again for this."""
    return str(error).partition(";")[0]


def decode_text(data: bytes) -> str:
    """Text that states no coding: UTF-8 where it can be, else what Windows and Latin-1 share."""
    for coding in ("utf-8", "cp1252"):
        try:
            return data.decode(coding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")

"""What a file says of its subject and its rights: EXIF, IPTC-IIM, XMP and the format's own text.

The block comes from strangers. Nothing in it can refuse a scan: what cannot be read is left out.
XML is parsed without document types, so no entity is ever expanded.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from xml.etree import ElementTree as ET

from tasks.errors import AutochromeError
from tasks.scans.formats.ifd import Directory, read_directory, read_layout
from tasks.scans.formats.source import ByteSource
from tasks.scans.formats.structure import Structure

_MAX_XMP_BYTES = 4 << 20
_MAX_TEXT = 10_000
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_PHOTOSHOP = "{http://ns.adobe.com/photoshop/1.0/}"
_XMP = "{http://ns.adobe.com/xap/1.0/}"
_XMP_NAMES = {
    f"{_DC}title": "title",
    f"{_DC}description": "description",
    f"{_DC}creator": "artist",
    f"{_DC}rights": "copyright",
    f"{_DC}identifier": "identifier",
    f"{_PHOTOSHOP}Credit": "credit",
    f"{_PHOTOSHOP}DateCreated": "date",
    f"{_DC}date": "date",
    f"{_XMP}CreateDate": "date",
}
_IPTC_NAMES = {
    5: "title",
    120: "description",
    80: "artist",
    116: "copyright",
    110: "credit",
    55: "date",
}
_EXIF_NAMES = {0x010E: "description", 0x013B: "artist", 0x8298: "copyright", 0x0132: "date"}
_EXIF_IFD, _DATE_ORIGINAL, _ORIENTATION = 0x8769, 0x9003, 0x0112
_PNG_NAMES = {"author": "artist", "creation time": "date"}
_UTF8_MARK = b"\x1b%G"  # IPTC-IIM 1:90: the records are UTF-8


@dataclass(frozen=True)
class Descriptive:
    """What the file says of its subject and its rights; an empty text where it says nothing."""

    title: str = ""
    description: str = ""
    artist: str = ""
    copyright: str = ""
    credit: str = ""
    identifier: str = ""
    date: str = ""


def read_descriptive(structure: Structure) -> Descriptive:
    """Gather a description; XMP wins over IPTC, that over EXIF, that over the format's text."""
    found: dict[str, str] = {}
    layers = (
        {_PNG_NAMES.get(name, name): text for name, text in structure.text.items()},
        dict(_exif_texts(structure.exif)),
        dict(_iptc_texts(structure.iptc)),
        dict(reversed(list(_xmp_texts(structure.xmp)))),
    )
    names = {field.name for field in fields(Descriptive)}
    for layer in layers:
        found.update({name: _clean(text) for name, text in layer.items() if name in names})
    return Descriptive(**{name: text for name, text in found.items() if text})


def exif_orientation(exif: bytes | None) -> int:
    """Read the orientation, 1 to 8, from an EXIF block; 1 where it says none."""
    directory = _exif_directory(exif)
    try:
        found = directory.integer(_ORIENTATION, 1) if directory else 1
    except AutochromeError:
        return 1
    return found if 1 <= found <= 8 else 1


def exif_resolution(exif: bytes | None) -> tuple[float, float] | None:
    """Read pixels per centimetre, across and down, from an EXIF block."""
    directory = _exif_directory(exif)
    try:
        if directory is None:
            return None
        x, y, unit = (
            directory.values(0x011A),
            directory.values(0x011B),
            directory.integer(0x0128, 2),
        )
    except AutochromeError:
        return None
    if not x.size or not y.size or unit not in {2, 3} or not (x[0] > 0 and y[0] > 0):
        return None
    per_cm = 2.54 if unit == 2 else 1.0
    return float(x[0]) / per_cm, float(y[0]) / per_cm


def _exif_directory(exif: bytes | None) -> Directory | None:
    if not exif or exif[:2] not in {b"II", b"MM"}:
        return None
    source = ByteSource.of_bytes(exif)
    try:
        return read_directory(source, *read_layout(source))
    except AutochromeError:
        return None


def _exif_texts(exif: bytes | None) -> Iterator[tuple[str, str]]:
    directory = _exif_directory(exif)
    if directory is None:
        return
    try:
        for tag, name in _EXIF_NAMES.items():
            yield name, directory.text(tag)
        place = directory.integer(_EXIF_IFD, 0)
        if place:
            inner = read_directory(directory.source, directory.layout, place)
            yield "date", inner.text(_DATE_ORIGINAL) or directory.text(0x0132)
    except AutochromeError:
        return


def _iptc_texts(iptc: bytes | None) -> Iterator[tuple[str, str]]:
    data, position = iptc or b"", 0
    coding = "utf-8" if _UTF8_MARK in data[:64] else "latin-1"
    while position + 5 <= len(data) and data[position] == 0x1C:
        record, dataset = data[position + 1], data[position + 2]
        size = int.from_bytes(data[position + 3 : position + 5], "big")
        if size & 0x8000:  # an extended dataset: larger than any text
            return
        body = data[position + 5 : position + 5 + size]
        if record == 2 and dataset in _IPTC_NAMES:
            yield _IPTC_NAMES[dataset], body.decode(coding, "replace")
        position += 5 + size


class _NoDoctype(ET.TreeBuilder):
    """Refuses a document type, and with it every entity."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Stop the parser where a document type begins."""
        del name, pubid, system
        raise ET.ParseError("a document type is not allowed here")


def _xmp_texts(xmp: bytes | None) -> Iterator[tuple[str, str]]:
    """List what an XMP packet says, the most telling first."""
    if not xmp or len(xmp) > _MAX_XMP_BYTES:
        return
    parser = ET.XMLParser(target=_NoDoctype())  # noqa: S314 -- no document type, no entities
    try:
        parser.feed(xmp.strip(b"\0 \r\n\t"))
        root = parser.close()
    except (ET.ParseError, ValueError, LookupError):
        return
    for block in root.iter(f"{_RDF}Description"):
        yield from _named(block.attrib)
        for element in block:
            if element.tag in _XMP_NAMES:
                yield _XMP_NAMES[element.tag], _element_text(element)


def _named(attributes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, text in attributes.items():
        if name in _XMP_NAMES:
            yield _XMP_NAMES[name], text


def _element_text(element: ET.Element) -> str:
    """Join a list's items; of alternatives in several languages take the first, the default."""
    items = [(item.text or "").strip() for item in element.iter(f"{_RDF}li")]
    if element.find(f"{_RDF}Alt") is not None:
        items = items[:1]
    return "; ".join(item for item in items if item) if items else (element.text or "").strip()


def _clean(text: str) -> str:
    """Drop control characters, which no target format takes, and anything absurdly long."""
    kept = "".join(char for char in text if char.isprintable() or char in "\n\t")
    return kept.strip()[:_MAX_TEXT]

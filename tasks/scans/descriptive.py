"""What a file says of its subject and its rights, in the few words that programs and forms know."""

import re
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from tasks.scans.metadata.packet import Packet, tag
from tasks.scans.metadata.terms import texts_of

_CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")

#: Fields by the properties that say them, the most telling first.
_FIELDS = {
    "title": ("dc:title",),
    "description": ("dc:description",),
    "artist": ("dc:creator",),
    "copyright": ("dc:rights",),
    "credit": ("photoshop:Credit",),
    "identifier": ("dc:identifier",),
    "date": ("photoshop:DateCreated", "exif:DateTimeOriginal"),
}


@dataclass(frozen=True)
class Descriptive:
    """What the file says of its subject and its rights; an empty text where it says nothing.

    The date is the photograph's, never the scan's.
    """

    title: str = ""
    description: str = ""
    artist: str = ""
    copyright: str = ""
    credit: str = ""
    identifier: str = ""
    date: str = ""


def describe(packet: Packet) -> Descriptive:
    """Gather a description from the properties of XMP."""
    properties = {element.tag: element for element in packet.properties}
    return Descriptive(**{field: _said(properties, names) for field, names in _FIELDS.items()})


def _said(properties: dict[str, ET.Element], names: tuple[str, ...]) -> str:
    elements = (properties[tag(name)] for name in names if tag(name) in properties)
    return next((text for text in map(_text, elements) if text), "")


def _text(element: ET.Element) -> str:
    """The texts of a property without control characters, which no target format takes."""
    return _CONTROL.sub("", "; ".join(texts_of(element))).strip()

"""What an XMP packet says, text by text."""

from collections.abc import Iterator
from xml.etree import ElementTree as ET

from tasks.scans.metadata.packet import NAMESPACES, parse_packet


def read_xmp(data: bytes) -> dict[str, tuple[str, ...]]:
    """Read a packet's texts.

    Returns:
        By prefixed name, and for fields of structures by path (`xmpMM:DerivedFrom/stRef:filePath`),
        the texts in their order; empty where *data* is no packet.
    """
    packet = parse_packet(data)
    found: dict[str, tuple[str, ...]] = {}
    for element in packet.properties:
        for path, text in _texts(element, ""):
            found[path] = (*found.get(path, ()), text)
    return found


def _texts(element: ET.Element, path: str) -> Iterator[tuple[str, str]]:
    uri, _, local = element.tag[1:].partition("}")
    prefix = next((prefix for prefix, known in NAMESPACES.items() if known == uri), uri)
    if prefix != "rdf":  # lists, their items and descriptions add nothing to a path
        path = f"{path}/{prefix}:{local}" if path else f"{prefix}:{local}"
    if not len(element):
        yield path, element.text or ""
    for child in element:
        yield from _texts(child, path)

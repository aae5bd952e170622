"""XMP packets as trees: read without document types, written with the prefixes people look for."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

#: The prefixes that ISO 16684-1 (XMP) and IPTC's Photo Metadata Standard prefer, and ours.
NAMESPACES = {
    "x": "adobe:ns:meta/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "xml": "http://www.w3.org/XML/1998/namespace",
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpMM": "http://ns.adobe.com/xap/1.0/mm/",
    "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
    "xmpNote": "http://ns.adobe.com/xmp/note/",
    "stRef": "http://ns.adobe.com/xap/1.0/sType/ResourceRef#",
    "stEvt": "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "Iptc4xmpCore": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "autochrome": "urn:autochrome:xmp:1.0/",
}

#: A stranger's packet larger than this is left alone.
MAX_BYTES = 1 << 20
_MAX_DEPTH = 100

# XML 1.0 (fifth edition), section 2.2: everything else may not stand in a document, even escaped.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class _Builder(ET.TreeBuilder):
    """Builds a tree, keeps the prefixes in use, and refuses document types and so all entities."""

    def __init__(self) -> None:
        super().__init__()
        self.prefixes: dict[str, str] = {}
        self._depth = 0

    def start_ns(self, prefix: str, uri: str) -> None:
        """Remember what a namespace is called here."""
        self.prefixes.setdefault(uri, prefix)

    def start(self, tag: str, attrs: dict[str, str]) -> ET.Element:
        """Open an element, unless the packet nests absurdly."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ET.ParseError("it nests too deeply")
        return super().start(tag, attrs)

    def end(self, tag: str) -> ET.Element:
        """Close an element."""
        self._depth -= 1
        return super().end(tag)

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Stop where a document type begins."""
        del name, pubid, system
        raise ET.ParseError("a document type is not allowed here")


@dataclass(frozen=True)
class Packet:
    """A parsed packet.

    Attributes:
        properties: The top-level properties, attributes turned into elements.
        prefixes: What the packet calls each namespace.
    """

    properties: tuple[ET.Element, ...]
    prefixes: dict[str, str]


def tag(name: str) -> str:
    """The tag of a prefixed name: `dc:title` to `{http://purl.org/dc/elements/1.1/}title`."""
    prefix, _, local = name.partition(":")
    return f"{{{NAMESPACES[prefix]}}}{local}"


def clean_text(text: str) -> str:
    """Leave out what no XML document may hold: control characters, lone surrogates."""
    return _NO_XML.sub("", text)


def parse_packet(data: bytes) -> Packet | None:
    """Read an XMP packet; None where it is none, is damaged or too large."""
    if len(data) > MAX_BYTES:
        return None
    builder = _Builder()
    parser = ET.XMLParser(target=builder)  # noqa: S314 -- no document type, so no entities
    try:
        parser.feed(data.strip(b"\0 \r\n\t"))
        root: ET.Element = parser.close()
    except (ET.ParseError, ValueError, LookupError):
        return None
    return Packet(tuple(_properties(root)), builder.prefixes)


def serialize(properties: list[ET.Element], prefixes: dict[str, str]) -> bytes:
    """Write properties as a packet, under the usual prefixes and else those in *prefixes*."""
    names = {uri: prefix for prefix, uri in NAMESPACES.items()}
    for uri in sorted(_uris(properties) - names.keys()):
        wanted = prefixes.get(uri, "")
        is_free = wanted.isalnum() and wanted[:1].isalpha() and wanted not in names.values()
        is_free = is_free and not wanted.lower().startswith("xml")  # reserved
        names[uri] = wanted if is_free else f"ns{len(names)}"
    used = sorted(_uris(properties) - {NAMESPACES["xml"], NAMESPACES["rdf"], NAMESPACES["x"]})
    declared = "".join(f"\n    xmlns:{names[uri]}={quoteattr(uri)}" for uri in used)
    body = "".join(write_element(element, names, "   ") for element in properties)
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        f'<x:xmpmeta xmlns:x="{NAMESPACES["x"]}">\n <rdf:RDF xmlns:rdf="{NAMESPACES["rdf"]}">\n'
        f'  <rdf:Description rdf:about=""{declared}>\n{body}'
        '  </rdf:Description>\n </rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>'
    ).encode()


def write_element(element: ET.Element, names: dict[str, str], indent: str) -> str:
    """Write an element and all below it, cleaned of what XML cannot hold.

    Args:
        element: The element.
        names: The prefix of each namespace in use, by its URI.
        indent: What to put before each line.
    """
    name = _named(element.tag, names)
    attributes = "".join(
        f" {_named(key, names)}={quoteattr(clean_text(text))}"
        for key, text in element.attrib.items()
    )
    if len(element):
        inner = "".join(write_element(child, names, indent + " ") for child in element)
        return f"{indent}<{name}{attributes}>\n{inner}{indent}</{name}>\n"
    if not element.text:
        return f"{indent}<{name}{attributes}/>\n"
    # A bare carriage return would come back as a line feed.
    text = escape(clean_text(element.text), {"\r": "&#13;"})
    return f"{indent}<{name}{attributes}>{text}</{name}>\n"


def _properties(root: ET.Element) -> Iterator[ET.Element]:
    for block in root.iter(tag("rdf:RDF")):
        for description in block.findall(tag("rdf:Description")):
            for name, text in description.attrib.items():
                if name.startswith("{") and not name.startswith(f"{{{NAMESPACES['rdf']}}}"):
                    element = ET.Element(name)
                    element.text = text
                    yield element
            yield from (element for element in description if element.tag.startswith("{"))


def _uris(properties: list[ET.Element]) -> set[str]:
    names = {
        name
        for element in properties
        for part in element.iter()
        for name in (part.tag, *part.attrib)
    }
    return {name[1:].partition("}")[0] for name in names if name.startswith("{")}


def _named(name: str, names: dict[str, str]) -> str:
    if not name.startswith("{"):
        return name
    uri, _, local = name[1:].partition("}")
    return f"{names[uri]}:{local}"

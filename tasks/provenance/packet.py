"""XMP packets written: with the prefixes that people look for."""

from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

from tasks.scans.metadata.packet import NAMESPACES, Packet, clean_text

_WRAPPER = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n',
    '\n<?xpacket end="w"?>',
)


def serialize(packet: Packet, *, is_whole: bool = True) -> bytes:
    """Write properties as a packet, under the usual prefixes and else its own.

    Args:
        packet: The properties.
        is_whole: Whether to wrap it as a packet of its own; extended XMP is not.
    """
    properties, prefixes = list(packet.properties), packet.prefixes
    names = {uri: prefix for prefix, uri in NAMESPACES.items()}
    for uri in sorted(_uris(properties) - names.keys()):
        wanted = prefixes.get(uri, "")
        is_free = wanted.isalnum() and wanted[:1].isalpha() and wanted not in names.values()
        is_free = is_free and not wanted.lower().startswith("xml")  # reserved
        names[uri] = wanted if is_free else f"ns{len(names)}"
    used = sorted(_uris(properties) - {NAMESPACES["xml"], NAMESPACES["rdf"], NAMESPACES["x"]})
    declared = "".join(f"\n    xmlns:{names[uri]}={quoteattr(uri)}" for uri in used)
    body = "".join(write_element(element, names, "   ") for element in properties)
    begin, end = _WRAPPER if is_whole else ("", "")
    return (
        f'{begin}<x:xmpmeta xmlns:x="{NAMESPACES["x"]}">\n'
        f' <rdf:RDF xmlns:rdf="{NAMESPACES["rdf"]}">\n'
        f'  <rdf:Description rdf:about=""{declared}>\n{body}'
        f"  </rdf:Description>\n </rdf:RDF>\n</x:xmpmeta>{end}"
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

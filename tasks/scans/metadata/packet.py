"""XMP packets as trees: read within bounds of size and depth, mended, or read as far as whole.

Expat streams. No document type is allowed, so no entity is ever expanded.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.entities import html5
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

#: The prefixes that ISO 16684-1 (XMP), IPTC's Photo Metadata Standard and PLUS prefer, and ours.
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
    "plus": "http://ns.useplus.org/ldf/xmp/1.0/",
    "autochrome": "urn:autochrome:xmp:1.0/",
}

#: Bounds of a stranger's packet. Real ones are a thousandth of it, and nest eight deep.
MAX_BYTES = 8 << 20
MAX_DEPTH = 64
MAX_NODES = 100_000

# XML 1.0 (fifth edition), section 2.2: everything else may not stand in a document, even escaped.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NO_UTF8 = re.compile("[\udc80-\udcff]")
_REFERENCE = re.compile(r"&#(?:x([0-9a-fA-F]{1,8})|([0-9]{1,10}));")
_NAME = re.compile(r"&(?!(?:amp|lt|gt|quot|apos);)([A-Za-z]\w{1,30};)")
_AMPERSAND = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,10}|#x[0-9a-fA-F]{1,8});)")
_BRACKET = re.compile(r"<(?![A-Za-z_:/?!])")
_DECLARATION = re.compile(r"<\?xml\s[^>]*\?>")
_JUNK_BEHIND = 9  # expat's error: the document has ended, and something follows
_RDF = f"{{{NAMESPACES['rdf']}}}RDF"
_BLOAT = f"{{{NAMESPACES['photoshop']}}}DocumentAncestors"  # often thousands, of no use to anyone


@dataclass(frozen=True)
class Packet:
    """A parsed packet.

    Attributes:
        properties: The top-level properties that are whole, attributes turned into elements.
        prefixes: What the packet calls each namespace.
        mended: What had to be mended so that it could be read; empty for nothing.
        fault: Why what is not among the properties could not be read; empty where all was.
    """

    properties: tuple[ET.Element, ...] = ()
    prefixes: dict[str, str] = field(default_factory=dict)
    mended: str = ""
    fault: str = ""


def tag(name: str) -> str:
    """The tag of a prefixed name: `dc:title` to `{http://purl.org/dc/elements/1.1/}title`."""
    prefix, _, local = name.partition(":")
    return f"{{{NAMESPACES[prefix]}}}{local}"


def clean_text(text: str) -> str:
    """Leave out what no XML document may hold: control characters, lone surrogates."""
    return _NO_XML.sub("", text)


def parse_packet(data: bytes) -> Packet:
    """Read an XMP packet in any of Unicode's codings, whatever stands before or behind it."""
    if not data.strip(b"\0 \r\n\t"):
        return Packet()
    if len(data) > MAX_BYTES:
        return Packet(fault=f"has {len(data):,} bytes; {MAX_BYTES:,} are believable")
    text, mended = _decoded(data)
    if not text:
        return Packet(fault="holds no RDF")
    builder, error = _parsed(text)
    if error and not builder.is_bounded:
        mended, text = f"is not well-formed ({error})", _mended(text)
        again, still = _parsed(text)
        if not still or len(again.properties()) >= len(builder.properties()):
            builder, error = again, still
    fault = f"is damaged ({error})" if error else ""
    if not fault and not builder.has_rdf:
        fault = "holds no RDF by the name that the standard has for it"
    return Packet(tuple(builder.properties()), builder.prefixes, "" if fault else mended, fault)


class _Builder(ET.TreeBuilder):
    """Builds a tree within bounds, keeps the prefixes in use, refuses document types."""

    def __init__(self) -> None:
        super().__init__()
        self.prefixes: dict[str, str] = {}
        self.is_bounded = False  # whether it stopped for a bound or a document type
        self._open: list[ET.Element] = []
        self._root: ET.Element | None = None
        self._nodes = 0
        self._passed_by = 0  # elements open below one that is not kept

    def start_ns(self, prefix: str, uri: str) -> None:
        """Remember what a namespace is called here."""
        self.prefixes.setdefault(uri, prefix)

    def start(self, tag: str, attrs: dict[str, str]) -> ET.Element:
        """Open an element, unless there are absurdly many or deep ones."""
        self._nodes += 1 + len(attrs)
        if self._nodes > MAX_NODES and not self._passed_by:
            self._stop(f"over {MAX_NODES:,} elements and attributes")
        if len(self._open) + self._passed_by >= MAX_DEPTH:
            self._stop(f"elements nested over {MAX_DEPTH} deep")
        if self._passed_by or tag == _BLOAT:
            self._passed_by += 1
            self._nodes -= 1 + len(attrs)
            return ET.Element(tag)
        element = super().start(tag, attrs)
        self._root = element if self._root is None else self._root
        self._open.append(element)
        return element

    def data(self, data: str) -> None:
        """Take text, unless it is passed by."""
        if not self._passed_by:
            super().data(data)

    def end(self, tag: str) -> ET.Element:
        """Close an element."""
        if self._passed_by:
            self._passed_by -= 1
            return ET.Element(tag)
        self._open.pop()
        return super().end(tag)

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Stop where a document type begins."""
        del name, pubid, system
        self._stop("a document type")

    def properties(self) -> list[ET.Element]:
        """The properties that are whole: of those that were open when it ended, nothing is kept."""
        if self._root is None:
            return []
        unfinished = {id(element) for element in self._open}
        return [one for one in _properties(self._root) if id(one) not in unfinished]

    @property
    def has_rdf(self) -> bool:
        """Whether there is RDF at all, though it may say nothing."""
        return self._root is not None and next(self._root.iter(_RDF), None) is not None

    def _stop(self, why: str) -> None:
        self.is_bounded = True
        raise ET.ParseError(f"it holds {why}")


def _parsed(text: str) -> tuple[_Builder, str]:
    """Parse, as far as it goes; and what ended it, or nothing."""
    builder = _Builder()
    parser = ET.XMLParser(target=builder)  # noqa: S314 -- no document type, so no entities
    try:
        parser.feed(text)
        parser.close()
    except ET.ParseError as error:
        is_over = getattr(error, "code", None) == _JUNK_BEHIND
        return builder, "" if is_over else str(error)
    except (ValueError, LookupError) as error:
        return builder, str(error)
    return builder, ""


def _decoded(data: bytes) -> tuple[str, str]:
    """The packet's text from its first bracket on, and a word where its coding is none of UTF."""
    at = max(0, data.find(b"<"))
    for coding, step, before in (
        ("utf-8", 1, 0), ("utf-16-le", 2, 0), ("utf-16-be", 2, 1), ("utf-32-le", 4, 0),
        ("utf-32-be", 4, 3),
    ):  # fmt: skip
        start = at - before
        whole = data[max(0, start) : max(0, start) + (len(data) - start) // step * step]
        text = whole.decode(coding, "replace")
        if start >= 0 and "RDF" in text:
            break
    else:
        return "", ""
    if coding == "utf-8" and "\ufffd" in text:
        try:
            whole.decode("utf-8")
        except UnicodeDecodeError:  # byte for byte, for one that is broken spoils no other
            text = _NO_UTF8.sub(_latin, whole.decode("utf-8", "surrogateescape"))
            return text, "is not UTF-8 all over, and was read there as Latin-1"
    return text.rstrip("\0 \r\n\t"), ""


def _latin(lone: re.Match[str]) -> str:
    return bytes((ord(lone[0]) - 0xDC00,)).decode("cp1252", "replace")


def _mended(text: str) -> str:
    """Mend what tools have always got wrong: stray characters, ampersands, brackets, prefixes."""
    text = _REFERENCE.sub(_allowed, _NO_XML.sub("", text))
    text = _BRACKET.sub("&lt;", _AMPERSAND.sub("&amp;", _NAME.sub(_known, text)))
    known = " ".join(
        f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items() if prefix != "xml"
    )
    text = _DECLARATION.sub("", text, count=1)
    end = text.rfind("</")
    close = text.find(">", end) + 1 if end >= 0 else 0
    return f"<mended {known}>{text[: close or len(text)]}</mended>"


def _allowed(reference: re.Match[str]) -> str:
    code = int(reference[1], 16) if reference[1] else int(reference[2])
    return reference[0] if code < 0x110000 and not _NO_XML.match(chr(code)) else ""


def _known(reference: re.Match[str]) -> str:
    """What a name stands for that HTML knows, and XML does not."""
    known = html5.get(reference[1])
    return escape(known) if known else reference[0]


def _properties(root: ET.Element) -> Iterator[ET.Element]:
    for block in root.iter(_RDF):
        for description in block:  # of RDF's own name, or of one that says what is described
            for name, text in description.attrib.items():
                if name.startswith("{") and not name.startswith(f"{{{NAMESPACES['rdf']}}}"):
                    element = ET.Element(name)
                    element.text = text
                    yield element
            yield from (element for element in description if element.tag.startswith("{"))

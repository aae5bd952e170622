"""Metadata as it stands in a file, unread: found by the format's module, understood elsewhere."""

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass

#: A larger piece is not looked at, and named.
MAX_BLOCK_BYTES = 16 << 20

#: What is read by nothing, and says such a word, is named.
OF_RIGHTS = re.compile(rb"rights|copyright|licen[cs]e", re.IGNORECASE)


class BlockKind(enum.StrEnum):
    """What a block holds."""

    XMP = "XMP"  #: A packet (ISO 16684-1).
    EXTENDED_XMP = "extended XMP"  #: A part of a packet too large for one JPEG segment.
    IPTC = "IPTC"  #: Datasets of IPTC's Information Interchange Model.
    PHOTOSHOP = "Photoshop"  #: Image resources, IPTC among them.
    PICTURE = "a further picture"  #: Nothing reads it; it is named.
    TEXT = "text"  #: The format's own text, in UTF-8, under a keyword.


@dataclass(frozen=True)
class Block:
    """One block.

    Attributes:
        kind: What it holds.
        place: Where it stands, in words for people: "tag 700", "segment APP13".
        data: Its bytes; empty where they could not be had.
        name: The keyword of a text.
        fault: Why its bytes could not be had, after "it": "lies beyond the file's end".
    """

    kind: BlockKind
    place: str
    data: bytes
    name: str = ""
    fault: str = ""


def unnamed_block(place: str, body: bytes) -> Iterator[Block]:
    """Look into what no standard has a name for: XMP may be there, or words of rights."""
    plain = body.replace(b"\0", b"")  # it may be in UTF-16
    if b"RDF" in plain:
        yield Block(BlockKind.XMP, place, body)
    elif OF_RIGHTS.search(plain):
        yield Block(BlockKind.TEXT, place, b"", fault="speaks of rights, and was not read")

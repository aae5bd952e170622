"""XMP for a JPEG: in one segment, and what does not fit as extended XMP (ISO 16684-3, 1.1.3.1)."""

import hashlib
from xml.etree import ElementTree as ET

from tasks.provenance.packet import serialize
from tasks.scans.metadata.packet import NAMESPACES, Packet, tag

# What stays in the packet that every reader reads, as long as it fits: the rights, what is said of
# the picture, and that its colours are a guess.
_KEPT = tuple(
    f"{{{NAMESPACES[prefix]}}}"
    for prefix in ("dc", "xmpRights", "plus", "Iptc4xmpCore", "Iptc4xmpExt", "autochrome")
)
_OURS = frozenset(
    map(tag, ("xmpMM:DocumentID", "xmpMM:InstanceID", "xmpMM:DerivedFrom", "xmp:CreatorTool"))
)
_GUID = tag("xmpNote:HasExtendedXMP")


def split_packet(packet: Packet, limit: int) -> tuple[bytes, bytes]:
    """Write a packet of at most *limit* bytes, and what did not fit as a second one, or nothing.

    Properties are moved whole, the largest first, of which rights and description come last.
    """
    whole = serialize(packet)
    if len(whole) <= limit:
        return whole, b""
    movable = [one for one in packet.properties if one.tag not in _OURS and one.tag != _GUID]
    movable.sort(key=lambda one: (one.tag.startswith(_KEPT), -len(ET.tostring(one))))
    moved: list[ET.Element] = []
    kept = whole
    while len(kept) > limit and movable:
        moved.append(movable.pop(0))
        kept = _without(packet, moved, guid="0" * 32)
    extended = serialize(Packet(tuple(moved), packet.prefixes), is_whole=False)
    guid = hashlib.md5(extended, usedforsecurity=False).hexdigest().upper()
    return _without(packet, moved, guid=guid), extended


def _without(packet: Packet, moved: list[ET.Element], *, guid: str) -> bytes:
    names = {one.tag for one in moved}
    pointer = ET.Element(_GUID)
    pointer.text = guid
    stay = (one for one in packet.properties if one.tag not in names)
    return serialize(Packet((*stay, pointer), packet.prefixes))

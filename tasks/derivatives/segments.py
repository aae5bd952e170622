"""Segments of metadata in a JPEG: XMP, extended where it is large, and IPTC in its resource."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from tasks.derivatives.jpegfile import PAYLOAD_BYTES, XMP_BYTES, Segment
from tasks.provenance.jpegxmp import split_packet
from tasks.scans.formats.markers import APP0, APP1, APP13, PHOTOSHOP, XMP, XMP_MORE, walk_markers
from tasks.scans.formats.source import ByteSource
from tasks.scans.metadata.packet import Packet

_GUID_BYTES = 32
_MORE_BYTES = PAYLOAD_BYTES - len(XMP_MORE) - _GUID_BYTES - 8
_IPTC_RESOURCE = b"8BIM\x04\x04\0\0"


def xmp_segments(packet: Packet) -> list[Segment]:
    """A packet, and as many segments of extended XMP as it takes."""
    main, more = split_packet(packet, XMP_BYTES)
    guid = main[main.index(b"HasExtendedXMP>") :][15 : 15 + _GUID_BYTES] if more else b""
    head = XMP_MORE + guid + len(more).to_bytes(4, "big")
    return [
        Segment(APP1, XMP + main),
        *(
            Segment(APP1, head + at.to_bytes(4, "big") + more[at : at + _MORE_BYTES])
            for at in range(0, len(more), _MORE_BYTES)
        ),
    ]


def iptc_segments(records: bytes | None) -> list[Segment]:
    """Datasets in Photoshop's resource, in one segment or several."""
    if not records:
        return []
    size = len(records).to_bytes(4, "big")
    resource = _IPTC_RESOURCE + size + records + b"\0" * (len(records) % 2)
    step = PAYLOAD_BYTES - len(PHOTOSHOP)
    parts = (resource[at : at + step] for at in range(0, len(resource), step))
    return [Segment(APP13, PHOTOSHOP + part) for part in parts]


def insert_segments(path: Path, segments: Sequence[Segment]) -> None:
    """Put segments into a JPEG file, behind JFIF's and EXIF's, which stand first.

    Raises:
        OSError: The file cannot be written.
    """
    new = path.with_name(f"{path.name}.new")
    with path.open("rb") as old, new.open("wb") as file:
        source = ByteSource(old)
        place = next(one.at for one in walk_markers(source) if one.code not in {APP0, APP1})
        old.seek(0)
        file.write(old.read(place))
        for segment in segments:
            file.writelines(segment.encoded())
        shutil.copyfileobj(old, file, 1 << 20)
    new.replace(path)

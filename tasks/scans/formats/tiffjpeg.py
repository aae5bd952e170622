"""JPEG data in a TIFF: its markers may say otherwise than the tag what its components are."""

import contextlib
from dataclasses import replace

from tasks.errors import AutochromeError
from tasks.scans.formats import markers, tags
from tasks.scans.formats.markers import walk_markers
from tasks.scans.formats.source import ByteSource
from tasks.scans.formats.tifflayout import Geometry, Places

_HEAD_BYTES = 1 << 16


def as_coded(source: ByteSource, geometry: Geometry, places: Places) -> Geometry:
    """Take three components for RGB or YCbCr: by the tag, unless the data surely says otherwise.

    By JFIF they are YCbCr, by Adobe's segment what that says; RGB has no subsampled chroma, and
    some writers number its components by their letters.
    """
    is_three = (geometry.samples, geometry.bits, geometry.is_separate) == (3, 8, False)
    is_coded = geometry.compression == tags.JPEG and is_three
    if not is_coded or geometry.photometric not in {tags.RGB, tags.YCBCR}:
        return geometry
    size = min(int(places.sizes[0]), _HEAD_BYTES)
    head = ByteSource.of_bytes(source.read_up_to(int(places.starts[0]), size))
    is_jfif, transform, frame = False, b"", b""
    with contextlib.suppress(AutochromeError):
        for one in walk_markers(head):
            is_jfif |= one.code == markers.APP0 and one.payload.startswith(markers.JFIF)
            if one.code == markers.APP14 and one.payload.startswith(markers.ADOBE):
                transform = one.payload[11:12]
            if one.code in {0xC0, 0xC1, 0xC2}:
                frame = one.payload
                break
    if len(frame) < 15 or frame[5] != 3:
        return geometry
    luma, chroma = ((step >> 4, step & 15) for step in frame[7:13:3])
    if is_jfif or transform not in {b"", b"\0"} or luma != chroma:
        steps = tuple(one // max(1, other) for one, other in zip(luma, chroma, strict=True))
        return replace(geometry, photometric=tags.YCBCR, chroma_steps=steps)
    is_rgb = transform == b"\0" or frame[6::3] == b"RGB"
    return replace(geometry, photometric=tags.RGB) if is_rgb else geometry

"""Masters: lossless RGB TIFF of the scan's depth, tiled, written a row of tiles at a time."""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from tasks.derivatives.policy import WrittenMetadata
from tasks.provenance.packet import serialize
from tasks.scans.header import ScanHeader
from tasks.scans.tone import ToneCurve

TILE_PX = 256

#: Of libdeflate. On 16-bit scans with grain: 93 ns a pixel for 51.9 % of the size; level 6 takes
#: 112 for 51.4, level 1 68 for 55.8; zlib's level 6, which everyone reads no better, 284 for 51.4.
DEFLATE_LEVEL = 4

#: Classic TIFF has offsets of 32 bits; some room is left for what is not pixels.
_CLASSIC_BYTES = (1 << 32) - (64 << 20)

_DOCUMENT_NAME, _ARTIST, _DESCRIPTION, _COPYRIGHT, _XMP, _IPTC = 269, 315, 270, 33432, 700, 33723
_BYTES, _ASCII, _UNDEFINED = 1, 2, 7  # TIFF 6.0, types of values
_TYPE_OF_RANGE, _RANGE = 11, ((340, 0.0), (341, 1.0))  # SMinSampleValue, SMaxSampleValue
_DELTA = imagecodecs.delta_encode

Samples = NDArray[Any]
_Tag = tuple[int, int, int, bytes | tuple[float, ...], bool]


def write_master(
    path: Path,
    strips: Iterable[Samples],
    *,
    header: ScanHeader,
    tone: ToneCurve,
    said: WrittenMetadata,
) -> None:
    """Write a colour TIFF; memory is that of a few rows of tiles.

    Args:
        path: The file to write.
        strips: R, G, B (rows, W, 3) from top to bottom, `TILE_PX` rows each but the last; floating
            point is from 0, black, to 1, white.
        header: The scan's, for size and resolution.
        tone: The tone curve of the samples.
        said: What goes into tags and XMP.

    Raises:
        OSError: The disk is full, or the file cannot be written.
    """
    shape = header.height, header.width, 3
    coming = iter(strips)
    first = next(coming)
    sample_type = first.dtype
    size_bytes = int(np.prod(shape)) * sample_type.itemsize
    tags = _descriptive_tags(said)
    if sample_type.kind == "f":  # whose black and white only tags can state
        tags += [(tag, _TYPE_OF_RANGE, 3, (end,) * 3, True) for tag, end in _RANGE]
    resolution = header.resolution_ppcm
    with tifffile.TiffWriter(path, bigtiff=size_bytes > _CLASSIC_BYTES) as writer:
        writer.write(
            _coded_tiles(chain([first], coming)),
            shape=shape,
            dtype=sample_type,
            photometric="rgb",
            planarconfig="contig",
            tile=(TILE_PX, TILE_PX),
            compression="zlib",
            predictor=True,
            iccprofile=tone.rgb_profile(),
            resolution=resolution,
            resolutionunit="CENTIMETER" if resolution else None,
            software=_text(said.provenance.software),
            datetime=said.provenance.created_at.strftime("%Y:%m:%d %H:%M:%S"),
            metadata=None,
            extratags=tags,
        )


def _coded_tiles(strips: Iterable[Samples]) -> Iterator[bytes]:
    """Tiles, deflated, their rows as differences: predictor 2, or 3 of floating point."""
    for strip in strips:
        for left in range(0, strip.shape[1], TILE_PX):
            tile = strip[:, left : left + TILE_PX]
            missing = [(0, TILE_PX - size) for size in tile.shape[:2]]
            if any(size for _, size in missing):
                tile = np.pad(tile, [*missing, (0, 0)], mode="edge")  # repeated edges cost nothing
            encode = imagecodecs.floatpred_encode if tile.dtype.kind == "f" else _DELTA
            differences = encode(np.ascontiguousarray(tile), axis=-2)
            yield bytes(imagecodecs.deflate_encode(differences.tobytes(), level=DEFLATE_LEVEL))


def _descriptive_tags(said: WrittenMetadata) -> list[_Tag]:
    """What the scan's file says of its subject, its IPTC, and the packet."""
    subject = said.provenance.descriptive
    texts = {
        _DOCUMENT_NAME: subject.title or subject.identifier,
        _DESCRIPTION: subject.description,
        _ARTIST: subject.artist,
        _COPYRIGHT: subject.copyright,
    }
    texts = {tag: said.own.exif.get(tag) or text for tag, text in texts.items()}
    tags: list[_Tag] = [(tag, _ASCII, 0, _text(text), True) for tag, text in texts.items() if text]
    xmp = serialize(said.packet)
    tags.append((_XMP, _BYTES, len(xmp), xmp, True))
    if iptc := said.own.iptc:
        tags.append((_IPTC, _UNDEFINED, len(iptc), iptc, True))
    return tags


def _text(text: str) -> bytes:
    """A tag's text: ASCII is what the format knows, UTF-8 is what everyone writes."""
    return text.encode("utf-8", "replace")  # NUL stands between the strings of a tag

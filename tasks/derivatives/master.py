"""Masters: lossless RGB TIFF of the scan's depth, tiled, written a row of tiles at a time."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import tifffile

from tasks.derivatives.policy import Said
from tasks.scans.header import ScanHeader
from tasks.scans.tone import Codes, ToneCurve

TILE_PX = 256

#: zlib's levels above cost several times the time for about 1 % of size on grainy scans.
COMPRESSION_LEVEL = 6

#: Classic TIFF has offsets of 32 bits; some room is left for what is not pixels.
_CLASSIC_BYTES = (1 << 32) - (64 << 20)

_DOCUMENT_NAME, _ARTIST, _DESCRIPTION, _COPYRIGHT, _XMP = 269, 315, 270, 33432, 700


def write_master(
    path: Path, strips: Iterable[Codes], *, header: ScanHeader, tone: ToneCurve, said: Said
) -> None:
    """Write a colour TIFF; memory is that of a few rows of tiles.

    Args:
        path: The file to write.
        strips: R, G, B codes (rows, W, 3) from top to bottom, `TILE_PX` rows each but the last.
        header: The scan's, for size and resolution.
        tone: The tone curve of the codes, which also decides their depth.
        said: What goes into tags and XMP.

    Raises:
        OSError: The disk is full, or the file cannot be written.
    """
    shape = header.height, header.width, 3
    size_bytes = int(np.prod(shape)) * tone.bits // 8
    resolution = header.resolution_ppcm
    with tifffile.TiffWriter(path, bigtiff=size_bytes > _CLASSIC_BYTES) as writer:
        writer.write(
            _tiles(strips),
            shape=shape,
            dtype=np.uint8 if tone.bits == 8 else np.uint16,
            photometric="rgb",
            planarconfig="contig",
            tile=(TILE_PX, TILE_PX),
            compression="zlib",
            compressionargs={"level": COMPRESSION_LEVEL},
            predictor=True,
            iccprofile=tone.rgb_profile(),
            resolution=resolution,
            resolutionunit="CENTIMETER" if resolution else None,
            software=_text(said.provenance.software),
            datetime=said.provenance.created_at.strftime("%Y:%m:%d %H:%M:%S"),
            metadata=None,
            maxworkers=1,  # items run side by side already, and threads hold tiles in memory
            extratags=_descriptive_tags(said),
        )


def _tiles(strips: Iterable[Codes]) -> Iterator[Codes]:
    for strip in strips:
        for left in range(0, strip.shape[1], TILE_PX):
            yield strip[:, left : left + TILE_PX]


def _descriptive_tags(said: Said) -> list[tuple[int, str, int, bytes, bool]]:
    """What the scan's file says of its subject, and the packet."""
    subject = said.provenance.descriptive
    texts = (
        (_DOCUMENT_NAME, subject.title or subject.identifier),
        (_DESCRIPTION, subject.description),
        (_ARTIST, subject.artist),
        (_COPYRIGHT, subject.copyright),
    )
    tags = [(tag, "s", 0, _text(text), True) for tag, text in texts if text]
    return [*tags, (_XMP, "B", len(said.xmp), said.xmp, True)]


def _text(text: str) -> bytes:
    """A tag's text: ASCII is what the format knows, UTF-8 is what everyone writes."""
    return text.replace("\0", "").encode("utf-8", "replace")

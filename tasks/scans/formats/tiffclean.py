"""A TIFF as decoders are given it: one directory, of what decides about the pixels alone.

Libraries stop at faults of tags that they have no need of, and follow every pointer there is. What
they are given here is a BigTIFF whose directory we write, before the bytes of the scan's own file.
"""

import struct
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tasks.scans.formats import tags
from tasks.scans.formats.ifd import Directory, Layout
from tasks.scans.formats.source import Part, Span

_SHORT, _LONG, _LONG8 = 3, 4, 16
_OF_COMPRESSION = {
    3: (tags.T4_OPTIONS,),
    4: (tags.T6_OPTIONS,),
    tags.JPEG: (tags.JPEG_TABLES,),
    tags.LERC: (tags.LERC_PARAMETERS,),
}
_OF_PHOTOMETRIC = {
    tags.PALETTE: (tags.COLOUR_MAP,),
    tags.CMYK: (tags.INK_SET,),
    tags.YCBCR: (
        tags.YCBCR_COEFFICIENTS,
        tags.YCBCR_SUBSAMPLING,
        tags.YCBCR_POSITIONING,
        tags.REFERENCE_BLACK_WHITE,
    ),
}
_MAX_COPIED_BYTES = 1 << 20

_Value = tuple[int, int, bytes]  # type, count, bytes


def copied_tags(directory: Directory) -> tuple[int, ...]:
    """The tags that decide about pixels of this kind and are given as they are.

    Of another kind, they are in nobody's way: JPEG's tables beside LZW, YCbCr's numbers of a grey.
    """
    compression = directory.integer(tags.COMPRESSION, 1)
    photometric = directory.integer(tags.PHOTOMETRIC, 1)
    extra = (tags.EXTRA_SAMPLES,) if directory.integer(tags.SAMPLES, 1) > 1 else ()
    return (
        *extra,
        *_OF_COMPRESSION.get(compression, ()),
        *_OF_PHOTOMETRIC.get(photometric, ()),
    )


def clean_parts(
    directory: Directory,
    numbers: Mapping[int, tuple[int, ...]],
    *,
    is_tiled: bool,
    places: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> tuple[Part, ...]:
    """Give the parts of a TIFF that holds this directory's picture and nothing else.

    Args:
        directory: The scan's own.
        numbers: Values of the tags that are to be as they are here, not as they are there.
        is_tiled: Whether the pieces are tiles.
        places: Where they begin in the scan's file.
        sizes: Their bytes.
    """
    layout = directory.layout
    values = {tag: _packed(layout, found) for tag, found in numbers.items()}
    for tag in copied_tags(directory):
        body = directory.data(tag, limit=_MAX_COPIED_BYTES)
        if body is not None and tag not in values:
            entry = directory.entries[tag]
            values[tag] = entry.kind, entry.count, body
    if tags.EXTRA_SAMPLES in values:
        # Libraries divide by alpha that is associated; the codes are kept as they are stored.
        kinds = directory.integers(tags.EXTRA_SAMPLES) or [0]
        values[tags.EXTRA_SAMPLES] = _packed(layout, tuple(2 * bool(kind) for kind in kinds))
    starts = tags.TILE_OFFSETS if is_tiled else tags.STRIP_OFFSETS
    lengths = tags.TILE_BYTES if is_tiled else tags.STRIP_BYTES
    word = np.dtype(np.uint64).newbyteorder(layout.order)
    values[lengths] = _LONG8, sizes.size, sizes.astype(word).tobytes()
    values[starts] = _LONG8, places.size, bytes(8 * places.size)
    shift = len(_written(layout, values))  # the table's length does not depend on the offsets
    values[starts] = _LONG8, places.size, (places + shift).astype(word).tobytes()
    return _written(layout, values), Span(0, directory.source.size)


def _packed(layout: Layout, numbers: tuple[int, ...]) -> _Value:
    kind, letter = (_SHORT, "H") if max(numbers) < 1 << 16 else (_LONG, "I")
    return kind, len(numbers), struct.pack(f"{layout.order}{len(numbers)}{letter}", *numbers)


def _written(layout: Layout, values: Mapping[int, _Value]) -> bytes:
    """Write the file's head, its one directory, and the values that do not fit into it."""
    order, mark = layout.order, b"II" if layout.order == "<" else b"MM"
    table = struct.pack(f"{order}2s3HQQ", mark, 43, 8, 0, 16, len(values))
    data, start = b"", len(table) + 20 * len(values) + 8
    for tag, (kind, count, body) in sorted(values.items()):
        place = body
        if len(body) > 8:
            place = struct.pack(f"{order}Q", start + len(data))
            data += body + bytes(-len(body) % 8)
        table += struct.pack(f"{order}HHQ8s", tag, kind, count, place)
    return table + bytes(8) + data

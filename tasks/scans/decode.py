"""Decoding, a strip at a time, by libvips; what it does not read, by imagecodecs and tifffile.

Greyscale JPEG of a usual size is decoded at once by libjpeg, which tells of damage as it does.
TIFF that libtiff does not read is decoded piece by piece; whole are decoded JPEG 2000, and JPEG of
another depth than 8 or without loss.

A decoder may crash or hang on a hostile file. That cannot be caught here: it runs in a process of
its own, whose end costs one item.
"""

import contextlib
import io
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pyvips
import simplejpeg
from numpy.typing import NDArray
from openjpeg.utils import decode as decode_openjpeg

from tasks.errors import UnsupportedFormat
from tasks.filetypes import Format
from tasks.scans.convert import converter
from tasks.scans.formats.source import ByteSource, damaged
from tasks.scans.formats.structure import Photometric, Structure
from tasks.scans.formats.tiffpieces import DAMAGE, Pieces, check_zip, printable

Samples = NDArray[Any]

_LOADERS: dict[Format, tuple[str, dict[str, Any]]] = {
    Format.JPEG: ("jpegload_source", {}),
    Format.PNG: ("pngload_source", {}),
    Format.TIFF: ("tiffload_source", {"unlimited": True}),  # our own limits have been passed
}
_IN_MEMORY_BYTES = 32 << 20
_WITHOUT_LOSS = {"lossless", "lossless arithmetic", "JPEG-LS"}
_DTYPES: dict[str, type[np.unsignedinteger[Any]]] = {"uchar": np.uint8, "ushort": np.uint16}


def decode_strips(path: Path, structure: Structure, *, rows: int) -> Iterator[Samples]:
    """Decode a page from top to bottom, as stored: no orientation, no profile of codes applied.

    Decoders are given what decides about the pixels alone (`Structure.parts`).

    Args:
        path: The file.
        structure: What its header said; a decoder that finds otherwise is not believed.
        rows: Rows of a strip; the last may have fewer.

    Yields:
        uint8 or uint16 (rows, W, 1 or 3): min-is-black, palettes expanded, alpha dropped; CMYK and
        L*a*b* as sRGB. Deep samples as levels in [0, 1] from black to white.

    Raises:
        UnreadableScan: The data is damaged; strips that came before are void.
    """
    convert = converter(structure)
    with path.open("rb") as file:
        source = ByteSource(file)
        for samples in _samples(source, structure, rows):
            yield convert(samples)


def _is_grey_jpeg(structure: Structure) -> bool:
    """Whether libjpeg decodes it at once, and tells of all damage as it does."""
    return (
        structure.format == Format.JPEG
        and structure.channels == 1
        and not _is_for_imagecodecs(structure)
        and structure.width * structure.height <= _IN_MEMORY_BYTES
    )


def verify_data(path: Path, structure: Structure) -> None:
    """Look at what the decoder does not look at: checksums, and the end of a JPEG's data.

    Raises:
        UnreadableScan: The data is damaged.
    """
    is_zip = structure.compression == "ZIP" and not structure.in_pieces
    is_jpeg = structure.format == Format.JPEG and not _is_for_imagecodecs(structure)
    if is_zip or (is_jpeg and not _is_grey_jpeg(structure)):
        with path.open("rb") as file:
            check = check_zip if is_zip else _check_jpeg
            check(ByteSource(file), structure)


def _check_jpeg(source: ByteSource, structure: Structure) -> None:
    """Let libjpeg read all of the data, at an eighth of the size.

    libvips looks at its warnings before each few rows, and so never at those of the last ones. What
    is coded without loss libjpeg cannot reduce, and would write beyond the buffer: it is none here.
    """
    _by_libjpeg(source, structure, min_height=1, min_width=1)


def _by_libjpeg(source: ByteSource, structure: Structure, **least: int) -> Samples | None:
    """Decode the luminance; None where libjpeg does not read such a JPEG at all."""
    data = source.assembled(structure.parts).read()
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, "GRAY", **least))
    except ValueError as error:
        with contextlib.suppress(ValueError):
            simplejpeg.decode_jpeg(data, "GRAY", min_height=1, min_width=1, strict=False)
            raise damaged(f"the JPEG is damaged: {printable(error)}") from error
    return None


def _samples(source: ByteSource, structure: Structure, rows: int) -> Iterator[Samples]:
    if structure.in_pieces:
        pieces = Pieces(source, structure)
        for top in range(0, structure.height, rows):
            yield pieces.rows(top, min(structure.height, top + rows))
    elif structure.format == Format.JP2:
        yield from _decode_whole(source, structure, rows, partial(_jp2_pixels, structure=structure))
    elif structure.format == Format.JPEG and _is_for_imagecodecs(structure):
        is_ls = structure.compression == "JPEG-LS"
        decode = imagecodecs.jpegls_decode if is_ls else imagecodecs.jpeg8_decode
        yield from _decode_whole(source, structure, rows, decode)
    elif _is_grey_jpeg(structure) and (grey := _by_libjpeg(source, structure)) is not None:
        yield from _in_strips(grey, structure, rows)
    else:
        yield from _decode_vips(source, structure, rows)


def _is_for_imagecodecs(structure: Structure) -> bool:
    """Of a JPEG: whether libvips does not read it."""
    return structure.stored_bits != 8 or structure.compression in _WITHOUT_LOSS


def _decode_vips(source: ByteSource, structure: Structure, rows: int) -> Iterator[Samples]:
    pyvips.cache_set_max(0)  # a streaming image is read once; a cached one would be found used up
    name, options = _LOADERS[structure.format]
    # libjpeg goes on through corrupt data with a warning, the others stop with an error.
    is_jpeg = structure.format == Format.JPEG or structure.compression == "JPEG"
    options = {**options, "fail_on": "warning" if is_jpeg else "error"}
    opened = _vips_source(source, structure)  # it must live as long as the image is read
    try:
        image = pyvips.Operation.call(name, opened, access="sequential", **options)
        image = _colours(image, structure)
        region = pyvips.Region.new(image)
        height, width, bands, dtype = _facts(image)
        for top in range(0, height, rows):
            count = min(rows, height - top)
            strip = np.frombuffer(region.fetch(0, top, width, count), dtype=dtype)
            yield strip.reshape(count, width, bands)
    except pyvips.Error as error:
        raise damaged(f"the {structure.format.upper()} is damaged: {printable(error)}") from error


def _vips_source(source: ByteSource, structure: Structure) -> pyvips.Source:
    """Let libvips read the parts: small ones from memory, for calls back from it take time."""
    file = source.assembled(structure.parts)
    if file.seek(0, io.SEEK_END) <= _IN_MEMORY_BYTES:
        file.seek(0)
        return pyvips.Source.new_from_memory(file.read())
    file.seek(0)
    found = pyvips.SourceCustom()
    found.on_read(file.read)
    found.on_seek(file.seek)
    return found


def _facts(image: pyvips.Image) -> tuple[int, int, int, type[np.unsignedinteger[Any]]]:
    """What is asked for with every strip, and takes libvips's binding a while to tell."""
    return image.height, image.width, image.bands, _DTYPES[image.format]


def _colours(image: pyvips.Image, structure: Structure) -> pyvips.Image:
    """Check what the decoder found against the header, and leave colour channels only."""
    expected = structure.width, structure.height, "ushort" if structure.stored_bits > 8 else "uchar"
    found = image.width, image.height, image.format
    if found != expected:
        raise damaged(
            f"the header announces {expected[0]} × {expected[1]} pixels of type {expected[2]}, the "
            f"decoder finds {found[0]} × {found[1]} of {found[2]}"
        )
    if structure.photometric == Photometric.CMYK:
        return image.extract_band(0, n=4)
    is_grey = structure.channels == 1 or image.interpretation in {"b-w", "grey16"}
    return image[0] if is_grey else image.extract_band(0, n=3)


def _jp2_pixels(data: bytes, structure: Structure) -> Samples:
    """Decode JPEG 2000: by imagecodecs, or where its components differ, by openjpeg's binding."""
    try:
        pixels = np.atleast_3d(imagecodecs.jpeg2k_decode(data, numthreads=1))
    except NotImplementedError:
        pixels = np.atleast_3d(decode_openjpeg(data))
    is_signed = structure.values is not None and structure.values.is_signed
    if len(set(structure.depths)) < 2 and structure.stored_bits <= 16 and not is_signed:
        return pixels
    planes = []
    for number, bits in enumerate(structure.depths):
        plane = pixels[..., number].astype(np.float64) + is_signed * (1 << bits - 1)
        planes.append(plane / ((1 << bits) - 1))
    levels = np.stack(planes, axis=2)
    if structure.is_deep:
        return levels
    depth = structure.stored_bits  # as deep as the deepest
    return np.rint(levels * ((1 << depth) - 1)).astype(np.uint16 if depth > 8 else np.uint8)


def _decode_whole(
    source: ByteSource, structure: Structure, rows: int, decode: Callable[[bytes], Samples]
) -> Iterator[Samples]:
    """Decode at once, which is all that some codecs offer; the header's limits have bounded it."""
    name = structure.format.upper()
    try:
        pixels = decode(source.assembled(structure.parts).read())
    except NotImplementedError as error:
        raise UnsupportedFormat(
            f"a {name} that the codec does not decode: {printable(error)}; convert it to TIFF"
        ) from error
    except DAMAGE as error:
        raise damaged(f"the {name} is damaged: {printable(error)}") from error
    yield from _in_strips(np.atleast_3d(pixels), structure, rows)


def _in_strips(pixels: Samples, structure: Structure, rows: int) -> Iterator[Samples]:
    """Cut a decoded picture, if it is what the header announces."""
    dtype: type | np.dtype[Any] = np.uint16 if structure.stored_bits > 8 else np.uint8
    dtype = structure.level_type if structure.is_deep else dtype
    expected = structure.height, structure.width, dtype
    if (*pixels.shape[:2], pixels.dtype) != expected or pixels.shape[2] < structure.channels:
        raise damaged(
            f"the header announces {structure.width} × {structure.height} pixels in "
            f"{structure.channels} channels, the decoder finds {pixels.shape[1]} × "
            f"{pixels.shape[0]} in {pixels.shape[2]} of {pixels.dtype}"
        )
    for top in range(0, structure.height, rows):
        yield pixels[top : top + rows]

"""Decoding, a strip at a time, by libvips; what it does not read, whole, by imagecodecs.

That is JPEG 2000, and JPEG of another depth than 8 or without loss.

A decoder may crash or hang on a hostile file. That cannot be caught here: it runs in a process of
its own, whose end costs one item.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pyvips
from numpy.typing import NDArray

from tasks.errors import UnreadableScan
from tasks.scans.formats.source import ByteSource
from tasks.scans.formats.structure import Format, Structure
from tasks.scans.formats.tiff import check_zip

Samples = NDArray[np.unsignedinteger[Any]]

_LOADERS: dict[Format, tuple[str, dict[str, Any]]] = {
    Format.JPEG: ("jpegload_source", {}),
    Format.PNG: ("pngload_source", {}),
    Format.TIFF: ("tiffload_source", {"unlimited": True}),  # our own limits have been passed
}
_CODESTREAM, _PROFILED = b"jp2c", {2, 3}  # boxes of JPEG 2000, methods of colour specification
_DTYPES: dict[str, type[np.unsignedinteger[Any]]] = {"uchar": np.uint8, "ushort": np.uint16}


def decode_strips(path: Path, structure: Structure, *, rows: int) -> Iterator[Samples]:
    """Decode a page from top to bottom, as stored: no orientation, no profile applied.

    Args:
        path: The file.
        structure: What its header said; a decoder that finds otherwise is not believed.
        rows: Rows of a strip; the last may have fewer.

    Yields:
        uint8 or uint16 (rows, W, 1 or 3): min-is-black, palettes expanded, alpha dropped.

    Raises:
        UnreadableScan: The data is damaged; strips that came before are void.
    """
    if structure.format == Format.JP2:
        return _decode_whole(path, structure, rows, _jp2_pixels)
    if structure.format == Format.JPEG and (
        structure.stored_bits != 8 or structure.compression == "lossless"
    ):
        return _decode_whole(path, structure, rows, imagecodecs.jpeg8_decode)
    return _decode_vips(path, structure, rows)


def verify_data(path: Path, structure: Structure) -> None:
    """Look at checksums that the decoder does not look at.

    Raises:
        UnreadableScan: The data is damaged.
    """
    if structure.format == Format.TIFF and structure.compression == "ZIP":
        with path.open("rb") as file:
            check_zip(ByteSource(file), structure.directory)


def _decode_vips(path: Path, structure: Structure, rows: int) -> Iterator[Samples]:
    pyvips.cache_set_max(0)  # a streaming image is read once; a cached one would be found used up
    name, options = _LOADERS[structure.format]
    if structure.format == Format.TIFF:
        options = {**options, "page": structure.directory}
    # libjpeg goes on through corrupt data with a warning, the others stop with an error.
    is_jpeg = structure.format == Format.JPEG or structure.compression == "JPEG"
    options = {**options, "fail_on": "warning" if is_jpeg else "error"}
    descriptor = os.open(path, os.O_RDONLY)
    try:
        source = pyvips.Source.new_from_descriptor(descriptor)
        image = pyvips.Operation.call(name, source, access="sequential", **options)
        image = _colours(image, structure)
        region = pyvips.Region.new(image)
        height, width, bands, dtype = _facts(image)
        for top in range(0, height, rows):
            count = min(rows, height - top)
            strip = np.frombuffer(region.fetch(0, top, width, count), dtype=dtype)
            yield strip.reshape(count, width, bands)
    except pyvips.Error as error:
        raise UnreadableScan(
            f"the {structure.format.upper()} is damaged: {_words(error)}; "
            "restore the file from a copy"
        ) from error
    finally:
        os.close(descriptor)


def _facts(image: pyvips.Image) -> tuple[int, int, int, type[np.unsignedinteger[Any]]]:
    """What is asked for with every strip, and takes libvips's binding a while to tell."""
    return image.height, image.width, image.bands, _DTYPES[image.format]


def _colours(image: pyvips.Image, structure: Structure) -> pyvips.Image:
    """Check what the decoder found against the header, and leave colour channels only."""
    expected = structure.width, structure.height, "ushort" if structure.stored_bits > 8 else "uchar"
    found = image.width, image.height, image.format
    if found != expected:
        raise UnreadableScan(
            f"the header announces {expected[0]} × {expected[1]} pixels of type {expected[2]}, the "
            f"decoder finds {found[0]} × {found[1]} of {found[2]}; restore the file from a copy"
        )
    is_grey = structure.channels == 1 or image.interpretation in {"b-w", "grey16"}
    return image[0] if is_grey else image.extract_band(0, n=3)


def _jp2_pixels(data: bytes) -> Samples:
    """Decode without the profile, which the codec would apply: to sRGB, and of 16 bits wrongly."""
    start = data.find(b"colr", 0, max(0, data.find(_CODESTREAM)))
    if start >= 0 and data[start + 4] in _PROFILED:
        data = (
            data[:start] + b"free" + data[start + 4 :]
        )  # boxes that are not known are passed over
    pixels: Samples = imagecodecs.jpeg2k_decode(data, numthreads=1)
    return pixels


def _decode_whole(
    path: Path, structure: Structure, rows: int, decode: Callable[[bytes], Samples]
) -> Iterator[Samples]:
    """Decode at once, which is all that some codecs offer; the header's limits have bounded it."""
    name = structure.format.upper()
    try:
        pixels = decode(path.read_bytes())
    except (imagecodecs.Jpeg2kError, imagecodecs.Jpeg8Error, ValueError) as error:
        raise UnreadableScan(
            f"the {name} is damaged: {_words(error)}; restore the file from a copy"
        ) from error
    pixels = np.atleast_3d(pixels)
    dtype = np.uint16 if structure.stored_bits > 8 else np.uint8
    expected = structure.height, structure.width, dtype
    if (*pixels.shape[:2], pixels.dtype) != expected or pixels.shape[2] < structure.channels:
        raise UnreadableScan(
            f"the header announces {structure.width} × {structure.height} pixels in "
            f"{structure.channels} channels, the decoder finds {pixels.shape[1]} × "
            f"{pixels.shape[0]} in {pixels.shape[2]} of {pixels.dtype}; "
            "restore the file from a copy"
        )
    pixels = pixels[..., : structure.channels]
    for top in range(0, structure.height, rows):
        yield pixels[top : top + rows]


def _words(error: Exception) -> str:
    """Give a decoder's words on one printable line: they may quote the file."""
    text = " ".join(str(error).split())
    return "".join(char for char in text if char.isprintable())[:200] or type(error).__name__

"""A scan or a derivative as a pyramid of tiles in sRGB, 8 bits; made in a child process.

Whoever looks at a picture asks for many small pieces of it. A JPEG can only be decoded from its
beginning, and a scan is hostile: so it is decoded once, in a child with limits, and what is looked
at is a file of our own.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray

from tasks.errors import OutputFull
from tasks.scans.descriptive import Descriptive, describe
from tasks.scans.header import ReadLimits, read_structure
from tasks.scans.metadata.read import read_metadata
from tasks.scans.reader import Scan, open_scan
from tasks.scans.tone import light_from_lightness, tone_curve

TILE_PX = 256
#: Of the pyramid: what is seen at 1:1 is coded once more on its way to the browser.
QUALITY = 97
#: The longest side of a picture among many.
SMALL_PX = 320
_SMALL_QUALITY = 85

#: EXIF orientations from here on lie on their side.
_LYING = 5

Codes = NDArray[Any]


@dataclass(frozen=True)
class PyramidRequest:
    """A picture's file and what to make of it.

    Attributes:
        path: The file, fetched from its store.
        into: The pyramid to write, beside which scratch files may lie.
        limits: What the file may ask for.
        page: The page of a scan; None of a derivative.
        is_grey: Whether a derivative is to be shown without its colours: its Y′ alone.
    """

    path: Path
    into: Path
    limits: ReadLimits
    page: int | None = None
    is_grey: bool = False


@dataclass(frozen=True)
class Pyramid:
    """What was made: its size in pixels, and what a scan's file says of its subject and rights."""

    width: int
    height: int
    said: Descriptive = field(default_factory=Descriptive)


def make_pyramid(request: PyramidRequest) -> Pyramid:
    """Write the pyramid; runs in a child process.

    Raises:
        AutochromeError: The scan cannot be read any more, or the disk is full.
        pyvips.Error: The derivative cannot be read.
    """
    if request.page is None:
        return _of_derivative(request)
    return _of_scan(request, request.page)


def make_small(request: PyramidRequest) -> Pyramid:
    """Write a derivative as a small JPEG; runs in a child process.

    Raises:
        pyvips.Error: It cannot be read.
    """
    _open_derivative(request)
    longest = {"height": SMALL_PX, "size": "down", "no_rotate": True}
    picture = _in_srgb(pyvips.Image.thumbnail(str(request.path), SMALL_PX, **longest))
    picture.jpegsave(str(request.into), Q=_SMALL_QUALITY, keep="none")
    return Pyramid(picture.width, picture.height)


def _of_derivative(request: PyramidRequest) -> Pyramid:
    picture = _in_srgb(_open_derivative(request))
    if request.is_grey:
        picture = luma_of(picture)
    _save(picture, request.into)
    return Pyramid(picture.width, picture.height)


def luma_of(picture: pyvips.Image) -> pyvips.Image:
    """Y′ as JPEG has it, of a picture of three bands."""
    luma = picture[0] * 0.299 + picture[1] * 0.587 + picture[2] * 0.114
    return luma.rint().cast("uchar").copy(interpretation="b-w")


def _open_derivative(request: PyramidRequest) -> pyvips.Image:
    picture = pyvips.Image.new_from_file(str(request.path), access="sequential")
    if picture.width * picture.height > request.limits.max_pixels:
        raise ValueError(f"a derivative of {picture.width} × {picture.height} pixels is refused")
    return picture


def _in_srgb(picture: pyvips.Image) -> pyvips.Image:
    if picture.get_typeof("icc-profile-data"):
        # From libvips 8.17 on, the depth is otherwise the file's own.
        picture = picture.icc_transform("srgb", embedded=True, intent="relative", depth=8)
    else:
        picture = picture.colourspace("srgb")
    return picture.cast("uchar")


def _of_scan(request: PyramidRequest, page: int) -> Pyramid:
    structure = read_structure(request.path, page=page, limits=request.limits)
    said = describe(read_metadata(structure).packet)
    scan = open_scan(request.path, page=page, limits=request.limits, scratch=request.into.parent)
    raw = request.into.with_suffix(".raw")
    try:
        if structure.channels == 3:
            picture = _in_colour(scan, raw)
        else:
            _write(raw, _greys(scan))
            picture = pyvips.Image.rawload(str(raw), scan.header.width, scan.header.height, 1)
            picture = picture.copy(interpretation="b-w")
        _save(picture, request.into)
    except OSError as error:
        raise OutputFull(f"{raw}: {error.strerror}; free space there") from error
    finally:
        raw.unlink(missing_ok=True)
    return Pyramid(scan.header.width, scan.header.height, said)


def _write(raw: Path, strips: Iterator[Codes]) -> np.dtype[Any]:
    """Write strips of codes one behind the other; returns their type."""
    kind = np.dtype(np.uint8)
    with raw.open("wb") as file:
        for codes in strips:
            kind = codes.dtype
            file.write(np.ascontiguousarray(codes).data)
    return kind


def _greys(scan: Scan) -> Iterator[Codes]:
    """The scan in greys of sRGB, uint8 (rows, W), by its own tone curve."""
    shown = tone_curve(None, bits=8).encode(light_from_lightness(scan.tone.lightness))
    for _, codes in scan.strips():
        yield shown.take(codes)


def _in_colour(scan: Scan, raw: Path) -> pyvips.Image:
    """A toned or coloured scan in sRGB: decoded once, then turned by libvips."""
    kind = _write(raw, scan.screen_strips())
    turn, size = scan.header.orientation, (scan.header.width, scan.header.height)
    if turn >= _LYING:
        size = size[::-1]
    picture = pyvips.Image.rawload(
        str(raw), *size, 3, format="uchar" if kind == np.uint8 else "ushort"
    ).copy(interpretation="srgb" if kind == np.uint8 else "rgb16")
    picture = picture.copy()
    if scan.profile:
        picture.set_type(pyvips.GValue.blob_type, "icc-profile-data", scan.profile)
        with suppress(pyvips.Error):  # as where a file states nothing
            picture = _in_srgb(picture)
    picture.set_type(pyvips.GValue.gint_type, "orientation", turn)
    return picture.autorot()


def _save(picture: pyvips.Image, into: Path) -> None:
    picture.tiffsave(
        str(into),
        tile=True,
        tile_width=TILE_PX,
        tile_height=TILE_PX,
        pyramid=True,
        compression="jpeg",
        Q=QUALITY,
        keep="none",
    )

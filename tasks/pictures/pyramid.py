"""A scan or a derivative as a pyramid of tiles in sRGB, 8 bits; made in a child process.

Whoever looks at a picture asks for many small pieces of it. A JPEG can only be decoded from its
beginning, and a scan is hostile: so it is decoded once, in a child with limits, and what is looked
at is a file of our own.
"""

from collections.abc import Iterator
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

Codes = NDArray[Any]


@dataclass(frozen=True)
class PyramidRequest:
    """A picture's file and what to make of it.

    Attributes:
        path: The file, fetched from its store.
        into: The pyramid to write, beside which scratch files may lie.
        limits: What the file may ask for.
        page: The page of a scan; None of a derivative.
    """

    path: Path
    into: Path
    limits: ReadLimits
    page: int | None = None


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
    _save(picture, request.into)
    return Pyramid(picture.width, picture.height)


def _open_derivative(request: PyramidRequest) -> pyvips.Image:
    picture = pyvips.Image.new_from_file(str(request.path), access="sequential")
    if picture.width * picture.height > request.limits.max_pixels:
        raise ValueError(f"a derivative of {picture.width} × {picture.height} pixels is refused")
    return picture


def _in_srgb(picture: pyvips.Image) -> pyvips.Image:
    if picture.get_typeof("icc-profile-data"):
        picture = picture.icc_transform("srgb", embedded=True, intent="relative")
    else:
        picture = picture.colourspace("srgb")
    return picture.cast("uchar")


def _of_scan(request: PyramidRequest, page: int) -> Pyramid:
    structure = read_structure(request.path, page=page, limits=request.limits)
    said = describe(read_metadata(structure).packet)
    scan = open_scan(request.path, page=page, limits=request.limits, scratch=request.into.parent)
    has_colour = structure.channels == 3 and scan.survey.colours is not None
    strips = _colours(scan) if has_colour else _greys(scan)
    raw = request.into.with_suffix(".raw")
    try:
        with raw.open("wb") as file:
            for codes in strips:
                file.write(np.ascontiguousarray(codes).data)
        size = scan.header.width, scan.header.height
        picture = pyvips.Image.rawload(str(raw), *size, 3 if has_colour else 1)
        _save(picture.copy(interpretation="srgb" if has_colour else "b-w"), request.into)
    except OSError as error:
        raise OutputFull(f"{raw}: {error.strerror}; free space there") from error
    finally:
        raw.unlink(missing_ok=True)
    return Pyramid(*size, said)


def _greys(scan: Scan) -> Iterator[Codes]:
    """The scan in greys of sRGB, uint8 (rows, W), by its own tone curve."""
    shown = tone_curve(None, bits=8).encode(light_from_lightness(scan.tone.lightness))
    for _, codes in scan.strips():
        yield shown.take(codes)


def _colours(scan: Scan) -> Iterator[Codes]:
    """A toned or coloured scan in its own colours, uint8 (rows, W, 3)."""
    curve = tone_curve(None, bits=8)
    for _, light in scan.colour_strips():
        yield curve.encode(light)


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

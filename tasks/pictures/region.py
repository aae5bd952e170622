"""Pieces of a pyramid as JPEG, by the parameters of the IIIF Image API 3.0 (level 1 and more).

https://iiif.io/api/image/3.0/ says what region, size, rotation, quality and format mean.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyvips

from tasks.errors import UsageError
from tasks.pictures.pyramid import TILE_PX

#: A tile as clients are told to ask for it.
CLIENT_TILE_PX = 512
#: No answer is larger: a screen is not, and each is made in the server's memory.
MOST_PIXELS = 12_000_000
_QUALITY = 93
_REGION = re.compile(r"([0-9]{1,7}),([0-9]{1,7}),([0-9]{1,7}),([0-9]{1,7})")
_SIZE = re.compile(r"(!?)([0-9]{0,6}),([0-9]{0,6})")


@dataclass(frozen=True)
class Region:
    """A piece of a picture, and how large it is wanted, in pixels."""

    left: int
    top: int
    width: int
    height: int
    to_width: int
    to_height: int


def read_region(region: str, size: str, *, width: int, height: int) -> Region:
    """Read the parameters of a request about a picture of that size.

    Raises:
        UsageError: They are none, lie outside, or ask for too much.
    """
    left, top, wide, high = _region(region, width, height)
    to_width, to_height = _size(size, wide, high)
    if to_width > wide or to_height > high:
        raise UsageError(f"size {size}: larger than the region; ask for at most {wide},{high}")
    if to_width * to_height > MOST_PIXELS:
        raise UsageError(f"size {size}: more than {MOST_PIXELS:,} pixels; ask for tiles")
    return Region(left, top, wide, high, to_width, to_height)


def cut(pyramid: Path, wanted: Region) -> bytes:
    """Give a piece of a pyramid as JPEG in sRGB."""
    scale = min(wanted.width / wanted.to_width, wanted.height / wanted.to_height)
    level = max(0, int(scale).bit_length() - 1)
    whole = pyvips.Image.new_from_file(str(pyramid))
    level = min(level, int(whole.get("n-pages")) - 1)
    picture = pyvips.Image.new_from_file(str(pyramid), page=level) if level else whole
    # A level is a little more or less than the half of the one before, where that is odd.
    across, down = picture.width / whole.width, picture.height / whole.height
    left, top = int(wanted.left * across), int(wanted.top * down)
    width = min(picture.width - left, max(1, round(wanted.width * across)))
    height = min(picture.height - top, max(1, round(wanted.height * down)))
    piece = picture.crop(left, top, width, height)
    if (width, height) != (wanted.to_width, wanted.to_height):
        piece = piece.thumbnail_image(
            wanted.to_width, height=wanted.to_height, size="force", no_rotate=True
        )
    jpeg: bytes = piece.jpegsave_buffer(Q=_QUALITY, keep="none")
    return jpeg


def describe_service(url: str, *, width: int, height: int) -> dict[str, Any]:
    """The `info.json` of a picture at *url*."""
    levels = max(0, (max(width, height) - 1) // TILE_PX).bit_length()
    factors = [1 << level for level in range(levels + 1)]
    sizes = [{"width": -(-width // f), "height": -(-height // f)} for f in reversed(factors)]
    return {
        "@context": "http://iiif.io/api/image/3/context.json",
        "id": url,
        "type": "ImageService3",
        "protocol": "http://iiif.io/api/image",
        "profile": "level1",
        "width": width,
        "height": height,
        "maxArea": MOST_PIXELS,
        "sizes": [size for size in sizes if size["width"] * size["height"] <= MOST_PIXELS],
        "tiles": [{"width": CLIENT_TILE_PX, "scaleFactors": factors}],
        "extraFeatures": ["sizeByConfinedWh", "sizeByWh"],
    }


def _region(text: str, width: int, height: int) -> tuple[int, int, int, int]:
    if text == "full":
        return 0, 0, width, height
    if text == "square":
        side = min(width, height)
        return (width - side) // 2, (height - side) // 2, side, side
    match = _REGION.fullmatch(text)
    left, top, wide, high = map(int, match.groups()) if match else (0, 0, 0, 0)
    wide, high = min(wide, width - left), min(high, height - top)
    if wide <= 0 or high <= 0:
        raise UsageError(f"region {text[:40]!r} is none of {width} × {height} pixels")
    return left, top, wide, high


def _size(text: str, wide: int, high: int) -> tuple[int, int]:
    if text == "max":
        scale = min(1.0, (MOST_PIXELS / (wide * high)) ** 0.5)
        return max(1, int(wide * scale)), max(1, int(high * scale))
    match = _SIZE.fullmatch(text)
    confined, across, down = match.groups() if match else ("", "", "")
    to_width, to_height = int(across or 0), int(down or 0)
    is_said = bool(across and down) if confined else bool(across or down)
    if not is_said or (across and not to_width) or (down and not to_height):
        raise UsageError(f"size {text[:40]!r} is none; write max, or w,h and the like")
    if confined:
        scale = min(1.0, to_width / wide, to_height / high)
        return max(1, round(wide * scale)), max(1, round(high * scale))
    if not down:
        return to_width, max(1, round(high * to_width / wide))
    if not across:
        return max(1, round(wide * to_height / high)), to_height
    return to_width, to_height

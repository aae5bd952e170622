"""Scans beside their colourized selves, by one network or several, as one picture to look at."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from colormodel.infer import Colorizer
from colormodel.pictures import encode_srgb, predict_map, put_colour, read_picture
from colormodel.planes import ChromaMap

#: JPEG qualities that are tried until the file is small enough.
QUALITIES = range(90, 29, -5)


@dataclass(frozen=True)
class Strip:
    """How a strip is laid out.

    Attributes:
        scans: In a row, each grey and then by every network.
        width: Of the whole, in pixels.
        gap: Between pictures; scans are three gaps apart.
    """

    scans: int = 2
    width: int = 1200
    gap: int = 4


def make_strip(files: Sequence[Path], colorizers: Sequence[Colorizer], strip: Strip) -> Image.Image:
    """Colourize pictures and lay them out in rows of equal width, grey on the left of colours.

    Raises:
        PictureError: One cannot be read.
        MemoryError: One does not fit into memory.
    """
    groups = [_group(path, colorizers, most_px=strip.width) for path in files]
    rows = [groups[i : i + strip.scans] for i in range(0, len(groups), strip.scans)]
    heights = [_row_height(row, strip) for row in rows]
    total = sum(heights) + strip.gap * 3 * (len(rows) - 1)
    sheet = Image.new("RGB", (strip.width, max(total, 1)), "white")
    top = 0
    for row, height in zip(rows, heights, strict=True):
        _paste_row(sheet, row, strip, top=top, height=height)
        top += height + 3 * strip.gap
    return sheet


def encode_strip(sheet: Image.Image, *, suffix: str, most_bytes: int) -> bytes:
    """Encode as PNG for ".png", else as the finest JPEG of at most *most_bytes*."""
    if suffix == ".png":
        return _encoded(sheet, "PNG")
    content = b""
    for quality in QUALITIES:
        content = _encoded(sheet, "JPEG", quality=quality, optimize=True, progressive=True)
        if len(content) <= most_bytes:
            break
    return content


def _encoded(sheet: Image.Image, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    sheet.save(file, kind, **options)
    return file.getvalue()


def _group(path: Path, colorizers: Sequence[Colorizer], *, most_px: int) -> list[Image.Image]:
    """A scan in grey and as each network colours it, no wider or higher than *most_px*."""
    lightness = read_picture(path).lightness
    maps = [predict_map(colorizer, lightness) for colorizer in colorizers]
    blank = ChromaMap(maps[0].chroma * 0, maps[0].confidence, 0.0, maps[0].lightness)
    pictures = []
    for chroma_map in (blank, *maps):
        codes = encode_srgb(put_colour(chroma_map, lightness), bits=8)
        pictures.append(Image.fromarray(np.asarray(codes)))
        pictures[-1].thumbnail((most_px, most_px), Image.Resampling.LANCZOS)
    return pictures


def _row_height(row: Sequence[Sequence[Image.Image]], strip: Strip) -> int:
    """Height at which a row fills the width; a row that is not full is as high as if it were."""
    aspects = [group[0].width / group[0].height for group in row]
    missing = strip.scans - len(row)
    columns = len(row[0])
    total = columns * (sum(aspects) + missing * sum(aspects) / len(aspects))
    gaps = strip.gap * (strip.scans * (columns - 1) + 3 * (strip.scans - 1))
    return max(1, round((strip.width - gaps) / total))


def _paste_row(
    sheet: Image.Image,
    row: Sequence[Sequence[Image.Image]],
    strip: Strip,
    *,
    top: int,
    height: int,
) -> None:
    left = 0
    for group in row:
        width = max(1, round(group[0].width / group[0].height * height))
        for picture in group:
            tile = picture.resize((width, height), Image.Resampling.LANCZOS)
            sheet.paste(tile, (left, top))
            left += width + strip.gap
        left += 2 * strip.gap

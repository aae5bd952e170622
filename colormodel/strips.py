"""Before and after: scans beside their colourized selves, as one picture to look at."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from colormodel.infer import Colorizer
from colormodel.pictures import encode_srgb, put_colour, read_picture, resize_lightness
from colormodel.planes import ChromaMap

#: JPEG qualities that are tried until the file is small enough.
QUALITIES = range(90, 29, -5)


@dataclass(frozen=True)
class Strip:
    """How a strip is laid out.

    Attributes:
        pairs: Pairs of grey and colour in a row.
        width: Of the whole, in pixels.
        gap: Between pictures; pairs are three gaps apart.
    """

    pairs: int = 2
    width: int = 1200
    gap: int = 4


def make_strip(files: Sequence[Path], colorizer: Colorizer, strip: Strip) -> Image.Image:
    """Colourize pictures and lay them out in rows of equal width, grey on the left of colour.

    Raises:
        PictureError: One cannot be read.
        MemoryError: One does not fit into memory.
    """
    pairs = [_pair(path, colorizer) for path in files]
    rows = [pairs[i : i + strip.pairs] for i in range(0, len(pairs), strip.pairs)]
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


def _pair(path: Path, colorizer: Colorizer) -> tuple[Image.Image, Image.Image]:
    lightness = read_picture(path).lightness
    size = colorizer.network_size(*lightness.shape)
    (result,) = colorizer.predict([resize_lightness(lightness, size)])
    if isinstance(result, Exception):
        raise result
    blank = ChromaMap(result.chroma * 0, result.confidence, 0.0, result.lightness)
    grey, colour = (
        Image.fromarray(np.asarray(encode_srgb(put_colour(chroma_map, lightness), bits=8)))
        for chroma_map in (blank, result)
    )
    return grey, colour


def _row_height(row: Sequence[tuple[Image.Image, Image.Image]], strip: Strip) -> int:
    """Height at which a row fills the width; a row that is not full is as high as if it were."""
    aspects = [grey.width / grey.height for grey, _ in row]
    missing = strip.pairs - len(row)
    total = 2 * (sum(aspects) + missing * sum(aspects) / len(aspects))
    gaps = strip.gap * (strip.pairs + 3 * (strip.pairs - 1))
    return max(1, round((strip.width - gaps) / total))


def _paste_row(
    sheet: Image.Image,
    row: Sequence[tuple[Image.Image, Image.Image]],
    strip: Strip,
    *,
    top: int,
    height: int,
) -> None:
    left = 0
    for grey, colour in row:
        width = max(1, round(grey.width / grey.height * height))
        for picture in (grey, colour):
            tile = picture.resize((width, height), Image.Resampling.LANCZOS)
            sheet.paste(tile, (left, top))
            left += width + strip.gap
        left += 2 * strip.gap

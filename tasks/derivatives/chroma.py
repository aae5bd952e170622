"""The chroma planes of a luma splice: Cb and Cr at half size, for luminance that is given.

Y′ is fixed, it is the scan's own. Cb and Cr are those of the colour that the network means under
the scan's lightness, smaller where R′, G′ or B′ would leave 0 to 255 with the Y′ that is there.
"""

import io
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from colormodel.planes import (
    BLOCK_PX,
    ChromaMap,
    GuidedUpsampler,
    Plane,
    blocks,
    linear_in_gamut,
)

Codes = NDArray[np.uint8]

#: Rows of the half-size planes for which the network's map is enlarged at once.
STRIP_ROWS = 128

#: ITU-T T.81, table K.2: quantization of chrominance at the quality that libjpeg calls 50.
_CHROMINANCE = (
    17, 18, 24, 47, 99, 99, 99, 99,
    18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99,
    *[99] * 32,
)  # fmt: skip

# ITU-T T.871 (JFIF), clause 7: what one unit of Cb and of Cr adds to R′, G′ and B′.
_RED_BY_CR, _BLUE_BY_CB = 1.402, 1.772
_GREEN_BY_CB, _GREEN_BY_CR = -0.344136, -0.714136


def chroma_planes(
    luma: Codes, chroma_map: ChromaMap, *, lightness_of: Plane
) -> tuple[Codes, Codes]:
    """Cb and Cr for a greyscale picture, averaged over 2 × 2 pixels (centred, as JFIF sites them).

    Args:
        luma: The picture's Y′, uint8 (H, W).
        chroma_map: What the network says, in the same orientation as *luma*.
        lightness_of: L* of each code, float32 (256,): the scan's tone curve.

    Returns:
        Two planes uint8 (ceil(H / 2), ceil(W / 2)) around 128. With any chroma that lies between
        neighbouring samples, as decoders interpolate it, R′G′B′ stays within 0 to 255 (but for
        rounding and the loss of coding).
    """
    height, width = (-(-size // 2) for size in luma.shape)
    upsampler = GuidedUpsampler(chroma_map, height, width)
    lightness_of_cells, encode = _tables(lightness_of.tobytes())
    planes = np.empty((2, height, width), np.uint8)
    for top in range(0, height, STRIP_ROWS):
        rows = slice(top, min(top + STRIP_ROWS, height))
        lightness = lightness_of_cells.take(_sums_of_cells(luma, rows))
        linear = linear_in_gamut(lightness, upsampler.rows(lightness, top))
        darkest, lightest = _luma_under(luma, rows)
        for block in blocks(rows, at_once=max(1, BLOCK_PX // width)):
            part = slice(block.start - top, block.stop - top)
            differences = _blue_and_red_difference(encode, linear[:, part])
            differences *= _fitting_scale(differences, darkest[part], lightest[part])
            differences += 128
            planes[:, block] = np.rint(differences, out=differences)
    return planes[0], planes[1]


def encode_plane(plane: Codes, quality: int, *, progressive: bool) -> bytes:
    """Code a chroma plane as a greyscale JPEG, with libjpeg's table for chrominance.

    Args:
        plane: uint8 (h, w).
        quality: From 1 to 100, as libjpeg means it.
        progressive: Whether the coding refines in several scans.
    """
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    table = [min(max((entry * percent + 50) // 100, 1), 255) for entry in _CHROMINANCE]
    coded = io.BytesIO()
    Image.fromarray(plane).save(coded, "JPEG", qtables=[table], progressive=progressive)
    return coded.getvalue()


def stored(chroma_map: ChromaMap, orientation: int) -> ChromaMap:
    """Turn a map of the upright picture into the orientation in which the file stores it.

    Args:
        chroma_map: The map, upright.
        orientation: The file's EXIF orientation, 1 to 8: how its stored pixels become upright.
    """

    def turned(plane: Plane) -> Plane:
        # Upright pictures are made by exchanging axes, then mirroring: here it goes backwards.
        if orientation in {3, 4, 7, 8}:
            plane = plane[..., ::-1, :]
        if orientation in {2, 3, 6, 7}:
            plane = plane[..., :, ::-1]
        if orientation >= 5:
            plane = plane.swapaxes(-1, -2)
        return np.ascontiguousarray(plane)

    return replace(
        chroma_map,
        chroma=turned(chroma_map.chroma),
        confidence=turned(chroma_map.confidence),
        lightness=turned(chroma_map.lightness),
    )


def _cells(luma: Codes, rows: slice) -> Codes:
    """The pixels under some rows of half-size samples; odd edges repeated, as encoders do."""
    part = luma[2 * rows.start : 2 * rows.stop]
    missing = 2 * (rows.stop - rows.start) - part.shape[0], part.shape[1] % 2
    return np.pad(part, [(0, one) for one in missing], mode="edge") if any(missing) else part


def _sums_of_cells(luma: Codes, rows: slice) -> NDArray[np.uint16]:
    """The sum of the four codes under each half-size sample, 0 to 1020."""
    cells = _cells(luma, rows)
    pairs = np.add(cells[0::2], cells[1::2], dtype=np.uint16)
    return pairs[:, 0::2] + pairs[:, 1::2]


@lru_cache(maxsize=4)
def _tables(tone: bytes) -> tuple[Plane, Plane]:
    """What follows from a tone curve, given as float32 L* of each code, and is the same for many.

    Returns:
        L* of the mean of four codes, by their sum, 0 to 1020; and the inverse of the curve, linear
        light in 65,536 steps to unrounded codes, 0 to 255.
    """
    lightness = np.frombuffer(tone, np.float32).astype(np.float64)
    codes = np.arange(lightness.size)
    of_sums = np.interp(np.arange(4 * lightness.size - 3) / 4, codes, lightness)
    linear = np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness * (27 / 24389))
    encode = np.interp(np.linspace(0, 1, 65536), linear, codes)
    return of_sums.astype(np.float32), encode.astype(np.float32)


def _blue_and_red_difference(encode: Plane, linear: Plane) -> Plane:
    """Cb and Cr around 0 of linear RGB (3, rows, w), unrounded, (2, rows, w); spoils *linear*."""
    linear *= 65535
    linear += 0.5
    red, green, blue = encode.take(linear.astype(np.uint16))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    blue -= luma
    red -= luma
    return np.stack([blue * (1 / _BLUE_BY_CB), red * (1 / _RED_BY_CR)])


def _luma_under(luma: Codes, rows: slice) -> tuple[Codes, Codes]:
    """Smallest and largest Y′ that each sample reaches when decoders interpolate between samples.

    A sample colours the 2 × 2 pixels of its cell and, at a quarter of the weight, those around it.
    """
    first, stop = 2 * rows.start - 1, 2 * rows.stop + 1
    part = luma[max(first, 0) : stop]
    below = stop - max(first, 0) - part.shape[0]
    pad = (max(-first, 0), below), (1, 1 + luma.shape[1] % 2)
    part = np.pad(part, pad, mode="edge")
    extremes = []
    for reduce in (np.minimum, np.maximum):
        pairs = reduce(part[:-1], part[1:])
        tall = reduce(pairs[0:-1:2], pairs[2::2])  # four rows in steps of two
        pairs = reduce(tall[:, :-1], tall[:, 1:])
        extremes.append(reduce(pairs[:, 0:-1:2], pairs[:, 2::2]))
    return extremes[0], extremes[1]


def _fitting_scale(differences: Plane, darkest: Codes, lightest: Codes) -> Plane:
    """Largest factor in [0, 1] at which no channel leaves 0 to 255 anywhere under the sample."""
    blue, red = differences
    dark, room = darkest.astype(np.float32), (255 - lightest).astype(np.float32)
    scale = np.ones_like(dark)
    green = _GREEN_BY_CB * blue + _GREEN_BY_CR * red
    for step in (_RED_BY_CR * red, green, _BLUE_BY_CB * blue):
        most = np.where(step > 0, room, dark)
        np.abs(step, out=step)
        np.maximum(step, 1e-6, out=step)
        most /= step
        np.minimum(scale, most, out=scale)
    return scale

"""The chroma planes of a luma splice: Cb and Cr at half size, for luminance that is given.

Y′ is fixed, it is the scan's own. Cb and Cr are those of the colour that the network means under
the scan's lightness, smaller where R′, G′ or B′ would leave 0 to 255 with the Y′ that is there.
"""

import io
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import cv2
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
Differences = NDArray[np.int16]

#: Rows of the half-size planes for which the network's map is enlarged at once; of small scans as
#: many as hold so many samples.
STRIP_ROWS, _STRIP_SAMPLES = 128, 1 << 17

#: Samples for each pixel of the network's map, along each side, that are worth computing. On colour
#: photographs of 4 to 8 megapixels, whose chroma was known at 64 or 96 px, 6 to 8 were as near to
#: the truth as 12 to 16 (mean error 0.98 to 1.00 of it, at edges 0.91 to 1.00); about 3 were
#: off by up to 1.06 of it, 7.5 % more at edges.
_CELLS_TO_EACH = 6
_LARGEST_STEP = 8  # the codes of larger cells would not add up in 16 bits

#: ITU-T T.81, table K.2: quantization of chrominance at the quality that libjpeg calls 50.
_CHROMINANCE = (
    17, 18, 24, 47, 99, 99, 99, 99,
    18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99,
    *[99] * 32,
)  # fmt: skip

_FOUR_BY_FOUR = np.ones((4, 4), np.uint8)

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
    meant = _IntendedChroma(luma, chroma_map, lightness_of)
    planes = np.empty((2, height, width), np.uint8)
    for rows in blocks(slice(0, height), at_once=max(STRIP_ROWS, _STRIP_SAMPLES // width)):
        differences = meant.rows(rows)
        darkest, lightest = _luma_under(luma, rows)
        for part in blocks(slice(0, rows.stop - rows.start), at_once=max(1, BLOCK_PX // width)):
            fitted = _fitted(differences[:, part], darkest[part], lightest[part])
            planes[:, rows][:, part] = fitted
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

    def turned(plane: NDArray[Any]) -> NDArray[Any]:
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
        even=None if chroma_map.even is None else turned(chroma_map.even),
    )


class _IntendedChroma:
    """Cb and Cr around 0 of the colour that the network means, before Y′ limits them.

    They are computed for cells of 2 × 2 pixels. Of a scan that is very much larger than the map,
    for cells 2, 4, … times as large, and enlarged: there are still `_CELLS_TO_EACH` of them, along
    each side, to follow the scan's edges within one pixel that the network saw.
    """

    def __init__(self, luma: Codes, chroma_map: ChromaMap, lightness_of: Plane) -> None:
        size = tuple(-(-size // 2) for size in luma.shape)
        self._luma, self._width = luma, size[1]
        self._step = _cell_step(size, chroma_map.lightness.shape)
        height, width = (-(-side // self._step) for side in size)
        self._upsampler = GuidedUpsampler(chroma_map, height, width)
        cells = (2 * self._step) ** 2
        self._lightness_of_cells, self._encode = _tables(lightness_of.tobytes(), cells)
        self._coarse = self._of_large_cells(height, width) if self._step > 1 else None

    def rows(self, rows: slice) -> Plane | Differences:
        """Some rows of the half-size planes, (2, rows, w): float32, or of large cells int16."""
        if self._coarse is None:
            return self._computed(rows)
        first, stop = rows.start // self._step, -(-rows.stop // self._step)
        height = self._coarse.shape[1]
        around = np.clip(np.arange(first - 1, stop + 1), 0, height - 1)
        enlarged, margin = self._coarse[:, around], 1
        for _ in range(self._step.bit_length() - 1):
            enlarged, margin = _doubled(enlarged), 2 * margin
        start = margin + rows.start - first * self._step
        return enlarged[:, start : start + rows.stop - rows.start, : self._width]

    def _computed(self, rows: slice) -> Plane:
        lightness = self._lightness_of_cells.take(_sums_of_cells(self._luma, rows, self._step))
        linear = linear_in_gamut(lightness, self._upsampler.rows(lightness, rows.start))
        differences = np.empty((2, *lightness.shape), np.float32)
        count, width = lightness.shape
        for part in blocks(slice(0, count), at_once=max(1, BLOCK_PX // width)):
            differences[:, part] = _blue_and_red_difference(self._encode, linear[:, part])
        return differences

    def _of_large_cells(self, height: int, width: int) -> Differences:
        coarse = np.empty((2, height, width), np.int16)
        for rows in blocks(slice(0, height), at_once=STRIP_ROWS):
            coarse[:, rows] = np.rint(self._computed(rows))
        return coarse


def _cell_step(size: Sequence[int], map_size: Sequence[int]) -> int:
    """How many half-size samples long a cell is: a power of two."""
    step = 1
    ratio = min(side / small for side, small in zip(size, map_size, strict=True))
    while ratio >= 2 * step * _CELLS_TO_EACH and step < _LARGEST_STEP:
        step *= 2
    return step


def _doubled(planes: Differences) -> Differences:
    """Planes (n, h, w) at twice their size, as decoders enlarge chroma: linear between centres."""
    count, height, width = planes.shape
    tall = np.empty((count, 2 * height, width), np.int16)
    wide = np.empty((count, 2 * height, 2 * width), np.int16)
    for near, large in (
        (planes, tall),
        (tall.swapaxes(1, 2), wide.swapaxes(1, 2)),  # the same along rows; memory stays as it is
    ):
        before = np.concatenate([near[:, :1], near[:, :-1]], axis=1)
        after = np.concatenate([near[:, 1:], near[:, -1:]], axis=1)
        for odd, far in enumerate((before, after)):
            large[:, odd::2] = (3 * near + far + 2) >> 2
    return wide


def _sums_of_cells(luma: Codes, rows: slice, step: int) -> NDArray[np.unsignedinteger[Any]]:
    """The sum of the codes in each cell of 2 *step* × 2 *step* pixels, of some rows of cells.

    Odd edges are repeated, as encoders do.
    """
    side = 2 * step
    part = luma[side * rows.start : side * rows.stop]
    missing = side * (rows.stop - rows.start) - part.shape[0], -part.shape[1] % side
    whole = np.pad(part, [(0, one) for one in missing], mode="edge") if any(missing) else part
    sums: NDArray[np.unsignedinteger[Any]] = whole
    while side > 1:
        pairs = np.add(sums[0::2], sums[1::2], dtype=np.uint16)
        sums = pairs[:, 0::2] + pairs[:, 1::2]
        side //= 2
    return sums


@lru_cache(maxsize=4)
def _tables(tone: bytes, cells: int) -> tuple[Plane, Plane]:
    """What follows from a tone curve, given as float32 L* of each code, and is the same for many.

    Returns:
        L* of the mean of *cells* codes, by their sum; and the inverse of the curve, linear light in
        65,536 steps to unrounded codes, 0 to 255.
    """
    lightness = np.frombuffer(tone, np.float32).astype(np.float64)
    codes = np.arange(lightness.size)
    sums = np.arange(cells * (lightness.size - 1) + 1)
    of_sums = np.interp(sums / cells, codes, lightness)
    linear = np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness * (27 / 24389))
    encode = np.interp(np.linspace(0, 1, 65536), linear, codes)
    return of_sums.astype(np.float32), encode.astype(np.float32)


def _blue_and_red_difference(encode: Plane, linear: Plane) -> Plane:
    """Cb and Cr around 0 of linear RGB (3, rows, w), unrounded, (2, rows, w); spoils *linear*."""
    linear *= 65535
    linear += 0.5
    red, green, blue = (cv2.LUT(one, encode) for one in linear.astype(np.uint16))
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
    pad = max(-first, 0), below, 1, 1 + luma.shape[1] % 2
    framed = cv2.copyMakeBorder(part, *pad, cv2.BORDER_REPLICATE)
    smallest, largest = (
        np.asarray(reduce(framed, _FOUR_BY_FOUR, anchor=(0, 0)), np.uint8)[:-3:2, :-3:2]
        for reduce in (cv2.erode, cv2.dilate)
    )
    return smallest, largest


def _fitted(differences: Plane | Differences, darkest: Codes, lightest: Codes) -> Codes:
    """Cb and Cr around 128, (2, rows, w): smaller where a channel would leave 0 to 255."""
    exact = differences.reshape(2, -1)
    rounded = exact if exact.dtype == np.int16 else np.rint(exact)
    codes: Differences = rounded.astype(np.int16)
    dark, light = darkest.reshape(-1), lightest.reshape(-1)
    beyond = np.flatnonzero(_may_leave(codes, dark, light))
    here, least, room = exact.take(beyond, 1), dark.take(beyond), 255 - light.take(beyond)
    codes[:, beyond] = np.rint(here * _fitting_scale(here, least, room))
    codes += 128
    return codes.astype(np.uint8).reshape(differences.shape)


def _may_leave(differences: Differences, darkest: Codes, lightest: Codes) -> NDArray[np.bool_]:
    """Where a channel leaves 0 to 255, or nearly: in whole 64ths, which cost a tenth of floats.

    Rounded factors and rounded differences are off by less than two codes together.
    """
    blue, red = differences
    least = red * np.int16(_RED_BY_CR * 64 + 0.5)
    most = least.copy()
    green = blue * np.int16(_GREEN_BY_CB * 64 - 0.5) + red * np.int16(_GREEN_BY_CR * 64 - 0.5)
    for added in (green, blue * np.int16(_BLUE_BY_CB * 64 + 0.5)):
        np.minimum(least, added, out=least)
        np.maximum(most, added, out=most)
    least += (darkest.astype(np.int16) - 2) << 6
    most -= ((255 - lightest).astype(np.int16) - 2) << 6
    may_leave: NDArray[np.bool_] = (least < 0) | (most > 0)
    return may_leave


def _fitting_scale(differences: Plane | Differences, dark: Codes, room: Codes) -> Plane:
    """Largest factor in [0, 1] at which no channel leaves 0 to 255 anywhere under each sample.

    Args:
        differences: Cb and Cr around 0, (2, n).
        dark: How far a channel may fall, (n,).
        room: How far it may rise, (n,).
    """
    blue, red = differences.astype(np.float32)
    scale = np.ones(dark.shape, np.float32)
    green = _GREEN_BY_CB * blue + _GREEN_BY_CR * red
    for step in (_RED_BY_CR * red, green, _BLUE_BY_CB * blue):
        most = np.where(step > 0, room, dark)
        np.abs(step, out=step)
        np.maximum(step, 1e-6, out=step)
        np.minimum(scale, most / step, out=scale)
    return scale

"""Cb and Cr of a frame, at full size, for a Y′ that is given.

They are those of the colour that is meant under the frame's lightness; smaller where R′, G′ or B′
would leave their range with the Y′ that is there. What lies between the network's pixels follows
the frame's edges: Cb and Cr are lines over Y′, as in `colormodel.planes`.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from colormodel.planes import BLOCK_PX, ChromaMap, GuidedUpsampler, Plane, blocks, linear_in_gamut
from colormodel.srgb import from_linear, to_linear
from tasks.films.header import FilmHeader
from tasks.films.luma import LIMITED, LUMA_SHARES, Codes, ends_of_codes, light_of_codes


@dataclass(frozen=True)
class Coding:
    """How Y′CbCr of a film is made.

    Attributes:
        bits: A sample.
        code_range: FFmpeg's number of the range of codes.
        red: Share of R′ in Y′.
        blue: Share of B′ in Y′.
    """

    bits: int
    code_range: int
    red: float
    blue: float

    @classmethod
    def of(cls, header: FilmHeader) -> "Coding":
        """That of a film's derivative."""
        return cls(header.bits, header.code_range, *LUMA_SHARES[header.matrix])

    @property
    def middle(self) -> int:
        """The code of no chroma."""
        return 1 << (self.bits - 1)

    @property
    def ends(self) -> tuple[int, int]:
        """The codes of black and of white."""
        return ends_of_codes(self.bits, self.code_range)

    @property
    def steps(self) -> int:
        """Codes from one end of Cb or Cr to the other."""
        return 224 << (self.bits - 8) if self.code_range == LIMITED else (1 << self.bits) - 1

    def differences(self, rgb: Plane) -> Plane:
        """Cb and Cr, in [-0.5, 0.5], of R′G′B′ in [0, 1], (3, ...)."""
        red, green, blue = rgb
        luma = self.red * red + (1 - self.red - self.blue) * green + self.blue * blue
        return np.stack(
            [(blue - luma) / (2 - 2 * self.blue), (red - luma) / (2 - 2 * self.red)]
        ).astype(np.float32)


@lru_cache(maxsize=8)
def lightness_of_light(levels: int = 4096) -> Plane:
    """L* in [0, 100] of Y′ in so many even steps from black to white, under sRGB's curve."""
    linear = to_linear(np.linspace(0, 1, levels))
    lightness = np.where(linear > 216 / 24389, 116 * np.cbrt(linear) - 16, linear * 24389 / 27)
    return lightness.astype(np.float32)


def small_luma(luma: Codes, coding: Coding, height: int, width: int, *, turns: int = 0) -> Plane:
    """Y′ of a frame, reduced, float32 (height, width), from 0, black, to 1, white.

    Args:
        luma: As it is stored, (H, W).
        coding: Of the film.
        height: Pixels down, of the frame as it is shown.
        width: Pixels across, of the same.
        turns: By how many quarters the stored frame is turned for that (`turned`).
    """
    size = (height, width) if turns % 2 else (width, height)
    small = cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
    light: Plane = light_of_codes(coding.bits, coding.code_range)[small]
    return turned(light, turns)


def turned(planes: Plane, turns: int) -> Plane:
    """Planes (..., h, w) turned by so many quarters, counter-clockwise; backwards by fewer than 0.

    Returns:
        (..., w, h) of an odd number.
    """
    return np.ascontiguousarray(np.rot90(planes, turns, axes=(-2, -1)))


def lightness_of(small: Plane) -> Plane:
    """L* in [0, 100] of Y′ in [0, 1]."""
    table = lightness_of_light()
    return table[np.rint(small * (len(table) - 1)).astype(np.int32)]


def chroma_planes(luma: Codes, small: Plane, a_b: Plane, coding: Coding) -> tuple[Codes, Codes]:
    """Cb and Cr of a frame.

    Of large frames they are found at a half, a quarter, … of the size, as long as that is twice the
    network's: what is finer the network has not seen, and eyes see little of it.

    Args:
        luma: Its Y′, (H, W).
        small: The same, reduced, float32 (h, w) in [0, 1].
        a_b: a* and b* that are meant, float32 (2, h, w).
        coding: Of the film.

    Returns:
        Codes of the type of *luma*, (H, W) each. With the frame's Y′ none of R′, G′, B′ leaves its
        range, but for rounding.
    """
    linear = linear_in_gamut(lightness_of(small), np.ascontiguousarray(a_b))
    rgb = from_linear(linear)
    # A line over Y′ in hundredths: about the units of L*, for which grain was measured.
    meant = ChromaMap(coding.differences(rgb), small, 1.0, 100 * small)
    height, width = _coarse_size(luma.shape, small.shape)
    seen = luma
    if (height, width) != luma.shape:
        seen = np.asarray(cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA))
    enlarged = GuidedUpsampler(meant, height, width).whole()
    planes, room = np.empty((2, 2, height, width), luma.dtype)
    for rows in blocks(slice(0, height), at_once=max(1, BLOCK_PX // width)):
        lines, out = [plane[rows] for plane in enlarged], (planes[:, rows], room[:, rows])
        _differences(_light(seen[rows], coding), lines, coding, *out)
    whole, (darkest, lightest) = list(planes), room
    if (height, width) != luma.shape:
        size, around = luma.shape[::-1], np.ones((3, 3), np.uint8)
        whole = [np.asarray(cv2.resize(one, size, interpolation=cv2.INTER_LINEAR)) for one in whole]
        darkest, lightest = (
            np.asarray(cv2.resize(one, size, interpolation=cv2.INTER_NEAREST))
            for one in (cv2.dilate(darkest, around), cv2.erode(lightest, around))
        )
    _fit(luma, whole, np.flatnonzero((luma < darkest) | (luma > lightest)), coding)
    return whole[0], whole[1]


def _coarse_size(full: tuple[int, ...], small: tuple[int, ...]) -> tuple[int, int]:
    (height, width), step = full, 1
    while height >= 4 * step * small[0] and width >= 4 * step * small[1]:
        step *= 2
    return -(-height // step), -(-width // step)


def _light(luma: Codes, coding: Coding) -> Plane:
    table = light_of_codes(coding.bits, coding.code_range)
    light: Plane = cv2.LUT(luma, table) if luma.dtype == np.uint8 else table.take(luma)  # type: ignore[assignment]
    return light


def _differences(
    light: Plane, lines: list[Plane], coding: Coding, codes: Codes, room: Codes
) -> None:
    """Cb and Cr, (2, rows, W), of lines over Y′ in hundredths; in steps that fill caches.

    Into *room* goes the least and the largest Y′ with which R′, G′ and B′ keep within [0, 1].
    """
    seen = light * np.float32(100)
    cv2.min(cv2.max(seen, lines[4], seen), lines[5], seen)
    blue, red = (
        np.asarray(cv2.add(cv2.multiply(slope, seen), offset), np.float32)
        for slope, offset in zip(lines[:2], lines[2:4], strict=True)
    )
    by_blue, by_green, by_red = _beyond_luma(blue, red, coding)
    black, white = coding.ends
    depth = cv2.CV_8U if codes.dtype == np.uint8 else cv2.CV_16U
    least = cv2.min(cv2.min(by_blue, by_red), by_green)
    most = cv2.max(cv2.max(by_blue, by_red), by_green)
    # Codes in between are rounded: to the inside.
    for far, end, half, into in ((least, black, 0.5, room[0]), (most, white, -0.5, room[1])):
        cv2.addWeighted(far, black - white, far, 0, end + half, into, depth)
    # Of full range, a blue of all its strength is half a code beyond the last.
    last = (coding.middle - 1) / coding.steps
    for plane, into in zip((blue, red), codes, strict=True):
        fitted = np.minimum(plane, np.float32(last))
        cv2.addWeighted(fitted, coding.steps, fitted, 0, coding.middle, into, depth)


def _beyond_luma(blue: Plane, red: Plane, coding: Coding) -> tuple[Plane, Plane, Plane]:
    """By how much B′, G′ and R′ are above Y′, for Cb and Cr in [-0.5, 0.5]."""
    by_blue, by_red = blue * (2 - 2 * coding.blue), red * (2 - 2 * coding.red)
    green = 1 - coding.red - coding.blue
    by_green = cv2.addWeighted(by_blue, -coding.blue / green, by_red, -coding.red / green, 0)
    return by_blue, np.asarray(by_green, np.float32).reshape(by_blue.shape), by_red


def _fit(luma: Codes, planes: list[Codes], places: NDArray[np.intp], coding: Coding) -> None:
    """Make chroma smaller where R′, G′ or B′ would leave [0, 1] with the Y′ that is there."""
    if not places.size:
        return
    light = light_of_codes(coding.bits, coding.code_range)[luma.ravel()[places]]
    blue, red = (
        (plane.ravel()[places].astype(np.float32) - coding.middle) / np.float32(coding.steps)
        for plane in planes
    )
    apart = np.stack(_beyond_luma(blue, red, coding))
    up, down = np.maximum(apart.max(axis=0), 1e-6), np.maximum(-apart.min(axis=0), 1e-6)
    scale = np.minimum(np.minimum((1 - light) / up, light / down), 1)
    for plane, part in zip(planes, (blue, red), strict=True):
        codes = np.rint(coding.middle + coding.steps * scale * part)
        plane.ravel()[places] = codes.astype(plane.dtype)

"""Cb and Cr of a frame, at full size, for a Y′ that is given.

They are those of the colour that is meant under the frame's lightness; smaller where R′, G′ or B′
would leave their range with the Y′ that is there. What lies between the network's pixels follows
the frame's edges: Cb and Cr are lines over Y′, as in `colormodel.planes`.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from colormodel.planes import BLOCK_PX, ChromaMap, GuidedUpsampler, Plane, blocks, linear_in_gamut
from colormodel.srgb import from_linear, to_linear
from tasks.films.header import FilmHeader
from tasks.films.luma import LIMITED, LUMA_SHARES, Codes, light_of_codes


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


def small_luma(luma: Codes, coding: Coding, height: int, width: int) -> Plane:
    """Y′ of a frame, reduced, float32 (height, width), from 0, black, to 1, white."""
    small = cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA)
    light: Plane = light_of_codes(coding.bits, coding.code_range)[small]
    return light


def lightness_of(small: Plane) -> Plane:
    """L* in [0, 100] of Y′ in [0, 1]."""
    table = lightness_of_light()
    return table[np.rint(small * (len(table) - 1)).astype(np.int32)]


def chroma_planes(luma: Codes, small: Plane, a_b: Plane, coding: Coding) -> tuple[Codes, Codes]:
    """Cb and Cr of a frame.

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
    height, width = luma.shape
    enlarged = GuidedUpsampler(meant, height, width).whole()
    planes = np.empty((2, height, width), luma.dtype)
    for rows in blocks(slice(0, height), at_once=max(1, BLOCK_PX // width)):
        light = _light(luma[rows], coding)
        _differences(light, [plane[rows] for plane in enlarged], coding, out=planes[:, rows])
    return planes[0], planes[1]


def _light(luma: Codes, coding: Coding) -> Plane:
    table = light_of_codes(coding.bits, coding.code_range)
    light: Plane = cv2.LUT(luma, table) if luma.dtype == np.uint8 else table.take(luma)  # type: ignore[assignment]
    return light


def _differences(light: Plane, lines: list[Plane], coding: Coding, *, out: Codes) -> None:
    """Codes of Cb and Cr, (2, rows, W), of lines over Y′ in hundredths; in steps that fill caches.

    They are smaller where R′, G′ or B′ would leave [0, 1] with that Y′.
    """
    seen = light * np.float32(100)
    cv2.min(cv2.max(seen, lines[4], seen), lines[5], seen)
    blue, red = (
        np.asarray(cv2.add(cv2.multiply(slope, seen), offset), np.float32)
        for slope, offset in zip(lines[:2], lines[2:4], strict=True)
    )
    by_blue, by_red = blue * (2 - 2 * coding.blue), red * (2 - 2 * coding.red)
    green = 1 - coding.red - coding.blue
    by_green = cv2.addWeighted(by_blue, -coding.blue / green, by_red, -coding.red / green, 0)
    most = cv2.max(cv2.max(by_blue, by_red), by_green)
    least = cv2.min(cv2.min(by_blue, by_red), by_green)
    beyond = np.flatnonzero((most + light > 1) | (least + light < 0))
    if beyond.size:
        here, up, down = (plane.ravel()[beyond] for plane in (light, most, least))
        scale = np.minimum((1 - here) / np.maximum(up, 1e-6), here / np.maximum(-down, 1e-6))
        np.minimum(scale, 1, out=scale)
        blue.ravel()[beyond] *= scale
        red.ravel()[beyond] *= scale
    depth = cv2.CV_8U if out.dtype == np.uint8 else cv2.CV_16U
    # Of full range, a blue of all its strength is half a code beyond the last.
    last = (coding.middle - 1) / coding.steps
    for plane, codes in zip((blue, red), out, strict=True):
        fitted = np.minimum(plane, np.float32(last))
        cv2.addWeighted(fitted, coding.steps, fitted, 0, coding.middle, codes, depth)

"""Light and lightness of codes, by lcms."""

from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import Any

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.unsignedinteger[Any]]
Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Levels = NDArray[np.floating[Any]]

_CELLS = (1 << 16) - 1
_PROBES, _ADDITIVE_L = 512, 0.02  # pixels by which a matrix is told from a table
_RELATIVE = imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC


@dataclass(frozen=True, eq=False)
class Light:
    """What light, relative to white, stored codes give.

    Attributes:
        tables: Each channel's part of it, by stored code, float32 (channels, codes).
        icc: A profile whose channels do not add up, so that pixels must be asked one by one.
        levels: Then the profile's code of each stored code, uint16 (codes,).
    """

    tables: Floats32
    icc: bytes | None = None
    levels: Codes | None = None

    def lightness(self, codes: NDArray[Any]) -> Floats32:
        """L* of pixels, (rows, W, channels), in [0, 100], float32 (rows, W).

        Args:
            codes: Stored codes; or floating-point levels, places from the first code to the last.
        """
        if not codes.size:  # OpenCV takes none
            return np.zeros(codes.shape[:2], np.float32)
        if codes.dtype.kind == "f":
            return self._lightness_of_levels(codes)
        if self.icc is not None and self.levels is not None:
            asked: Floats32 = np.clip(_lab(self.levels.take(codes), self.icc)[..., 0], 0, 100)
            return asked
        if len(self.tables) == 1:
            if codes.dtype == np.uint8 and self._lightness_of_codes.size == 256:
                return np.asarray(cv2.LUT(codes[..., 0], self._lightness_of_codes), np.float32)
            return self._lightness_of_codes.take(codes[..., 0])
        if codes.dtype == np.uint8 and len(self.tables) == 3 and codes.shape[2] == 3:
            parts = cv2.LUT(codes, self._by_code)  # a quarter of `take`'s time
            light = np.asarray(cv2.transform(parts, np.ones((1, 3), np.float32)), np.float32)
        else:
            light = self.tables[0].take(codes[..., 0])
            for channel in range(1, len(self.tables)):
                light += self.tables[channel].take(codes[..., channel])
        np.clip(light, 0, 1, out=light)
        np.sqrt(light, out=light)
        light *= _CELLS
        roots = np.rint(light, out=light).astype(np.uint16)
        return np.asarray(cv2.LUT(roots, _lightness_of_roots()), np.float32)

    def _lightness_of_levels(self, levels: Levels) -> Floats32:
        places = np.linspace(
            0, 1, (self.tables if self.levels is None else self.levels[None]).shape[1]
        )
        if self.icc is not None and self.levels is not None:
            meant = np.interp(levels, places, self.levels / 65535).astype(np.float32)
            return np.clip(_lab(meant, self.icc)[..., 0], 0, 100)
        light = np.zeros(levels.shape[:2])
        for channel, table in enumerate(self.tables):
            light += np.interp(levels[..., channel], places, table)
        found: Floats32 = lightness(np.clip(light, 0, 1)).astype(np.float32)
        return found

    @cached_property
    def _by_code(self) -> Floats32:
        """The tables of three channels as OpenCV wants them, float32 (1, 256, 3)."""
        return np.ascontiguousarray(self.tables.T[None])

    @cached_property
    def _lightness_of_codes(self) -> Floats32:
        return lightness(np.clip(self.tables[0].astype(np.float64), 0, 1)).astype(np.float32)


def lightness(light: Floats) -> Floats:
    """L* of light relative to white: CIE 15:2018, formula 8.4."""
    found: Floats = np.where(light > 216 / 24389, 116 * np.cbrt(light) - 16, light * (24389 / 27))
    return found


@cache
def _lightness_of_roots() -> Floats32:
    """L* over the square root of light: within 0.0015, at a quarter of a cube root's time."""
    return lightness(np.square(np.linspace(0, 1, _CELLS + 1))).astype(np.float32)


def light_of_profile(icc: bytes, *, codes: int, channels: int) -> Light | None:
    """Ask lcms for the light of codes that fill their range; None where it refuses the profile."""
    return profile_light(icc, np.linspace(0, 1, codes), channels)


def profile_light(icc: bytes, levels: Floats, channels: int) -> Light | None:
    """Ask lcms for the light of codes.

    Args:
        icc: A grey or an RGB profile; of one of the other kind than *channels*, its greys count.
        levels: Where each stored code lies between black and white, in [0, 1], (codes,).
        channels: Channels of the pixels: 1, 3, or 4 of inks.

    Returns:
        None where lcms refuses the profile, or it is of other channels.
    """
    return _asked(icc, levels.tobytes(), channels)


@lru_cache(maxsize=16)
def _asked(icc: bytes, packed: bytes, channels: int) -> Light | None:
    levels = np.frombuffer(packed, np.float64)
    own = {b"GRAY": 1, b"RGB ": 3, b"CMYK": 4}.get(icc[16:20])
    if own is None or (own == 4) != (channels == 4):
        return None
    ramp = np.rint(levels * 65535).astype(np.uint16)
    icc = len(icc).to_bytes(4, "big") + icc[4:]  # a wrong size would hide tags that are there
    try:
        if own == 4:
            _lab(np.zeros((1, 1, 4), np.uint16), icc)
            return Light(np.zeros((4, 0), np.float32), icc, ramp)
        if own == 3 and channels == 3:
            return _of_channels(icc, ramp)
        grey = np.repeat(ramp[None, :, None], own, axis=2)
        light = light_of_lightness(_lab(grey, icc)[0, :, 0].astype(np.float64))
    except (imagecodecs.CmsError, ValueError):
        return None
    if not np.isfinite(light).all() or light[ramp.argmax()] - light[ramp.argmin()] < 0.1:
        return None  # it says nothing of a picture
    shares = np.array([1.0]) if channels == 1 else primaries_light(None)
    return Light((shares[:, None] * light).astype(np.float32))


def _of_channels(icc: bytes, ramp: Codes) -> Light | None:
    """Each channel alone; where those do not add up to what pixels give, pixels are asked."""
    apart = np.zeros((4, ramp.size, 3), np.uint16)
    for channel in range(3):
        apart[channel, :, channel] = ramp
    luminance = _transform(apart, icc, "xyz")[..., 1].astype(np.float64)
    parts = luminance[:3] - luminance[3]
    parts[0] += luminance[3]
    if not np.isfinite(parts).all() or abs(parts[:, -1].sum() - parts[:, 0].sum()) < 0.1:
        return None
    found = Light(parts.astype(np.float32))
    probes = np.random.default_rng(0).integers(0, ramp.size, (1, _PROBES, 3))
    asked = np.clip(_lab(ramp.take(probes), icc)[..., 0], 0, 100)
    is_matrix = np.abs(found.lightness(probes.astype(np.uint16)) - asked).max() < _ADDITIVE_L
    return found if is_matrix else Light(found.tables, icc, ramp)


def _lab(pixels: NDArray[Any], icc: bytes) -> Floats32:
    is_ink_share = pixels.dtype.kind == "f" and pixels.shape[2] == 4
    pixels = pixels * 100 if is_ink_share else pixels  # the engine's inks are per cent
    return _transform(pixels, icc, "lab")


def _transform(pixels: NDArray[Any], icc: bytes, space: str) -> Floats32:
    """L*a*b* or XYZ, float32, of uint16 or float32 pixels, (rows, W, 1, 3 or 4), relative."""
    is_grey = pixels.shape[2] == 1
    spaces = {1: "gray", 3: "rgb", 4: "cmyk"}
    found: Floats32 = imagecodecs.cms_transform(
        np.ascontiguousarray(pixels[..., 0] if is_grey else pixels),
        icc,
        imagecodecs.cms_profile("lab4" if space == "lab" else "xyz"),
        colorspace=spaces[pixels.shape[2]],
        outcolorspace=space,
        outdtype="float32",
        intent=_RELATIVE,
    )
    return found


def light_of_lightness(found: Floats) -> Floats:
    """Light of L*, the inverse of `lightness`."""
    bounded = np.clip(found, 0, 100)
    root = (bounded + 16) / 116
    light: Floats = np.where(bounded > 8, root * root * root, bounded * (27 / 24389))
    return light


def srgb_light(levels: Floats) -> Floats:
    """Light of sRGB's codes, as lcms's own profile has it."""
    return _curve(imagecodecs.cms_profile("srgb"), levels)


def power_light(levels: Floats, exponent: float) -> Floats:
    """Light as a power of the code, as a profile that lcms makes has it."""
    return _curve(imagecodecs.cms_profile("gray", gamma=exponent), levels)


def _curve(icc: bytes, levels: Floats) -> Floats:
    found = profile_light(icc, levels, 1)
    if found is None:
        raise ValueError("the colour engine refuses a profile that it made itself")
    light: Floats = found.tables[0].astype(np.float64)
    return light


def primaries_light(points: Floats | None) -> Floats:
    """Share of red, green and blue in the light, by lcms; sRGB's where no points are given.

    Args:
        points: x and y of white, red, green and blue, (4, 2).
    """
    if points is None:
        icc = imagecodecs.cms_profile("srgb")
    else:
        white, *others = points
        thrice = [value for x, y in others for value in (x, y, 1.0)]
        icc = imagecodecs.cms_profile("rgb", gamma=1.0, whitepoint=(*white, 1.0), primaries=thrice)
    shares = _transform(np.eye(3, dtype=np.uint16)[None] * 65535, icc, "xyz")[0, :, 1]
    normal: Floats = shares.astype(np.float64) / shares.sum()
    return normal

"""Tone curves: what lightness each code means, by an ICC profile or another statement.

Gray Gamma 2.2 is not sRGB, and Dot Gain 20 % is neither: relabelling a scan shifts its tone by up
to 3.3 L*. Every lightness in this project therefore comes from here. Which statement of a file
counts is decided in `tasks.scans.tone_rule`.
"""

import enum
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.scans.icc import (
    SRGB_CURVE,
    Profile,
    build_profile,
    evaluate_curve,
    parse_profile,
    sampled_curve,
)
from tasks.scans.lcms import lightness_of

Codes = NDArray[np.unsignedinteger[Any]]
Floats32 = NDArray[np.float32]
Floats = NDArray[np.floating[Any]]

_EPSILON, _KAPPA = 216 / 24389, 24389 / 27  # CIE 15:2018, exact
_MIN_RANGE = 0.1  # a curve that spans less light than this cannot be meant
SRGB_LUMINANCES = (0.22249, 0.71687, 0.06061)  #: Y of sRGB's colorants under D50
_CURVE_SAMPLES, _MOST_SAMPLES = 4096, 32767  # colour engines refuse longer curves
_SAMPLING_L = 0.005  # what a sampled curve may be off by before it gets more samples


class ToneSource(enum.StrEnum):
    """Where a tone curve comes from."""

    PROFILE = "profile"  #: The scan's own ICC profile.
    STATED = "stated"  #: Another tag, chunk or box of the scan's file.
    ASSUMED = "assumed"  #: The file states nothing: sRGB.
    UNUSABLE = "unusable"  #: What the file states is damaged, or not of its kind: sRGB.


@dataclass(frozen=True, eq=False)
class ToneCurve:
    """Grey codes and the lightness that they mean.

    Attributes:
        bits: Depth of the codes: 8 or 16.
        linear: Light of each code relative to white, in [0, 1], rising, float32 (2**bits,).
        lightness: L* of each code, in [0, 100], rising, float32 (2**bits,).
        curve: The same as an ICC curve tag, the scan's own where it has one.
        source: Where the curve comes from.
    """

    bits: int
    linear: Floats32
    lightness: Floats32
    curve: bytes
    source: ToneSource

    def light_of(self, codes: NDArray[Any]) -> Floats:
        """Light of codes; of levels, places between the first code and the last, interpolated.

        Args:
            codes: Integer codes of this curve's depth, or levels in [0, 1], any shape.

        Returns:
            float32 of codes, float64 of levels.
        """
        if codes.dtype.kind != "f":
            found: Floats32 = self.linear.take(codes)
            return found
        places, linear = self._nodes
        light: Floats = np.interp(codes, places, linear)
        return light

    def lightness_of(self, codes: NDArray[Any]) -> Floats32:
        """L* of codes or levels, float32."""
        if codes.dtype.kind != "f":
            return np.asarray(cv2.LUT(codes, self.lightness), np.float32)
        found: Floats32 = lightness_from_light(self.light_of(codes)).astype(np.float32)
        return found

    def levels(self, linear: Floats) -> NDArray[np.float64]:
        """Find the levels whose light this is, the inverse of `light_of`, in [0, 1]."""
        places, light = self._nodes
        found: NDArray[np.float64] = np.interp(linear, light, places)
        return found

    @cached_property
    def _nodes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.linspace(0, 1, self.linear.size), self.linear.astype(np.float64)

    def encode(self, linear: Floats) -> Codes:
        """Find the codes whose light is nearest, the inverse of `linear`.

        Args:
            linear: Light in [0, 1] (values outside are clipped), any shape.

        Returns:
            Codes, uint8 or uint16, of the same shape; `encode(curve.linear[code]) == code` wherever
            neighbouring codes differ in light.
        """
        index, starts, thresholds, steps = self._inverse
        light = np.clip(linear, 0, 1, dtype=np.float32)
        cell = np.sqrt(light)
        cell *= index
        found = starts.take(cell.astype(np.intp), mode="clip")
        for _ in range(steps):
            found += light >= thresholds.take(found, mode="clip")
        codes: Codes = found.astype(np.uint8 if self.bits == 8 else np.uint16)
        return codes

    @cached_property
    def _inverse(self) -> tuple[np.float32, NDArray[np.intp], Floats32, int]:
        """Build a table over √light that lands at or just below the code; steps correct it upwards.

        The square root spreads the dark codes, which are crowded in linear light, over the table.
        """
        cells = 1 << (self.bits + 2)
        middle = (self.linear[:-1].astype(np.float64) + self.linear[1:]) / 2
        thresholds = np.append(middle, np.inf).astype(np.float32)
        edges = np.square(np.arange(cells + 1) / cells)
        starts = np.searchsorted(thresholds[:-1], edges.astype(np.float32), side="right")
        steps = int((starts[2:] - starts[:-2]).max())
        # A hair below the true index, so that rounding never lands in the cell above.
        return np.float32(cells * (1 - 1e-6)), starts, thresholds, steps

    def rgb_profile(self) -> bytes:
        """Give an ICC v4 matrix profile with sRGB's primaries and this tone curve.

        Equal codes in red, green and blue mean under it what the code means in the scan.
        """
        name = "Autochrome RGB, sRGB primaries"
        return build_profile(b"RGB ", self.curve, description=f"{name}, tone of the scan")


@dataclass(frozen=True, eq=False)
class ColourTone:
    """How the colour channels of an RGB scan make its lightness.

    Attributes:
        luminances: Share of red, green and blue in the light, adding up to 1.
        channels: Light of each code in each channel, float32 (3, 2**bits).
        icc: The profile where a table decides, which only a colour engine can read; else None.
    """

    luminances: tuple[float, float, float]
    channels: Floats32
    icc: bytes | None

    def light_of(self, samples: NDArray[Any]) -> Floats:
        """Light of codes or levels by the channels' tables: (rows, W, 3) to (rows, W)."""
        is_level = samples.dtype.kind == "f"
        light = np.zeros(samples.shape[:2], dtype=np.float64 if is_level else np.float32)
        for channel, share in enumerate(self.luminances):
            table, found = self.channels[channel], samples[..., channel]
            if is_level:
                part = np.interp(found, np.linspace(0, 1, table.size), table)
            else:
                part = table[found]
            light += light.dtype.type(share) * part
        return light


def lightness_from_light(light: Floats) -> Floats:
    """L* of light relative to white, in [0, 100] (CIE 15:2018)."""
    return np.where(light > _EPSILON, 116 * np.cbrt(light) - 16, _KAPPA * light)


def light_from_lightness(lightness: Floats) -> Floats:
    """Light relative to white of L*, the inverse of `lightness_from_light`."""
    root = (lightness + 16) / 116
    cube = root * root * root  # as a power it takes forty times as long
    light: Floats = np.where(cube > _EPSILON, cube, lightness / _KAPPA)
    return light


@lru_cache(maxsize=16)
def tone_curve(icc: bytes | None, *, bits: int, channels: int = 1) -> ToneCurve:
    """Make the tone curve of grey codes from a profile.

    Args:
        icc: The embedded profile, or None: then sRGB is assumed.
        bits: Depth of the codes, 8 or 16.
        channels: Channels of the profile's samples: an RGB one has three, a grey one has one. Of an
            RGB profile this is the curve of equal codes in all three.
    """
    if icc is None:
        return curve_of_tag(SRGB_CURVE, bits=bits, source=ToneSource.ASSUMED)
    profile = parse_profile(icc)
    light = _neutral_light(profile, icc, bits) if profile and _fits(profile, channels) else None
    if profile is None or light is None or not is_tone(light):
        return curve_of_tag(SRGB_CURVE, bits=bits, source=ToneSource.UNUSABLE)
    curves = set(profile.curves) if not profile.has_table and profile.pcs == b"XYZ " else set()
    if len(curves) == 1:
        return _from_light(light, bits, curves.pop(), ToneSource.PROFILE)
    return curve_of_light(light, bits=bits, source=ToneSource.PROFILE)


def is_tone(light: Floats) -> bool:
    """Whether the light of rising codes, from dark to bright, is a tone curve that can be meant."""
    return bool(np.isfinite(light).all() and light.max() - light[0] >= _MIN_RANGE)


@lru_cache(maxsize=16)
def curve_of_tag(tag: bytes, *, bits: int, source: ToneSource) -> ToneCurve:
    """Make a tone curve of an ICC curve tag."""
    return _from_light(_apply(tag, bits), bits, tag, source)


def curve_of_light(light: Floats, *, bits: int, source: ToneSource) -> ToneCurve:
    """Make a tone curve of the light of codes at even distances from black to white."""
    if light.size < 1 << bits:  # codes of fewer bits, spread over more
        x = np.linspace(0, 1, 1 << bits)
        return _from_light(_spread(light, x), bits, _sampled(light, light.size), source)
    best = _sampled(light, min(light.size, _CURVE_SAMPLES))
    if np.abs(_lightness(_apply(best, bits)) - _lightness(light)).max() > _SAMPLING_L:
        best = _sampled(light, min(light.size, _MOST_SAMPLES))
    return _from_light(light, bits, best, source)


def _lightness(light: Floats) -> Floats:
    return lightness_from_light(np.maximum.accumulate(np.clip(light, 0, 1)))


def _sampled(light: Floats, samples: int) -> bytes:
    return sampled_curve(_spread(light, np.linspace(0, 1, samples)))


def _spread(light: Floats, x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.interp(x, np.linspace(0, 1, light.size), light.astype(np.float64))


@lru_cache(maxsize=4)
def colour_tone(icc: bytes | None, *, bits: int) -> ColourTone:
    """Make the rule by which RGB channels under a profile give lightness."""
    grey = tone_curve(icc, bits=bits, channels=3)
    profile = parse_profile(icc) if icc and grey.source == ToneSource.PROFILE else None
    shares, channels = np.array(SRGB_LUMINANCES), [grey.linear] * 3
    if profile and profile.has_table:
        return ColourTone(SRGB_LUMINANCES, np.stack(channels), icc)
    if profile and profile.luminances:
        shares = np.array(profile.luminances)
        channels = [np.clip(_apply(c, bits), 0, 1).astype(np.float32) for c in profile.curves]
    red, green, blue = (float(share) for share in shares / shares.sum())
    return ColourTone((red, green, blue), np.stack(channels), None)


def _fits(profile: Profile, channels: int) -> bool:
    return profile.space == (b"GRAY" if channels == 1 else b"RGB ")


def _neutral_light(profile: Profile, icc: bytes, bits: int) -> Floats | None:
    """Light of each code: by the curves where they decide, else by the colour engine."""
    if profile.has_table:
        ramp: Codes = np.arange(1 << bits).astype(np.uint8 if bits == 8 else np.uint16)
        pixels = np.repeat(ramp[:, None], 1 if profile.space == b"GRAY" else 3, axis=1)
        lightness = lightness_of(pixels[None], icc)
        return None if lightness is None else light_from_lightness(lightness[0].astype(np.float64))
    x = np.linspace(0, 1, 1 << bits)
    found = (evaluate_curve(tag, x) for tag in profile.curves)
    curves = [curve for curve in found if curve is not None]
    if not curves or len(curves) < len(profile.curves):
        return None
    light: Floats = curves[0]
    if profile.space == b"RGB ":
        shares = np.array(profile.luminances or SRGB_LUMINANCES)
        if not shares.min() >= 0 or not shares.sum() > 0:
            return None  # colorants without light: a damaged profile
        light = np.tensordot(shares / shares.sum(), np.stack(curves), axes=1)
    elif profile.pcs == b"Lab ":  # there the curve gives L* itself (ICC.1:2022, F.2)
        light = light_from_lightness(100 * light)
    return light


def _apply(curve: bytes, bits: int) -> Floats:
    found = evaluate_curve(curve, np.linspace(0, 1, 1 << bits))
    return np.zeros(1 << bits) if found is None else found


def _from_light(light: Floats, bits: int, curve: bytes, source: ToneSource) -> ToneCurve:
    rising = np.maximum.accumulate(np.clip(light, 0, 1))
    return ToneCurve(
        bits=bits,
        linear=rising.astype(np.float32),
        lightness=lightness_from_light(rising).astype(np.float32),
        curve=curve,
        source=source,
    )

"""Telling grey, toned (sepia, cyanotype) and colour pictures apart."""

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats32 = NDArray[np.float32]

_LEVELS = 16  # of lightness, in each of which a toned print has one colour
# sRGB's colorants under D50 (columns X, Y, Z of red, green, blue), for the chroma of RGB scans.
_TO_XYZ = np.array(
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
)
_D50 = np.array([0.9642, 1.0, 0.8249])
_EPSILON, _KAPPA = 216 / 24389, 24389 / 27


class Hue(enum.StrEnum):
    """What colour a picture holds."""

    GREY = "grey"  #: None, or a cast too faint to be meant.
    TONED = "toned"  #: One colour for each lightness: sepia, cyanotype, gold toning, old varnish.
    COLOUR = "colour"  #: Colours that differ where the lightness does not.


@dataclass(frozen=True)
class HueRule:
    """Where grey ends and where colour begins, in units of a*, b*.

    Attributes:
        grey_mean: Mean chroma up to which a picture is grey.
        grey_most: Chroma that 98 % of its pixels stay below, then.
        toned_rest: Root mean square of what is left of the chroma when each lightness has had its
            own mean taken off, up to which a picture is toned.
        margin: Share of height and width left out at each side: colour targets lie there.
    """

    grey_mean: float = 3.0
    grey_most: float = 9.0
    toned_rest: float = 2.5
    margin: float = 0.08


@dataclass(frozen=True)
class Chroma:
    """What the chroma of a picture amounts to."""

    mean: float
    most: float
    rest: float


def measure_chroma(light: Floats32, rule: HueRule) -> Chroma:
    """Measure the chroma of linear light, (3, h, w), in [0, 1], but for its margin."""
    down, across = (int(rule.margin * size) for size in light.shape[1:])
    inner = light[:, down : light.shape[1] - down, across : light.shape[2] - across]
    lightness, a, b = _lab(inner)
    level = np.clip((lightness / 100 * _LEVELS).astype(int), 0, _LEVELS - 1)
    chroma, rest = (
        np.hypot(a, b),
        np.hypot(a - _trend(lightness, level, a), b - _trend(lightness, level, b)),
    )
    return Chroma(
        mean=float(chroma.mean()),
        most=float(np.percentile(chroma, 98)),
        rest=float(np.sqrt(np.mean(rest**2))),
    )


def judge_hue(chroma: Chroma, rule: HueRule) -> Hue:
    """Say what a picture of this chroma is."""
    if chroma.mean <= rule.grey_mean and chroma.most <= rule.grey_most:
        return Hue.GREY
    return Hue.TONED if chroma.rest <= rule.toned_rest else Hue.COLOUR


def _trend(lightness: Floats32, level: NDArray[np.int64], values: Floats32) -> NDArray[np.float64]:
    """Give each pixel the mean of the values at its lightness, interpolated between levels."""
    counts = np.bincount(level, minlength=_LEVELS)
    means = np.bincount(level, values, minlength=_LEVELS)[counts > 0] / counts[counts > 0]
    centres = (np.flatnonzero(counts) + 0.5) * 100 / _LEVELS
    return np.interp(lightness, centres, means)


def _lab(light: Floats32) -> Floats32:
    """L*, a*, b* of linear sRGB light, (3, …) to (3, n) (CIE 15:2018, D50)."""
    xyz = _TO_XYZ @ light.reshape(3, -1) / _D50[:, None]
    f = np.where(xyz > _EPSILON, np.cbrt(xyz), (_KAPPA * xyz + 16) / 116)
    lab = np.stack([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])
    return lab.astype(np.float32)

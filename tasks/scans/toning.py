"""The colour that a print has for each lightness, and what of its colours that does not explain.

A toned print has one colour for each lightness, which drifts a little from place to place where it
has faded, yellowed or was lit unevenly. Medians make the rule: what covers a part, as a stamp or
painted cheeks do, does not bend it.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.scans.surface import smooth_surface

Floats32 = NDArray[np.float32]
Bools = NDArray[np.bool_]

_LEVELS = 16  # of lightness, in each of which a toned print has one colour
_LEAST_SHARE = 0.02  # of the pixels, in a level that is to be trusted: a stamp covers less
_LEAST_PIXELS = 30
# sRGB's colorants under D50 (columns X, Y, Z of red, green, blue), for the chroma of RGB scans.
_TO_XYZ = np.array(
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
)
_D50 = np.array([0.9642, 1.0, 0.8249])
_EPSILON, _KAPPA = 216 / 24389, 24389 / 27


def lab_of(light: Floats32) -> Floats32:
    """L*, a*, b* of linear sRGB light, both (3, h, w) (CIE 15:2018, D50)."""
    xyz = _TO_XYZ @ light.reshape(3, -1) / _D50[:, None]
    f = np.where(xyz > _EPSILON, np.cbrt(xyz), (_KAPPA * xyz + 16) / 116)
    lab = np.stack([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])
    return lab.astype(np.float32).reshape(light.shape)


def light_of_lab(lab: Floats32) -> Floats32:
    """Linear sRGB light of L*, a*, b* under D50, both (h, w, 3): the inverse of `lab_of`."""
    middle = (lab[..., 0] + 16) / 116
    f = np.stack([middle + lab[..., 1] / 500, middle, middle - lab[..., 2] / 200], axis=-1)
    xyz = np.where(f**3 > _EPSILON, f**3, (116 * f - 16) / _KAPPA) * _D50
    light: Floats32 = (xyz @ np.linalg.inv(_TO_XYZ).T).astype(np.float32)
    return light


def unexplained(lab: Floats32, counted: Bools) -> Floats32:
    """What is left of a* and b* when each lightness, and then each place, has had its own taken.

    Args:
        lab: L*, a*, b*, (3, h, w).
        counted: Which pixels the colours of lightness and place are learnt from, (h, w).

    Returns:
        a* and b*, (2, h, w).
    """
    rest = np.stack([plane - _of_lightness(lab[0], plane, counted) for plane in lab[1:]])
    return rest - smooth_surface(rest, counted)


def _of_lightness(lightness: Floats32, values: Floats32, counted: Bools) -> Floats32:
    """Give each pixel the median of the values at its lightness, interpolated between levels."""
    known, own = lightness[counted], values[counted]
    level = np.clip((known / 100 * _LEVELS).astype(np.int64), 0, _LEVELS - 1)
    least = max(_LEAST_PIXELS, _LEAST_SHARE * known.size)
    levels = [one for one in range(_LEVELS) if np.count_nonzero(level == one) >= least]
    if not levels:
        return np.full_like(values, np.median(own) if own.size else 0)
    medians = [np.median(own[level == one]) for one in levels]
    centres = (np.array(levels) + 0.5) * 100 / _LEVELS
    found: Floats32 = np.interp(lightness, centres, medians).astype(np.float32)
    return found

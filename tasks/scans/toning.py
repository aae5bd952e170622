"""The colour that a print has for each lightness, and what of its colours that does not explain.

A toned print has one colour for each lightness, which drifts a little from place to place where it
has faded, yellowed or was lit unevenly. Medians make the rule: what covers a part, as a stamp or
painted cheeks do, does not bend it.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.scans.surface import smooth_surface

Floats32 = NDArray[np.float32]
Floats64 = NDArray[np.float64]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]

_LEVELS = 16  # of lightness, in each of which a toned print has one colour
_LEAST_PIXELS = 30
_VOTE = 0.02  # of a place that has to be of a level for a whole vote
_LEAST_PLACES = 0.2  # of the votes that a level needs to be trusted: a stamp has fewer places
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
    cube = f * f * f  # as a power it takes forty times as long
    xyz = np.where(cube > _EPSILON, cube, (116 * f - 16) / _KAPPA) * _D50
    light: Floats32 = (xyz @ np.linalg.inv(_TO_XYZ).T).astype(np.float32)
    return light


def unexplained(lab: Floats32, counted: Bools, *, places: int = 1) -> Floats32:
    """What is left of a* and b* when each lightness, and then each place, has had its own taken.

    Args:
        lab: L*, a*, b*, (3, h, w).
        counted: Which pixels the colours of lightness and place are learnt from, (h, w).
        places: Along each side, that have a vote each on the colour of a level, however many of
            their pixels are of it: so a patch that has a lightness for itself, as a sticker may
            have, says nothing of the print, and a level that few places show follows the next.

    Returns:
        a* and b*, (2, h, w).
    """
    rest = lab[1:] - _of_lightness(lab[0], lab[1:], counted, places)
    return rest - smooth_surface(rest, counted)


def _of_lightness(lightness: Floats32, values: Floats32, counted: Bools, places: int) -> Floats32:
    """Give each pixel the median colour of its lightness, interpolated between levels."""
    known, own = lightness[counted], values[:, counted]
    level = np.clip((known / 100 * _LEVELS).astype(np.int64), 0, _LEVELS - 1)
    place = _numbered(counted.shape, places)[counted]
    ballot = level * places**2 + place
    sizes = np.bincount(ballot, minlength=_LEVELS * places**2)
    most = max(_LEAST_PIXELS / places**2, _VOTE * known.size / places**2)
    weight = np.minimum(1, most / np.maximum(sizes, 1))[ballot]
    votes = np.minimum(1, sizes / most).reshape(_LEVELS, -1).sum(axis=1)
    shown = np.unique(place).size
    levels = [one for one in range(_LEVELS) if votes[one] >= max(1, _LEAST_PLACES * shown)]
    if not levels:
        middle = np.median(own, axis=1) if known.size else np.zeros(len(values))
        return np.broadcast_to(middle[:, None, None], values.shape).astype(np.float32)
    centres = (np.array(levels) + 0.5) * 100 / _LEVELS
    chosen = [level == one for one in levels]
    return np.stack(
        [
            np.interp(lightness, centres, [_median(plane[at], weight[at]) for at in chosen])
            for plane in own
        ]
    ).astype(np.float32)


def _numbered(shape: tuple[int, ...], places: int) -> Integers:
    """Number the places of a picture, (height, width)."""
    rows, columns = (np.arange(size) * places // size for size in shape)
    return rows[:, None] * places + columns


def _median(values: Floats32, weights: Floats64) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])

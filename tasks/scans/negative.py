"""Suspecting a negative that was never inverted.

Film without exposure is clear: on a negative the border is the lightest tone of all, after
inversion the darkest. A dark border clears a scan; a light one may also be a print's margin. The
picture itself tells little: skies are bright and smooth, lights are small, shadows are large, but
not in every photograph. A weighted sum of five such measures, each of which changes its sign under
inversion, was fitted to 2,500 photographs and their negatives (logistic regression). It is right
for 64 % of those, 68 % of 500 others, and 78 % of 76 archive scans. So this is a suspicion for a
person to look at, and `NegativeRule` says at which rates.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.scans.resample import resize

Floats32 = NDArray[np.float32]
Floats = NDArray[np.float64]

_PX = 128  # long side on which the measures were fitted
_WEIGHTS = np.array([-0.30, 1.27, 1.99, 0.57, -1.68])


@dataclass(frozen=True)
class NegativeRule:
    """How negative a picture must look.

    Attributes:
        in_light_border: Score from which a picture in a light border is suspected: 32 % of positive
            and 68 % of negative photographs reach 0.
        without_border: Score from which any other picture is: 2 % of positive and 3 % of negative
            photographs reach 1.5, and none of 76 archive scans.
    """

    in_light_border: float = 0.0
    without_border: float = 1.5


def negative_score(lightness: Floats32) -> float:
    """Measure how much a picture looks like a negative; its inverse has the opposite score.

    Args:
        lightness: L* of the picture without its borders, (h, w).
    """
    scale = _PX / max(lightness.shape)
    height, width = (max(24, round(side * scale)) for side in lightness.shape)
    small = resize(lightness, height, width).astype(np.float64)
    z = (small - small.mean()) / max(small.std(), 1e-3)
    detail = z - _blurred(z, 3)
    activity = np.sqrt(np.maximum(_blurred(detail * detail, 3), 0))
    measures = np.array(
        [
            z[: height // 3].mean() - z[-height // 3 :].mean(),  # skies are bright
            _skewness(z),
            np.corrcoef(np.log(activity + 0.02).ravel(), _blurred(z, 3).ravel())[0, 1],
            np.clip(_skewness(z - _blurred(z, 8)), -3, 3),  # lights are small
            np.percentile(z, 99) + np.percentile(z, 1),
        ]
    )
    return float(np.nan_to_num(measures) @ _WEIGHTS)


def _skewness(values: Floats) -> float:
    centred = values - values.mean()
    return float((centred**3).mean() / max((centred**2).mean(), 1e-6) ** 1.5)


def _blurred(picture: Floats, radius: int) -> Floats:
    """Mean over a square, by sums from the corner."""
    side = 2 * radius + 1
    padded = np.pad(picture, ((radius + 1, radius), (radius + 1, radius)), mode="edge")
    sums = padded.cumsum(axis=0).cumsum(axis=1)
    blurred: Floats = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side]
    blurred += sums[:-side, :-side]
    return blurred / np.float64(side**2)

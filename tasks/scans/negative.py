"""Suspecting a negative that was never inverted.

Film without exposure is clear: on a negative the border is the lightest tone of all, after
inversion the darkest. A dark border clears a scan; a light one may also be a print's margin. The
rest is the network's to tell, from the picture and its inverse (`colormodel.polarity`); so that it
is not asked of every scan, the tones are looked at first. They tell little: skies are bright and
smooth, lights are small, shadows are large, but not in every photograph. A weighted sum of five
such measures, each of which changes its sign under inversion, was fitted to 2,500 photographs and
their negatives (logistic regression); it is right for two thirds.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from colormodel.planes import POLARITY_PX, network_size
from tasks.scans.frame import Frame
from tasks.scans.resample import resize

Floats32 = NDArray[np.float32]
Floats = NDArray[np.float64]

_SIDES_THAT_TELL = 2  # sides with a border that make it one
_PX = 128  # long side on which the measures were fitted
_WEIGHTS = np.array([-0.30, 1.27, 1.99, 0.57, -1.68])


@dataclass(frozen=True)
class NegativeRule:
    """How negative a picture must look.

    Attributes:
        tones: Score of the tones from which the network is asked: 57 % of positive and 81 % of
            negative photographs are. In a light border it is asked of every picture.
        without_border: The network's score, as log odds, from which such a picture is suspected:
            9 of 500 positive and 313 of 500 negative photographs, none of 76 archive scans.
        in_light_border: The score from which a picture in a light border is: 22 of 500 positive
            photographs in a white margin.
    """

    tones: float = -0.5
    without_border: float = 1.5
    in_light_border: float = 0.5


@dataclass(frozen=True)
class NegativeDoubt:
    """What the network is to judge, because neither border nor tones clear the scan.

    Attributes:
        view: L* of the picture within its borders, float32 (h, w), at the network's size for that.
        suspected_from: The network's score from which it is taken for a negative.
    """

    view: Floats32
    suspected_from: float


def doubt_about(lightness: Floats32, frame: Frame, rule: NegativeRule) -> NegativeDoubt | None:
    """Look whether a scan can be a negative; None where its border or its tones clear it.

    Args:
        lightness: L* of the whole scan, (h, w).
        frame: What was found around its picture.
        rule: How negative it must look.
    """
    inner = lightness[frame.picture.slices(*lightness.shape)]
    if frame.dark_sides >= _SIDES_THAT_TELL:
        return None
    suspected_from = rule.in_light_border
    if frame.light_sides < _SIDES_THAT_TELL:
        if tone_score(inner) < rule.tones:
            return None
        suspected_from = rule.without_border
    height, width = network_size(*inner.shape, network_px=POLARITY_PX)
    return NegativeDoubt(np.clip(resize(inner, height, width), 0, 100), suspected_from)


def tone_score(lightness: Floats32) -> float:
    """Measure how negative a picture's tones are; its inverse has the opposite score.

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
    squared = centred * centred  # powers of arrays take forty times as long as products
    return float((squared * centred).mean() / max(squared.mean(), 1e-6) ** 1.5)


def _blurred(picture: Floats, radius: int) -> Floats:
    """Mean over a square, by sums from the corner."""
    side = 2 * radius + 1
    padded = np.pad(picture, ((radius + 1, radius), (radius + 1, radius)), mode="edge")
    sums = padded.cumsum(axis=0).cumsum(axis=1)
    blurred: Floats = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side]
    blurred += sums[:-side, :-side]
    return blurred / np.float64(side**2)

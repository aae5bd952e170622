"""The colours that a distribution over a*b* bins thinks likely: its modes.

A network that has learnt how often greyish colours are right has one peak nearly everywhere, at
grey, and beside it what it would choose if it had to choose a colour. So that which has hardly a
hue is one mode, and the others are the peaks over hue of what remains, chroma by chroma.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from colormodel.gamut import ColorBins
from colormodel.planes import Plane

#: Below this chroma a person sees a tone, not a hue.
TONE_BELOW = 9.0
#: Degrees: how finely hues are told apart, and how wide each bin's share of them reaches.
_STEP, _WIDTH = 5, 14.0
#: A mode of less than this share of all is noise.
LEAST_SHARE = 0.004


class Mode(NamedTuple):
    """One colour of a distribution."""

    chroma: tuple[float, float]  #: a*, b*
    probability: float  #: of the bins that belong to it


class Modes:
    """Finds modes over the bins of one network."""

    def __init__(self, bins: ColorBins, bias: tuple[float, ...] = ()) -> None:
        """Take the bins.

        Args:
            bins: The network's.
            bias: What is added to the logits before they mean probabilities, a value for each bin.
        """
        self._centres: Plane = bins.centres.cpu().numpy()
        self._bias = np.array(bias or [0.0] * len(bins), np.float32)
        self._radius = np.hypot(*self._centres.T)
        degrees = np.degrees(np.arctan2(self._centres[:, 1], self._centres[:, 0])) % 360
        grid = np.arange(0, 360, _STEP)
        apart = np.abs((grid[:, None] - degrees[None] + 180) % 360 - 180)
        spread = np.exp(-0.5 * (apart / _WIDTH) ** 2)
        self._spread = np.where(self._radius >= TONE_BELOW, spread, 0)  # (hues, bins)
        self._hue = (degrees / _STEP).round().astype(int) % len(grid)

    def probabilities(self, logits: NDArray[np.float32]) -> Plane:
        """Shares of the bins, float32 (bins, ...) that sum to 1, of logits of that shape."""
        shifted = logits + self._bias.reshape(-1, *[1] * (logits.ndim - 1))
        shares = np.exp(shifted - shifted.max(axis=0))
        normed: Plane = shares / shares.sum(axis=0)
        return normed

    def of(self, shares: Plane, *, most: int) -> list[Mode]:
        """The modes of one distribution, most likely first.

        Args:
            shares: Of the bins, float32 (bins,).
            most: So many at most; fewer where it has fewer.
        """
        density = self._spread @ shares
        hues = len(density)
        uphill = np.arange(hues)
        around = np.stack([np.roll(density, 1), density, np.roll(density, -1)])
        uphill = (uphill + around.argmax(axis=0) - 1) % hues
        for _ in range(math.ceil(math.log2(hues))):
            uphill = uphill[uphill]
        has_hue = self._radius >= TONE_BELOW
        found = [self._mode(shares, ~has_hue)]
        found += [
            self._mode(shares, has_hue & (uphill[self._hue] == peak)) for peak in np.unique(uphill)
        ]
        kept = [mode for mode in found if mode.probability >= LEAST_SHARE]
        return sorted(kept, key=lambda mode: -mode.probability)[:most]

    def _mode(self, shares: Plane, mine: NDArray[np.bool_]) -> Mode:
        """Its typical colour: chroma counts by itself, or it would be all but grey again."""
        probability = float(shares[mine].sum())
        weights = shares[mine] * np.maximum(self._radius[mine], 1)
        if not weights.sum():
            return Mode((0.0, 0.0), 0.0)
        a, b = (weights @ self._centres[mine] / weights.sum()).tolist()
        return Mode((a, b), probability)

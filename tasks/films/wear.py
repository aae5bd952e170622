"""Grain and flicker of a shot, and how much colour they leave room for.

How much chroma fits under a lightness changes with every code of Y′: near white and black, and
where colours are strong, these would come and go from frame to frame as grain and exposure move Y′.
So chroma is no more than almost all frames have room for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from colormodel.planes import Plane, fit_gamut
from tasks.films.chroma import Coding, lightness_of
from tasks.films.luma import Codes

#: Frames on each side that a frame's exposure is compared with: slower changes are no flicker.
_AROUND = 6
#: How many deviations there is to be room for.
_TIMES = 2.5
#: Deviation, of 1, of white from frame to frame, below which nothing is done.
_LEAST = 0.006
#: Chroma that sRGB shows under any hue, of L* or of what that lacks to 100: 0.59 at least, at 50.
_SURE = 0.5
_SMOOTH_PX = 2.0
_CROP_PX = 512  # sides of what grain is measured on, at most


def grain_of(luma: Codes, coding: Coding) -> float:
    """Standard deviation of a frame's grain, of 1 from black to white.

    By what a mask leaves that takes out even and curved ground (Immerkær 1996), its median: edges
    are few.
    """
    top, left = (max(0, (side - _CROP_PX) // 2) for side in luma.shape)
    part = luma[top : top + _CROP_PX, left : left + _CROP_PX].astype(np.float32)
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    left_over = np.abs(cv2.filter2D(part, -1, mask))
    black, white = coding.ends
    return float(np.median(left_over)) / 0.6745 / 6 / (white - black)


@dataclass(frozen=True)
class Wear:
    """How restless Y′ of a shot is.

    Attributes:
        exposures: Of each frame, by those around it: 1 is as they are.
        flicker: Standard deviation of exposure from frame to frame, of 1.
        grain: The same of grain, of 1 from black to white.
    """

    exposures: NDArray[np.float64]
    flicker: float
    grain: float

    @classmethod
    def of(cls, small: Sequence[Plane], grains: Sequence[float]) -> "Wear":
        """That of a shot: reduced Y′ of all its frames, and the grain of some."""
        means = np.array([max(float(one.mean()), 1e-3) for one in small])
        usual = [
            np.median(means[max(0, at - _AROUND) : at + _AROUND + 1]) for at in range(means.size)
        ]
        exposures = means / np.array(usual)
        # From the mean of both neighbours: what comes into a picture changes it evenly.
        apart = np.abs(means[1:-1] - (means[:-2] + means[2:]) / 2) / np.array(usual)[1:-1]
        flicker = float(np.median(apart)) / 0.6745 / 1.5**0.5 if apart.size else 0.0
        return cls(exposures, flicker, float(np.median(grains)) if grains else 0.0)

    def steady(self, number: int, small: Plane, a_b: Plane) -> Plane:
        """Chroma of a frame, (2, h, w), as far as almost all frames have room for it.

        Args:
            number: The frame's.
            small: Its Y′, reduced, float32 (h, w) in [0, 1].
            a_b: a* and b*, float32 (2, h, w); not changed.
        """
        if np.hypot(self.flicker, self.grain) < _LEAST:
            return a_b
        usual = cv2.GaussianBlur(small, (0, 0), _SMOOTH_PX) / np.float32(self.exposures[number])
        room = np.float32(_TIMES) * np.hypot(np.float32(self.flicker) * usual, self.grain)
        found: Plane = a_b.copy()
        flat, chroma = found.reshape(2, -1), np.hypot(*a_b).ravel()
        for light in (usual + room, usual - room):
            lightness = lightness_of(np.clip(light, 0, 1)).ravel()
            places = np.flatnonzero(chroma > _SURE * np.minimum(lightness, 100 - lightness))
            flat[:, places] = fit_gamut(lightness[None, places], flat[:, None, places])[:, 0]
        return found

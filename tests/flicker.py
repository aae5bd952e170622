"""How much the colours of a film flicker: along its motion, and where nothing moves.

Motion is found by Farnebäck's polynomials, not as colouring finds it: what that misses shows here.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from colormodel.motion import carried
from colormodel.planes import Plane

#: A place counts where following it there and back misses it by no more, in pixels.
_MISSED_PX = 0.5
#: Frames over which the variance on still ground is taken.
WINDOW = 12
#: Still ground: nothing moves by more, in pixels, nor changes by more, in L*.
_STILL_PX, _STILL_L = 0.25, 3.0
_LEAST_SHARE = 0.005  # of the picture, for still ground to be measured


@dataclass(frozen=True)
class Flicker:
    """How restless chroma is.

    Attributes:
        warped_error: Mean distance in a*b* of each place's chroma from what it was a frame before,
            along the motion, where that can be followed.
        still_variance: Variance of a* and b* over `WINDOW` frames, added up, mean over what does
            not move; not a number where there is no such ground.
    """

    warped_error: float
    still_variance: float


def measure_flicker(frames: Iterable[tuple[Plane, Plane]]) -> Flicker:
    """Measure a shot; memory is that of `WINDOW` frames.

    Args:
        frames: L*, float32 (h, w), in which motion is looked for, and a*, b*, float32 (2, h, w).
    """
    errors: list[float] = []
    variances: list[float] = []
    window: deque[tuple[Plane, Plane, NDArray[np.bool_]]] = deque(maxlen=WINDOW)
    for lightness, a_b in frames:
        still = np.ones(lightness.shape, np.bool_)
        if window:
            before, its_a_b, _ = window[-1]
            back, followed = _followed(before, lightness)
            there = carried(np.ascontiguousarray(its_a_b.transpose(1, 2, 0)), back)
            away = np.hypot(*(a_b - there.transpose(2, 0, 1)))
            errors.append(float(away[followed].mean()) if followed.any() else 0.0)
            still = np.hypot(back[..., 0], back[..., 1]) < _STILL_PX
        window.append((lightness, a_b, still))
        if len(window) == WINDOW:
            variances += _variance(window)
            for _ in range(WINDOW // 2):
                window.popleft()
    still_variance = float(np.mean(variances)) if variances else float("nan")
    return Flicker(float(np.mean(errors)) if errors else 0.0, still_variance)


def _variance(window: Iterable[tuple[Plane, Plane, NDArray[np.bool_]]]) -> list[float]:
    lights, chromas, stills = (np.stack(planes) for planes in zip(*window, strict=True))
    changes = np.abs(lights - lights.mean(axis=0)).max(axis=0)
    ground = stills[1:].all(axis=0) & (changes < _STILL_L)
    ground = cv2.erode(ground.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    if ground.mean() < _LEAST_SHARE:
        return []
    return [float(chromas.var(axis=0).sum(axis=0)[ground].mean())]


def _followed(before: Plane, after: Plane) -> tuple[Plane, NDArray[np.bool_]]:
    """Where each pixel of a frame was in the one before, and whether that is sure."""
    codes = [np.rint(np.clip(plane, 0, 100) * 2.55).astype(np.uint8) for plane in (before, after)]
    back, ahead = (
        np.asarray(
            cv2.calcOpticalFlowFarneback(one, other, None, 0.5, 4, 15, 3, 7, 1.5, 0),  # type: ignore[call-overload]
            np.float32,
        )
        for one, other in ((codes[1], codes[0]), (codes[0], codes[1]))
    )
    missed = back + carried(ahead, back)
    return back, np.hypot(missed[..., 0], missed[..., 1]) < _MISSED_PX

"""The card that a print is mounted on, or the paper around it: judged as a frame is."""

import numpy as np
from numpy.typing import NDArray

Floats32 = NDArray[np.float32]
Bools = NDArray[np.bool_]

_RING = 0.025  # share of height and width, along each edge, that shows what surrounds the picture
_EVEN = 0.6  # of such a strip's pixels are near its median, where it is of one paper
_NEAR_L, _NEAR_AB = 9.0, 5.0
_MOST = 0.85  # of the picture that may be mount: otherwise it is no mount but an even picture


def find_mount(lab: Floats32) -> Bools:
    """Mark what has the colour of the even paper or card that reaches the edges.

    Args:
        lab: L*, a*, b*, (3, h, w).
    """
    height, width = lab.shape[1:]
    down, across = max(1, int(_RING * height)), max(1, int(_RING * width))
    strips = (lab[:, :down], lab[:, -down:], lab[:, :, :across], lab[:, :, -across:])
    mount = np.zeros((height, width), np.bool_)
    for strip in strips:
        level = np.median(strip.reshape(3, -1), axis=1)
        if _is_near(strip, level).mean() >= _EVEN:
            mount |= _is_near(lab, level)
    return mount if mount.mean() <= _MOST else np.zeros_like(mount)


def _is_near(lab: Floats32, level: Floats32) -> Bools:
    lightness, a, b = (plane - one for plane, one in zip(lab, level, strict=True))
    near: Bools = (np.abs(lightness) <= _NEAR_L) & (np.hypot(a, b) <= _NEAR_AB)
    return near

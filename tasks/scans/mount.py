"""The card that a print is mounted on, or the paper around it: judged as a frame is."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from tasks.scans.frame import Box

Floats32 = NDArray[np.float32]
Floats64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

_RING = 0.025  # share of height and width, along each edge, that shows what surrounds the picture
_EVEN = 0.6  # of such a strip's pixels are near its median, where it is of one paper
_NEAR_L, _NEAR_AB = 9.0, 5.0
_LINE = 0.7  # of a line's pixels are mount where the picture has not begun: small print is the rest
_EDGE, _BEHIND = 0.02, 0.35  # behind its end, over so much of a side, so little of a line is mount
_SIDE = 0.02  # share of height or width that a side of a mount takes, at least
_FRINGE = 0.01  # of the longer side, over which its edge is blurred or shaded
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


def mounted_picture(mount: Bools) -> Box:
    """Give where a picture lies on its mount; the whole where three sides of it are not seen.

    A mount ends at a straight edge; a studio's backdrop, which may reach three edges, does not.
    """
    shares = mount.mean(axis=1), mount.mean(axis=0)
    top, bottom, left, right = (_depth(lines) for share in shares for lines in (share, share[::-1]))
    if sum(depth > 0 for depth in (top, bottom, left, right)) < 3:
        return Box(0.0, 0.0, 1.0, 1.0)
    return Box(top, left, 1 - bottom, 1 - right)


def colour_of_mount(lab: Floats32, mount: Bools, picture: Box) -> Floats32:
    """Give a* and b* of the mount, (2, h, w), over it and a little beyond; NaN where it is not.

    Args:
        lab: L*, a*, b*, (3, h, w).
        mount: What `find_mount` marked.
        picture: What `mounted_picture` gave.
    """
    height, width = mount.shape
    there = binary_dilation(mount, iterations=max(1, int(_FRINGE * max(height, width))))
    outside = np.ones_like(mount)
    outside[picture.slices(height, width)] = False
    colour = np.full((2, height, width), np.nan, np.float32)
    if mount.any():
        colour[:, there | outside] = np.median(lab[1:, mount], axis=1)[:, None]
    return colour


def _depth(share: Floats64) -> float:
    """Share of lines that are mount, from the first on; 0 where it ends without an edge."""
    is_mount = share >= _LINE
    depth = len(share) if is_mount.all() else int(np.argmin(is_mount))
    behind = share[depth + 1 : depth + 1 + max(3, int(_EDGE * len(share)))]
    if depth < _SIDE * len(share) or depth > len(share) / 2 or behind.mean() > _BEHIND:
        return 0.0
    return depth / len(share)


def _is_near(lab: Floats32, level: Floats32) -> Bools:
    lightness, a, b = (plane - one for plane, one in zip(lab, level, strict=True))
    near: Bools = (np.abs(lightness) <= _NEAR_L) & (np.hypot(a, b) <= _NEAR_AB)
    return near

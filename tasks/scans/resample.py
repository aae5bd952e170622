"""Making pictures smaller by the mean of what each pixel covers, over strips or at once.

A size change is a matrix for each axis. Nearly all its entries are zero, and as a sparse one it
costs a pass over the pixels.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Floats32 = NDArray[np.float32]


def look_size(shape: tuple[int, ...], long_side: int) -> tuple[int, int]:
    """Height and width to which a picture of (h, w) is made smaller to look at it.

    The long side is *long_side*; of what is over four times as long as it is wide more, so that its
    short side is not averaged away, up to as many pixels as a square of *long_side* has.
    """
    height, width = shape
    long, short = max(shape), min(shape)
    strip = min(long_side / (4 * short), long_side / math.sqrt(long * short))
    scale = min(1.0, max(long_side / long, strip))
    return max(1, round(height * scale)), max(1, round(width * scale))


class StripReducer:
    """Reduces a picture that arrives in strips: each pixel is the mean of the area it covers."""

    def __init__(self, height: int, width: int, *, small_height: int, small_width: int) -> None:
        self._size, self._small = (height, width), (small_height, small_width)
        self._scale = small_height / height
        self._picture = np.zeros((small_height, small_width), dtype=np.float32)

    def add(self, top: int, strip: NDArray[Any]) -> None:
        """Take the rows from *top* on, (rows, W)."""
        stop = top + len(strip)
        if self._size == self._small:
            self._picture[top:stop] = strip
            return
        down, across = (_weights(*sides) for sides in zip(self._size, self._small, strict=True))
        touched = slice(int(top * self._scale), int(stop * self._scale) + 1)
        rows = down[touched, top:stop] @ strip
        self._picture[touched] += (across @ rows.T).T

    def picture(self) -> Floats32:
        """Give the reduced picture, float32 (small_height, small_width)."""
        return self._picture


def resize(picture: NDArray[Any], height: int, width: int) -> Floats32:
    """Resize to exactly (height, width): by area means where smaller, linearly where larger."""
    if picture.shape == (height, width):
        return picture.astype(np.float32, copy=False)
    rows = _weights(picture.shape[0], height) @ picture
    resized: Floats32 = (_weights(picture.shape[1], width) @ rows.T).T
    return resized.astype(np.float32, copy=False)


@lru_cache(maxsize=64)
def _weights(old: int, new: int) -> csr_array:
    """How much of each old pixel is in each new one, float32 (new, old); rows add up to 1."""
    columns, shares, ends = _stretched(old, new) if new > old else _covered(old, new)
    return csr_array((shares.astype(np.float32), columns, ends), shape=(new, old))


def _covered(old: int, new: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """By the part of it that each old pixel covers: old pixels, shares, and where rows end."""
    edges = np.linspace(0, old, new + 1)
    first, stop = np.floor(edges[:-1]).astype(np.int32), np.ceil(edges[1:]).astype(np.int32)
    counts = stop - first
    row_ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    columns = np.arange(row_ends[-1], dtype=np.int32) - np.repeat(row_ends[:-1] - first, counts)
    begins, ends = np.repeat(edges[:-1], counts), np.repeat(edges[1:], counts)
    shares = (np.minimum(columns + 1, ends) - np.maximum(columns, begins)) * (new / old)
    return columns, shares, row_ends


def _stretched(old: int, new: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """By interpolation between pixel centres; beyond the outermost, these go on."""
    places = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    below = np.minimum(places.astype(np.int32), max(0, old - 2))
    columns = np.stack([below, np.minimum(below + 1, old - 1)], axis=1)
    share = places - below
    shares = np.stack([1 - share, share], axis=1)
    return columns.ravel(), shares.ravel(), np.arange(0, 2 * new + 1, 2, dtype=np.int32)

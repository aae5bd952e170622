"""Making pictures smaller by the mean of what each pixel covers, over strips or at once."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats32 = NDArray[np.float32]
Floats = NDArray[np.floating[Any]]


class StripReducer:
    """Reduces a picture that arrives in strips: each pixel is the mean of a block of whole pixels.

    The blocks' edges are spread evenly and rounded to whole pixels, so a picture is never shifted
    by more than half of one.
    """

    def __init__(self, height: int, width: int, *, small_height: int, small_width: int) -> None:
        self._rows = np.rint(np.linspace(0, height, small_height + 1)).astype(np.int64)
        self._columns = np.rint(np.linspace(0, width, small_width + 1)).astype(np.int64)
        self._sums = np.zeros((small_height, small_width), dtype=np.float64)

    def add(self, top: int, strip: NDArray[Any]) -> None:
        """Take the rows from *top* on, (rows, W)."""
        across = np.add.reduceat(strip, self._columns[:-1], axis=1, dtype=np.float32)
        index = np.searchsorted(self._rows, np.arange(top, top + len(strip)), side="right") - 1
        first, starts = np.unique(index, return_index=True)
        self._sums[first] += np.add.reduceat(across, starts, axis=0, dtype=np.float64)

    def picture(self) -> Floats32:
        """Give the reduced picture, float32 (small_height, small_width)."""
        areas = np.diff(self._rows)[:, None] * np.diff(self._columns)[None, :]
        means: Floats32 = (self._sums / areas).astype(np.float32)
        return means


def resize(picture: Floats32, height: int, width: int) -> Floats32:
    """Resize to exactly (height, width): by area means where smaller, linearly where larger."""
    resized: Floats32 = _resize_rows(_resize_rows(picture, height).T, width).T.astype(np.float32)
    return resized


def _resize_rows(picture: Floats, height: int) -> Floats:
    old = len(picture)
    if height == old:
        return picture
    if height > old:
        return _stretch(picture, height)
    sums = np.zeros((old + 1, picture.shape[1]))
    np.cumsum(picture, axis=0, out=sums[1:])
    edges = np.linspace(0, old, height + 1)
    below = np.minimum(edges.astype(np.int64), old - 1)
    at_edges = sums[below] + (edges - below)[:, None] * picture[below]
    means: Floats = np.diff(at_edges, axis=0) * (height / old)
    return means


def _stretch(picture: Floats, height: int) -> Floats:
    """Interpolate linearly between pixel centres."""
    old = len(picture)
    places = np.clip((np.arange(height) + 0.5) * old / height - 0.5, 0, old - 1)
    below = np.minimum(places.astype(np.int64), max(0, old - 2))
    share = (places - below)[:, None]
    above = np.minimum(below + 1, old - 1)
    stretched: Floats = picture[below] * (1 - share) + picture[above] * share
    return stretched

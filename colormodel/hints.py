"""Hints: a few coloured points by which a curator tells the network what is known."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from colormodel.color import srgb_to_lab

#: A hint covers this many network pixels to each side of its own, as in training.
REACH_PX = 2


class HintError(Exception):
    """Hints cannot be understood; the message says which one and what is expected."""


@dataclass(frozen=True)
class Hint:
    """The colour of one point.

    Attributes:
        x: Where, as a fraction of the width, in [0, 1] from the left.
        y: Where, as a fraction of the height, in [0, 1] from the top.
        rgb: sRGB, 0 to 255 each. Only its hue and chroma count: lightness is the scan's.
    """

    x: float
    y: float
    rgb: tuple[float, float, float]


@dataclass(frozen=True)
class Stroke:
    """The colour of all places along a line, or of one.

    Attributes:
        points: One or more; each is x and y as a `Hint` has them.
        rgb: As a `Hint` has it.
        wide: Whether the network may draw conclusions from it for the whole picture; else it is
            about the thing that it lies on alone.
    """

    points: tuple[tuple[float, float], ...]
    rgb: tuple[float, float, float]
    wide: bool = False

    def hints(self, height: int, width: int) -> tuple[Hint, ...]:
        """The points at which a plane of that size is told of it: none is left out between them."""
        return tuple(Hint(x, y, self.rgb) for x, y in along(self.points, height, width))


def along(
    points: Sequence[tuple[float, float]], height: int, width: int, *, step_px: float = REACH_PX
) -> list[tuple[float, float]]:
    """Walk a line in steps of a plane's pixels.

    Args:
        points: Fractions of width and height, one or more.
        height: Of the plane.
        width: Of the plane.
        step_px: How far apart places may be, at most.

    Returns:
        Fractions, the points' own among them, in their order.
    """
    walked = [points[0]]
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        steps = max(1, math.ceil(math.hypot((x1 - x0) * width, (y1 - y0) * height) / step_px))
        shares = [number / steps for number in range(1, steps + 1)]
        walked += [(x0 + (x1 - x0) * share, y0 + (y1 - y0) * share) for share in shares]
    return walked


def place_hints(hints: Sequence[Hint], height: int, width: int) -> NDArray[np.float32]:
    """Draw hints as small squares at the network's size; where two overlap, the later one counts.

    Args:
        hints: Any number of points.
        height: Of the plane.
        width: Of the plane.

    Returns:
        a*, b* and a mask of 0 or 1, float32 (3, height, width).
    """
    plane = np.zeros((3, height, width), np.float32)
    for hint in hints:
        row = min(int(hint.y * height), height - 1)
        column = min(int(hint.x * width), width - 1)
        rows = slice(max(row - REACH_PX, 0), row + REACH_PX + 1)
        columns = slice(max(column - REACH_PX, 0), column + REACH_PX + 1)
        plane[:, rows, columns] = np.reshape([*chroma_of(hint.rgb), 1], (3, 1, 1))
    return plane


@lru_cache(maxsize=1024)
def chroma_of(rgb: tuple[float, float, float]) -> tuple[float, float]:
    """a* and b* of an sRGB colour, 0 to 255 each."""
    srgb = torch.tensor(rgb, dtype=torch.float32).view(3, 1, 1) / 255
    a, b = srgb_to_lab(srgb)[1:].flatten().tolist()
    return a, b

"""Hints: a few coloured points by which a curator tells the network what is known."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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


def read_hints(path: Path) -> tuple[Hint, ...]:
    """Read hints from a JSON list of ``{"x": 0.5, "y": 0.25, "rgb": [200, 30, 40]}``.

    Raises:
        HintError: The file cannot be read, is not such a list, or a value is out of range.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise HintError(f"{path}: {error.strerror}; name a file of hints") from error
    except ValueError as error:
        raise HintError(f"{path}: not JSON ({error})") from error
    if not isinstance(entries, list):
        raise HintError(
            f'{path}: not a list; write [{{"x": 0.5, "y": 0.25, "rgb": [200, 30, 40]}}]'
        )
    return tuple(_hint(entry, f"{path}: hint {number}") for number, entry in enumerate(entries, 1))


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
        srgb = torch.tensor(hint.rgb, dtype=torch.float32).view(3, 1, 1) / 255
        a, b = srgb_to_lab(srgb)[1:].flatten().tolist()
        plane[:, rows, columns] = np.reshape([a, b, 1], (3, 1, 1))
    return plane


def _hint(entry: object, where: str) -> Hint:
    if not isinstance(entry, dict) or set(entry) != {"x", "y", "rgb"}:
        raise HintError(f'{where}: expected {{"x": …, "y": …, "rgb": [r, g, b]}}, got {entry!r}')
    rgb = entry["rgb"]
    if not isinstance(rgb, list) or len(rgb) != 3:
        raise HintError(f'{where}: "rgb" is {rgb!r}; give three numbers from 0 to 255')
    x, y = (_number(entry[key], 1, f'{where}: "{key}"') for key in ("x", "y"))
    red, green, blue = (_number(value, 255, f'{where}: "rgb"') for value in rgb)
    return Hint(x, y, (red, green, blue))


def _number(value: object, largest: float, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= largest:
        raise HintError(f"{where} is {value!r}; give a number from 0 to {largest:g}")
    return float(value)

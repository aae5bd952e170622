"""Faults that people see first, each with a measure: green streets, blotches, glowing darkness."""

import torch
from torch import Tensor
from torch.nn import functional

#: Road-like ground: low in the picture, truly of nearly no colour, neither dark nor white.
_GROUND_FROM = 0.5  # of the height, from the top
_GREYEST, _GROUND_LIGHTNESS = 8.0, (20.0, 85.0)
_LEAST_GROUND = 0.02  # share of the picture; of less, nothing is said
#: Green begins here: a* of dry grass.
_GREEN = -5.0
#: Windows in which lightness hardly varies: their edge, and the deviation that counts as none.
_WINDOW_PX, _FLAT_DEVIATION = 17, 2.0
_DARK = 40.0  # L*, below which interiors glow


def green_ground(chroma: Tensor, truth: Tensor) -> Tensor:
    """Share of road-like ground that is painted green: streets, squares, yards.

    Args:
        chroma: a*, b*, (N, 2, H, W).
        truth: L*, a*, b* of the photograph, (1, 3, H, W).

    Returns:
        (N,); not a number where there is no such ground.
    """
    height = truth.shape[2]
    low = torch.arange(height, device=truth.device).view(-1, 1) >= _GROUND_FROM * height
    darkest, lightest = _GROUND_LIGHTNESS
    lightness, colour = truth[:, 0], truth[:, 1:].square().sum(1).sqrt()
    ground = low & (colour < _GREYEST) & (lightness > darkest) & (lightness < lightest)
    green = ((chroma[:, 0] < _GREEN) & ground).sum((1, 2)) / ground.sum()
    enough = ground.float().mean() >= _LEAST_GROUND
    return torch.where(enough, green, torch.nan)


def blotches(chroma: Tensor, truth: Tensor) -> Tensor:
    """How much chroma varies where lightness does not, in a*b* units.

    Args:
        chroma: a*, b*, (N, 2, H, W).
        truth: L*, a*, b*, (1, 3, H, W); the flat places are its.

    Returns:
        Mean deviation over flat windows, (N,); not a number where nothing is flat. Beside the
        truth's own it tells: more is blotchy, less is smeared.
    """
    flat = _variance(truth[:, :1])[:, 0] < _FLAT_DEVIATION**2  # (1, h, w)
    deviation = _variance(chroma).sum(1).sqrt()  # (N, h, w)
    return (deviation * flat).sum((1, 2)) / flat.sum()


def dark_warmth(chroma: Tensor, truth: Tensor) -> Tensor:
    """How much yellower than the truth what is dark has become, in b*: floors, dark interiors.

    Args:
        chroma: a*, b*, (N, 2, H, W).
        truth: L*, a*, b*, (1, 3, H, W).

    Returns:
        (N,), above 0 too warm; not a number where nothing is dark.
    """
    dark = truth[:, 0] < _DARK
    return ((chroma[:, 1] - truth[:, 2]) * dark).sum((1, 2)) / dark.sum()


def _variance(x: Tensor) -> Tensor:
    """Variance within windows at every fourth place, (N, C, h, w)."""
    window = min(_WINDOW_PX, *x.shape[-2:])
    mean = functional.avg_pool2d(x, window, 4)
    return (functional.avg_pool2d(x.square(), window, 4) - mean.square()).clamp(min=0)

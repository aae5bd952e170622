"""Telling an empty sheet from a picture that is only faint: fog, snow, stars, a thin plate."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label, median_filter

from tasks.scans.resample import look_size, resize
from tasks.scans.surface import smooth_surface

Floats32 = NDArray[np.float32]

_LOOK_PX = 96  # long side on which a picture is looked at for being blank
_SPECKS_PX = 768  # the same for points of light
_SMALL_PX = 384  # the same for a small picture on a large sheet
_HAIR_PX = 5  # window of which a hair or a scratch covers less than half
_MOST_NOISE = 8  # deviations beyond which lies no noise
_EXTREMES = 1.0  # percent at both ends that dust may be


@dataclass(frozen=True)
class BlankRule:
    """When a picture holds nothing.

    Attributes:
        spread: L* between its 2nd and 98th percentile, once grain and dust are averaged away, below
            which it is blank, or faint.
        inset: Share of the picture left out at each side, for what lies along its edges.
        structure: L* by which places differ as their neighbours do, beyond even shading, from which
            it is faint rather than blank: grain does not go on from place to place.
        dark: L* up to which a sheet may be a night, and points of light in it stars.
        point: L* by which such a point is lighter than the sheet.
        points: Share of the picture that such points cover, at least.
        thing: L* by which something differs from the sheet that is too large for dust: a figure
            in the snow.
        thing_cells: Neighbouring cells of a picture of 96 that it takes, at least.
        faint: L* by which a small picture differs from the sheet around it, at least.
        faint_cells: Neighbouring cells of a picture of 384 that it takes, at least.
        grain: L* between the 2nd and 98th percentile of single pixels that grain and a scanner's
            noise may explain; what differs by more is texture, too fine for means.
    """

    spread: float = 3.0
    inset: float = 0.06
    structure: float = 0.12
    dark: float = 25.0
    point: float = 8.0
    points: float = 0.0003
    thing: float = 10.0
    thing_cells: int = 3
    faint: float = 0.6
    faint_cells: int = 16
    grain: float = 24.0


def measure_spread(lightness: Floats32) -> float:
    """L* between the 2nd and 98th percentile of L*, (h, w), reduced."""
    low, high = np.percentile(_reduced(lightness, _LOOK_PX), [2, 98])
    return float(high - low)


def has_structure(lightness: Floats32, rule: BlankRule) -> bool:
    """Whether L*, (h, w), shows more than shading, grain and dust: faint things, or stars."""
    small = _reduced(lightness, _LOOK_PX)
    rest = small - smooth_surface(small)
    parts, _ = label(np.abs(rest) >= rule.thing)
    if np.bincount(parts.ravel())[1:].max(initial=0) >= rule.thing_cells:
        return True
    if lies_on_sheet(lightness, rule, to_edge=True):
        return True
    rest = np.clip(rest, *np.percentile(rest, [_EXTREMES, 100 - _EXTREMES]))
    goes_on = min(np.mean(rest[1:] * rest[:-1]), np.mean(rest[:, 1:] * rest[:, :-1]))
    return bool(np.sqrt(max(0.0, goes_on)) >= rule.structure) or _has_points(lightness, rule)


def lies_on_sheet(lightness: Floats32, rule: BlankRule, *, to_edge: bool = False) -> bool:
    """Whether a small picture lies on the sheet, however faint; a hair or a scratch is too thin.

    Args:
        lightness: L*, (h, w).
        rule: What counts.
        to_edge: Whether it may touch an edge, as a scanner's shadow does.
    """
    small = _reduced(lightness, _SMALL_PX)
    away = median_filter(np.abs(small - smooth_surface(small)), _HAIR_PX)
    parts, _ = label(away >= max(rule.faint, _MOST_NOISE * np.median(away)))
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    for edge in () if to_edge else (parts[0], parts[-1], parts[:, 0], parts[:, -1]):
        sizes[edge] = 0
    return bool(sizes.max() >= rule.faint_cells)


def _has_points(lightness: Floats32, rule: BlankRule) -> bool:
    level = float(np.median(lightness))
    if level > rule.dark:
        return False
    return bool((_reduced(lightness, _SPECKS_PX) > level + rule.point).mean() >= rule.points)


def _reduced(lightness: Floats32, long_side: int) -> Floats32:
    height, width = look_size(lightness.shape, long_side)
    return resize(lightness, max(2, height), max(2, width))

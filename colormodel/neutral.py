"""What in a scan is surely without colour: its borders, and pictures that show no scene at all.

Networks learn to leave such things grey, but not always: a flat field of middle grey looks like a
wall or an overcast sky. What can be known from geometry alone is not left to them.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from colormodel.planes import Plane

#: L*: a line of pixels is flat when nine tenths of it lie within this range.
FLAT_RANGE = 3.0
#: L*: a border keeps to its level, and the four sides of a frame to one another's, within this.
SAME_LEVEL = 4.0
#: L*: borders below and above these are film base, rebate or paper white on any one side; a border
#: of another level has to surround the picture, or it could as well be sky.
BLACK, WHITE = 12.0, 94.0
#: A border takes up to this share of a side.
WIDEST = 0.3
#: Within a frame, this many pixels show whether a picture begins there.
RIM_PX = 3
#: L*: a step wedge, ramp or blank differs from its own profile by no more than this, in this share
#: of its pixels at least.
PROFILE_NOISE, PROFILE_SHARE = 1.5, 0.98
ROWS_AT_ONCE = 16


def neutral_mask(lightness: Plane) -> NDArray[np.bool_]:
    """Find what has no colour of its own.

    Args:
        lightness: L* in [0, 100], float32 (h, w), at the network's size.

    Returns:
        Bool (h, w): true on black and white borders, on frames of any grey, and everywhere in a
        picture that is the same along every row or along every column.
    """
    mask = np.ones(lightness.shape, np.bool_)
    if _is_profile(lightness):
        return mask
    inside = _inside(lightness)
    if not _is_profile(lightness[inside]):
        mask[inside] = False
    return mask


def _is_profile(lightness: Plane) -> bool:
    """Whether a picture holds nothing but steps or a ramp along one axis: no scene does."""
    return _has_even_rows(lightness) or _has_even_rows(lightness.T)


def _has_even_rows(lightness: Plane) -> bool:
    """Whether nearly all pixels are as light as their row; a scene's first rows tell that not."""
    allowed, others = (1 - PROFILE_SHARE) * lightness.size, 0
    for top in range(0, len(lightness), ROWS_AT_ONCE):
        part = lightness[top : top + ROWS_AT_ONCE]
        others += int(np.count_nonzero(np.abs(part - row_medians(part)[:, None]) > PROFILE_NOISE))
        if others > allowed:
            return False
    return True


def row_medians(rows: Plane) -> Plane:
    """The median of each row, float32, as `np.median` has it, at a sixth of its time.

    Args:
        rows: Float32 (h, w), without NaN.
    """
    ordered, middle = np.sort(rows, axis=1), rows.shape[1] // 2
    medians: Plane = (ordered[:, (rows.shape[1] - 1) // 2] + ordered[:, middle]) * np.float32(0.5)
    return medians


def first_rows(picture: Plane, hold: Callable[[Plane], NDArray[np.bool_]]) -> int:
    """How many rows hold from the first on; most borders end early, so few are looked at at once.

    Args:
        picture: Float32 (h, w).
        hold: Tells of some rows, (rows, w), which of them hold, bool (rows,).
    """
    for top in range(0, len(picture), ROWS_AT_ONCE):
        holding = hold(picture[top : top + ROWS_AT_ONCE])
        if not holding.all():
            return top + int(np.argmin(holding))
    return len(picture)


def _inside(lightness: Plane) -> tuple[slice, slice]:
    """What the borders leave of a picture."""
    columns = _trimmed(lightness.T)
    rows = _trimmed(lightness[:, columns])
    if rows != slice(0, len(lightness)):
        # Once more without the borders across, which break the flatness of those along.
        columns = _trimmed(lightness[rows].T)
    sides = [lightness[: rows.start], lightness[rows.stop :]]
    sides += [lightness[:, : columns.start], lightness[:, columns.stop :]]
    levels = [float(np.median(side)) if side.size else None for side in sides]
    if _is_frame(levels, lightness[rows, columns]):
        return rows, columns
    top, bottom, left, right = (level is not None and not BLACK < level < WHITE for level in levels)
    height, width = lightness.shape
    return (
        slice(rows.start if top else 0, rows.stop if bottom else height),
        slice(columns.start if left else 0, columns.stop if right else width),
    )


def _is_frame(levels: list[float | None], inside: Plane) -> bool:
    """Whether four borders are of one level, and what they surround begins with another.

    A bird in the sky is surrounded by flat grey too, but sky reaches into its rectangle.
    """
    known = [level for level in levels if level is not None]
    if len(known) < 4 or max(known) - min(known) > SAME_LEVEL:
        return False
    differs = np.abs(inside - np.median(known)) > SAME_LEVEL
    rim = np.ones(inside.shape, np.bool_)
    rim[RIM_PX:-RIM_PX, RIM_PX:-RIM_PX] = False
    return bool(differs[rim].mean() >= 0.5)


def _trimmed(lightness: Plane) -> slice:
    """The rows between the flat ones at the top and at the bottom."""
    height = len(lightness)
    return slice(_flat_rows(lightness), height - _flat_rows(lightness[::-1]))


def _flat_rows(lightness: Plane) -> int:
    """How many rows, from the first, are flat and of the first one's level."""
    widest = int(WIDEST * len(lightness))
    if not widest:
        return 0
    (low,), (level,), (high,) = _levels(lightness[:1])
    if high - low > FLAT_RANGE:
        return 0  # nearly always

    def are_border(part: Plane) -> NDArray[np.bool_]:
        low, middle, high = _levels(part)
        border: NDArray[np.bool_] = (high - low <= FLAT_RANGE) & (
            np.abs(middle - level) <= SAME_LEVEL
        )
        return border

    return first_rows(lightness[:widest], are_border)


def _levels(rows: Plane) -> NDArray[np.float32]:
    """The 5th percentile, the median and the 95th percentile of each row, (3, rows).

    For few short rows sorting costs a tenth of `np.quantile`.
    """
    ordered = np.sort(rows, axis=1)
    places = np.array([0.05, 0.5, 0.95]) * (rows.shape[1] - 1)
    below = places.astype(np.intp)
    above = np.minimum(below + 1, rows.shape[1] - 1)
    share = (places - below).astype(np.float32)
    levels: NDArray[np.float32] = ordered[:, below] * (1 - share) + ordered[:, above] * share
    return levels.T

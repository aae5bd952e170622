"""Finding a grey step wedge at a scan's edge: it is there to be measured, and stays neutral."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tasks.scans.frame import Box
from tasks.scans.resample import resize

Floats32 = NDArray[np.float32]
Floats64 = NDArray[np.float64]
Places = NDArray[np.intp]

_LOOK_PX = 768  # long side on which steps are looked for
_EDGE = 2  # pixels on either side of a step that its blur may cover
_EVERY = 2  # rows: a wedge is thicker


@dataclass(frozen=True)
class WedgeRule:
    """When a row of patches is a step wedge.

    Attributes:
        depth: Share of height or width, from each edge, in which wedges lie.
        steps: Patches that follow one another from light to dark, at least.
        range: L* between the first and the last.
        step: L* between two neighbours, at least.
        evenness: L* that a patch's own pixels may spread by, between the tenths at both ends.
        width: Ratio between a patch's width and the usual one, at most.
        rows: Neighbouring rows looked at that must agree.
    """

    depth: float = 0.2
    steps: int = 7
    range: float = 30.0
    step: float = 2.0
    evenness: float = 2.5
    width: float = 1.7
    rows: int = 3


@dataclass(frozen=True)
class _Patch:
    start: int
    end: int
    level: float


def find_wedges(lightness: Floats32, rule: WedgeRule) -> tuple[Box, ...]:
    """Find step wedges along the four edges.

    Args:
        lightness: L*, (h, w), reduced.
        rule: What counts as a wedge.

    Returns:
        Boxes around the patches, a little larger than they.
    """
    scale = min(1.0, _LOOK_PX / max(lightness.shape))
    small = resize(lightness, *(max(1, round(side * scale)) for side in lightness.shape))
    along_rows = [_grown(box) for box in _along_rows(small, rule)]
    along_columns = [_grown(_turned(box)) for box in _along_rows(small.T, rule)]
    return (*along_rows, *along_columns)


def _along_rows(picture: Floats32, rule: WedgeRule) -> Iterator[Box]:
    """Find wedges whose patches lie side by side, near the upper or lower edge."""
    height, width = picture.shape
    deep = max(1, int(rule.depth * height))
    for rows in (range(0, deep, _EVERY), range(height - deep, height, _EVERY)):

        @cache
        def chain(index: int, rows: range = rows) -> tuple[int, int] | None:
            if not 0 <= index < len(rows):
                return None
            row = rows[index]
            around = picture[max(0, row - _EVERY) : row + _EVERY + 1]  # grain is averaged away
            return _longest_chain(around.mean(axis=0), rule)

        after = 0
        # A run of so many rows has one of these among them: the others need no look.
        for probe in range(rule.rows - 1, len(rows), rule.rows):
            if probe < after or not chain(probe):
                continue
            first = next(index + 1 for index in itertools.count(probe, -1) if not chain(index))
            after = next(index for index in itertools.count(probe) if not chain(index))
            chains = [ends for index in range(first, after) if (ends := chain(index))]
            if len(chains) >= rule.rows:
                left, right = min(ends[0] for ends in chains), max(ends[1] for ends in chains)
                top, bottom = rows[first], rows[after - 1] + 1
                yield Box(top / height, left / width, bottom / height, right / width)


def _longest_chain(row: Floats32, rule: WedgeRule) -> tuple[int, int] | None:
    """Give where a row's patches that rise or fall evenly begin and end, if there are enough."""
    chain: list[_Patch] = []
    for patch in [*_patches(row, rule), None]:
        if patch and _continues(chain, patch, rule):
            chain.append(patch)
            continue
        if len(chain) >= rule.steps and abs(chain[-1].level - chain[0].level) >= rule.range:
            return chain[0].start, chain[-1].end
        chain = [patch] if patch else []
    return None


def _patches(row: Floats32, rule: WedgeRule) -> list[_Patch]:
    """Cut a row at its steps, and give the parts between that are even."""
    jumps = np.abs(row[2 * _EDGE :] - row[: -2 * _EDGE]) >= rule.step
    edges = np.flatnonzero(np.diff(np.concatenate(([True], jumps, [True])).astype(np.int8)))
    starts, ends = edges[::2] + _EDGE, edges[1::2] + _EDGE
    is_wide = ends - starts >= 2 * _EDGE
    starts, ends = starts[is_wide], ends[is_wide]
    if len(starts) < rule.steps:  # most rows of a photograph end here
        return []
    low, high = _tenths(row, starts, ends)
    level = (low + high) / 2
    return [
        _Patch(int(starts[i]), int(ends[i]), float(level[i]))
        for i in np.flatnonzero(high - low <= rule.evenness)
    ]


def _tenths(row: Floats32, starts: Places, ends: Places) -> tuple[Floats64, Floats64]:
    """The tenths at both ends of each part of a row, as `np.percentile` has them, all at once."""
    borders = np.stack([starts, ends], axis=1).ravel()
    part = np.searchsorted(borders, np.arange(len(row)), side="right")
    ordered = row[np.lexsort((row, part))]  # sorted within each part, parts where they were
    both = []
    for share in (0.1, 0.9):
        position = starts + share * (ends - starts - 1)
        below = position.astype(np.intp)
        above = np.minimum(below + 1, ends - 1)
        both.append(ordered[below] + (ordered[above] - ordered[below]) * (position - below))
    return both[0], both[1]


def _continues(chain: list[_Patch], patch: _Patch, rule: WedgeRule) -> bool:
    """Whether a patch is the next of a wedge: as wide, close by, and one step on."""
    if not chain:
        return False
    last = chain[-1]
    widths = last.end - last.start, patch.end - patch.start
    change = patch.level - last.level
    turns = len(chain) > 1 and change * (last.level - chain[-2].level) < 0
    is_near = patch.start - last.end <= max(widths) + 2 * _EDGE
    return (
        not turns
        and is_near
        and abs(change) >= rule.step
        and max(widths) <= rule.width * min(widths) + 2 * _EDGE
    )


def _turned(box: Box) -> Box:
    return Box(box.left, box.top, box.right, box.bottom)


def _grown(box: Box) -> Box:
    """Take in the soft edges of the patches."""
    margin = 0.01
    return Box(
        max(0.0, box.top - margin),
        max(0.0, box.left - margin),
        min(1.0, box.bottom + margin),
        min(1.0, box.right + margin),
    )

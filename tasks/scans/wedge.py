"""Finding a grey step wedge at a scan's edge: it is there to be measured, and stays neutral."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

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
class _Patches:
    """The even parts of some lines, in the order of the lines and along each."""

    line: Places
    start: Places
    end: Places
    level: Floats64  # L*

    def __getitem__(self, which: NDArray[Any]) -> "_Patches":
        return _Patches(self.line[which], self.start[which], self.end[which], self.level[which])


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
        part = picture[rows.start : rows.stop]
        places = np.arange(0, deep, _EVERY)
        # A run of so many rows has one of these among them: mostly, the others need no look.
        if not any(_chains(_lines(part, places[rule.rows - 1 :: rule.rows]), rule)):
            continue
        chains = enumerate(_chains(_lines(part, places), rule))
        for found, run in itertools.groupby(chains, key=lambda numbered: numbered[1] is not None):
            numbers, ends = zip(*run, strict=True)
            if found and len(numbers) >= rule.rows:
                left, right = min(start for start, _ in ends), max(end for _, end in ends)
                top, bottom = rows[numbers[0]], rows[numbers[-1]] + 1
                yield Box(top / height, left / width, bottom / height, right / width)


def _lines(part: Floats32, places: Places) -> Floats32:
    """Some rows, each the mean of its neighbours, so that grain is averaged away."""
    around = places[:, None] + np.arange(-_EVERY, _EVERY + 1)
    lines: Floats32 = part[np.clip(around, 0, len(part) - 1)].mean(axis=1)
    return lines


def _chains(lines: Floats32, rule: WedgeRule) -> list[tuple[int, int] | None]:
    """Give where each line's patches that rise or fall evenly begin and end, if enough do."""
    patches = _patches(lines, rule)
    found: list[tuple[int, int] | None] = [None] * len(lines)
    for line in _promising(patches, rule):
        found[line] = _longest_chain(patches[patches.line == line], rule)
    return found


def _promising(patches: _Patches, rule: WedgeRule) -> Places:
    """Lines with enough patches in a row that go on, and one way: next to no photograph's."""
    links = rule.steps - 1
    if len(patches.line) <= links:
        return np.empty(0, np.intp)
    widths, change = patches.end - patches.start, np.diff(patches.level)
    narrow, wide = np.minimum(widths[1:], widths[:-1]), np.maximum(widths[1:], widths[:-1])
    goes_on = (
        (np.diff(patches.line) == 0)
        & (patches.start[1:] - patches.end[:-1] <= wide + 2 * _EDGE)
        & (np.abs(change) >= rule.step)
        & (wide <= rule.width * narrow + 2 * _EDGE)
    )
    way = np.where(goes_on, np.sign(change), 0)
    windows = np.lib.stride_tricks.sliding_window_view(way, links)
    one_way = np.abs(windows.sum(axis=1)) == links
    return np.unique(patches.line[:-links][one_way])


def _longest_chain(patches: _Patches, rule: WedgeRule) -> tuple[int, int] | None:
    """Give where the first chain of a line that is long and steep enough begins and ends."""
    chain: list[int] = []
    for index in [*range(len(patches.level)), None]:
        if index is not None and _continues(chain, index, patches, rule):
            chain.append(index)
            continue
        is_steep = abs(patches.level[chain[-1]] - patches.level[chain[0]]) >= rule.range
        if len(chain) >= rule.steps and is_steep:
            return int(patches.start[chain[0]]), int(patches.end[chain[-1]])
        chain = [] if index is None else [index]
    return None


def _continues(chain: list[int], index: int, patches: _Patches, rule: WedgeRule) -> bool:
    """Whether a patch is the next of a wedge: as wide, close by, and one step on."""
    if not chain:
        return True
    last, level = chain[-1], patches.level
    widths = [int(patches.end[one] - patches.start[one]) for one in (last, index)]
    change = level[index] - level[last]
    turns = len(chain) > 1 and change * (level[last] - level[chain[-2]]) < 0
    is_near = patches.start[index] - patches.end[last] <= max(widths) + 2 * _EDGE
    return bool(
        not turns
        and is_near
        and abs(change) >= rule.step
        and max(widths) <= rule.width * min(widths) + 2 * _EDGE
    )


def _patches(lines: Floats32, rule: WedgeRule) -> _Patches:
    """Cut lines at their steps, and give the parts between that are even."""
    jumps = np.abs(lines[:, 2 * _EDGE :] - lines[:, : -2 * _EDGE]) >= rule.step
    ends = np.ones((len(lines), 1), np.bool_)
    line, edges = np.nonzero(np.diff(np.concatenate((ends, jumps, ends), 1).astype(np.int8)))
    starts, stops = edges[::2] + _EDGE, edges[1::2] + _EDGE
    parts = _Patches(line[::2], starts, stops, np.zeros(len(starts)))
    parts = parts[stops - starts >= 2 * _EDGE]
    low, high = _tenths(lines, parts)
    parts = replace(parts, level=(low + high) / 2)
    return parts[high - low <= rule.evenness]


def _tenths(lines: Floats32, parts: _Patches) -> tuple[Floats64, Floats64]:
    """The tenths at both ends of each part, as `np.percentile` has them, all at once."""
    starts, stops = (parts.line * lines.shape[1] + edge for edge in (parts.start, parts.end))
    borders = np.stack([starts, stops], axis=1).ravel()
    part = np.cumsum(np.bincount(borders, minlength=lines.size + 1)[: lines.size])
    apart = part * 1000.0  # sorted within each part, and the parts stay where they are
    ordered = np.sort(apart + lines.ravel()) - apart
    both = []
    for share in (0.1, 0.9):
        position = starts + share * (stops - starts - 1)
        below = position.astype(np.intp)
        above = np.minimum(below + 1, stops - 1)
        both.append(ordered[below] + (ordered[above] - ordered[below]) * (position - below))
    return both[0], both[1]


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

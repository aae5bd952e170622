"""Finding a grey step wedge at a scan's edge: it is there to be measured, and stays neutral."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.scans.frame import Box
from tasks.scans.resample import resize

Floats32 = NDArray[np.float32]

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
    for start, end in ((0, deep), (height - deep, height)):
        run: list[tuple[int, int, int]] = []
        for row in [*range(start, end, _EVERY), -1]:
            around = picture[max(0, row - _EVERY) : row + _EVERY + 1]  # grain is averaged away
            found = _longest_chain(around.mean(axis=0), rule) if row >= 0 else None
            if found:
                run.append((row, *found))
                continue
            if len(run) >= rule.rows:
                left, right = min(part[1] for part in run), max(part[2] for part in run)
                yield Box(
                    run[0][0] / height, left / width, (run[-1][0] + 1) / height, right / width
                )
            run = []


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


def _patches(row: Floats32, rule: WedgeRule) -> Iterator[_Patch]:
    """Cut a row at its steps, and give the parts between that are even."""
    jumps = np.abs(row[2 * _EDGE :] - row[: -2 * _EDGE]) >= rule.step
    edges = np.flatnonzero(np.diff(np.concatenate(([True], jumps, [True])).astype(np.int8)))
    for start, end in zip(edges[::2] + _EDGE, edges[1::2] + _EDGE, strict=False):
        if end - start < 2 * _EDGE:
            continue
        low, high = np.percentile(row[start:end], [10, 90])
        if high - low <= rule.evenness:
            yield _Patch(int(start), int(end), float((low + high) / 2))


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

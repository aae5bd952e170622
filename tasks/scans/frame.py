"""The frame of a scan: film border, white margin, and the picture within."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from colormodel.neutral import first_rows, row_medians

Floats32 = NDArray[np.float32]
Bools = NDArray[np.bool_]

_LAYERS = 3  # scanner bed, print margin, film border: one within the other
_AROUND_END = 3  # rows before and behind the end of a border: edges of negatives are seldom even


@dataclass(frozen=True)
class Box:
    """A part of the picture, in shares of its height and width, in [0, 1]."""

    top: float
    left: float
    bottom: float
    right: float

    @property
    def area(self) -> float:
        """Share of the picture that the box covers."""
        return (self.bottom - self.top) * (self.right - self.left)

    def slices(self, height: int, width: int) -> tuple[slice, slice]:
        """Give the rows and columns that the box covers in a picture of this size."""
        return (
            slice(round(self.top * height), max(1, round(self.bottom * height))),
            slice(round(self.left * width), max(1, round(self.right * width))),
        )

    def within(self, other: "Box") -> "Box":
        """Give the part that lies in another box, too; it itself where that leaves nothing."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom, right = min(self.bottom, other.bottom), min(self.right, other.right)
        return Box(top, left, bottom, right) if top < bottom and left < right else self

    def inset(self, share: float) -> "Box":
        """Shrink the box on each side by a share of its size."""
        down, across = share * (self.bottom - self.top), share * (self.right - self.left)
        return Box(self.top + down, self.left + across, self.bottom - down, self.right - across)


@dataclass(frozen=True)
class FrameRule:
    """When a row or column at the edge is border rather than picture.

    Attributes:
        dark: L* below which film base, or a scanner's bed, lies.
        light: L* above which an unprinted margin lies.
        spread: L* that a border's pixels may differ from its own median.
        share: Share of a row's pixels that must be border; edge numbers and dust are the rest.
        deepest: Share of height or width that a border may take on one side.
        fading: Share up to which it may fade into the picture; a deeper one that drifts must end in
            a step, for a dark sky that lightens evenly is none.
        drift: L* between the medians of its outermost and innermost row that count as drifting.
        step: L* within three rows of its end that count as a step.
    """

    dark: float = 16.0
    light: float = 88.0
    spread: float = 9.0
    share: float = 0.78
    deepest: float = 0.25
    fading: float = 0.03
    drift: float = 3.5
    step: float = 3.0


@dataclass(frozen=True)
class Frame:
    """What was found around a picture.

    Attributes:
        picture: Where the picture lies.
        dark_sides: Sides on which the innermost border is dark: film after inversion.
        light_sides: Sides on which it is light: a print's margin, or film before inversion.
    """

    picture: Box
    dark_sides: int
    light_sides: int


def find_frame(lightness: Floats32, rule: FrameRule) -> Frame:
    """Find the picture within borders of even dark or white, such as film has around it.

    Args:
        lightness: L*, (h, w), reduced.
        rule: What counts as a border.
    """
    height, width = lightness.shape
    deepest = int(rule.deepest * height), int(rule.deepest * width)
    depths = {"top": 0, "left": 0, "bottom": 0, "right": 0}
    levels: dict[str, float] = {}
    for _ in range(_LAYERS):
        before = dict(depths)
        for side in ("top", "bottom", "left", "right"):
            inner = lightness[
                depths["top"] : height - depths["bottom"], depths["left"] : width - depths["right"]
            ]
            inward = {"top": inner, "bottom": inner[::-1], "left": inner.T, "right": inner.T[::-1]}
            is_level = side in {"top", "bottom"}
            most = deepest[0] if is_level else deepest[1]
            found = _depth(inward[side][: most - depths[side]], rule)
            shallow = rule.fading * (height if is_level else width)
            if found and not (found > shallow and _fades(inward[side], found, rule)):
                depths[side] += found
                levels[side] = float(row_medians(inward[side][:1])[0])
        if depths == before:
            break
    return Frame(
        picture=Box(
            depths["top"] / height,
            depths["left"] / width,
            1 - depths["bottom"] / height,
            1 - depths["right"] / width,
        ),
        dark_sides=sum(level <= rule.dark for level in levels.values()),
        light_sides=sum(level >= rule.light for level in levels.values()),
    )


def surroundings(picture: Box) -> tuple[Box, ...]:
    """Give what lies around a picture: above, below, left and right of it, where there is any."""
    parts = (
        Box(0.0, 0.0, picture.top, 1.0),
        Box(picture.bottom, 0.0, 1.0, 1.0),
        Box(picture.top, 0.0, picture.bottom, picture.left),
        Box(picture.top, picture.right, picture.bottom, 1.0),
    )
    return tuple(part for part in parts if part.area > 0)


def _depth(picture: Floats32, rule: FrameRule) -> int:
    """Count the leading rows that are border."""
    if not len(picture):
        return 0
    level = float(row_medians(picture[:1])[0])
    if rule.dark < level < rule.light:
        return 0

    def are_border(rows: Floats32) -> Bools:
        near = np.abs(rows - level) <= rule.spread
        border: Bools = np.count_nonzero(near, axis=1) >= rule.share * near.shape[1]
        return border

    return first_rows(picture, are_border)


def _fades(picture: Floats32, depth: int, rule: FrameRule) -> bool:
    """Whether a border drifts, and goes over into the picture without a step."""
    outermost, innermost = row_medians(picture[[0, depth - 1]])
    if abs(innermost - outermost) <= rule.drift:
        return False
    around = picture[[max(0, depth - _AROUND_END), min(depth + _AROUND_END, len(picture)) - 1]]
    before, behind = row_medians(around)
    return bool(abs(behind - before) < rule.step)

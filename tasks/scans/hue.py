"""Telling grey, toned (sepia, cyanotype) and colour pictures apart.

Mount and margin are left out, as a frame is, and what covers a part of the picture only, as a stamp
or painted cheeks do, does not decide about the rest.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label, uniform_filter

from tasks.scans.mount import find_mount
from tasks.scans.toning import lab_of, unexplained

Floats32 = NDArray[np.float32]
Bools = NDArray[np.bool_]

_PLACES = 8  # along each side, that are looked at one by one
_PRINT, _FILLED = 0.03, 0.8  # shares of all, and of its own rectangle, that a print fills
_WINDOW = 3  # pixels averaged: fringes of a scanner and noise of JPEG cancel out in it
_TILES = 3  # along each side, in each of which a scanner's channels miss one another alike
_REACH = 4  # pixels by which they do, and by which JPEG spreads the fringes
_RIDGE = 1e-5  # variance of green's cube root that is none of the picture's
_AROUND = 7  # pixels about each in which colour may follow lightness in a way of its own
_BROAD = 25  # pixels in which the fringes that JPEG leaves cancel out
_NOISE = 4.0  # variance of L* there that says nothing of how it does


class Hue(enum.StrEnum):
    """What colour a picture holds."""

    GREY = "grey"  #: None, or a cast too faint to be meant.
    TONED = "toned"  #: One colour for each lightness: sepia, cyanotype, gold toning, old varnish.
    NEARLY_COLOUR = "nearly_colour"  #: An uneven tone, or few colours: a person has to look.
    COLOUR = "colour"  #: Colours that differ where the lightness does not, and in more than amount.


@dataclass(frozen=True)
class HueRule:
    """Where grey ends and where colour begins, in units of a*, b*.

    Attributes:
        grey_mean: Mean chroma up to which a picture is grey.
        grey_most: Chroma that 98 % of its pixels stay below, then.
        toned_rest: What neither lightness nor place explains in three quarters of the pixels, up to
            which a picture is toned.
        colour_rest: The same, from which it may be colour.
        colour_breadth: What that leaves across its own main direction, from which it is: uneven
            fading and stains change how much of one colour there is, and hardly which.
        plain: Chroma of a place, its own or what lightness and place do not explain, up to which
            it has no colour to speak of.
        plain_places: Share of all places, mount and all, that are plain, from which the colours
            of the others may be a target's, or a poster's on a grey wall; where prints lie apart
            on one mount and one of them is of one tone, all count as plain.
        detail: Colour that follows lightness neither from pixel to pixel nor as fringes do, in
            three quarters of them, from which it is colour: of stains, however strong, there is
            next to none.
        broad: What colour amounts to where fringes are taken away, and averaged away, from which
            it is colour.
        margin: Share of height and width left out at each side: colour targets lie there.
    """

    grey_mean: float = 3.0
    grey_most: float = 9.0
    toned_rest: float = 2.5
    colour_rest: float = 4.5
    colour_breadth: float = 2.0
    plain: float = 4.0
    plain_places: float = 0.5
    detail: float = 1.0
    broad: float = 3.0
    margin: float = 0.04


@dataclass(frozen=True)
class Chroma:
    """What the chroma of a picture amounts to.

    Attributes:
        mean: On average.
        most: What 98 % of the pixels stay below.
        rest: What three quarters of the pixels stay below once lightness and place have had theirs.
        breadth: Root mean square of that across its main direction.
        plain: Share of the places that are plain; asked for only where all else is colour.
        detail: What the finest of it amounts to; asked for only there, too, as is the next.
        broad: What is left of it where fringes are taken away and averaged away.
    """

    mean: float
    most: float
    rest: float
    breadth: float
    plain: float = 0.0
    detail: float = np.inf
    broad: float = np.inf


def measure_chroma(light: Floats32, rule: HueRule) -> Chroma:
    """Measure the chroma of linear light, (3, h, w), in [0, 1], but for its margin and mount."""
    down, across = (int(rule.margin * size) for size in light.shape[1:])
    inner = light[:, down : light.shape[1] - down, across : light.shape[2] - across]
    lab = lab_of(inner)
    found = _measured(lab, ~find_mount(lab))
    if judge_hue(found, rule) is not Hue.COLOUR:
        return found
    prints = [_measured(part, there) for part, there in _prints(lab_of(light))]
    if len(prints) > 1 and any(judge_hue(one, rule) is not Hue.COLOUR for one in prints):
        return replace(found, plain=1.0)  # of several processes on one card, each is of its own
    plain = _plain_places(lab, np.hypot(*lab[1:]), rule)
    detail, broad = _fine_and_broad(inner)
    return replace(found, plain=plain, detail=detail, broad=broad)


def _measured(lab: Floats32, counted: Bools) -> Chroma:
    """Measure what is counted, on its mount: a faint cast is one of all that was scanned."""
    chroma = np.hypot(*lab[1:])
    rest = uniform_filter(unexplained(lab, counted), (0, _WINDOW, _WINDOW))[:, counted]
    return Chroma(
        mean=float(chroma.mean()),
        most=float(np.percentile(chroma, 98)),
        rest=float(np.percentile(np.hypot(*rest), 75)),
        breadth=float(np.sqrt(max(0.0, np.linalg.eigvalsh(np.cov(rest))[0]))),
    )


def _prints(lab: Floats32) -> Iterator[tuple[Floats32, Bools]]:
    """Rectangles on a mount: their L*, a*, b*, and what of them is not mount."""
    mount = find_mount(lab)
    parts, _ = label(~mount)
    for number, (rows, columns) in enumerate(find_objects(parts), 1):
        there = parts[rows, columns] == number
        if there.sum() >= _PRINT * mount.size and there.mean() >= _FILLED:
            yield lab[:, rows, columns], there


def _fine_and_broad(light: Floats32) -> tuple[float, float]:
    """What of colour is finer than stains, and what broader than fringes."""
    down, across = (min(_TILES, size) for size in light.shape[1:])
    strips = np.array_split(light, down, axis=1)
    cleared = [[_without_fringes(one) for one in np.array_split(s, across, axis=2)] for s in strips]
    whole = np.concatenate([np.concatenate(row, axis=2) for row in cleared], axis=1)
    lab = lab_of(whole)
    rest = uniform_filter(unexplained(lab, ~find_mount(lab)), (0, _BROAD, _BROAD))
    return _most(_detail(lab).ravel()), _most(np.hypot(*rest).ravel())


def _without_fringes(light: Floats32) -> Floats32:
    """Take from red and blue what a linear filter makes of green, as it does where they miss it."""
    size = light[0].size
    red, green, blue = np.cbrt(np.maximum(light, 0)).astype(np.float32)
    near = np.pad(green - green.mean(), _REACH, mode="edge")
    near = sliding_window_view(near, (2 * _REACH + 1,) * 2).reshape(size, -1)
    sums = near.T @ near + np.float32(size * _RIDGE) * np.eye(near.shape[1], dtype=np.float32)
    others = np.stack([red - green, blue - green]).reshape(2, size).T
    rest = others - near @ np.linalg.solve(sums, near.T @ (others - others.mean(axis=0)))
    red, blue = green + rest.T.reshape(2, *green.shape)
    roots: Floats32 = np.stack([red, green, blue])
    return roots * roots * roots  # as a power it takes forty times as long


def _detail(lab: Floats32) -> Floats32:
    """Colour that is no linear function of the lightness around it (He et al. 2010), (h, w)."""

    def mean(plane: NDArray[Any]) -> Floats32:
        averaged: Floats32 = uniform_filter(plane, _AROUND)
        return averaged

    lightness, *colours = lab
    level = mean(lightness)
    varies = mean(lightness * lightness) - level * level + _NOISE
    rest = []
    for plane in colours:
        middle = mean(plane)
        slope = (mean(lightness * plane) - level * middle) / varies
        rest.append(plane - mean(slope) * lightness - mean(middle - slope * level))
    found: Floats32 = np.hypot(*(uniform_filter(plane, _WINDOW) for plane in rest))
    return found


def _plain_places(lab: Floats32, chroma: Floats32, rule: HueRule) -> float:
    """Share of the places, mount and all, that are grey, or of the tone that all have."""
    rest = np.hypot(*unexplained(lab, np.ones(chroma.shape, np.bool_)))
    places = zip(_places(chroma), _places(rest), strict=True)
    return float(np.mean([min(_most(own), _most(other)) <= rule.plain for own, other in places]))


def _places(plane: Floats32) -> list[Floats32]:
    """A picture in as many rows and columns of parts."""
    rows = np.array_split(plane, _PLACES)
    return [part for row in rows for part in np.array_split(row, _PLACES, axis=1)]


def _most(values: Floats32) -> float:
    return float(np.percentile(values, 75)) if values.size else 0.0


def judge_hue(chroma: Chroma, rule: HueRule) -> Hue:
    """Say what a picture of this chroma is."""
    if chroma.mean <= rule.grey_mean and chroma.most <= rule.grey_most:
        return Hue.GREY
    if chroma.rest <= rule.toned_rest:
        return Hue.TONED
    is_colour = chroma.rest >= rule.colour_rest and chroma.breadth >= rule.colour_breadth
    is_colour = is_colour and chroma.plain < rule.plain_places
    is_colour = is_colour and chroma.detail >= rule.detail and chroma.broad >= rule.broad
    return Hue.COLOUR if is_colour else Hue.NEARLY_COLOUR

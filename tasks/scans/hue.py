"""Telling grey, toned (sepia, cyanotype) and colour pictures apart.

Mount and margin are left out, as a frame is, and what covers a part of the picture only, as a stamp
or painted cheeks do, does not decide about the rest.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label, uniform_filter

from tasks.scans.mount import find_mount
from tasks.scans.toning import lab_of, unexplained

Floats32 = NDArray[np.float32]
Bools = NDArray[np.bool_]

_PLACES = 8  # along each side, that are looked at one by one
_PRINT, _FILLED = 0.03, 0.8  # shares of all, and of its own rectangle, that a print fills
_WINDOW = 3  # pixels averaged: fringes of a scanner and noise of JPEG cancel out in it


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
        margin: Share of height and width left out at each side: colour targets lie there.
    """

    grey_mean: float = 3.0
    grey_most: float = 9.0
    toned_rest: float = 2.5
    colour_rest: float = 4.5
    colour_breadth: float = 2.0
    plain: float = 4.0
    plain_places: float = 0.5
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
    """

    mean: float
    most: float
    rest: float
    breadth: float
    plain: float = 0.0


def measure_chroma(light: Floats32, rule: HueRule) -> Chroma:
    """Measure the chroma of linear light, (3, h, w), in [0, 1], but for its margin and mount."""
    down, across = (int(rule.margin * size) for size in light.shape[1:])
    lab = lab_of(light[:, down : light.shape[1] - down, across : light.shape[2] - across])
    found = _measured(lab, ~find_mount(lab))
    if judge_hue(found, rule) is not Hue.COLOUR:
        return found
    prints = [_measured(part, there) for part, there in _prints(lab_of(light))]
    if len(prints) > 1 and any(judge_hue(one, rule) is not Hue.COLOUR for one in prints):
        return replace(found, plain=1.0)  # of several processes on one card, each is of its own
    return replace(found, plain=_plain_places(lab, np.hypot(*lab[1:]), rule))


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
    return Hue.COLOUR if is_colour else Hue.NEARLY_COLOUR

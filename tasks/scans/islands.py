"""Islands of own colour on a grey or toned print: stamps, ink, tinted cheeks, colour targets.

What ageing leaves (foxing, tidelines, yellowing, silver that comes out) is no colour that anybody
meant: it is brown or yellow, or leads back to grey.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, find_objects, label, uniform_filter

from tasks.scans.frame import Box

Floats32 = NDArray[np.float32]
Bools = NDArray[np.bool_]

_WINDOW = 3  # pixels averaged
_AROUND = 9  # the same, in which fringes of a scanner cancel out
_DEEPEST = 2.5  # times the expected chroma: a deeper shade of it is another colour
_DEEPEST_MOUNT = 1.5  # the same on a mount, which is even
_REACH = 4  # pixels by which islands grow, so that their soft edges are in, and parts join
#: Up to which hue angle, in degrees, a colour has a name.
_HUES = (
    (48, "red"), (68, "orange"), (112, "yellow"), (180, "green"), (230, "turquoise"),
    (295, "blue"), (345, "violet"), (361, "red"),
)  # fmt: skip


@dataclass(frozen=True)
class IslandRule:
    """When a patch of colour is meant.

    Attributes:
        strange: a*b* units by which its core differs from all shades of what its lightness and
            its place have.
        faint: The same of what is around the core and belongs to it.
        stain: The same where it is brown or yellow, as stains are.
        stain_hues: Hue angles of such colours, in degrees.
        places: Along each side, that say what colour the print has at a lightness.
        around: What of it must be left when the surroundings are averaged: fringes cancel out.
        least: Share of the picture that a core covers, at least.
        most: Share that all islands may cover; above, they are none.
    """

    strange: float = 8.5
    faint: float = 5.0
    stain: float = 24.0
    stain_hues: tuple[float, float] = (48.0, 112.0)
    places: int = 12
    around: float = 2.5
    least: float = 0.0001
    most: float = 0.25


@dataclass(frozen=True)
class Island:
    """A patch of own colour.

    Attributes:
        box: What it lies in.
        colour: Its colour in a word.
    """

    box: Box
    colour: str

    def __str__(self) -> str:
        across, down = (self.box.left + self.box.right) / 2, (self.box.top + self.box.bottom) / 2
        return f"{self.colour}, {across:.0%} from the left and {down:.0%} from the top"


def find_islands(
    lab: Floats32, rest: Floats32, mount: Floats32, rule: IslandRule
) -> tuple[list[Island], Bools]:
    """Find patches of own colour.

    Args:
        lab: L*, a*, b*, (3, h, w), about a thousand pixels long.
        rest: What of a* and b* neither lightness nor place explains, (2, h, w).
        mount: a* and b* of the mount, (2, h, w), NaN where it is not: there, its shades are
            expected, too.
        rule: What counts.

    Returns:
        The islands, largest first, and where they are, (h, w); no islands, but where they were,
        if they cover too much.
    """
    distance, hue = _strangeness(lab, rest, mount, _WINDOW)
    around, _ = _strangeness(lab, rest, mount, _AROUND)
    low, high = rule.stain_hues
    is_stain = (hue >= low) & (hue <= high)
    meant = distance >= np.where(is_stain, rule.stain, rule.faint)
    sure = distance >= np.where(is_stain, rule.stain, rule.strange)
    sure &= around >= rule.around
    parts, _ = label(binary_dilation(meant, iterations=_REACH))
    sizes = np.bincount(parts[sure], minlength=parts.max() + 1)
    is_large = sizes >= max(rule.least * meant.size, 1)
    is_large[0] = False
    cover = is_large[parts]
    if cover.mean() > rule.most:
        return [], cover
    boxes = find_objects(parts)
    order = [one for one in np.argsort(-sizes) if is_large[one]]
    islands = [_island(boxes[one - 1], meant & (parts == one), hue) for one in order]
    return islands, cover


def _strangeness(
    lab: Floats32, rest: Floats32, mount: Floats32, window: int
) -> tuple[Floats32, Floats32]:
    """How far a*, b* are from all paler and deeper shades of what is expected, and their hue.

    Returns:
        The distance, (h, w), and the hue angle in degrees, (h, w).
    """
    own = uniform_filter(lab[1:], (0, window, window))
    expected = uniform_filter(lab[1:] - rest, (0, window, window))
    distance = np.fmin(_apart(own, expected, _DEEPEST), _apart(own, mount, _DEEPEST_MOUNT))
    return distance, np.degrees(np.arctan2(own[1], own[0])) % 360


def _apart(own: Floats32, colour: Floats32, deepest: float) -> Floats32:
    """Distance to the nearest shade of a colour, all of a* and b*; NaN where it has none."""
    squared = (colour * colour).sum(axis=0) + np.float32(1e-6)
    shade = np.clip((own * colour).sum(axis=0) / squared, 0, deepest)
    distance: Floats32 = np.hypot(*(own - shade * colour))
    return distance


def _island(place: tuple[slice, slice], meant: Bools, hue: Floats32) -> Island:
    height, width = meant.shape
    rows, columns = place
    box = Box(rows.start / height, columns.start / width, rows.stop / height, columns.stop / width)
    turned = np.exp(1j * np.radians(hue[meant])).mean()
    angle = np.degrees(np.angle(turned)) % 360
    return Island(box, next(name for end, name in _HUES if angle < end))

"""Making a chroma map say what a person said: exactly where it was said, and on that thing alone.

A network that was told a colour gives it to the thing it was told of, and to half of the picture
besides; one that takes no hints does nothing. So the picture is what the network gave without them,
and only what belongs to the hinted places is as it was told. What is still missing at each place is
spread over the same thing (`spreading`) and added: every hint holds, whichever network it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from colormodel.correction import MASK_KINDS, Correction
from colormodel.hints import Hint, chroma_of
from colormodel.planes import ChromaMap, Plane
from colormodel.spreading import Place, Spreader

#: Around a hint, pixels like it have its very colour for so many to each side, and nearly for one
#: more: chroma is enlarged by lines over lightness that are fitted in a window of 2 to each side.
EXACT_PX = 3
#: Whatever they are like: chroma is interpolated between a pixel and the next.
NEXT_PX = 1
#: Places that are made exact, at most; of longer strokes, every so many.
MOST_PLACES = 240


@dataclass(frozen=True)
class _Statement:
    """What hints say of a plane's pixels, one of each at most."""

    places: Sequence[Place]
    chroma: Plane  # (K, 2)

    @classmethod
    def by(cls, hints: Sequence[Hint], height: int, width: int) -> "_Statement":
        said: dict[Place, tuple[float, float]] = {}
        for hint in hints:
            place = min(int(hint.y * height), height - 1), min(int(hint.x * width), width - 1)
            said.pop(place, None)  # the later one counts, and comes later
            said[place] = chroma_of(hint.rgb)
        every = max(1, -(-len(said) // MOST_PLACES))
        kept = list(said.items())[::every]
        return cls([place for place, _ in kept], np.array([ab for _, ab in kept], np.float32))


def settle(
    untold: ChromaMap,
    told: ChromaMap,
    correction: Correction,
    *,
    spreader: Spreader,
    neutral: NDArray[np.bool_] | None = None,
) -> ChromaMap:
    """Put what a person said into effect on what the network gave.

    Args:
        untold: What the network gave, told of no hints but those that are meant for the whole
            picture.
        told: What it gave when it was told of all; the same where it takes none.
        correction: What the person said.
        spreader: Of the picture.
        neutral: What has no colour, bool (h, w), unless a hint lies in it.

    Returns:
        The map, with a* and b* of each hint at its place, the strength asked for elsewhere, and no
        colour under masks. Confidence is the network's own, as if it had not been told.
    """
    height, width = untold.lightness.shape
    said = _Statement.by(correction.network_hints(height, width), height, width)
    if said.places:
        chroma = _with_hints(untold.chroma, told.chroma, said, correction.strength, spreader)
    else:
        chroma = untold.chroma * np.float32(correction.strength)
    if neutral is not None and not any(neutral[place] for place in said.places):
        chroma = np.where(neutral, np.float32(0), chroma)
    for kind in MASK_KINDS:
        chroma = chroma * (1 - correction.mask(kind, height, width))
    even = np.zeros((height, width), np.bool_)
    for row, column in said.places:  # the scan may be lighter there than what the network saw
        even[_next_to(row), _next_to(column)] = True
    return replace(untold, chroma=np.ascontiguousarray(chroma, np.float32), even=even)


def _next_to(place: int) -> slice:
    return slice(max(0, place - NEXT_PX), place + NEXT_PX + 1)


def _with_hints(
    untold: Plane, told: Plane, said: _Statement, strength: float, spreader: Spreader
) -> Plane:
    rows, columns = np.array(said.places).T
    reach = spreader.reach(said.places)
    # What a person has named keeps its strength: only the rest is the network's.
    chroma = untold * (np.float32(strength) * (1 - reach)) + told * reach
    missing = said.chroma - chroma[:, rows, columns].T  # (K, 2)
    return _with_exact(chroma + reach * spreader.field(said.places, missing), said, spreader)


def _with_exact(chroma: Plane, said: _Statement, spreader: Spreader) -> Plane:
    """Give pixels next to a hint, and like it, its very colour; each is the nearest hint's."""
    wanted, share = chroma.copy(), np.zeros(chroma.shape[1:], np.float32)
    nearest = np.full(chroma.shape[1:], np.inf, np.float32)
    for place, colour in zip(said.places, said.chroma, strict=True):
        near, alike = spreader.surroundings(place, EXACT_PX + 1)
        distance = _distance(near, place)
        closer = distance <= nearest[near]
        nearest[near][closer] = distance[closer]
        exactly = np.where(distance <= EXACT_PX, alike, alike / 2)
        share[near][closer] = np.where(distance <= NEXT_PX, 1, exactly)[closer]
        wanted[(slice(None), *near)][:, closer] = colour[:, None]
    exact: Plane = chroma + share * (wanted - chroma)
    return exact


def _distance(near: tuple[slice, slice], place: Place) -> Plane:
    """Of each pixel from a place, in whole pixels along rows or columns, whichever is more."""
    rows, columns = (np.arange(part.start, part.stop, dtype=np.float32) for part in near)
    distance: Plane = np.maximum(np.abs(rows - place[0])[:, None], np.abs(columns - place[1]))
    return distance

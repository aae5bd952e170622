"""Chroma that follows motion: what the network says of a few frames, for all frames of a shot.

A network that colours frames one by one says something a little else of each. Here each map is
carried along the motion of the picture to the frames before and after it, and a frame's chroma is
the mean of all that arrive there, by their confidence, the nearer ones more: errors that come and
go average out, and what stands still keeps its colour. What is not seen in a neighbouring frame (it
was hidden, or it changed) is not carried there. Both directions weigh the same, so that nothing
lags; the result depends on the frames of the shot alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from colormodel.correction import Correction
from colormodel.planes import Plane

Half = NDArray[np.float16]

#: What is left of a map's weight one frame on: docs/film.md has what more and less of it give.
KEPT = 0.97
#: How far, in pixels of the network's, a place may be missed that is followed there and back.
_MISSED_PX = 0.6
#: The same besides, where the picture is plain.
_MISSED_ON_PLAIN_PX = 3.0
#: L* by which a place may change, exposure apart, until it is another thing.
_CHANGED_L = 9.0
#: Weight of what cannot be followed: it still says more than nothing does.
_LEAST = 0.02
_MOST_CHROMA = 130.0
#: Trust from which a place that a person spoke of is followed.
_FOLLOWED = 0.3


@dataclass(frozen=True)
class Motion:
    """How two neighbouring frames belong together.

    Attributes:
        back: For each pixel of the later frame, where it was in the earlier: offsets in x and y,
            float16 (h, w, 2), in pixels.
        ahead: For each of the earlier, where it will be in the later.
        trust_back: How sure it is that the same thing is there, float16 (h, w) in [0, 1].
        trust_ahead: The same ahead.
    """

    back: Half
    ahead: Half
    trust_back: Half
    trust_ahead: Half


class MotionFinder:
    """Finds motion between frames of one size: dense inverse search (Kroeger, arXiv:1603.03590)."""

    def __init__(self, *, exact: bool = False) -> None:
        """Prepare.

        Args:
            exact: Takes five times as long, and drifts by a tenth as much: what following a hint
                needs. For chroma, which many frames agree on, the other will do.
        """
        exactly, fast = cv2.DISOPTICAL_FLOW_PRESET_MEDIUM, cv2.DISOPTICAL_FLOW_PRESET_FAST
        self._flow = cv2.DISOpticalFlow.create(exactly if exact else fast)

    def between(self, earlier: Plane, later: Plane) -> Motion:
        """Find the motion between two frames' L*, float32 (h, w) in [0, 100]."""
        codes = [np.rint(plane * 2.55).astype(np.uint8) for plane in (earlier, later)]
        back = np.asarray(self._flow.calc(codes[1], codes[0], None), np.float32)  # type: ignore[call-overload]
        ahead = np.asarray(self._flow.calc(codes[0], codes[1], None), np.float32)  # type: ignore[call-overload]
        trusts = _trust(back, ahead, later, earlier), _trust(ahead, back, earlier, later)
        return Motion(*(plane.astype(np.float16) for plane in (back, ahead, *trusts)))


def carried(planes: Plane, offsets: Plane | Half, *, smoothly: bool = False) -> Plane:
    """What lies at each pixel's offset.

    Args:
        planes: float32 (h, w) or (h, w, channels).
        offsets: In x and y, (h, w, 2).
        smoothly: By cubics, which blur less where it is done again and again.

    Returns:
        float32 of the same shape, else interpolated linearly; the borders go on beyond themselves.
    """
    places = offsets + _places(*offsets.shape[:2])
    way = cv2.INTER_CUBIC if smoothly else cv2.INTER_LINEAR
    moved: Plane = cv2.remap(planes, places, None, way, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return moved


@lru_cache(maxsize=4)
def _places(height: int, width: int) -> Plane:
    places: Plane = np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)
    return places


def over_shot(
    maps: Mapping[int, tuple[Plane, Plane]], motions: Sequence[Motion], *, kept: float = KEPT
) -> Iterator[Plane]:
    """Chroma of every frame of a shot, from maps of some.

    Args:
        maps: By the number of the frame: chroma, float32 (2, h, w), and how much it counts,
            (h, w), above 0.
        motions: Between each frame and the next; one less than there are frames.
        kept: What is left of a map's weight one frame on, in (0, 1).

    Yields:
        For each frame, chroma float32 (2, h, w).
    """
    own: dict[int, Plane] = {
        at: np.dstack([*(a_b * weight), weight]) for at, (a_b, weight) in maps.items()
    }
    nothing: Plane = np.zeros_like(next(iter(own.values())))  # (h, w, 3)
    later: list[Half] = []
    arriving = nothing
    for number in reversed(range(len(motions) + 1)):
        if number < len(motions):
            motion = motions[number]
            arriving = _arriving(arriving, motion.ahead, motion.trust_ahead, kept)
        sums = cv2.merge([_mean(arriving), np.ascontiguousarray(arriving[..., 2])])
        later.append(np.asarray(sums).astype(np.float16))
        arriving = arriving + own.get(number, nothing)
    arriving = nothing
    for number in range(len(motions) + 1):
        if number:
            motion = motions[number - 1]
            arriving = _arriving(arriving, motion.back, motion.trust_back, kept)
        arriving = arriving + own.get(number, nothing)
        a, b, weight = cv2.split(later.pop().astype(np.float32))
        after = cv2.merge([a * weight, b * weight, weight])
        yield np.stack(cv2.split(_mean(arriving + after)))


def moved_corrections(
    corrections: Sequence[tuple[int, Correction]], motions: Sequence[Motion]
) -> dict[int, Correction]:
    """Carry what a person said of single frames through a shot, as far as its places are seen.

    Args:
        corrections: Numbers of frames, and what was said of them; where two meet, the later counts.
        motions: Between each frame and the next.

    Returns:
        For each frame that something is known of, all that is: at the places where it is now.
    """
    moved: dict[int, Correction] = {}
    for first, correction in corrections:
        for step, frames in ((1, range(first, len(motions) + 1)), (-1, range(first, -1, -1))):
            here = correction
            for frame in frames:
                if frame != first:
                    here = _moved(here, motions[min(frame, frame - step)], step)
                elif step < 0:
                    continue
                if not here.is_empty:
                    known = moved.get(frame, Correction())
                    moved[frame] = Correction(
                        (*known.hints, *here.hints), here.strength, (*known.masks, *here.masks)
                    )
    return moved


def _moved(correction: Correction, motion: Motion, step: int) -> Correction:
    """A correction one frame on, without what cannot be followed there."""
    offsets, trust = (
        (motion.ahead, motion.trust_ahead) if step > 0 else (motion.back, motion.trust_back)
    )
    height, width = trust.shape

    def follow(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
        found = []
        for x, y in points:
            row, column = min(int(y * height), height - 1), min(int(x * width), width - 1)
            dx, dy = offsets[row, column].astype(float)
            there = x + dx / width, y + dy / height
            if trust[row, column] > _FOLLOWED and min(there) >= 0 and max(there) < 1:
                found.append(there)
        return tuple(found)

    hints = [replace(one, points=follow(one.points)) for one in correction.hints]
    masks = [replace(one, points=follow(one.points)) for one in correction.masks]
    return replace(
        correction,
        hints=tuple(one for one in hints if one.points),
        masks=tuple(one for one in masks if one.points),
    )


def _arriving(sums: Plane, offsets: Half, trust: Half, kept: float) -> Plane:
    share = trust.astype(np.float32) * np.float32(kept)
    a, b, weight = (one * share for one in cv2.split(carried(sums, offsets, smoothly=True)))
    # Cubics go a little beyond what they interpolate: no weight is below 0, no mean beyond reason.
    weight = np.maximum(weight, 0)
    most = np.float32(_MOST_CHROMA) * weight
    return np.asarray(cv2.merge([np.clip(a, -most, most), np.clip(b, -most, most), weight]))


def _mean(sums: Plane) -> Plane:
    """Chroma of weighed sums, (h, w, 2); its surroundings', where next to nothing arrived."""
    around: Plane = np.asarray(cv2.blur(sums, (15, 15)), np.float32)
    a, b, weight = cv2.split(cv2.scaleAdd(around, 1e-4, sums))
    share = 1 / np.maximum(weight, np.float32(1e-12))
    return np.asarray(cv2.merge([cv2.multiply(a, share), cv2.multiply(b, share)]))


def _trust(there: Plane, return_: Plane, here: Plane, other: Plane) -> Plane:
    """How sure it is that following *there* leads to the same thing.

    Args:
        there: Offsets of the pixels of *here* in *other*.
        return_: Offsets of the pixels of *other* in *here*.
        here: L* of the frame that the pixels are of.
        other: L* of the other.
    """
    across, down = cv2.split(there + carried(return_, there))
    missed = across * across + down * down
    # Where lightness hardly changes from place to place, a place near by does as well.
    even = cv2.blur(here, (3, 3))
    slopes = [cv2.Sobel(even, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1))]
    slope = slopes[0] * slopes[0] + slopes[1] * slopes[1]  # squared, in L* a pixel
    allowed = np.float32(_MISSED_PX**2) + np.float32(_MISSED_ON_PLAIN_PX**2) / (1 + slope)
    changed = carried(other, there) - here
    # Exposure flickers in places, evenly: what is left is another thing.
    changed = cv2.blur(changed, (3, 3)) - cv2.blur(changed, (41, 41))
    doubt = missed / (2 * allowed) + changed**2 / (2 * _CHANGED_L**2)
    trust: Plane = np.maximum(np.exp(-doubt), np.float32(_LEAST))
    return trust

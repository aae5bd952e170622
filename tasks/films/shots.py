"""Shots: the stretches of a film between cuts and fades, each coloured alone.

Frames are compared part by part, each of even exposure: old film flickers, a lamp that is switched
on is no cut, and bars at the sides are no picture. A cut is a step between two frames that is much
larger than those around it, and after which the picture before does not come back, as it does after
a flash, a scratched frame or a missing one. A fade to black or white parts shots where the picture
is emptiest.
"""

from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.errors import TruncatedScan
from tasks.films.header import FilmHeader
from tasks.films.luma import light_of_codes, luma_of
from tasks.films.opening import moments, open_film, pictures_of

Lags = NDArray[np.float64]  # (frames, _FLASH)


class Look(NamedTuple):
    """A frame's parts: their codes around 0, float32 (parts, pixels), and how far they spread."""

    parts: NDArray[np.float32]
    spread: NDArray[np.float32]


#: Frames of a shot at most: a lease is short, and memory small. Longer takes are parted evenly.
MOST_FRAMES = 240
#: Frames of the same take, on each side, that colouring looks at besides, so that nothing shows
#: where a take was parted.
MARGIN_FRAMES = 36

_LOOK = (64, 48)  # width and height at which frames are compared
_PART = 8  # sides of a part of that
_FLAT, _GRAIN = 0.02, 0.004  # spread of a part's codes: with half a vote; with none
_AROUND = 6  # frames on each side that a step is compared with
_FLASH = 3  # frames after which a picture that comes back has not been cut
_EMPTY = 0.012  # spread of code values, of 1, below which a frame shows nothing


@dataclass(frozen=True)
class CutRule:
    """When a step from frame to frame is a cut.

    Attributes:
        step: 1 less the correlation of parts, on average, from which it may be one.
        times: How much larger it is than those around it are, their median.
        least_frames: How long a shot is at least.
    """

    step: float = 0.35
    times: float = 2.2
    least_frames: int = 5


@dataclass(frozen=True)
class Shot:
    """A stretch of a film that is coloured alone.

    Attributes:
        first: Its first frame's number in the film, from 0.
        frames: How many.
        lead: Frames of the same take before it that colouring looks at, too; 0 after a cut.
        tail: The same after it.
        seek: Time of the first frame that is looked at, in units of the film's time base; None
            where the film has to be decoded from its start.
    """

    first: int
    frames: int
    lead: int
    tail: int
    seek: int | None


@dataclass
class _Looks:
    """The steps between frames, as far as they are needed."""

    looks: deque[Look] = field(default_factory=lambda: deque(maxlen=_FLASH + 1))
    steps: "array[float]" = field(default_factory=lambda: array("f"))
    lags: "array[float]" = field(default_factory=lambda: array("f"))  # `_FLASH` of each frame
    spreads: "array[float]" = field(default_factory=lambda: array("f"))

    def add(self, small: NDArray[np.float32]) -> None:
        """Take the next frame: its step from the last, and how far it is from those before."""
        height, width = (side // _PART for side in small.shape)
        parts = small.reshape(height, _PART, width, _PART).swapaxes(1, 2).reshape(-1, _PART**2)
        parts = parts - parts.mean(axis=1, keepdims=True)
        look, before = Look(parts, parts.std(axis=1)), list(self.looks)
        self.steps.append(_apart(before[-1], look) if before else 0.0)
        lags = [_apart(one, look) for one in before[-2::-1]]
        self.lags.extend([*lags, *[1.0] * (_FLASH - len(lags))])
        self.spreads.append(float(small.std()))
        self.looks.append(look)


def find_shots(path: Path, header: FilmHeader, *, rule: CutRule | None = None) -> tuple[Shot, ...]:
    """Decode a film once and say where its shots are; together they are all of its frames.

    Memory is that of a few frames and some thirty bytes for each.

    Args:
        path: The film.
        header: What `probe` says of it.
        rule: What is a cut.

    Raises:
        TruncatedScan: It has fewer frames than its header says.
        UnreadableScan: A frame cannot be decoded.
        OSError: It cannot be read.
    """
    seen, times, is_seekable = _Looks(), array("q"), header.is_seekable
    with open_film(path) as film:
        for moment in moments(film, pictures_of(film)):
            light = light_of_codes(header.bits, header.code_range)
            small = cv2.resize(luma_of(moment.frame), _LOOK, interpolation=cv2.INTER_AREA)
            seen.add(light[small])
            times.append(moment.pts)
            is_seekable = is_seekable and moment.is_stated
    if not times:
        raise TruncatedScan("the film has no frames; take another copy of it")
    lags = np.array(seen.lags).reshape(-1, _FLASH)
    takes = cuts(seen.steps, lags, seen.spreads, rule or CutRule())
    shots = [shot for first, frames in takes for shot in _parted(first, frames)]
    return tuple(Shot(*shot, times[shot[0] - shot[2]] if is_seekable else None) for shot in shots)


def cuts(
    steps: Sequence[float], lags: Lags, spreads: Sequence[float], rule: CutRule
) -> list[tuple[int, int]]:
    """Takes, first frame and number of frames each.

    Args:
        steps: Of each frame from the one before.
        lags: How far each is from those two, three and more frames before it.
        spreads: Of each frame's codes.
        rule: What is a cut.
    """
    firsts = [0]
    for number in sorted({*_steps_that_cut(steps, lags, rule), *_fades(lags, spreads, rule)}):
        if number - firsts[-1] >= rule.least_frames <= len(steps) - number:
            firsts.append(number)
    ends = [*firsts[1:], len(steps)]
    return [(first, end - first) for first, end in zip(firsts, ends, strict=True)]


def _steps_that_cut(steps: Sequence[float], lags: Lags, rule: CutRule) -> Iterator[int]:
    for number, step in enumerate(steps):
        if number == 0 or step < rule.step:
            continue
        before, after = steps[max(1, number - _AROUND) : number], steps[number + 1 :][:_AROUND]
        usual = float(np.median([*before, *after])) if before or after else 0.0
        nearest = max([*before[-1:], *after[:1]], default=0.0)
        # What is soon as it was before this frame has not been cut, nor what was so before that.
        later = enumerate(lags[number + 1 : number + 1 + _FLASH])
        comes_back = min(*lags[number], *(lag[since] for since, lag in later))
        if step >= max(rule.times * usual, nearest) and comes_back > step / 2:
            yield number


def _fades(lags: Lags, spreads: Sequence[float], rule: CutRule) -> Iterator[int]:
    """In the middle of each run of empty frames, but for few before the same picture again."""
    run = 0
    for number, spread in enumerate([*spreads, 1.0]):
        if spread < _EMPTY:
            run += 1
        elif run:
            before = number - run - 1
            since, usual = (
                list(lags[at, run - 1 : run]) if 0 <= at < len(lags) else []
                for at in (number, before)
            )
            if not since or since[0] > rule.times * max(usual, default=0.0):
                yield number - (run + 1) // 2
            run = 0


def _parted(first: int, frames: int) -> Iterator[tuple[int, int, int, int]]:
    """First frame, frames, lead and tail of each part of a take: as even as can be."""
    parts = -(-frames // MOST_FRAMES)
    edges = [first + frames * part // parts for part in range(parts + 1)]
    for begin, end in pairwise(edges):
        lead, tail = begin - first, first + frames - end
        yield begin, end - begin, min(lead, MARGIN_FRAMES), min(tail, MARGIN_FRAMES)


def _apart(one: Look, other: Look) -> float:
    """1 less how alike the parts of two frames are, on average over those that show something."""
    most = np.maximum(one.spread, other.spread)
    weight = np.where(most > _GRAIN, most / (most + _FLAT), 0)
    alike = (one.parts * other.parts).mean(axis=1) / (one.spread * other.spread + 1e-4)
    total = float(weight.sum())
    return float((weight * (1 - alike)).sum()) / total if total > 0.5 else 0.0

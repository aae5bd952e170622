"""A shot coloured: read, followed, looked at by the network, and written with its own luma."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Protocol

import numpy as np

from colormodel.correction import Correction
from colormodel.motion import Motion, MotionFinder, moved_corrections, over_shot
from colormodel.planes import ChromaMap, Plane
from tasks.errors import InvalidPrediction
from tasks.films.chroma import Coding, chroma_planes, lightness_of, small_luma, turned
from tasks.films.header import FilmHeader
from tasks.films.luma import Codes, luma_of
from tasks.films.opening import frames_from
from tasks.films.segment import SegmentWriter, open_segment
from tasks.films.shots import Shot
from tasks.films.wear import Wear, grain_of

#: The network looks at every third frame: by its number in the film, so that the parts of a take
#: look at the same.
KEY_STEP = 3
#: A map counts by its confidence to this power, pixel by pixel.
CONFIDENCE_POWER = 2.0
#: A frame that the network is less sure of than this share of the shot's median is no key frame:
#: a flash, a blurred one, the end of a fade.
_LEAST_SURE = 0.7
#: Luma of a shot is kept while the network looks at it, up to so much; else it is decoded again.
_KEPT_BYTES = 256 << 20
#: Grain is measured on every frame of so many.
_GRAIN_STEP = 8
#: Frames whose chroma is made while one is coded.
_AHEAD = 3


class Network(Protocol):
    """What `colormodel.infer.Colorizer` gives."""

    def network_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width at which the network looks."""

    def predict(self, lightness: Sequence[Plane]) -> Sequence[ChromaMap | Exception]:
        """Maps of pictures of that size."""


@dataclass(frozen=True)
class FrameCorrections:
    """What people said of single frames of a film.

    Attributes:
        frames: Their numbers, and what was said; where two meet, the later counts.
        colours: The network's map of a frame's L*, or what went wrong, under all that is known of
            it: what `colormodel.session.PictureSession.colours` gives.
    """

    frames: Sequence[tuple[int, Correction]]
    colours: Callable[[Plane, Correction], ChromaMap | Exception]

    def within(self, shot: Shot) -> "FrameCorrections":
        """What of it is about frames that a shot looks at."""
        first = shot.first - shot.lead
        seen = range(first, shot.first + shot.frames + shot.tail)
        return replace(self, frames=[one for one in self.frames if one[0] in seen])


@dataclass(frozen=True)
class ShotOutcome:
    """What came of a shot.

    Attributes:
        frames: Written.
        digests: MD5 of each frame's Y′, hexadecimal: rows from the top, of samples of one byte,
            or of two, the lower first; as FFmpeg's `-vf extractplanes=y -f framemd5` has it.
        confidence: The network's own of its key frames, on average, in [0, 1]; 0 without one.
        keys: Frames that the network looked at.
    """

    frames: int
    digests: tuple[str, ...]
    confidence: float
    keys: int


def colour_shot(  # noqa: PLR0913 -- each is a different thing, and the last is named
    path: Path,
    header: FilmHeader,
    shot: Shot,
    network: Network | None,
    segment: Path,
    *,
    corrections: FrameCorrections | None = None,
) -> ShotOutcome:
    """Colour one shot and write it as a segment of the master.

    It depends on the film, the shot, the network and the corrections alone. Memory is some 600 MB
    for a shot of 240 frames and its margins at 720p, whatever the film's length.

    Args:
        path: The film.
        header: What `probe` says of it.
        shot: What `find_shots` says.
        network: Gives chroma; None leaves the shot grey.
        segment: The file to write.
        corrections: What people said of single frames: it is carried along from there through all
            that the shot looks at.

    Raises:
        TruncatedScan: The film ends before the shot does.
        UnreadableScan: A frame is damaged.
        InvalidPrediction: The network gives no finite colours.
        MemoryError: There is no room for one map.
        OSError: A file cannot be read or written.
    """
    coding, kept = Coding.of(header), list[tuple[Codes, int]]()
    chroma: Iterator[Plane | None] = iter([None] * shot.frames)
    small: list[Plane | None] = [None] * shot.frames
    confidence, keys = 0.0, 0
    if network is not None:
        said = corrections.within(shot) if corrections else None
        size = network.network_size(*header.shown_size)
        look = _Look(
            path, header, shot, size, finder=MotionFinder(exact=bool(said and said.frames))
        )
        maps = _maps(look, network, said)
        sure = [found.score for found in maps.values()]
        confidence, keys = float(np.mean(sure)), len(maps)
        weighed = {
            at: (found.chroma, found.confidence**CONFIDENCE_POWER) for at, found in maps.items()
        }
        chroma = over_shot(weighed, look.motions)
        if not (said and said.frames):  # what a person says stays as it is said
            wear = Wear.of(look.small, look.grains)
            chroma = map(wear.steady, count(), look.small, chroma)
        for _ in range(shot.lead):
            next(chroma)
        kept, small = look.kept, list(look.small[shot.lead :])
    upright = zip(small, chroma, strict=False)
    stored = (
        tuple(None if one is None else turned(one, -header.quarter_turns) for one in planes)
        for planes in upright
    )
    frames = zip(_frames(path, shot, kept), stored, strict=False)
    with open_segment(segment, header) as writer:
        digests = list(_written(writer, frames, coding))
    return ShotOutcome(len(digests), tuple(digests), confidence, keys)


def digest_of(luma: Codes) -> str:
    """MD5 of a frame's Y′, (H, W), hexadecimal."""
    return hashlib.md5(luma.tobytes(), usedforsecurity=False).hexdigest()


class _Look:
    """All that is looked at of a shot: reduced luma, upright, and how frame follows frame."""

    def __init__(
        self,
        path: Path,
        header: FilmHeader,
        shot: Shot,
        size: tuple[int, int],
        *,
        finder: MotionFinder,
    ) -> None:
        self.first = shot.first - shot.lead
        self.small: list[Plane] = []
        self.motions: list[Motion] = []
        self.grains: list[float] = []
        self.kept: list[tuple[Codes, int]] = []
        coding = Coding.of(header)
        frame_bytes = header.width * header.height * (1 if header.bits == 8 else 2)
        keeps = shot.frames * frame_bytes <= _KEPT_BYTES
        before: Plane | None = None
        count = shot.lead + shot.frames + shot.tail
        for number, moment in enumerate(frames_from(path, self.first, count, shot.seek)):
            luma = luma_of(moment.frame)
            self.small.append(small_luma(luma, coding, *size, turns=header.quarter_turns))
            if number % _GRAIN_STEP == 0:
                self.grains.append(grain_of(luma, coding))
            here = lightness_of(self.small[-1])
            if before is not None:
                self.motions.append(finder.between(before, here))
            before = here
            if keeps and shot.lead <= number < shot.lead + shot.frames:
                self.kept.append((luma.copy(), moment.pts))


def _maps(
    look: _Look,
    network: Network,
    corrections: FrameCorrections | None,
) -> Mapping[int, ChromaMap]:
    """The network's maps of the key frames, by their place among what is looked at."""
    count = len(look.small)
    keys = [at for at in range(count) if (look.first + at) % KEY_STEP == 0] or [count // 2]
    moved: dict[int, Correction] = {}
    if corrections is not None:
        said = [(number - look.first, what) for number, what in corrections.frames]
        moved = moved_corrections(said, look.motions)
        keys = sorted({*keys, *(at for at, _ in said)})
    lightness = {at: lightness_of(look.small[at]) for at in keys}
    plain = [at for at in keys if at not in moved]
    found: dict[int, ChromaMap] = {}
    for at, one in zip(plain, network.predict([lightness[at] for at in plain]), strict=True):
        found[at] = _sound(one)
    if corrections is not None:
        for at in set(keys) & set(moved):
            found[at] = _sound(corrections.colours(lightness[at], moved[at]))
    usual = float(np.median([one.score for one in found.values()]))
    return {at: one for at, one in found.items() if one.score >= _LEAST_SURE * usual}


def _sound(found: ChromaMap | Exception) -> ChromaMap:
    if isinstance(found, MemoryError):
        raise found
    if isinstance(found, Exception):
        raise InvalidPrediction(str(found)) from found
    return found


def _frames(
    path: Path, shot: Shot, kept: Sequence[tuple[Codes, int]]
) -> Iterator[tuple[Codes, int]]:
    if kept:
        yield from kept
        return
    first = shot.first - shot.lead
    moments = frames_from(path, first, shot.lead + shot.frames, shot.seek)
    for number, moment in enumerate(moments):
        if number >= shot.lead:
            yield luma_of(moment.frame).copy(), moment.pts


def _written(
    writer: SegmentWriter,
    frames: Iterable[tuple[tuple[Codes, int], tuple[Plane | None, ...]]],
    coding: Coding,
) -> Iterator[str]:
    """Write frames, and give the digests of their luma; chroma of the next is made meanwhile."""
    with ThreadPoolExecutor(_AHEAD) as pool:
        ahead: deque[tuple[Codes, int, Future[tuple[Codes, Codes]]]] = deque()
        for (luma, pts), (small, a_b) in frames:
            ahead.append((luma, pts, pool.submit(_chroma, luma, small, a_b, coding)))
            if len(ahead) > _AHEAD:
                yield _write(writer, *ahead.popleft())
        while ahead:
            yield _write(writer, *ahead.popleft())


def _chroma(
    luma: Codes, small: Plane | None, a_b: Plane | None, coding: Coding
) -> tuple[Codes, Codes]:
    if small is None or a_b is None:
        neutral = np.full_like(luma, coding.middle)
        return neutral, neutral
    return chroma_planes(luma, small, a_b, coding)


def _write(
    writer: SegmentWriter, luma: Codes, pts: int, chroma: "Future[tuple[Codes, Codes]]"
) -> str:
    writer.add((luma, *chroma.result()), pts)
    return digest_of(luma)

"""What the children of a pixel pool do with films."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Self

import av
import pyvips

from tasks.films.header import FilmHeader, FilmLimits, probe
from tasks.films.reel import Reel, assemble
from tasks.films.shots import Shot, find_shots
from tasks.provenance import Provenance

if TYPE_CHECKING:
    from tasks.settings import Settings  # children do not load them

POSTER_PX = 240
"""How high a picture of a shot is."""


@dataclass(frozen=True)
class ProbeRequest:
    """A film to look at."""

    path: Path
    limits: FilmLimits

    @classmethod
    def under(cls, settings: "Settings", path: Path) -> Self:
        """With the limits that the settings name."""
        return cls(path, FilmLimits(settings.max_film_minutes, settings.max_pixels))


@dataclass(frozen=True)
class PartRequest:
    """A film to be parted into shots."""

    path: Path
    header: FilmHeader


@dataclass(frozen=True)
class PosterRequest:
    """A coloured segment, and the frame of it that stands for it."""

    segment: Path
    frame: int
    poster: Path


def probe_film(request: ProbeRequest) -> FilmHeader:
    """Read what a film is.

    Raises:
        AutochromeError: It cannot or need not be coloured; the reason says why.
    """
    return probe(request.path, request.limits)


def part_film(request: PartRequest) -> Sequence[Shot]:
    """Find a film's shots.

    Raises:
        AutochromeError: It cannot be read to its end.
    """
    return find_shots(request.path, request.header)


def make_poster(request: PosterRequest) -> None:
    """Write a small JPEG of a shot, upright, as it was and as it is, side by side."""
    with av.open(str(request.segment)) as segment:
        frame = next(islice(segment.decode(video=0), request.frame, None))
    width = max(2, round(frame.width * POSTER_PX / frame.height))
    halves = [
        pyvips.Image.new_from_array(
            frame.reformat(width, POSTER_PX, format=kind).to_ndarray(),
            interpretation=interpretation,
        )
        .colourspace("srgb")
        .rot(f"d{-90 * round(frame.rotation / 90) % 360}")
        for kind, interpretation in (("gray", "b-w"), ("rgb24", "srgb"))
    ]
    pyvips.Image.arrayjoin(halves, across=2).write_to_file(str(request.poster), Q=85, keep="none")


@dataclass(frozen=True)
class Cut:
    """A stretch of a master: its first frame, how many, and the file to write them to."""

    first: int
    frames: int
    path: Path


@dataclass(frozen=True)
class CutRequest:
    """A master that was made before, and what to take of it, in order."""

    master: Path
    cuts: tuple[Cut, ...]


def cut_master(request: CutRequest) -> None:
    """Write stretches of a master as segments again, coded frames as they are.

    Each frame of FFV1 stands alone, so that is all there is to it.
    """
    with av.open(str(request.master)) as master:
        pictures = master.streams.video[0]
        packets = (packet for packet in master.demux(pictures) if packet.size)
        at = 0
        for cut in request.cuts:
            for _ in islice(packets, cut.first - at):
                pass  # of shots that are made anew
            with av.open(str(cut.path), "w", format="matroska") as segment:
                stream = segment.add_stream_from_template(pictures)
                for packet in islice(packets, cut.frames):
                    packet.stream = stream
                    segment.mux(packet)
            at = cut.first + cut.frames


@dataclass(frozen=True)
class ReelRequest:
    """A film, and its segments in order."""

    path: Path
    header: FilmHeader
    segments: tuple[Path, ...]
    folder: Path
    provenance: Provenance


def assemble_reel(request: ReelRequest) -> Reel:
    """Put a film together, and gate it.

    Raises:
        ToneGateFailed: Its Y′ is not the film's, frame by frame.
    """
    return assemble(request.path, request.segments, request.folder, request.provenance)

"""Measures how colours of films flicker, how far from the truth they are, and how fast they come.

    python -m tests.bench.films [--film COLOUR.mp4] [--photos val-00.tar] [--frames 96]

Colour clips are made grey and coloured by the bundled network: along the motion, as `colour_shot`
does, and frame by frame with the same network. The clips: a film, pans over photographs whose
motion is known, and a photograph that stands still, with grain, flicker and a figure that crosses
it. Ratios are of what follows motion to what is coloured frame by frame. Then the film at 720p:
frames a second of both, beside what the network alone allows at one map each third frame. CPU time
of all threads stands beside the clock: on a machine that others use it is the fairer figure.
"""

import argparse
import io
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from colormodel.checkpoint import DEFAULT_CHECKPOINT, read_checkpoint
from colormodel.color import srgb_to_lab
from colormodel.infer import Colorizer
from colormodel.metrics import ciede2000
from colormodel.planes import ChromaMap
from tasks.films.chroma import Coding, chroma_planes, lightness_of, small_luma
from tasks.films.colouring import KEY_STEP, colour_shot
from tasks.films.header import FilmHeader, read_header
from tasks.films.luma import luma_of
from tasks.films.opening import frames_from
from tasks.films.segment import open_segment
from tasks.films.shots import Shot, find_shots
from tests.flicker import measure_flicker

Rgb = NDArray[np.uint8]

SIZE = (256, 160)  # of clips made of photographs, width and height


class Spent(NamedTuple):
    """Seconds by the clock, and of CPU."""

    clock: float
    cpu: float


def spent(work: Callable[[], Any]) -> Spent:
    """Do it, and take its time."""
    clock, cpu = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - clock, time.process_time() - cpu)


def film_frames(path: Path, count: int, height: int) -> list[Rgb]:
    """The first frames of a colour film, at some height."""
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        width = round(stream.width * height / stream.height / 2) * 2
        kept = islice(film.decode(stream), count)
        return [
            frame.reformat(width, height, "rgb24", interpolation="AREA").to_ndarray()  # type: ignore[misc]
            for frame in kept
        ]


def photographs(path: Path, count: int) -> Iterator[Rgb]:
    """Photographs of an archive, large enough to pan over."""
    with tarfile.open(path) as archive:
        names = sorted(one.name for one in archive.getmembers() if one.isfile())
        for name in np.random.default_rng(7).choice(names, count, replace=False):
            member = archive.extractfile(str(name))
            assert member is not None
            with Image.open(io.BytesIO(member.read())) as picture:
                rgb = np.asarray(picture.convert("RGB"))
            scale = max(1.4 * SIZE[1] / rgb.shape[0], 1.25 * SIZE[0] / rgb.shape[1])
            size = round(rgb.shape[1] * scale), round(rgb.shape[0] * scale)
            yield np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def pan(picture: Rgb, frames: int) -> list[Rgb]:
    """Pan over a picture there and back, by fractions of pixels."""
    room = np.minimum(np.array(picture.shape[1::-1]) - SIZE, frames)  # 3 pixels a frame at most
    turn = 2 * np.pi * np.arange(frames) / frames
    places = room / 2 * np.stack([1 + 0.95 * np.sin(0.8 * turn), 1 + 0.95 * np.cos(turn)], axis=1)
    moves = [np.array([[1, 0, -x], [0, 1, -y]]) for x, y in places]
    panned = (cv2.warpAffine(picture, move, SIZE, flags=cv2.INTER_CUBIC) for move in moves)
    return [np.asarray(one, np.uint8) for one in panned]


def still(picture: Rgb, figure: Rgb, frames: int) -> list[Rgb]:
    """A picture that stands still, and a part of another that crosses it."""
    ground = picture[: SIZE[1], : SIZE[0]]
    part = figure[40:130, 60:110]
    clip = []
    for number in range(frames):
        frame = ground.copy()
        left = round((SIZE[0] - part.shape[1]) * number / frames)
        frame[50 : 50 + part.shape[0], left : left + part.shape[1]] = part
        clip.append(frame)
    return clip


def write_grey(path: Path, clip: Sequence[Rgb], *, worn: bool) -> None:
    """Write a clip as a grey film; a worn one has grain, and its exposure flickers."""
    rng = np.random.default_rng(1926)
    with av.open(str(path), "w", format="matroska") as film:
        stream = film.add_stream("ffv1", rate=24)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = clip[0].shape[:2]
        stream.pix_fmt = "gray"
        for rgb in clip:
            grey = rgb @ np.array([0.2126, 0.7152, 0.0722])
            if worn:
                grey = grey * (1 + rng.normal(0, 0.03)) + rng.normal(0, 4, grey.shape)
            codes = np.rint(np.clip(grey, 0, 255)).astype(np.uint8)
            film.mux(stream.encode(av.VideoFrame.from_ndarray(codes, format="gray")))
        film.mux(stream.encode(None))


def frame_by_frame(
    path: Path, header: FilmHeader, shot: Shot, network: Colorizer, segment: Path
) -> None:
    """Colour each frame for itself, all else being equal."""
    coding, size = Coding.of(header), network.network_size(header.height, header.width)
    with open_segment(segment, header) as writer:
        frames = frames_from(path, shot.first, shot.frames, None)
        while some := list(islice(frames, 16)):
            lumas = [luma_of(moment.frame).copy() for moment in some]
            small = [small_luma(luma, coding, *size) for luma in lumas]
            maps = network.predict([lightness_of(one) for one in small])
            for moment, luma, one, found in zip(some, lumas, small, maps, strict=True):
                assert isinstance(found, ChromaMap)
                planes = chroma_planes(luma, one, found.chroma, coding)
                writer.add((luma, *planes), moment.pts)


def lab_frames(paths: Sequence[Path]) -> Iterator[NDArray[np.float32]]:
    """L*, a*, b* of all frames of segments, float32 (3, h, w)."""
    for path in paths:
        with av.open(str(path)) as film:
            for frame in film.decode(video=0):
                yield as_lab(frame.reformat(format="rgb24").to_ndarray())  # type: ignore[arg-type]


def as_lab(rgb: Rgb) -> NDArray[np.float32]:
    """L*, a*, b* of sRGB codes (h, w, 3)."""
    srgb = torch.from_numpy(rgb).permute(2, 0, 1).float() / 255
    lab: NDArray[np.float32] = srgb_to_lab(srgb).numpy()
    return lab


def judged(paths: Sequence[Path], truth: Sequence[NDArray[np.float32]]) -> tuple[float, ...]:
    """Warped error, variance on still ground, mean ΔE₀₀ of segments."""
    found = list(lab_frames(paths))
    pairs = list(zip(found, truth, strict=True))
    flicker = measure_flicker((own[0], lab[1:]) for lab, own in pairs)
    error = [
        float(ciede2000(torch.from_numpy(lab), torch.from_numpy(own)).mean()) for lab, own in pairs
    ]
    return flicker.warped_error, flicker.still_variance, float(np.mean(error))


def compare(
    name: str, clip: Sequence[Rgb], network: Colorizer, folder: Path, *, worn: bool
) -> None:
    """Colour a clip both ways and print a row of the table."""
    path = folder / "grey.mkv"
    write_grey(path, clip, worn=worn)
    header = read_header(path)
    shots = find_shots(path, header)
    truth = [as_lab(rgb) for rgb in clip]
    rows = []
    for colour in (colour_shot, frame_by_frame):
        segments = [folder / f"{number}.mkv" for number in range(len(shots))]
        for shot, segment in zip(shots, segments, strict=True):
            colour(path, header, shot, network, segment)
        rows.append(judged(segments, truth))
    (warped, variance, error), (warped_each, variance_each, error_each) = rows
    print(  # noqa: T201
        f"| {name} | {len(clip)} | {warped:.2f} | {warped_each:.2f} | {warped / warped_each:.2f} | "
        f"{variance:.2f} | {variance_each:.2f} | {variance / variance_each:.2f} | {error:.2f} | "
        f"{error_each:.2f} | {error / error_each:.3f} |",
        flush=True,
    )


def race(clip: Sequence[Rgb], network: Colorizer, folder: Path) -> None:
    """Print how long a clip takes each way, and how long the network alone does."""
    path = folder / "grey.mkv"
    write_grey(path, clip, worn=False)
    header = read_header(path)
    shot = Shot(0, len(clip), 0, 0, None)
    size = network.network_size(header.height, header.width)
    light = np.linspace(0, 1, size[0] * size[1], dtype=np.float32).reshape(size)
    planes = [lightness_of(light)] * -(-len(clip) // KEY_STEP)
    network.predict(planes[:4])
    ways: dict[str, Callable[[], Any]] = {
        "the network alone, each third frame": lambda: network.predict(planes),
        "along the motion": lambda: colour_shot(path, header, shot, network, folder / "a.mkv"),
        "frame by frame": lambda: frame_by_frame(path, header, shot, network, folder / "b.mkv"),
    }
    alone: Spent | None = None
    for name, work in ways.items():
        took = spent(work)
        alone = alone or took
        print(  # noqa: T201
            f"| {name} | {len(clip) / took.clock:.1f} | {took.cpu / len(clip) * 1000:.0f} | "
            f"{alone.clock / took.clock:.2f} | {alone.cpu / took.cpu:.2f} |",
            flush=True,
        )


def main() -> int:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--film", type=Path, help="a film in colour")
    parser.add_argument("--photos", type=Path, help="an archive of photographs")
    parser.add_argument("--frames", type=int, default=96)
    parser.add_argument("--pans", type=int, default=3)
    parser.add_argument("--height", type=int, default=360, help="of the film where it is judged")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--speed-frames", type=int, default=60, help="at 720p; 0: not measured")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    cv2.setNumThreads(asked.threads)
    network = Colorizer(read_checkpoint(DEFAULT_CHECKPOINT))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if asked.film:
            clip = film_frames(asked.film, asked.frames, asked.height)
            compare(asked.film.stem, clip, network, folder, worn=False)
            compare(f"{asked.film.stem}, worn", clip, network, folder, worn=True)
        if asked.photos:
            pictures = list(photographs(asked.photos, asked.pans + 1))
            for number, picture in enumerate(pictures[:-1], 1):
                compare(
                    f"pan {number}, worn", pan(picture, asked.frames), network, folder, worn=True
                )
            standing = still(pictures[-1], pictures[0], asked.frames)
            compare("still, worn", standing, network, folder, worn=True)
        if asked.film and asked.speed_frames:
            race(film_frames(asked.film, asked.speed_frames, 720), network, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Measures how soon a picture answers a person who corrects it.

    python -m tests.bench.correcting [--threads 2] [--rounds 9]

A photograph of 640 px, and one of 27 megapixels at screen size, under the bundled network: read as
the desk reads it (once, when the page is opened), then hint after hint, each a change that nothing
is remembered of. Beside the clock stands the CPU time of all threads: on a machine that others use
it is the fairer figure.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch
from skimage import data
from skimage.transform import resize

from colormodel.checkpoint import DEFAULT_CHECKPOINT, read_checkpoint
from colormodel.correction import Correction
from colormodel.hints import Stroke
from colormodel.infer import Colorizer
from tasks.corrections.looking import LookRequest, look_to_correct
from tasks.corrections.sessions import SCREEN_PX, OpenPicture
from tasks.scans.header import ReadLimits
from tests.scanfiles import codes_of, write_jpeg

P = ParamSpec("P")
T = TypeVar("T")
#: Rounds in which alternatives are looked for: each takes seconds.
OTHERS = 2
#: Height and width of the pictures.
SIZES = {"640 px": (480, 640), "27 megapixels": (4243, 6364)}


@dataclass
class Spent:
    """Seconds by the clock and of CPU, of each round."""

    clock: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def measure(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do it once, and take its time."""
        clock, cpu = time.perf_counter(), time.process_time()
        made = work(*args, **kwargs)
        self.clock.append(time.perf_counter() - clock)
        self.cpu.append(time.process_time() - cpu)
        return made

    def in_words(self) -> str:
        """Say the median, and the worst."""
        parts = (self.clock, self.cpu)
        return " | ".join(f"{statistics.median(one):.2f} s, {max(one):.2f} s" for one in parts)


def measure(name: str, colorizer: Colorizer, folder: Path, *, rounds: int) -> None:
    """Print the rows of one picture."""
    height, width = SIZES[name]
    path = folder / "scan.jpg"
    light = resize(data.rocket().mean(axis=2) / 255, (height, width), order=1)
    write_jpeg(path, codes_of(light))
    limits = ReadLimits(max_pixels=height * width)
    request = LookRequest(path, 0, limits, colorizer.checkpoint.network_px, SCREEN_PX)
    opening, hint, moved, likely, others = (Spent() for _ in range(5))
    for number in range(rounds):
        looked = opening.measure(look_to_correct, request)
        picture = OpenPicture(colorizer, looked)
        picture.picture(Correction())
        sky = Stroke(((0.2, 0.2),), (90, 120, 180))
        said = Correction((Stroke(((0.3 + 0.04 * number, 0.7),), (180, 60, 50)), sky))
        other = Correction((Stroke(((0.3 + 0.04 * number, 0.6),), (60, 130, 70)), sky))
        hint.measure(picture.picture, said)
        moved.measure(picture.picture, other)
        likely.measure(picture.place, 0.5, 0.5, other)
        if number < OTHERS:
            others.measure(picture.alternatives, other)
    for what, spent in (
        ("read, once", opening),
        ("answers two hints", hint),
        ("answers one that was moved", moved),
        ("likely colours at a place", likely),
        ("four alternatives", others),
    ):
        sys.stdout.write(f"| {name}: {what} | {spent.in_words()} |\n")


def main() -> None:
    """Measure both pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    colorizer = Colorizer(read_checkpoint(DEFAULT_CHECKPOINT), device="cpu")
    sys.stdout.write("| | clock: half within, worst | CPU: half within, worst |\n|---|--:|--:|\n")
    with tempfile.TemporaryDirectory() as folder:
        for name in SIZES:
            measure(name, colorizer, Path(folder), rounds=options.rounds)


if __name__ == "__main__":
    main()

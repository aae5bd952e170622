"""Measures how often each judgement about a scan is wrong, on real and on made pictures.

    python -m tests.bench.judgements [--data ../shared/data]

Prints a row for each kind of picture: how many there are, and what they were taken for.
"""

import argparse
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyvips

from tasks.errors import AutochromeError
from tasks.scans.findings import examine
from tasks.scans.reader import Scan, open_scan
from tests.scanfiles import (
    Codes,
    codes_of,
    in_film_border,
    photograph,
    text_page,
    toned,
    with_step_wedge,
    write_png,
)

MADE = 40


def verdict(scan: Scan) -> str:
    """Say in a few words what a scan is taken for."""
    try:
        found = examine(scan)
    except AutochromeError as error:
        return error.reason.value
    words = ["toned"] * found.toned + ["negative suspected"] * found.negative_suspected
    return " and ".join(words) or "picture"


def row(name: str, paths: Iterator[Path]) -> None:
    """Judge files, and print what they were taken for."""
    counts = Counter(verdict(open_scan(path)) for path in paths)
    parts = ", ".join(f"{count} {word}" for word, count in counts.most_common())
    print(f"{name:44} {counts.total():5}: {parts}", flush=True)  # noqa: T201


def changed(paths: list[Path], folder: Path, change: Callable[[Codes], Codes]) -> Iterator[Path]:
    """Write each picture's grey codes, changed, as PNG."""
    for path in paths:
        codes = np.concatenate([strip for _, strip in open_scan(path).strips()])
        yield write_png(folder / "changed.png", change(codes))


def made(folder: Path, draw: Callable[[int], Codes]) -> Iterator[Path]:
    """Write pictures that are drawn from a number."""
    for seed in range(MADE):
        yield write_png(folder / "made.png", draw(seed))


def photos(data: Path, folder: Path) -> list[Path]:
    """Unpack the validation photographs as PNG, whatever they were."""
    with tarfile.open(data / "photos" / "val-00.tar") as archive:
        archive.extractall(folder, filter="data")
    found = []
    for path in sorted(folder.glob("*.webp")):
        found.append(path.with_suffix(".png"))
        pyvips.Image.new_from_file(str(path)).colourspace("srgb")[:3].pngsave(str(found[-1]))
    return found


def main() -> None:
    """Measure on everything that is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    data = parser.parse_args().data
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        row("photographs made, 8-bit", made(folder, lambda n: codes_of(photograph(seed=n))))
        row("the same in a film border", made(folder, _framed))
        row("the same, negative, in a film border", made(folder, lambda n: 255 - _framed(n)))
        row("the same with a step wedge", made(folder, _with_wedge))
        row("sepia", made(folder, lambda n: toned(photograph(seed=n), "sepia")))
        row("cyanotype", made(folder, lambda n: toned(photograph(seed=n), "cyanotype")))
        row("text pages", made(folder, lambda n: codes_of(text_page(seed=n))))
        row("blank sheets, with dust", made(folder, _blank))
        if not data.is_dir():
            return
        scans = sorted((data / "scans").glob("*.jpg"))
        row("archive scans", iter(scans))
        row("archive scans, made negative", changed(scans, folder, lambda codes: 255 - codes))
        colour = photos(data, folder)
        row("colour photographs", iter(colour))
        row("colour photographs, made grey", changed(colour, folder, lambda codes: codes))
        row("the same, made negative", changed(colour, folder, lambda codes: 255 - codes))
        row("period colour photographs", iter(sorted((data / "references").glob("*.jpg"))))


def _framed(seed: int) -> Codes:
    return codes_of(in_film_border(photograph(420, 560, seed=seed)))


def _with_wedge(seed: int) -> Codes:
    return codes_of(with_step_wedge(photograph(420, 560, seed=seed), steps=8 + seed % 13))


def _blank(seed: int) -> Codes:
    rng = np.random.default_rng(seed)
    sheet = rng.uniform(0.05, 0.95) + rng.normal(0, 0.012, (500, 400))
    for y, x in rng.integers(5, 390, (30, 2)):
        sheet[y : y + 2, x : x + 2] *= 0.5
    return codes_of(np.clip(sheet, 0, 1))


if __name__ == "__main__":
    main()

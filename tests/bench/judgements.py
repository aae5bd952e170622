"""Measures how often each judgement about a scan is wrong, on real and on made pictures.

    python -m tests.bench.judgements [--data ../shared/data]

Prints a row for each kind of picture: how many there are, of how many the network was asked
whether they are negatives, and what they were taken for.
"""

import argparse
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyvips

from colormodel.checkpoint import DEFAULT_CHECKPOINT, read_checkpoint
from colormodel.infer import Colorizer
from tasks.errors import AutochromeError
from tasks.scans.findings import examine
from tasks.scans.frame import FrameRule, find_frame
from tasks.scans.reader import Scan, open_scan
from tests import oldprints
from tests.scanfiles import (
    Codes,
    codes_of,
    in_film_border,
    photograph,
    text_page,
    toned,
    with_step_wedge,
    write_jpeg,
    write_png,
)

MADE = 40

Treatment = Callable[[oldprints.Picture, np.random.Generator], oldprints.Picture]


class Judge:
    """Looks at scans as a batch does, by the bundled network."""

    def __init__(self, checkpoint: Path) -> None:
        self._colorizer = Colorizer(read_checkpoint(checkpoint), device="cpu")
        self.asked = 0

    def verdict(self, scan: Scan) -> str:
        """Say in a few words what a scan is taken for."""
        try:
            found = examine(scan)
        except AutochromeError as error:
            return error.reason.value
        words = [found.reason.value] if found.reason else []
        if found.negative_doubt is not None:
            self.asked += 1
            (score,) = self._colorizer.negativity([found.negative_doubt.view])
            words += ["negative suspected"] * (score >= found.negative_doubt.suspected_from)
        return " and ".join(words) or "picture"

    def row(self, name: str, paths: Iterator[Path]) -> None:
        """Judge files, and print what they were taken for."""
        self.asked = 0
        counts = Counter(self.verdict(open_scan(path)) for path in paths)
        parts = ", ".join(f"{count} {word}" for word, count in counts.most_common())
        print(f"{name:44} {counts.total():5} {self.asked:5}: {parts}", flush=True)  # noqa: T201


def changed(paths: list[Path], folder: Path, change: Callable[[Codes], Codes]) -> Iterator[Path]:
    """Write each picture's grey codes, changed, as PNG."""
    for path in paths:
        codes = np.concatenate([strip for _, strip in open_scan(path).strips()])
        yield write_png(folder / "changed.png", change(codes))


def made(folder: Path, draw: Callable[[int], Codes]) -> Iterator[Path]:
    """Write pictures that are drawn from a number."""
    for seed in range(MADE):
        yield write_png(folder / "made.png", draw(seed))


def treatments() -> dict[str, Treatment]:
    """What happens to prints, by name."""
    mounts, inks = list(oldprints.MOUNTS), list(oldprints.INKS)
    return {
        **oldprints.AGEING,
        "mounted": lambda picture, rng: oldprints.mounted(picture, rng.choice(mounts), rng),
        "stamped": lambda picture, rng: oldprints.stamped(picture, rng.choice(inks), rng),
        "written on": lambda picture, rng: oldprints.annotated(picture, rng.choice(inks), rng),
        "tinted": oldprints.tinted,
        "beside a target": oldprints.beside_target,
    }


def treated(paths: list[Path], folder: Path, change: Treatment) -> Iterator[Path]:
    """Write each picture, reduced and treated, as JPEG."""
    for seed, path in enumerate(paths):
        image = pyvips.Image.thumbnail(str(path), 800, height=800, size="down")
        picture = image.colourspace("srgb")[:3].numpy() / 255
        codes = np.clip(change(picture, np.random.default_rng(seed)), 0, 1) * 255
        yield write_jpeg(folder / "treated.jpg", np.rint(codes).astype(np.uint8), quality=85)


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
    parser.add_argument("--checkpoint", type=Path, default=DEFAULT_CHECKPOINT)
    arguments = parser.parse_args()
    data, row = arguments.data, Judge(arguments.checkpoint).row
    print(f"{'':44} {'all':>5} {'asked':>5}")  # noqa: T201
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        row("photographs made, 8-bit", made(folder, lambda n: codes_of(photograph(seed=n))))
        row("the same in a film border", made(folder, _framed))
        row("the same, negative, in a film border", made(folder, lambda n: 255 - _framed(n)))
        row("the same with a step wedge", made(folder, _with_wedge))
        row("the same in a white margin", made(folder, _in_margin))
        row("sepia", made(folder, lambda n: toned(photograph(seed=n), "sepia")))
        row("cyanotype", made(folder, lambda n: toned(photograph(seed=n), "cyanotype")))
        row("text pages", made(folder, lambda n: codes_of(text_page(seed=n))))
        row("blank sheets, with dust", made(folder, _blank))
        if not data.is_dir():
            return
        scans = sorted((data / "scans").glob("*.jpg"))
        row("archive scans", iter(scans))
        row("archive scans, made negative", changed(scans, folder, lambda codes: 255 - codes))
        row("archive scans, cut out of their film", changed(scans, folder, _cut_out))
        row("the same, made negative", changed(scans, folder, lambda n: 255 - _cut_out(n)))
        colour = photos(data, folder)
        row("colour photographs", iter(colour))
        row("colour photographs, made grey", changed(colour, folder, lambda codes: codes))
        row("the same, made negative", changed(colour, folder, lambda codes: 255 - codes))
        row("made grey, in a white margin", changed(colour, folder, _with_margin))
        row(
            "made negative, in clear film", changed(colour, folder, lambda n: _with_margin(255 - n))
        )
        row("period colour photographs", iter(sorted((data / "references").glob("*.jpg"))))
        prints = sorted((data / "toned").glob("*.jpg"))
        row("toned prints", iter(prints))
        for what, change in treatments().items():
            row(f"toned prints, {what}", treated(prints, folder, change))
            row(f"archive scans, {what}", treated(scans[::2], folder, change))


def _framed(seed: int) -> Codes:
    return codes_of(in_film_border(photograph(420, 560, seed=seed)))


def _with_margin(codes: Codes) -> Codes:
    return np.pad(codes, max(codes.shape) // 16, constant_values=250)


def _in_margin(seed: int) -> Codes:
    return _with_margin(codes_of(photograph(seed=seed)))


def _cut_out(codes: Codes) -> Codes:
    """The picture without what its film leaves around it, and a little less."""
    lightness = (codes / 2.55).astype(np.float32)
    picture = find_frame(lightness, FrameRule()).picture
    return codes[picture.inset(0.03).slices(*codes.shape)]


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

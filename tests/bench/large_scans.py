"""Measures time and peak memory of reading large scans, each in a process of its own.

    python tests/bench/large_scans.py [--folder DIR] [--only NAME]

The scans are made first, in strips, and kept in the folder: about 4 GB. The figures are the peak
resident set of the whole process, and that above what it took to import the reader.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyvips

from tests.scanfiles import codes_of, photograph

MIB = 1 << 20
KIB = 1 << 10


@dataclass(frozen=True)
class Kind:
    """A large scan: its size, depth and how it is stored."""

    name: str
    width: int
    height: int
    bits: int
    save: dict[str, object]
    orientation: int = 1
    is_rgb: bool = False


KINDS = (
    Kind("225 Mpx 16-bit strips", 15000, 15000, 16, {"compression": "none"}),
    Kind("225 Mpx 16-bit LZW", 15000, 15000, 16, {"compression": "lzw", "predictor": "horizontal"}),
    Kind("225 Mpx 16-bit ZIP tiles", 15000, 15000, 16, {"compression": "deflate", "tile": True}),
    Kind("225 Mpx 16-bit turned", 15000, 15000, 16, {"compression": "none"}, orientation=6),
    Kind("225 Mpx 16-bit RGB", 15000, 15000, 16, {"compression": "none"}, is_rgb=True),
    Kind("1 Gpx 8-bit strips", 40000, 25000, 8, {"compression": "none"}),
    Kind("1 Gpx 8-bit tiles", 40000, 25000, 8, {"compression": "jpeg", "Q": 85, "tile": True}),
    Kind("1 Gpx 16-bit turned", 40000, 25000, 16, {"compression": "none"}, orientation=8),
)


def make(kind: Kind, path: Path) -> None:
    """Write a large scan, many photographs side by side, streamed to disc."""
    one = pyvips.Image.new_from_array(codes_of(photograph(1000, 1000), kind.bits))
    codes = one.replicate(kind.width // 1000, kind.height // 1000)
    if kind.is_rgb:
        codes = codes.bandjoin([codes, (codes * 0.9).cast("ushort")])
    names = {(8, False): "b-w", (16, False): "grey16", (16, True): "rgb16"}
    codes = codes.copy(interpretation=names[kind.bits, kind.is_rgb])
    codes.set_type(pyvips.GValue.gint_type, "orientation", kind.orientation)
    codes.tiffsave(str(path), bigtiff=True, **kind.save)


def peak_bytes() -> int:
    """Largest resident set of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB


def survey(path: Path) -> None:
    """Examine a scan and make the network's picture of it."""
    from tasks.scans.findings import examine  # noqa: PLC0415 -- in the measured process only
    from tasks.scans.reader import open_scan  # noqa: PLC0415

    scan = open_scan(path)
    examine(scan)
    scan.thumbnail(384, 512)


def read_all(path: Path) -> None:
    """Read every code at full size."""
    from tasks.scans.reader import open_scan  # noqa: PLC0415 -- in the measured process only

    for _ in open_scan(path).strips():
        pass


def measured(work: Callable[[Path], None], path: Path) -> tuple[float, int, int]:
    """Run work in a fresh process; give its seconds, peak, and peak above importing the reader."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_timed, (work, path))


def _timed(work: Callable[[Path], None], path: Path) -> tuple[float, int, int]:
    import tasks.scans.findings  # noqa: F401, PLC0415 -- its memory is not the scan's

    before, start = peak_bytes(), time.perf_counter()
    work(path)
    return time.perf_counter() - start, peak_bytes(), peak_bytes() - before


def main() -> None:
    """Make what is missing, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(tempfile.gettempdir()) / "autochrome-large-scans"
    parser.add_argument("--folder", type=Path, default=default)
    parser.add_argument("--only", default="", help="measure kinds whose name contains this")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    print(f"{'scan':28} {'pass':8} {'seconds':>8} {'peak MiB':>9} {'of the scan':>12}")  # noqa: T201
    for kind in KINDS:
        if arguments.only not in kind.name:
            continue
        path = arguments.folder / f"{kind.name.replace(' ', '-')}.tif"
        if not path.exists():
            make(kind, path)
        for name, work in (("survey", survey), ("strips", read_all)):
            seconds, peak, above = measured(work, path)
            row = f"{seconds:8.1f} {peak / MIB:9.0f} {above / MIB:12.0f}"
            print(f"{kind.name:28} {name:8} {row}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()

"""Measures time and peak memory of colouring large scans: read, write, gate, each item whole.

    python -m tests.bench.large_derivatives [--folder DIR] [--only NAME]...

The limits are 1,000 MiB for 225 megapixels and 1,500 MiB for a gigapixel, whatever the coding; the
exit code is 1 where one is passed. The scans are those of `large_scans`, made first if they are
missing; each is read for the network's thumbnail, coloured with a made-up chroma map, written under
the default policy (lossless master and access JPEG) and gated, in a process of its own. "cpu"
counts all threads. "of the scan" is the peak resident set above what it took to import the reader
and the writer.
"""

import argparse
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.bench.large_scans import KINDS, MIB, make, peak_bytes

#: Peak memory above importing: the whole of what a pixel process needs for one scan.
LIMIT_MIB, GIGAPIXEL_LIMIT_MIB = 1000, 1500


def colour(path: Path) -> tuple[float, float, int, int]:
    """Colour one scan; give seconds, CPU seconds, peak bytes, and those above importing."""
    from colormodel.planes import ChromaMap  # noqa: PLC0415 -- in the measured process only
    from tasks.derivatives import OutputPolicy, write_derivatives  # noqa: PLC0415
    from tasks.scans.reader import open_scan  # noqa: PLC0415
    from tests.tasks.derivatives.scanmaker import make_provenance  # noqa: PLC0415

    before, start, cpu = peak_bytes(), time.perf_counter(), time.process_time()
    scan = open_scan(path)
    lightness = scan.thumbnail(384, 512)
    rows, columns = np.mgrid[0:384, 0:512] / 96
    chroma = np.stack([np.sin(3 * rows + columns), np.cos(2 * columns - rows)]) * 20
    ones = np.ones_like(lightness)
    chroma_map = ChromaMap(chroma.astype(np.float32), ones, 0.5, lightness)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        write_derivatives(
            path,
            scan,
            chroma_map,
            provenance=make_provenance(scan),
            policy=OutputPolicy(),
            folder=Path(folder),
        )
    seconds = time.perf_counter() - start
    return seconds, time.process_time() - cpu, peak_bytes(), peak_bytes() - before


def main() -> None:
    """Make what is missing, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(tempfile.gettempdir()) / "autochrome-large-scans"
    parser.add_argument("--folder", type=Path, default=default)
    parser.add_argument(
        "--only", action="append", default=[], help="measure kinds whose name contains this"
    )
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    print(f"{'scan':28} {'seconds':>8} {'cpu':>8} {'peak MiB':>9} {'of the scan':>12}")  # noqa: T201
    over = []
    for kind in KINDS:
        if arguments.only and not any(name in kind.name for name in arguments.only):
            continue
        path = arguments.folder / f"{kind.name.replace(' ', '-')}.tif"
        if not path.exists():
            make(kind, path)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, cpu, peak, above = pool.apply(colour, (path,))
        row = f"{seconds:8.1f} {cpu:8.1f} {peak / MIB:9.0f} {above / MIB:12.0f}"
        print(f"{kind.name:28} {row}", flush=True)  # noqa: T201
        if above / MIB > (LIMIT_MIB if kind.width * kind.height < 1e9 else GIGAPIXEL_LIMIT_MIB):
            over.append(kind.name)
    if over:
        sys.exit(f"over the limit of memory: {', '.join(over)}")


if __name__ == "__main__":
    main()

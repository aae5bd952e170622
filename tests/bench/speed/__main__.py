"""The speed benchmark: every claim a row, in one run, as ratios.

    python -m tests.bench.speed [--scans 128] [--largest 1000] [--only NAME]... [--json FILE]

On a busy machine figures are pessimistic; ratios are of works that took turns.
"""

import argparse
import shlex
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench.speed import (
    gpu,
    large,
    network,
    pipeline,
    prefect_cost,
    roofline,
    sidebyside,
    stages,
    startup,
)
from tests.bench.speed.material import small_scans
from tests.bench.speed.rows import Row, machine, to_table, write_json

Part = Callable[[Path], list[Row]]


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=int, default=128, help="small scans in a run")
    parser.add_argument("--largest", type=int, default=1000, help="scans of the longest run")
    parser.add_argument("--only", action="append", default=[], help="one part; may be repeated")
    parser.add_argument("--json", type=Path, default=None)
    given = parser.parse_args()
    parts = _parts(given.scans, given.largest)
    unknown = set(given.only) - set(parts)
    if unknown:
        parser.error(f"no part is called {', '.join(unknown)}; there are {', '.join(parts)}")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="autochrome-speed-") as folder:
        for name, part in parts.items():
            if not given.only or name in given.only:
                sys.stderr.write(f"{name} …\n")
                (place := Path(folder) / name).mkdir()
                rows += part(place)
    command = shlex.join(["python", "-m", "tests.bench.speed", *sys.argv[1:]])
    sys.stdout.write(f"{command}\n{machine()}\n\n{to_table(rows)}\n")
    if given.json:
        write_json(given.json, rows, command=command)


def _parts(scans: int, largest: int) -> dict[str, Part]:
    def start(folder: Path) -> list[Row]:
        source, _ = small_scans(folder / "scan", 1)
        return startup.measure(folder, next(source.iterdir()))

    return {
        "startup": start,
        "stages": stages.measure,
        "network": network.measure,
        "gpu": gpu.measure,
        "roofline": roofline.measure,
        "flatness": lambda folder: pipeline.measure_flatness(folder, largest=largest),
        "pipeline": lambda folder: pipeline.measure(folder, scans=scans),
        "sidebyside": lambda folder: sidebyside.measure(folder, scans=scans),
        "s3": lambda folder: pipeline.measure_s3(folder, scans=scans),
        "prefect": lambda folder: prefect_cost.measure(folder, scans=largest),
        "large": large.measure,
    }


if __name__ == "__main__":
    main()

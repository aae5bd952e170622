"""What a small scan costs beside the network: one process, one thread, CPU time."""

import shutil
from pathlib import Path

from colormodel.checkpoint import DEFAULT_CHECKPOINT, read_checkpoint
from colormodel.infer import Colorizer
from tasks.batch.pixel_work import ReadRequest, WriteRequest, read_scan, write_scan
from tasks.derivatives import OutputPolicy
from tasks.scans.header import ReadLimits
from tasks.scans.reader import open_scan
from tests.bench.speed.material import small_scans
from tests.bench.speed.rows import Row, at_most, cpu_seconds_of
from tests.tasks.derivatives.scanmaker import make_provenance

SCANS, ROUNDS = 32, 5


def measure(folder: Path) -> list[Row]:
    """A row: reading, judging, writing and checking, the least of some rounds."""
    source, kind = small_scans(folder / "scans", SCANS)
    paths = sorted(source.glob("*.jpg"))
    colorizer = Colorizer(read_checkpoint(DEFAULT_CHECKPOINT), device="cpu")
    px, limits = colorizer.checkpoint.network_px, ReadLimits()
    requests = [ReadRequest(path, 0, limits, px) for path in paths]
    found = [read_scan(request) for request in requests]
    maps = colorizer.predict(
        [one.lightness for one in found], neutral=[one.neutral for one in found]
    )
    provenance = make_provenance(open_scan(paths[0]))

    def read() -> None:
        for request in requests:
            read_scan(request)

    def write() -> None:
        for path, chroma_map in zip(paths, maps, strict=True):
            assert not isinstance(chroma_map, Exception)
            write_scan(WriteRequest(path, 0, limits, chroma_map, provenance, OutputPolicy()))
        for made in source.glob("derivatives-*"):
            shutil.rmtree(made)

    write()  # tables are made, files are cached
    read_ms, write_ms = (
        1000 * min(cpu_seconds_of(work) for _ in range(ROUNDS)) / SCANS for work in (read, write)
    )
    detail = f"{kind}: read and judged {read_ms:.1f}, written and checked {write_ms:.1f} ms"
    return [at_most("CPU a scan, network aside", read_ms + write_ms, 15, detail, unit="ms")]

"""What Prefect costs: the nightly flow against the same night without it."""

import contextlib
import io
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

from flows.cli.run import run
from flows.prefect_home import use_local_prefect
from flows.serving.processes import descendants
from tasks.settings import settings_in_force
from tests.bench.speed.material import small_scans
from tests.bench.speed.pipeline import settings_for
from tests.bench.speed.rows import Row, at_most


def measure(folder: Path, *, scans: int) -> list[Row]:
    """Rows about a night with discovery, ledger, derivatives and report, with Prefect or without.

    Prefect's local server is one of the processes that are counted; its start is not.
    """
    use_local_prefect(folder / "prefect")
    os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"
    from flows.nightly import nightly  # noqa: PLC0415 -- Prefect reads the variables when imported

    source, kind = small_scans(folder / "scans", scans)
    bare = settings_for(folder / "without", str(source), str(folder / "without" / "out"))
    flow = settings_for(folder / "with", str(source), str(folder / "with" / "out"))
    (folder / "nothing").mkdir()
    warm = settings_for(folder / "warm", str(folder / "nothing"), str(folder / "warm" / "out"))
    with settings_in_force(warm):
        nightly()  # the server starts
    bare_s, bare_cpu_s = _cost(lambda: run(bare, as_json=True))
    with settings_in_force(flow):
        flow_s, flow_cpu_s = _cost(nightly)
    detail = (
        f"{scans:,} {kind}: {flow_cpu_s:.1f} s of CPU with it, {bare_cpu_s:.1f} s without "
        f"({flow_s:.1f} s and {bare_s:.1f} s by the clock)"
    )
    return [
        at_most("Prefect's cost in CPU", 100 * (flow_cpu_s / bare_cpu_s - 1), 1, detail, unit="%"),
        Row("Prefect's cost by the clock", 100 * (flow_s / bare_s - 1), "%", detail="the same"),
    ]


def _cost(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of CPU in this process and all that it started."""
    start, cpu = time.perf_counter(), _cpu_s()
    with contextlib.redirect_stdout(io.StringIO()):
        work()
    return time.perf_counter() - start, _cpu_s() - cpu


def _cpu_s() -> float:
    """Of those that have ended, and of those that run still."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    total = sum(one.ru_utime + one.ru_stime for one in used)
    ticks = 0
    for pid in descendants(os.getpid()):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return total + ticks / os.sysconf("SC_CLK_TCK")

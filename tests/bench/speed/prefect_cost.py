"""What Prefect costs: the nightly flow against the same night without it.

Two nights of the same work differ by some percent of CPU, whoever else is on the machine: more than
what is looked for. So what Prefect uses is counted where it is used: in its server, in its threads,
in the main thread beyond what that of the bare night uses, and around each batch.
"""

import contextlib
import functools
import io
import os
import resource
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar
from unittest.mock import patch

from flows.cli.running import run_here
from flows.prefect_home import use_local_prefect
from flows.serving.environment import RUNS_KEPT_S
from flows.serving.processes import descendants
from tasks.settings import Settings, settings_in_force
from tests.bench.speed.material import small_scans
from tests.bench.speed.pipeline import settings_for
from tests.bench.speed.rows import Row, at_most

#: Prefect's server writes task runs and events down every 5 s.
SETTLE_S = 6.0
#: Runs are deleted after so many days: `serve`'s settings.
NIGHTS_KEPT = RUNS_KEPT_S // 86_400

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Spent:
    """Seconds by the clock, and of CPU."""

    clock: float
    total: float  #: of this process and all that it started
    main_thread: float
    other_threads: float  #: those that outlive a night: Prefect's alone do

    def __sub__(self, before: "Spent") -> "Spent":
        return Spent(
            self.clock - before.clock,
            self.total - before.total,
            self.main_thread - before.main_thread,
            self.other_threads - before.other_threads,
        )


def measure(folder: Path, *, scans: int) -> list[Row]:
    """Rows about a night with discovery, ledger, derivatives and report, with Prefect or without.

    All that Prefect's local server uses during the night counts; its start does not.
    """
    use_local_prefect(folder / "prefect")
    os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"
    from flows.nightly import nightly  # noqa: PLC0415 -- Prefect reads the variables when imported

    few, _ = small_scans(folder / "few", 16)
    source, kind = small_scans(folder / "scans", scans)

    def settings(name: str, source: Path) -> Settings:
        return settings_for(folder / name, str(source), str(folder / name / "out"))

    _spent(
        lambda: run_here(settings("warm-bare", few), as_json=True)
    )  # torch, pictures, SQL are loaded
    bare = _spent(lambda: run_here(settings("bare", source), as_json=True))  # no server yet
    with settings_in_force(settings("warm-flow", few)):
        nightly()  # the server starts
    time.sleep(SETTLE_S)
    server_before, kept_before = _server_cpu_s(), _database_bytes(folder / "prefect")
    with settings_in_force(settings("flow", source)), _timing_the_engine() as around_batches:
        flow = _spent(nightly)
    time.sleep(SETTLE_S)
    server, engine = _server_cpu_s() - server_before, sum(around_batches)
    grown = _database_bytes(folder / "prefect") - kept_before
    main = flow.main_thread - bare.main_thread
    prefect = server + main + engine + flow.other_threads
    detail = (
        f"{scans:,} {kind}: {prefect:.1f} s of CPU (server {server:.1f}, flow {main:.1f}, "
        f"task runs {engine:.2f}, threads {flow.other_threads:.2f}); whole nights "
        f"{flow.total:.1f} s with it, {bare.total:.1f} s without "
        f"({flow.clock:.1f} s and {bare.clock:.1f} s by the clock)"
    )
    return [
        at_most("Prefect's cost in CPU", 100 * prefect / bare.total, 1, detail, unit="%"),
        Row(
            "Prefect's cost by the clock",
            100 * (flow.clock / bare.clock - 1),
            "%",
            detail="the same",
        ),
        at_most(
            "Prefect's database after a year of such nights",
            grown * NIGHTS_KEPT / 1e9,
            1,
            f"{grown / 1e3:,.0f} KB a night with {len(around_batches) // 2:,} task runs, of which "
            f"{NIGHTS_KEPT} nights are kept; their events for 7 days only, which is not counted",
            unit="GB",
        ),
    ]


def _database_bytes(home: Path) -> int:
    """What the server's database holds, without pages that are free."""
    with contextlib.closing(sqlite3.connect(home / "prefect.db")) as database:
        pages, free, page = (
            database.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
    return int((pages - free) * page)


@contextlib.contextmanager
def _timing_the_engine() -> Iterator[list[float]]:
    """Collect what a batch's thread uses outside of the batch: Prefect's, to run it as a task."""
    from tasks import prefect_tasks  # noqa: PLC0415 -- as above
    from tasks.orders.batches import colorize_requested  # noqa: PLC0415 -- as above

    spent: list[float] = []
    inside = _timed(colorize_requested, lambda seconds: spent.append(-seconds))
    outside = _timed(prefect_tasks.colorize_batch.fn, spent.append)
    with (
        patch.object(prefect_tasks, "colorize_requested", inside),
        patch.object(prefect_tasks.colorize_batch, "fn", outside),
    ):
        yield spent


def _timed(work: Callable[P, R], tell: Callable[[float], None]) -> Callable[P, R]:
    @functools.wraps(work)  # Prefect looks at its parameters
    def timed(*args: P.args, **kwargs: P.kwargs) -> R:
        start = time.thread_time()
        try:
            return work(*args, **kwargs)
        finally:
            tell(time.thread_time() - start)

    return timed


def _spent(work: Callable[[], object]) -> Spent:
    before = _so_far()
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())):
        work()
    return _so_far() - before


def _so_far() -> Spent:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    children = {pid: _process_cpu_s(pid) for pid in descendants(os.getpid())}
    others = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    return Spent(
        clock=time.perf_counter(),
        total=sum(one.ru_utime + one.ru_stime for one in used) + sum(children.values()),
        main_thread=time.thread_time(),
        other_threads=sum(_thread_cpu_s(one) for one in others),
    )


def _process_cpu_s(pid: int) -> float:
    """Of a process and of those that it has waited for."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _thread_cpu_s(thread: threading.Thread) -> float:
    with contextlib.suppress(OSError):
        return (
            int(Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text().split()[0]) / 1e9
        )
    return 0.0


def _server_cpu_s() -> float:
    """Of Prefect's local server, at work and at rest."""
    return sum(_process_cpu_s(pid) for pid in descendants(os.getpid()) if _is_server(pid))


def _is_server(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"prefect.server.api" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False

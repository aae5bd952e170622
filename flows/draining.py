"""Runs a Prefect worker so that its end drains its runs.

    python -m flows.draining prefect worker start --type process --pool autochrome

At SIGTERM Prefect's process worker ends within seconds and leaves the runs that it started to
themselves: each is a process in a session of its own. In a container they would be killed with it,
and their scans would wait for leases to expire. Here the runs are told, too, and are waited for:
they finish what they began and give back the rest.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

#: Container runtimes are told to wait for a minute; this is over before it.
PATIENCE_S = 50.0

_PROC = Path("/proc")
_POLL_S = 0.2


def run_and_drain(command: Sequence[str], *, patience_s: float = PATIENCE_S) -> int:
    """Run *command*; when a signal ends it, end what it started and wait for that.

    Returns:
        The command's exit code, as a shell gives it.
    """
    worker = subprocess.Popen(command)  # noqa: S603 - the command line is whose it is
    runs: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        runs.extend(_sessions_under(worker.pid))  # before it ends: then they have another parent
        worker.terminate()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    code = worker.wait()
    _end_runs(runs, patience_s)
    return code if code >= 0 else 128 - code


def _end_runs(runs: Sequence[int], patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    for pid in runs:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    while any(_is_alive(pid) for pid in runs) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    for pid in runs:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def _sessions_under(ancestor: int) -> list[int]:
    """Descendants of *ancestor* that lead a session: the runs, and not their helpers."""
    parents, leaders = {}, []
    for pid, parent, session in _processes():
        parents[pid] = parent
        if session == pid:
            leaders.append(pid)
    return [pid for pid in leaders if pid != ancestor and _descends(pid, ancestor, parents)]


def _descends(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    while pid in parents and pid != ancestor:
        pid = parents[pid]
    return pid == ancestor


def _processes() -> Iterator[tuple[int, int, int]]:
    """Each process: its id, its parent's, its session's."""
    for folder in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # Fields are counted from behind the name, which may hold anything.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            yield int(folder.name), int(fields[1]), int(fields[3])


def _is_alive(pid: int) -> bool:
    try:
        state = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


if __name__ == "__main__":
    sys.exit(run_and_drain(sys.argv[1:]))

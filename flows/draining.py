"""Runs a Prefect worker so that its end drains its runs.

    python -m flows.draining prefect worker start --type process --pool autochrome

At SIGTERM Prefect's process worker kills the runs that it started, and ends: what they had begun
would wait for leases to expire. Here the runs, each a process in a session of its own, are told
first and waited for: they finish what they began and give back the rest. Meanwhile the worker is
stopped, so that it begins no other.
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


class _Told(BaseException):
    """A signal asked for the end."""


def run_and_drain(command: Sequence[str], *, patience_s: float = PATIENCE_S) -> int:
    """Run *command*; when a signal is to end it, let what it started end first.

    Returns:
        The command's exit code, as a shell gives it.
    """
    worker = subprocess.Popen(command)  # noqa: S603 - the command line is whose it is
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _tell)
    try:
        code = worker.wait()
    except _Told:
        _drain(worker, patience_s)
        code = worker.wait()
    return code if code >= 0 else 128 - code


def _tell(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise _Told


def _drain(worker: subprocess.Popen[bytes], patience_s: float) -> None:
    """End the runs, wait for them, then end the worker; a second signal ends the waiting."""
    worker.send_signal(signal.SIGSTOP)
    runs = _sessions_under(worker.pid)
    for pid in runs:
        _send(pid, signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    with contextlib.suppress(_Told):
        while any(_is_alive(pid) for pid in runs) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
    worker.terminate()
    worker.send_signal(signal.SIGCONT)


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


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

"""Runs a Prefect worker so that its end drains its runs.

    python -m flows.serving.worker prefect worker start --type process --pool autochrome

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
from collections.abc import Sequence
from types import FrameType

import psutil

#: Container runtimes are told to wait for a minute; this is over before it.
PATIENCE_S = 50.0

_POLL_S = 0.2


class _EndRequest(BaseException):
    """A signal asked for the end."""


def run_and_drain(command: Sequence[str]) -> int:
    """Run *command*; when a signal is to end it, let what it started end first.

    Returns:
        The command's exit code, as a shell gives it.
    """
    worker = subprocess.Popen(command)  # noqa: S603 - the command line is whose it is
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _tell)
    try:
        code = worker.wait()
    except _EndRequest:
        _drain(worker)
        code = worker.wait()
    return code if code >= 0 else 128 - code


def _tell(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise _EndRequest


def _drain(worker: subprocess.Popen[bytes]) -> None:
    """End the runs, wait for them, then end the worker; a second signal ends the waiting."""
    worker.send_signal(signal.SIGSTOP)
    runs = _sessions_under(worker.pid)
    for pid in runs:
        _send(pid, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_S
    with contextlib.suppress(_EndRequest):
        while any(_is_alive(pid) for pid in runs) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
    worker.terminate()
    worker.send_signal(signal.SIGCONT)


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _sessions_under(ancestor: int) -> list[int]:
    """Descendants of *ancestor* that lead a session: the runs, and not their helpers."""
    below = (one.pid for one in psutil.Process(ancestor).children(recursive=True))
    return [pid for pid in below if _leads_a_session(pid)]


def _leads_a_session(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        return os.getsid(pid) == pid
    return False


def _is_alive(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


if __name__ == "__main__":
    sys.exit(run_and_drain(sys.argv[1:]))

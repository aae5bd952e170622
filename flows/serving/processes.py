"""The processes that `serve` starts: in groups of their own, ended by id, remembered on disk."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tasks.processes import has_ended, name_of_process, pid_of

_STEP_S = 0.2


@dataclass
class Child:
    """A started process and how to start it again."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes]

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def wait(self, timeout_s: float) -> bool:
        """Whether it has ended within the time."""
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True


class Children:
    """What was started: a log file each, and a record that the next `serve` clears up from."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._record = home / "processes.json"
        self._all: dict[str, Child] = {}

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        """Start *command*; its output is appended to a log file in the home folder."""
        with self.log_file(name).open("ab") as log:
            process = subprocess.Popen(  # noqa: S603  our own interpreter and arguments
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # The terminal's Ctrl-C is ours to pass on, in the right order.
                start_new_session=True,
            )
        child = Child(name, command, environment, process)
        self._all[name] = child
        self._write()
        return child

    def log_file(self, name: str) -> Path:
        """Where the output of a child goes."""
        return self._home / f"{name}.log"

    def last_words(self, name: str) -> str:
        """The last line of a child's output."""
        lines = self.log_file(name).read_text(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else "nothing"

    def restart(self, child: Child) -> Child:
        """Start a child that has ended once more."""
        return self.start(child.name, child.command, child.environment)

    def end_all(self, *, hurry: bool) -> None:
        """End every child, the last started first: workers before the server."""
        for child in reversed(self._all.values()):
            end_tree(child.process.pid, hurry=hurry, reap=child.process)
        self._all.clear()
        self._record.unlink(missing_ok=True)

    def end_leftovers(self) -> int:
        """End what an earlier `serve` left behind when it was killed; returns how many."""
        try:
            names: dict[str, str] = json.loads(self._record.read_text())
        except (OSError, ValueError):
            return 0
        alive = [name for name in reversed(names.values()) if not has_ended(name)]
        for name in alive:
            end_tree(pid_of(name), hurry=False)
        self._record.unlink(missing_ok=True)
        return len(alive)

    def _write(self) -> None:
        names = {name: name_of_process(child.process.pid) for name, child in self._all.items()}
        self._record.write_text(json.dumps(names))


def end_tree(pid: int, *, hurry: bool, reap: "subprocess.Popen[bytes] | None" = None) -> None:
    """End a process and all that it has started, which may be in groups of their own.

    Prefect's worker and server both end in order at SIGTERM. What does not end in time is killed,
    and waited for: a killed process may still be on a core for a moment, or writing to a disk.
    """
    tree = _Tree(pid, reap)
    _signal(tree.pids if hurry else [pid], signal.SIGTERM)
    if not tree.wait(3.0 if hurry else 40.0):
        _signal(tree.left(), signal.SIGKILL)
        tree.wait(10.0)


class _Tree:
    """A process and what it has started, also what it starts while it ends."""

    def __init__(self, pid: int, reap: "subprocess.Popen[bytes] | None") -> None:
        self._root = pid
        self._reap = reap
        self._names: dict[int, str] = {}
        self._look()

    @property
    def pids(self) -> list[int]:
        """Every process seen so far, the root first."""
        return list(self._names)

    def left(self) -> list[int]:
        """Those that run still."""
        if self._reap is not None:
            self._reap.poll()
        self._look()
        return [pid for pid, name in self._names.items() if not has_ended(name)]

    def wait(self, timeout_s: float) -> bool:
        """Whether all have ended within the time."""
        end = time.monotonic() + timeout_s
        while self.left():
            if time.monotonic() > end:
                return False
            time.sleep(_STEP_S)
        return True

    def _look(self) -> None:
        for pid in [self._root, *descendants(self._root)]:
            if pid not in self._names:
                self._names[pid] = name_of_process(pid)


def _signal(pids: Sequence[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def descendants(pid: int) -> list[int]:
    """The children of a process, and theirs."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [one.pid for one in psutil.Process(pid).children(recursive=True)]
    return []

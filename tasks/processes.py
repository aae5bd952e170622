"""Who holds a lease: a name that tells whether the process behind it still lives."""

import os
import socket
from pathlib import Path

_PROC = Path("/proc")
_DEAD = ("Z", "X")  # has ended, and its parent has not asked yet


def worker_name() -> str:
    """Name this process: host, boot and PID namespace, process id, and when the process began."""
    return name_of_process(os.getpid())


def name_of_process(pid: int) -> str:
    """Name a process of this machine likewise."""
    return f"{_place()}/{pid}/{_began(pid)}"


def pid_of(worker: str) -> int:
    """The process id in a name, which means something on the named place alone."""
    return int(worker.split("/")[1])


def is_of_this_place(worker: str) -> bool:
    """Whether it can be known of the process of that name if it lives."""
    place, _, rest = worker.partition("/")
    return place == _place() and rest.partition("/")[0].isdigit() and _PROC.is_dir()


def has_ended(worker: str) -> bool:
    """Whether the process of that name is known to be gone. Of another host's nothing is known."""
    if not is_of_this_place(worker):
        return False
    _, pid, began = worker.split("/", 2)
    return _began(int(pid)) != began


def _place() -> str:
    """Where process ids mean something. Hosts may share a name, and namespaces a number."""
    try:
        namespace = (_PROC / "self/ns/pid").readlink().name.strip("pid:[]")
        boot = (_PROC / "sys/kernel/random/boot_id").read_text()[:8]
    except OSError:
        namespace = boot = ""
    return f"{socket.gethostname()}[{boot}.{namespace}]"


def _began(pid: int) -> str:
    """The process's start in clock ticks since boot: process ids are used again, this is not."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return "gone"
    state, *fields = stat.rpartition(")")[2].split()
    return "gone" if state in _DEAD else fields[18]

"""Who holds a lease: a name that tells whether the process behind it still lives."""

import os
import socket
from pathlib import Path

_PROC = Path("/proc")


def worker_name() -> str:
    """Name this process: host, boot and PID namespace, process id, and when the process began."""
    return name_of_process(os.getpid())


def name_of_process(pid: int) -> str:
    """Name a process of this machine likewise."""
    return f"{_place()}/{pid}/{_began(pid)}"


def pid_of(worker: str) -> int:
    """The process id in a name, which means something on the named place alone."""
    return int(worker.split("/")[1])


def has_ended(worker: str) -> bool:
    """Whether the process of that name is known to be gone. Of another host's nothing is known."""
    place, _, rest = worker.partition("/")
    pid, _, began = rest.partition("/")
    if place != _place() or not pid.isdigit() or not _PROC.is_dir():
        return False
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
    return stat.rpartition(")")[2].split()[19]

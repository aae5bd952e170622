"""Who holds a lease: a name that tells whether the process behind it still lives."""

import os
import socket
from pathlib import Path

import psutil

_PROC = Path("/proc")
_GONE = "gone"
_DEAD = {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}  # ended, and its parent has not asked yet


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
    return place == _place() and rest.partition("/")[0].isdigit()


def has_ended(worker: str) -> bool:
    """Whether the process of that name is known to be gone. Of another host's nothing is known."""
    if not is_of_this_place(worker):
        return False
    _, pid, began = worker.split("/", 2)
    return began == _GONE or _began(int(pid)) != began


def _place() -> str:
    """Where process ids mean something. Hosts may share a name, and namespaces a number."""
    try:
        namespace = (_PROC / "self/ns/pid").readlink().name.strip("pid:[]")
        boot = (_PROC / "sys/kernel/random/boot_id").read_text()[:8]
    except OSError:
        namespace, boot = "", f"{psutil.boot_time():.0f}"
    return f"{socket.gethostname()}[{boot}.{namespace}]"


def _began(pid: int) -> str:
    """When the process began: process ids are used again, this is not."""
    try:
        process = psutil.Process(pid)
        if process.status() in _DEAD:
            return _GONE
        if not _PROC.is_dir():
            return f"{process.create_time():.2f}"
        # Ticks since boot: psutil adds the time of boot to them, which changes when a clock is set,
        # and a living worker would be taken for gone.
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[19]
    except (psutil.Error, OSError):
        return _GONE

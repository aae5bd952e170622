"""What stands in the way of a run: `autochrome doctor` asks everything that a run needs.

Nothing is made or changed, but that an output takes the small object by which every run proves that
it can write there, and that a trial of the processor is kept: sources are listed, and one byte is
read. All is asked, whatever is wrong first.
"""

import enum
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution, version
from itertools import islice
from pathlib import Path

import psutil
import torch
from packaging.requirements import Requirement
from platformdirs import user_cache_path

from colormodel.checkpoint import (
    DEFAULT_CHECKPOINT,
    Checkpoint,
    CheckpointError,
    read_checkpoint,
)
from colormodel.device import DeviceError, resolve_device
from colormodel.infer import Colorizer
from tasks.checkpoints import fetch_checkpoint
from tasks.errors import AccessDenied, AutochromeError, DatabaseUnavailable
from tasks.ledger import Ledger
from tasks.ledger.checkpoints import champion_checkpoint
from tasks.ledger.engine import explain_revision
from tasks.ledger.fixity import last_derivative
from tasks.ledger.migrate import current
from tasks.ledger.opening import open_ledger, open_output
from tasks.ledger.probe import is_file, look_at, name_of
from tasks.schema import REVISION
from tasks.settings import Settings
from tasks.storage import ObjectStore, address_of, open_store
from tasks.storage.keys import RESERVED
from tasks.storage.location import FolderLocation, check_apart, parse_location

# Derivatives of a night of a thousand large scans; and of one scan.
_SCARCE_BYTES = 10 << 30
_FULL_BYTES = 1 << 30
_SCARCE_FILES = 10_000

# Reports show times of both clocks; S3 refuses requests that are a quarter of an hour off.
_CLOCK_WARNING_S = 5.0
_CLOCK_PROBLEM_S = 300.0

_NETWORK_MOUNTS = {
    "afs",
    "ceph",
    "cifs",
    "fuse.sshfs",
    "glusterfs",
    "lustre",
    "nfs",
    "nfs4",
    "smb3",
}


class State(enum.StrEnum):
    """How something that a run needs is."""

    OK = "ok"
    WARNING = "warning"  #: A run can go on, and a person should look.
    PROBLEM = "problem"  #: A run would stop, or not begin.


@dataclass(frozen=True)
class Finding:
    """One line of a diagnosis.

    Attributes:
        subject: What was looked at, in one word.
        state: How it is.
        detail: What is so, with values; and what to do where that is not as it should be.
    """

    subject: str
    state: State
    detail: str


def diagnose(settings: Settings) -> Iterator[Finding]:
    """Look at everything that a run needs, one after another."""
    url = settings.database_url.get_secret_value()
    checks: Sequence[tuple[str, Callable[[], Iterator[Finding]]]] = (
        ("versions", _versions),
        ("database", partial(_database, url)),
        *(("source", partial(_source, settings, source)) for source in settings.sources),
        ("output", partial(_output, settings)),
        ("disk", partial(_disks, settings, url)),
        ("device", partial(_device, settings.device)),
        ("checkpoint", partial(_checkpoint, settings, url)),
    )
    for subject, check in checks:
        try:
            yield from check()
        except (AutochromeError, OSError) as error:
            yield Finding(subject, State.PROBLEM, _in_one_line(error))


def _in_one_line(error: AutochromeError | OSError) -> str:
    if isinstance(error, AutochromeError):
        return str(error)
    return f"{error}; see whether it exists and may be used by this account"


def _versions() -> Iterator[Finding]:
    """What is installed, against what Autochrome asks for."""
    wanted = [Requirement(line) for line in distribution("autochrome").requires or ()]
    other = []
    for one in wanted:
        if one.marker is not None and not one.marker.evaluate({"extra": ""}):
            continue
        try:
            there = version(one.name)
        except PackageNotFoundError:
            other.append(f"{one.name} is missing")
            continue
        if not one.specifier.contains(there, prereleases=True):
            other.append(f"{one.name} is {there}, not {one.specifier}")
    said = f"Autochrome {version('autochrome')}, Python {platform.python_version()}, " + ", ".join(
        f"{name} {version(name)}" for name in ("torch", "prefect", "SQLAlchemy", "pyvips")
    )
    if other:
        yield Finding(
            "versions",
            State.PROBLEM,
            f"{'; '.join(other)}; install Autochrome again, with the versions of constraints.txt",
        )
    else:
        yield Finding("versions", State.OK, said)


def _database(url: str) -> Iterator[Finding]:
    if is_file(url) and current(url) is None:
        folder = Path(name_of(url)).absolute().parent
        if not folder.is_dir() or not _may_write(folder):
            raise DatabaseUnavailable(
                f"{name_of(url)} does not exist, and no file can be made in {folder}; "
                "make the folder, or let this account write to it"
            )
        yield Finding(
            "database",
            State.WARNING,
            f"{name_of(url)} does not exist yet; the first `autochrome run` makes it, "
            "or `autochrome db upgrade`",
        )
        return
    state = look_at(url)
    where = f"{name_of(url)}, {state.server}"
    if state.revision != REVISION:
        yield Finding("database", State.PROBLEM, f"{where}: {explain_revision(state.revision)}")
    elif is_file(url) and (mount := _network_mount(Path(name_of(url)))):
        yield Finding(
            "database",
            State.WARNING,
            f"{where}, at {REVISION}: on a network disk ({mount}), where SQLite's locks do not "
            "hold; move it to a local disk, or use PostgreSQL",
        )
    else:
        yield Finding("database", State.OK, f"{where}, at {REVISION}")
    yield _clock("of the database", state.is_ahead_s)


def _clock(whose: str, is_ahead_s: float) -> Finding:
    off = abs(is_ahead_s)
    if off < _CLOCK_WARNING_S:
        return Finding("clock", State.OK, f"within {max(off, 0.1):.1f} s of the clock {whose}")
    way = "ahead of" if is_ahead_s < 0 else "behind"
    return Finding(
        "clock",
        State.PROBLEM if off > _CLOCK_PROBLEM_S else State.WARNING,
        f"this machine is {off:,.0f} s {way} the clock {whose}; let both be set by a time server",
    )


def _source(settings: Settings, source: str) -> Iterator[Finding]:
    """A source can be listed and read."""
    check_apart(source, settings.output)
    store = open_store(source, settings=settings)
    some = list(islice((one for one in store.list_objects() if not one.is_archived), 1))
    if not some:
        yield Finding(
            "source",
            State.WARNING,
            f"{store.url}: nothing is in it that can be read; see whether it is mounted, and "
            "whether the prefix is right",
        )
        return
    (one,) = some
    b"".join(store.stream(one.key, range(min(1, one.size_bytes)), etag=one.etag))
    yield Finding("source", State.OK, f"{store.url}: can be listed and read")


def _output(settings: Settings) -> Iterator[Finding]:
    """Derivatives can be put into the output and read back; at best, not be deleted."""
    location = parse_location(settings.output)
    store = _known_output(settings)
    if store is None and isinstance(location, FolderLocation) and not location.path.exists():
        parent = next(one for one in location.path.parents if one.exists())
        if not _may_write(parent):
            raise AccessDenied(
                f"{location.path} does not exist, and cannot be made in {parent}; "
                "make it, or let this account write there"
            )
        yield Finding("output", State.OK, f"{location.path} does not exist yet: a run makes it")
        return
    store = store or open_store(settings.output, settings=settings, writable=True)
    if store.may_delete():
        yield Finding(
            "output",
            State.WARNING,
            f"{store.url}: can be written and read, and this account may delete there as well, "
            "which Autochrome never does; take s3:DeleteObject from it, or keep versions",
        )
    else:
        yield Finding("output", State.OK, f"{store.url}: can be written and read")
    yield _clock("of the output", (_time_of(store, settings) - datetime.now(UTC)).total_seconds())


def _known_output(settings: Settings) -> ObjectStore | None:
    """The output, where the ledger knows of derivatives in it; None where there is no ledger."""
    url = settings.database_url.get_secret_value()
    with suppress(DatabaseUnavailable, OSError), Ledger.open(url, patience_s=0) as ledger:
        if last_derivative(ledger, address_of(settings.output)) is not None:
            return open_output(settings, ledger)
    return None


def _may_write(folder: Path) -> bool:
    """Whether this account can make files there."""
    as_account = os.access in os.supports_effective_ids
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=as_account)


def _time_of(store: ObjectStore, settings: Settings) -> datetime:
    """The store's clock: that of what was written there a moment ago."""
    location = parse_location(settings.output)
    if isinstance(location, FolderLocation):
        return datetime.fromtimestamp((location.path / RESERVED).stat().st_mtime, UTC)
    marker = store.stat(RESERVED)
    return marker.modified_at if marker else datetime.now(UTC)


def _disks(settings: Settings, url: str) -> Iterator[Finding]:
    """Every local disk that a run writes to has room."""
    places = {"scratch": settings.scratch or Path(tempfile.gettempdir())}
    location = parse_location(settings.output)
    if isinstance(location, FolderLocation):
        places["output"] = location.path
    if is_file(url):
        places["database"] = Path(name_of(url)).absolute().parent
    with tempfile.TemporaryDirectory(dir=places["scratch"]):
        pass  # one can be made
    for whose, place in places.items():
        if place.exists():
            yield _room(whose, place)


def _room(whose: str, place: Path) -> Finding:
    free = shutil.disk_usage(place).free
    files = os.statvfs(place)
    said = f"{free / 1e9:,.1f} GB free for the {whose} ({place})"
    if files.f_files and files.f_favail < _SCARCE_FILES:
        return Finding(
            "disk",
            State.PROBLEM,
            f"{said}, but room for {files.f_favail:,} files only; remove some, or use another disk",
        )
    if free >= _SCARCE_BYTES:
        return Finding("disk", State.OK, said)
    state = State.PROBLEM if free < _FULL_BYTES else State.WARNING
    return Finding("disk", state, f"{said}; free some, or use another disk")


def _network_mount(path: Path) -> str | None:
    """The kind of network disk that a file lies on; None for a local one."""
    mounts = {Path(one.mountpoint): one.fstype for one in psutil.disk_partitions(all=True)}
    place = Path(os.path.realpath(path.absolute()))
    kind = next((mounts[one] for one in (place, *place.parents) if one in mounts), "")
    return kind if kind in _NETWORK_MOUNTS else None


def _device(name: str) -> Iterator[Finding]:
    """The processor that the network computes on does compute."""
    try:
        device = resolve_device(name)
    except DeviceError as error:
        yield Finding("device", State.PROBLEM, str(error))
        return
    if device.type == "cpu":
        yield _cpu(name)
        return
    try:
        torch.ones(8, device=device).sum().item()
    except RuntimeError as error:
        line = " ".join(str(error).split())
        yield Finding(
            "device",
            State.PROBLEM,
            f"{device} does not compute ({line}); restart its driver, or set "
            "AUTOCHROME_DEVICE to another",
        )
        return
    free, whole = torch.cuda.mem_get_info(device)
    yield Finding(
        "device",
        State.OK,
        f"{torch.cuda.get_device_name(device)}, {free / 1e9:.0f} of {whole / 1e9:.0f} GB free, "
        f"{_driver()}CUDA {torch.version.cuda}",
    )


def _cpu(name: str) -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if name == "auto" and Path("/proc/driver/nvidia").exists():
        built = (
            f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        )
        return Finding(
            "device",
            State.WARNING,
            f"there is a GPU ({_driver()}torch {torch.__version__} is {built}) that torch cannot "
            "use; install a driver and a torch that fit each other, or set AUTOCHROME_DEVICE=cpu",
        )
    return Finding("device", State.OK, f"the CPU, {cores} cores")


def _passes(colorizer: Colorizer) -> Finding:
    """How the network is computed on this processor."""
    colorizer.suit_processor(user_cache_path("autochrome"))
    plan = colorizer.plan
    found = plan.in_words() if plan else "not tried yet what is fastest: other work keeps it busy"
    return Finding("processor", State.OK, found)


def _driver() -> str:
    try:
        line = Path("/proc/driver/nvidia/version").read_text().splitlines()[0]
    except (OSError, IndexError):
        return ""
    number = next((word for word in line.split() if word[:1].isdigit()), "unknown")
    return f"driver {number}, "


def _checkpoint(settings: Settings, url: str) -> Iterator[Finding]:
    """The checkpoint in service can be fetched, is what it was, and makes a network."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            checkpoint, which = _in_service(settings, url, Path(scratch))
            torch.set_num_threads(settings.network_threads)
            colorizer = Colorizer(checkpoint, device="cpu")
        except CheckpointError as error:
            yield Finding("checkpoint", State.PROBLEM, str(error))
            return
        if settings.device == "cpu" or not torch.cuda.is_available():
            yield _passes(colorizer)
    card = checkpoint.card
    yield Finding(
        "checkpoint", State.OK, f"{card.name} {card.version}, {checkpoint.digest[:12]}: {which}"
    )


def _in_service(settings: Settings, url: str, scratch: Path) -> tuple[Checkpoint, str]:
    if settings.checkpoint is not None:
        return read_checkpoint(settings.checkpoint), f"{settings.checkpoint}, as it is set"
    champion = None
    if current(url) == REVISION:
        with open_ledger(settings) as ledger:
            champion = champion_checkpoint(ledger)
    if champion is None:
        return read_checkpoint(
            DEFAULT_CHECKPOINT
        ), "comes with Autochrome, first run puts it in service"
    return fetch_checkpoint(champion, settings, scratch), "the champion"

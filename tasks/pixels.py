"""Pixel work in child processes, so that a scan that crashes or hangs a decoder costs itself only.

The children load libvips and NumPy, never torch, a database or a cloud client. They take paths and
small arrays, and give small arrays and paths back; full-size planes never cross the border.
"""

import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
from pebble import ProcessExpired, ProcessPool

from colormodel.neutral import neutral_mask
from colormodel.planes import ChromaMap, network_size
from tasks.derivatives import OutputPolicy, WrittenFile, write_derivatives
from tasks.errors import KilledWorker, OutOfMemory
from tasks.provenance import Provenance
from tasks.scans.findings import Findings, Thresholds, examine
from tasks.scans.header import ReadLimits, ScanHeader, read_header
from tasks.scans.reader import open_scan

Result = TypeVar("Result")

_ONE_THREAD = {"VIPS_CONCURRENCY": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class ReadRequest:
    """Which picture to look at, and how large the network wants it."""

    path: Path
    page: int
    limits: ReadLimits
    thresholds: Thresholds
    network_px: int


@dataclass(frozen=True)
class ReadScan:
    """What the network and the ledger need to know of a scan."""

    header: ScanHeader
    findings: Findings
    lightness: np.ndarray  #: L* in [0, 100], float32 (h, w), at the network's size
    neutral: np.ndarray  #: bool (h, w): what of it surely has no colour


@dataclass(frozen=True)
class WriteRequest:
    """A scan and its predicted chroma, to be made into derivatives."""

    path: Path
    page: int
    limits: ReadLimits
    chroma_map: ChromaMap
    provenance: Provenance
    policy: OutputPolicy


def measure_scan(request: ReadRequest) -> int:
    """Count a page's pixels, from its header alone.

    Raises:
        AutochromeError: The scan cannot be read, or is too large; the reason says why.
    """
    return read_header(request.path, page=request.page, limits=request.limits).pixels


def read_scan(request: ReadRequest) -> ReadScan:
    """Open a scan, decide whether it is ours to colour, and shrink it for the network.

    Raises:
        AutochromeError: The scan cannot or need not be coloured; the reason says why.
    """
    folder = request.path.parent
    scan = open_scan(request.path, page=request.page, limits=request.limits, scratch=folder)
    findings = examine(scan, thresholds=request.thresholds)
    size = network_size(scan.header.height, scan.header.width, network_px=request.network_px)
    lightness = scan.thumbnail(*size)
    return ReadScan(scan.header, findings, lightness, neutral_mask(lightness))


def write_scan(request: WriteRequest) -> list[WrittenFile]:
    """Write and gate every derivative of one scan, beside the scan's file.

    Raises:
        ToneGateFailed: A written file does not keep the scan's tone.
    """
    folder = request.path.parent
    scan = open_scan(request.path, page=request.page, limits=request.limits, scratch=folder)
    return write_derivatives(
        request.path,
        scan,
        request.chroma_map,
        provenance=request.provenance,
        policy=request.policy,
        folder=folder,
    )


class PixelPool:
    """A few child processes for pixel work, each of which may crash, hang or run out of memory."""

    def __init__(
        self,
        workers: int,
        *,
        timeout_s: float,
        timeout_s_per_megapixel: float = 0.0,
        memory_bytes: int,
    ) -> None:
        self._timeout_s = timeout_s
        self._timeout_s_per_pixel = timeout_s_per_megapixel / 1e6
        self._pool = ProcessPool(
            max_workers=workers,
            initializer=_prepare_child,
            initargs=(memory_bytes, os.getpid()),
            context=_BareContext(),
        )

    def start(self) -> None:
        """Start the children now, while other things are loaded: by itself, the first work does."""
        self.submit(abs, 0)

    def timeout_s(self, pixels: int) -> float:
        """How long work on so many pixels may take."""
        return self._timeout_s + pixels * self._timeout_s_per_pixel

    def submit(
        self, work: Callable[[Any], Result], request: object, *, pixels: int = 0
    ) -> "Future[Result]":
        """Start *work* on *request* in a child; the future raises what `run` translates."""
        timeout_s = self.timeout_s(pixels)
        future: Future[Result] = self._pool.schedule(work, args=(request,), timeout=timeout_s)
        return future

    def run(self, work: Callable[[Any], Result], request: object, *, pixels: int = 0) -> Result:
        """Do *work* on *request* in a child and wait for it.

        Args:
            work: A function that a child can import.
            request: What it is called with.
            pixels: Size of the scan, where it is known: large ones may take longer.

        Raises:
            KilledWorker: The child crashed, or did not end in time and was ended.
            OutOfMemory: The child reached its memory limit.
            AutochromeError: Whatever *work* raised.
        """
        try:
            return self.submit(work, request, pixels=pixels).result()
        except ProcessExpired as error:
            raise KilledWorker(
                f"its decoder ended with exit code {error.exitcode}; "
                "look at the file on a machine apart, or ask for a new scan"
            ) from error
        except TimeoutError as error:
            raise KilledWorker(
                f"its pixel work did not end within {self.timeout_s(pixels):g} s and was ended; "
                "raise AUTOCHROME_ITEM_TIMEOUT_S if the scan is sound"
            ) from error
        except MemoryError as error:
            raise OutOfMemory(
                "its pixel work reached the memory limit of a child process; "
                "raise AUTOCHROME_PIXEL_MEMORY_MB if the scan is sound and merely large"
            ) from error

    def close(self) -> None:
        """End the children; work that has not started is dropped."""
        self._pool.stop()  # type: ignore[no-untyped-call]  # pebble has no types here
        self._pool.join(timeout=10)


def _prepare_child(memory_bytes: int, parent: int) -> None:
    # Prefect ends a run by a signal to its whole process group, and the run then finishes what it
    # began: for that it needs its children.
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _end_with_parent(parent: int) -> None:
    # A killed parent must not leave a child behind that still writes.
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


class _BareProcess(SpawnProcess):
    """A spawned process that does not import the parent's main module again.

    The parent is often Prefect's engine or the command line, whose import costs seconds and
    memory that a child reading pictures has no use for. Libraries that would start a thread a core
    start one: there is a child for each core already.
    """

    def start(self) -> None:
        """Start the child with an empty main module in the parent's place."""
        main = sys.modules["__main__"]
        kept = {name: os.environ.get(name) for name in _ONE_THREAD}
        sys.modules["__main__"] = ModuleType("__main__")
        os.environ.update(_ONE_THREAD)
        try:
            super().start()
        finally:
            sys.modules["__main__"] = main
            for name, value in kept.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


class _BareContext(SpawnContext):
    """The spawn start method with bare processes."""

    Process = _BareProcess

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

from colormodel.planes import ChromaMap, network_size
from tasks.derivatives import OutputPolicy, WrittenFile, write_derivatives
from tasks.errors import KilledWorker, OutOfMemory
from tasks.provenance import Provenance
from tasks.scans.findings import Findings, Thresholds, examine
from tasks.scans.header import ReadLimits, ScanHeader
from tasks.scans.reader import open_scan

Result = TypeVar("Result")


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


@dataclass(frozen=True)
class WriteRequest:
    """A scan and its predicted chroma, to be made into derivatives."""

    path: Path
    page: int
    limits: ReadLimits
    chroma_map: ChromaMap
    provenance: Provenance
    policy: OutputPolicy


def read_scan(request: ReadRequest) -> ReadScan:
    """Open a scan, decide whether it is ours to colour, and shrink it for the network.

    Raises:
        AutochromeError: The scan cannot or need not be coloured; the reason says why.
    """
    folder = request.path.parent
    scan = open_scan(request.path, page=request.page, limits=request.limits, scratch=folder)
    findings = examine(scan, thresholds=request.thresholds)
    size = network_size(scan.header.height, scan.header.width, network_px=request.network_px)
    return ReadScan(scan.header, findings, scan.thumbnail(*size))


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

    def __init__(self, workers: int, *, timeout_s: float, memory_bytes: int) -> None:
        self._timeout_s = timeout_s
        self._pool = ProcessPool(
            max_workers=workers,
            initializer=_prepare_child,
            initargs=(memory_bytes, os.getpid()),
            context=_BareContext(),
        )

    def submit(self, work: Callable[[Any], Result], request: object) -> "Future[Result]":
        """Start *work* on *request* in a child; the future raises what `outcome` translates."""
        future: Future[Result] = self._pool.schedule(work, args=(request,), timeout=self._timeout_s)
        return future

    def run(self, work: Callable[[Any], Result], request: object) -> Result:
        """Do *work* on *request* in a child and wait for it.

        Raises:
            KilledWorker: The child crashed, or did not end in time and was ended.
            OutOfMemory: The child reached its memory limit.
            AutochromeError: Whatever *work* raised.
        """
        try:
            return self.submit(work, request).result()
        except ProcessExpired as error:
            raise KilledWorker(
                f"its decoder ended with exit code {error.exitcode}; "
                "look at the file on a machine apart, or ask for a new scan"
            ) from error
        except TimeoutError as error:
            raise KilledWorker(
                f"its pixel work did not end within {self._timeout_s:g} s and was ended; "
                "raise AUTOCHROME_ITEM_TIMEOUT_S if the scan is sound and merely large"
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
    memory that a child reading pictures has no use for.
    """

    def start(self) -> None:
        """Start the child with an empty main module in the parent's place."""
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            super().start()
        finally:
            sys.modules["__main__"] = main


class _BareContext(SpawnContext):
    """The spawn start method with bare processes."""

    Process = _BareProcess

"""Pixel work in child processes, so that a scan that crashes or hangs a decoder costs itself only.

The children load libvips and NumPy, never torch, a database or a cloud client. They take paths and
small arrays, and give small arrays and paths back; full-size planes never cross the border.

What they do is in `tasks.batch.pixel_work`. This module imports none of it: so a process starts its
children at once, and all load what they need at the same time.
"""

import logging
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from importlib import import_module
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType
from typing import Any, TypeVar

from pebble import ProcessExpired, ProcessPool

from tasks.batch.loading import importing
from tasks.errors import KilledWorker, OutOfMemory, StageTimeout

Result = TypeVar("Result")

_THREADS = ("VIPS_CONCURRENCY", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
_ONE_THREAD = dict.fromkeys(_THREADS, "1")


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
            KilledWorker: The child crashed.
            StageTimeout: The child did not end in time and was ended.
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
            raise StageTimeout(
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
    with importing():
        import_module("tasks.batch.pixel_work")  # before there is work, which would bring it along
    # What is odd about tags our own notes tell; with no handler here, it would end on stderr.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
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

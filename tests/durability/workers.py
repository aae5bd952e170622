"""A worker in a process of its own, and a small archive for it.

The batch code is the real one, over a real store and a real ledger, with a network that is built
like the real one. Pixel work is done in the worker itself and not in children of it: so a worker is
there within milliseconds, and can be killed in the middle of it.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from colormodel.checkpoint import Card, save_checkpoint
from colormodel.networks import NetworkConfig, build_network
from tasks.batch import stages
from tasks.batch.recipe import recipe_in_service
from tasks.batch.worker import open_worker
from tasks.discovery.listing import record_source
from tasks.errors import AutochromeError
from tasks.ledger import Ledger
from tasks.settings import Settings
from tests.orders import enqueue, work_off
from tests.scanfiles import codes_of, photograph, write_jpeg, write_tiff

# A process is forked from a server that has everything imported.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.durability.workers"])


class OwnPixels:
    """Pixel work in this process; poison kills it, as a decoder's defect or the kernel would.

    Each turn of it takes *slow_s* longer than it has to, as large scans would.
    """

    def __init__(self, poison: bytes = b"", slow_s: float = 0.0) -> None:
        self._poison = poison
        self._slow_s = slow_s

    def run(self, work: Callable[[Any], Any], request: Any, **_: object) -> Any:  # noqa: ANN401
        """Do it."""
        if self._poison and request.path.read_bytes() == self._poison:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self._slow_s)
        return work(request)

    def close(self) -> None:
        """There is nothing to close."""


@dataclass(frozen=True)
class Order:
    """What a worker is to do."""

    settings: dict[str, object]
    clock_off_s: float = 0.0  #: how wrong its clock is
    max_items: int | None = None
    poison: bytes = b""  #: the content of a scan that kills whoever reads it
    slow_s: float = 0.0  #: how much longer it takes over each turn of pixel work


def work(order: Order) -> None:
    """Work until nothing is left; SIGTERM lets it end what it has begun."""
    torch.set_num_threads(1)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if order.clock_off_s:
        _shift_clock(order.clock_off_s)
    settings = Settings.model_validate(order.settings)
    pixels = OwnPixels(order.poison, order.slow_s)
    try:
        with open_worker(settings, stop=stop, pixels=pixels) as worker:  # type: ignore[arg-type]
            summary = work_off(worker, max_items=order.max_items)
    except AutochromeError as error:
        sys.exit(f"ended: {error}")
    if summary.aborted:
        sys.stderr.write(f"aborted: {summary.aborted}\n")
        sys.exit(1)


def _shift_clock(seconds: float) -> None:
    class Shifted(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:  # noqa: ANN401
            return datetime.now(tz or UTC) + timedelta(seconds=seconds)

    stages.datetime = Shifted  # type: ignore[misc]


def start(order: Order, name: str) -> "multiprocessing.context.ForkServerProcess":
    """A worker in a process of its own."""
    process = CONTEXT.Process(target=work, args=(order,), name=name)
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        process.start()  # would import the main module again, servers and all
    finally:
        sys.modules["__main__"] = main
    return process


# --- what there is to do -------------------------------------------------------------------------


def make_checkpoint(path: Path) -> Path:
    """A network like the real one, small and untrained: only files are looked at."""
    torch.manual_seed(1907)
    network = build_network(NetworkConfig(name="article", network_px=32, width=8))
    save_checkpoint(path, network, card=Card(name="quick", version="0"))
    return path


def make_archive(folder: Path, scans: int) -> Path:
    """Small scans, each another picture: greyscale JPEG, and a TIFF now and then.

    Those that are there stay: written again, they would count as changed, and be done again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    there = sum(1 for _ in folder.glob("*/*"))
    for number in range(there, scans):
        box = folder / f"box-{number // 100:03d}"
        box.mkdir(exist_ok=True)
        codes = codes_of(photograph(40, 56, seed=number))
        if number % 10:
            write_jpeg(box / f"{number:05d}.jpg", codes)
        else:
            write_tiff(box / f"{number:05d}.tif", codes)
    return folder


def usual(archive: str, output: str, database_url: str, checkpoint: Path) -> dict[str, object]:
    """Settings under which items come and go quickly."""
    return {
        "database_url": database_url,
        "sources": (archive,),
        "output": output,
        "checkpoint": checkpoint,
        "device": "cpu",
        "threads": 1,
        "minibatch": 4,
        "batch_items": 8,
        "lease_s": 3.0,
        "max_attempts": 20,
        "retry_base_s": 0.02,
        "failure_budget": 1.0,
    }


def enqueue_all(given: dict[str, object], ledger: Ledger) -> int:
    """Discover the sources and enqueue every scan; returns the recipe's id."""
    settings = Settings.model_validate(given)
    for source in settings.sources:
        record_source(settings, ledger, source)
    recipe_id = ledger.ensure_recipe(recipe_in_service(settings, ledger))
    enqueue(ledger, recipe_id)
    return recipe_id

"""What a worker holds while it works: opened once, shared by all its batches, closed at the end."""

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from platformdirs import user_cache_path

from colormodel.checkpoint import Checkpoint, CheckpointError
from colormodel.device import DeviceError, resolve_device
from colormodel.infer import Colorizer
from tasks.batch.children import PixelPool
from tasks.batch.film_files import FilmFiles
from tasks.batch.pool import open_pool
from tasks.batch.recipe import output_policy, read_limits, recipe_of
from tasks.batch.sources import Sources
from tasks.checkpoints import find_checkpoint
from tasks.derivatives import OutputPolicy
from tasks.errors import NoCheckpoint, NoDevice
from tasks.ledger import Ledger
from tasks.ledger.opening import open_ledger, open_output
from tasks.processes import has_ended, worker_name
from tasks.scans.header import ReadLimits
from tasks.scratch import scratch_folder
from tasks.settings import Settings
from tasks.storage import ObjectStore

logger = logging.getLogger(__name__)

#: Threads that wait for stores: at 50 ms a request, fewer would not feed a fast GPU.
IO_THREADS = 64


@dataclass(frozen=True)
class Worker:
    """The opened resources of one worker process."""

    settings: Settings
    ledger: Ledger
    output: ObjectStore
    checkpoint: Checkpoint
    colorizer: Colorizer
    pixels: PixelPool
    io: ThreadPoolExecutor
    policy: OutputPolicy
    recipe_id: int
    recipe_digest: str
    scratch: Path
    name: str
    stop: threading.Event  #: Set from outside: begun scans are finished, the others given back.
    inference: threading.Semaphore  #: As many batches infer at once as the device takes.
    sources: Sources
    films: FilmFiles

    @property
    def limits(self) -> ReadLimits:
        """What a scan's file may ask for."""
        return read_limits(self.settings)


@contextmanager
def open_worker(
    settings: Settings, *, stop: threading.Event | None = None, pixels: PixelPool | None = None
) -> Iterator[Worker]:
    """Open everything that colourizing needs, and close it again.

    Args:
        settings: What to open, and how.
        stop: Set from outside, it asks for an orderly end.
        pixels: A pool that has been started, and that its owner closes; none: one is opened here.

    Raises:
        AutochromeError: The database, the output, the checkpoint or the device cannot be used; the
            message says what to do.
    """
    with ExitStack() as opened:
        ledger = opened.enter_context(open_ledger(settings))
        output = open_output(settings, ledger)
        scratch = opened.enter_context(scratch_folder(settings))
        checkpoint = find_checkpoint(settings, ledger, scratch)
        recipe = recipe_of(checkpoint.digest, settings)
        if pixels is None:
            pixels = opened.enter_context(closing(open_pool(settings)))
            pixels.start()
        io = ThreadPoolExecutor(IO_THREADS, thread_name_prefix="io")
        opened.enter_context(io)
        take_over_leases(ledger)
        colorizer = load_colorizer(checkpoint, settings)
        yield Worker(
            settings=settings,
            ledger=ledger,
            output=output,
            checkpoint=checkpoint,
            colorizer=colorizer,
            pixels=pixels,
            io=io,
            policy=output_policy(settings),
            recipe_id=ledger.ensure_recipe(recipe),
            recipe_digest=recipe.digest,
            scratch=scratch,
            name=worker_name(),
            stop=stop or threading.Event(),
            inference=threading.Semaphore(colorizer.at_once),
            sources=Sources(settings),
            films=FilmFiles(),
        )


def take_over_leases(ledger: Ledger) -> None:
    """Let leases of processes of this host that are gone run out now, not minutes later."""
    gone = [worker for worker in ledger.open_workers() if has_ended(worker)]
    if gone and ledger.expire_leases(gone):
        logger.warning("took over from %d worker processes that had ended unexpectedly", len(gone))


def check_device(settings: Settings) -> None:
    """Look whether the device is there, before any work is looked for.

    Raises:
        NoDevice: It is not.
    """
    try:
        resolve_device(settings.device)
    except DeviceError as error:
        raise NoDevice(str(error)) from error


def load_colorizer(checkpoint: Checkpoint, settings: Settings) -> Colorizer:
    """The network as the settings have it, in the way that is fastest here.

    Raises:
        NoDevice: The device is not there.
        NoCheckpoint: The weights do not fit their configuration.
    """
    torch.set_num_threads(settings.network_threads)
    try:
        colorizer = Colorizer(
            checkpoint,
            device=settings.device,
            minibatch=settings.minibatch,
            fade=settings.fade,
        )
    except DeviceError as error:
        raise NoDevice(str(error)) from error
    except CheckpointError as error:
        raise NoCheckpoint(str(error)) from error
    colorizer.suit_processor(user_cache_path("autochrome"))
    return colorizer

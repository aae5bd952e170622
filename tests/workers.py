"""Fixtures: a small archive, and settings under which it is colourized within seconds."""

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from colormodel.checkpoint import Card, save_checkpoint
from colormodel.networks import NetworkConfig, build_network
from tasks.batch.children import PixelPool
from tasks.batch.recipe import recipe_in_service
from tasks.batch.worker import Worker, open_worker
from tasks.ledger import ItemFilter, ItemRow, Ledger
from tasks.ledger.records import AttemptRow
from tasks.ledger.uris import read_name
from tasks.orders.run import begin_run
from tasks.settings import Settings
from tests.orders import enqueue, work_off
from tests.scanfiles import codes_of, photograph, write_jpeg, write_png, write_tiff


@pytest.fixture(scope="session")
def quick_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that is built like the real one, small and untrained: these tests look at files."""
    path = tmp_path_factory.mktemp("checkpoint") / "quick.safetensors"
    torch.manual_seed(1907)
    network = build_network(NetworkConfig(name="article", network_px=64, width=16))
    save_checkpoint(path, network, card=Card(name="quick", version="0"))
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """The archive of `write_archive`."""
    return write_archive(tmp_path / "archive")


def write_archive(folder: Path) -> Path:
    """Six scans: greyscale JPEG, 8- and 16-bit TIFF, PNG."""
    (folder / "box 1").mkdir(parents=True)
    for number in range(3):
        write_jpeg(folder / f"{number}.jpg", codes_of(photograph(96, 128, seed=number)))
    write_tiff(folder / "box 1" / "deep.tif", codes_of(photograph(80, 112, seed=7), 16))
    write_tiff(folder / "box 1" / "flat.tif", codes_of(photograph(90, 70, seed=8)))
    write_png(folder / "box 1" / "small.png", codes_of(photograph(64, 64, seed=9)))
    return folder


MakeSettings = Callable[..., Settings]


@pytest.fixture
def make_settings(
    archive: Path, tmp_path: Path, sqlite_url: str, quick_checkpoint: Path
) -> MakeSettings:
    """Settings for the archive; what is given wins."""

    def make(**given: object) -> Settings:
        here = {"database_url": sqlite_url, "sources": (str(archive),)}
        return settings_in(tmp_path, **{"checkpoint": quick_checkpoint, **here, **given})

    return make


def settings_in(folder: Path, **given: object) -> Settings:
    """Settings for what lies in a folder, under which scans are coloured within seconds."""
    usual: dict[str, object] = {
        "database_url": f"sqlite:///{folder / 'ledger.db'}",
        "sources": (str(folder / "archive"),),
        "output": str(folder / "colour"),
        "device": "cpu",
        "threads": 1,
        "minibatch": 4,
        "retry_base_s": 0.02,
        "item_timeout_s": 60,
    }
    return Settings.model_validate(usual | given)


OpenWorker = Callable[[Settings], Worker]


@pytest.fixture
def worker_for(pixels: PixelPool) -> Iterator[OpenWorker]:
    """Open workers over enqueued archives; they are closed when the test ends."""
    with ExitStack() as opened:

        def open_one(settings: Settings) -> Worker:
            run = opened.enter_context(begin_run(settings, kind="test", name="a test"))
            for source in settings.sources:
                run.discover(source)
            enqueue_missing(settings, run.ledger)
            return opened.enter_context(open_worker(settings, pixels=pixels))

        yield open_one


def enqueue_missing(settings: Settings, ledger: Ledger) -> int:
    """Give every scan that was never finished an item that belongs to no order; how many."""
    recipe_id = ledger.ensure_recipe(recipe_in_service(settings, ledger))
    return enqueue(ledger, recipe_id)


def colour_missing(settings: Settings, pixels: PixelPool | None = None) -> None:
    """Find what is new in the sources, and colour it."""
    with begin_run(settings, kind="test", name="a test") as run:
        for source in settings.sources:
            run.discover(source)
        enqueue_missing(settings, run.ledger)
        with open_worker(settings, pixels=pixels) as worker:
            work_off(worker)


def items_of(ledger: Ledger) -> dict[str, ItemRow]:
    """Every item, by the name of its scan's file."""
    return {
        read_name(row.uri.rpartition("/")[2]): row
        for row in ledger.list_items(ItemFilter(), limit=10_000)
    }


def attempts_of(ledger: Ledger) -> list[AttemptRow]:
    """Every attempt at every item that has ended."""
    stories = [ledger.get_story(row.uri) for row in ledger.list_items(ItemFilter(), limit=10_000)]
    attempts = [one for story in stories for item in story.items for one in item.attempts]
    return [one for one in attempts if one.ending]


@contextmanager
def at_rest(process: "subprocess.Popen[bytes]", url: str) -> Iterator[None]:
    """Stop a process where it holds no lock of its ledger, a file; at the end it goes on."""
    while True:
        process.send_signal(signal.SIGSTOP)
        told = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        assert told is not None
        assert told.si_code == os.CLD_STOPPED, "it has ended already"
        try:
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=0)) as database:
                database.execute("BEGIN IMMEDIATE")
            break
        except sqlite3.OperationalError:
            process.send_signal(signal.SIGCONT)
            time.sleep(0.01)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def files_under(folder: Path) -> dict[str, bytes]:
    """Every file, by its path below *folder*."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".autochrome"
    }


def colourfulness(rgb: np.ndarray) -> float:
    """Mean distance of the channels from their mean: 0 for grey, uint8 codes otherwise."""
    codes = rgb.astype(np.float64)
    return float(np.abs(codes - codes.mean(axis=2, keepdims=True)).mean())

"""Archives that are coloured once in each process, for all tests that begin there."""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import pyvips

from colormodel.checkpoint import DEFAULT_CHECKPOINT
from flows.cli.running import run_here
from tasks.batch.children import PixelPool
from tasks.batch.pool import open_pool
from tasks.orders.dispatch import OpenFanout, in_this_process
from tasks.settings import Settings
from tests.corrections import write_correctable
from tests.workers import colour_missing, settings_in, write_archive


class Template:
    """A folder with an archive, a ledger and an output, as `settings_in` names them.

    Derivatives' keys tell of the source's address: so each test finds them at the same place.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept = folder.with_name(f"{folder.name}-kept")
        folder.rename(self._kept)

    def restore(self) -> Path:
        """The folder, as it was; what the test before has made of it is gone."""
        shutil.rmtree(self._folder, ignore_errors=True)
        shutil.copytree(self._kept, self._folder, symlinks=True)
        pyvips.cache_set_max(0)  # libvips knows files that it has read by their names
        return self._folder


@pytest.fixture(scope="session")
def pixels() -> Iterator[PixelPool]:
    """Children that colour for all tests of a process: starting some costs more than six scans."""
    pool = open_pool(Settings.model_validate({"threads": 1, "item_timeout_s": 60}))
    pool.start()
    yield pool
    pool.close()


@pytest.fixture(scope="session")
def fanout(pixels: PixelPool) -> OpenFanout:
    """Works an order off in this process, with those children."""
    return partial(in_this_process, pixels=pixels)


@pytest.fixture(scope="session")
def coloured_template(
    tmp_path_factory: pytest.TempPathFactory,
    sqlite_template: Path,
    quick_checkpoint: Path,
    pixels: PixelPool,
) -> Template:
    """Six scans that were coloured, and wait for a curator."""
    folder = tmp_path_factory.mktemp("coloured")
    shutil.copy(sqlite_template, folder / "ledger.db")
    write_archive(folder / "archive")
    colour_missing(settings_in(folder, checkpoint=quick_checkpoint), pixels)
    return Template(folder)


@pytest.fixture(scope="session")
def correctable_template(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, pixels: PixelPool
) -> Template:
    """Two scans that were coloured by the bundled network, and published."""
    folder = tmp_path_factory.mktemp("correctable")
    shutil.copy(sqlite_template, folder / "ledger.db")
    write_correctable(folder / "archive")
    settings = settings_in(folder, checkpoint=DEFAULT_CHECKPOINT, publish_directly=True)
    run_here(settings, as_json=True, pixels=pixels)
    return Template(folder)

"""Which checkpoint is in service, and where its file is."""

from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from colormodel.checkpoint import DEFAULT_CHECKPOINT, Checkpoint, CheckpointError, read_checkpoint
from tasks.errors import NoCheckpoint, UsageError
from tasks.ledger import Ledger
from tasks.registry import CheckpointRow, champion_checkpoint, promote, register_checkpoint
from tasks.settings import Settings
from tasks.storage import open_store

#: Where the bundled checkpoint is, for the register: its path differs from machine to machine.
BUNDLED = "bundled"


def find_checkpoint(settings: Settings, ledger: Ledger, scratch: Path) -> Checkpoint:
    """The checkpoint that the settings name, or else the champion.

    A ledger that has no champion yet gets the one that comes with Autochrome. A newer release does
    not change the champion: that takes a promotion.

    Args:
        settings: May name a checkpoint's file.
        ledger: Holds the register.
        scratch: Folder that a champion from a store is fetched into.

    Raises:
        NoCheckpoint: It is missing, damaged or of another format.
    """
    if settings.checkpoint is not None:
        checkpoint = _read(settings.checkpoint)
        _register(ledger, checkpoint, url=settings.checkpoint.absolute().as_uri())
        return checkpoint
    champion = champion_checkpoint(ledger) or _install_bundled(ledger)
    if champion.url == BUNDLED:
        return _bundled_champion(ledger, champion)
    return _fetch(champion, settings, scratch)


def register_file(settings: Settings, ledger: Ledger, path: Path, *, who: str) -> CheckpointRow:
    """Put a checkpoint's file into the output store, where every worker finds it, and register it.

    Raises:
        NoCheckpoint: It is missing, damaged or of another format.
    """
    checkpoint = _read(path)
    output = open_store(settings.output, settings=settings, writable=True)
    key = f"checkpoints/{checkpoint.digest}.safetensors"
    output.put(key, path, content_type="application/octet-stream", sha256=checkpoint.digest)
    return _register(ledger, checkpoint, url=f"{output.url}/{key}", who=who)


def _install_bundled(ledger: Ledger) -> CheckpointRow:
    bundled = _read(DEFAULT_CHECKPOINT)
    row = _register(ledger, bundled, url=BUNDLED)
    with suppress(UsageError):  # another worker, starting at the same time, was faster
        promote(ledger, row.digest, who="autochrome", why=f"came with {version('autochrome')}")
    return row


def _register(
    ledger: Ledger, checkpoint: Checkpoint, *, url: str, who: str = "autochrome"
) -> CheckpointRow:
    card = checkpoint.card
    return register_checkpoint(
        ledger, checkpoint.digest, name=card.name, url=url, card=asdict(card), who=who
    )


def _bundled_champion(ledger: Ledger, champion: CheckpointRow) -> Checkpoint:
    checkpoint = _read(DEFAULT_CHECKPOINT)
    if checkpoint.digest == champion.digest:
        return checkpoint
    _register(ledger, checkpoint, url=BUNDLED)
    raise NoCheckpoint(
        f"the champion {champion.digest[:12]} came with another release of Autochrome; install "
        f"that one, or `autochrome promote {checkpoint.digest[:12]}`, which came with this one"
    )


def _fetch(champion: CheckpointRow, settings: Settings, scratch: Path) -> Checkpoint:
    store_url, _, key = champion.url.rpartition("/")
    path = scratch / f"{champion.digest}.safetensors"
    # As its writer: the role that writes the output may get, but not list.
    store = open_store(store_url, settings=settings, writable=True)
    if store.fetch(key, path) != champion.digest:
        raise NoCheckpoint(
            f"{champion.url} is not the checkpoint {champion.digest[:12]} that was registered; "
            "restore it from a copy, or roll back"
        )
    return _read(path)


def _read(path: Path) -> Checkpoint:
    try:
        return read_checkpoint(path)
    except CheckpointError as error:
        raise NoCheckpoint(str(error)) from error

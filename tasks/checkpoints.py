"""Which checkpoint is in service, and where its file is."""

from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from colormodel.checkpoint import DEFAULT_CHECKPOINT, Checkpoint, CheckpointError, read_checkpoint
from colormodel.networks.foreign import ForeignError, load_profile
from colormodel.onnx_export import export_onnx
from colormodel.onnx_import import Figures, Origin, import_onnx
from tasks.errors import NoCheckpoint, UsageError
from tasks.ledger import Ledger
from tasks.ledger.checkpoints import (
    CheckpointRow,
    champion_checkpoint,
    find_registered,
    promote,
    register_checkpoint,
)
from tasks.ledger.opening import open_output
from tasks.settings import Settings
from tasks.storage import open_for_reading


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
    return fetch_checkpoint(find_champion(settings, ledger), settings, scratch)


def digest_in_service(settings: Settings, ledger: Ledger) -> str:
    """The digest of what `find_checkpoint` finds; a champion's file is not fetched for it.

    Raises:
        NoCheckpoint: The file that the settings name is missing, damaged or of another format.
    """
    if settings.checkpoint is not None:
        return _read(settings.checkpoint).digest
    return find_champion(settings, ledger).digest


def find_champion(settings: Settings, ledger: Ledger) -> CheckpointRow:
    """The checkpoint in service; a ledger without one gets the one that comes with Autochrome."""
    return champion_checkpoint(ledger) or _install_bundled(settings, ledger)


def fetch_checkpoint(row: CheckpointRow, settings: Settings, scratch: Path) -> Checkpoint:
    """Bring a registered checkpoint's file to this machine, the champion's or an older one's.

    Raises:
        NoCheckpoint: It is missing, damaged or of another format.
    """
    bundled = _read(DEFAULT_CHECKPOINT)
    if bundled.digest == row.digest:
        return bundled
    store_url, _, key = row.url.rpartition("/")
    path = scratch / f"{row.digest}.safetensors"
    store = open_for_reading(store_url, settings=settings)
    if store.fetch(key, path) != row.digest:
        raise NoCheckpoint(
            f"{row.url} is not the checkpoint {row.digest[:12]} that was registered; "
            "restore it from a copy, or roll back"
        )
    return _read(path)


def register_file(settings: Settings, ledger: Ledger, path: Path, *, who: str) -> CheckpointRow:
    """Put a checkpoint's file into the output store, where every worker finds it, and register it.

    Raises:
        NoCheckpoint: It is missing, damaged or of another format.
    """
    checkpoint = _read(path)
    output = open_output(settings, ledger)
    key = f"checkpoints/{checkpoint.digest}.safetensors"
    output.put(key, path, content_type="application/octet-stream", sha256=checkpoint.digest)
    return _register(ledger, checkpoint, url=f"{output.url}/{key}", who=who)


def add_onnx(  # noqa: PLR0913  what a person says of a file
    settings: Settings,
    ledger: Ledger,
    path: Path,
    *,
    profile: str,
    origin: Origin,
    scratch: Path,
    who: str,
) -> tuple[CheckpointRow, Figures]:
    """Make a checkpoint of a network that was made elsewhere, and register it.

    Args:
        settings: Name the output store.
        ledger: Holds the register.
        path: ONNX file.
        profile: Name of a profile, or a TOML file.
        origin: For the card.
        scratch: Folder that the checkpoint is written in.
        who: Adds it.

    Raises:
        UsageError: It cannot be used, by that profile; nothing is changed.
    """
    file = scratch / "foreign.safetensors"
    try:
        _, figures = import_onnx(path, load_profile(profile), origin, out=file)
    except ForeignError as error:
        raise UsageError(str(error)) from error
    return register_file(settings, ledger, file, who=who), figures


def export_checkpoint(
    settings: Settings, ledger: Ledger, named: str, out: Path, *, scratch: Path
) -> Path:
    """Write a checkpoint's network as ONNX; returns the file of its profile, which lies beside it.

    Args:
        settings: May name the output store.
        ledger: Holds the register.
        named: "champion", the beginning of a digest, or a .safetensors file.
        out: The ONNX file.
        scratch: Folder that a checkpoint from a store is fetched into.

    Raises:
        UsageError: It is not registered, or cannot be written as ONNX.
        NoCheckpoint: It is missing, damaged or of another format.
    """
    if Path(named).suffix == ".safetensors":
        checkpoint = _read(Path(named))
    else:
        is_champion = named == "champion"
        row = find_champion(settings, ledger) if is_champion else find_registered(ledger, named)
        checkpoint = fetch_checkpoint(row, settings, scratch)
    try:
        return export_onnx(checkpoint, out)
    except ForeignError as error:
        raise UsageError(str(error)) from error
    except CheckpointError as error:
        raise NoCheckpoint(str(error)) from error


def _install_bundled(settings: Settings, ledger: Ledger) -> CheckpointRow:
    # As a copy: the next release brings another one, and this one must stay loadable.
    row = register_file(settings, ledger, DEFAULT_CHECKPOINT, who="autochrome")
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


def _read(path: Path) -> Checkpoint:
    try:
        return read_checkpoint(path)
    except CheckpointError as error:
        raise NoCheckpoint(str(error)) from error

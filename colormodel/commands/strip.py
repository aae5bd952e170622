"""``python -m colormodel strip``: scans before and after, by one network or several."""

from pathlib import Path

import typer

from colormodel.checkpoint import DEFAULT_CHECKPOINT, CheckpointError, read_checkpoint
from colormodel.device import DeviceError
from colormodel.infer import Colorizer
from colormodel.pictures import PictureError
from colormodel.strips import Strip, encode_strip, make_strip

ERRORS = (CheckpointError, DeviceError, PictureError, MemoryError)


def run(
    *,
    files: list[Path],
    out: Path,
    checkpoints: list[Path],
    device: str,
    scans: int,
    width: int,
    most_bytes: int,
) -> int:
    """Make the strip; its path goes to stdout."""
    read = [read_checkpoint(path) for path in checkpoints or [DEFAULT_CHECKPOINT]]
    colorizers = [Colorizer(checkpoint, device=device) for checkpoint in read]
    sheet = make_strip(files, colorizers, Strip(scans, width))
    suffix = out.suffix.lower()
    content = encode_strip(sheet, suffix=suffix, most_bytes=most_bytes)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(content)
    typer.echo(out)
    return 0

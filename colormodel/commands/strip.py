"""``python -m colormodel strip``: scans before and after, by one network or several."""

from dataclasses import dataclass
from pathlib import Path

import typer

from colormodel.checkpoint import DEFAULT_CHECKPOINT, CheckpointError, read_checkpoint
from colormodel.device import DeviceError
from colormodel.infer import Colorizer
from colormodel.pictures import PictureError
from colormodel.strips import Strip, encode_strip, make_strip

ERRORS = (CheckpointError, DeviceError, PictureError, MemoryError)


@dataclass(frozen=True)
class Options:
    """What the command line asks for.

    Attributes:
        files: Pictures, in their order.
        out: PNG or JPEG file.
        checkpoints: The networks, from left to right; none: the bundled one.
        device: As `Colorizer` takes it.
        scans: In a row.
        width: Of the whole, in pixels.
        most_bytes: Size that a JPEG must not pass.
    """

    files: list[Path]
    out: Path
    checkpoints: list[Path]
    device: str
    scans: int
    width: int
    most_bytes: int


def run(options: Options) -> int:
    """Make the strip; its path goes to stdout."""
    checkpoints = [read_checkpoint(path) for path in options.checkpoints or [DEFAULT_CHECKPOINT]]
    colorizers = [Colorizer(checkpoint, device=options.device) for checkpoint in checkpoints]
    sheet = make_strip(options.files, colorizers, Strip(options.scans, options.width))
    suffix = options.out.suffix.lower()
    content = encode_strip(sheet, suffix=suffix, most_bytes=options.most_bytes)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_bytes(content)
    typer.echo(options.out)
    return 0

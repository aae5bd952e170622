"""``python -m colormodel colorize``: local files in, PNG of the same size and name out."""

from pathlib import Path

import typer
from rich.console import Console
from rich.progress import Progress

from colormodel.checkpoint import DEFAULT_CHECKPOINT, CheckpointError, read_checkpoint
from colormodel.correction import Correction, read_correction
from colormodel.device import DeviceError
from colormodel.hints import HintError
from colormodel.infer import Colorizer
from colormodel.pictures import (
    PictureError,
    encode_srgb,
    put_colour,
    read_picture,
    resize_lightness,
    write_png,
)
from colormodel.session import PictureSession

ERRORS = (CheckpointError, DeviceError, HintError, PictureError)


def run(
    *,
    files: list[Path],
    out: Path,
    checkpoint: Path | None,
    hints: Path | None,
    fade: float,
    device: str,
) -> int:
    """Colourize every file; one that cannot be read is named and the others go on.

    Returns:
        The exit code: 1 if a file could not be colourized.
    """
    targets = _targets(files, out)
    correction = read_correction(hints) if hints else Correction()
    colorizer = Colorizer(
        read_checkpoint(checkpoint or DEFAULT_CHECKPOINT),
        device=device,
        fade=fade,
    )
    failed = 0
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for target, path in progress.track(targets.items(), description="colorize"):
            try:
                score = _colorize(path, target, colorizer=colorizer, correction=correction)
            except (PictureError, MemoryError) as error:
                typer.echo(f"error: {error}", err=True)
                failed += 1
            else:
                typer.echo(f"{target}\t{score:.3f}")
    return 1 if failed else 0


def _targets(files: list[Path], out: Path) -> dict[Path, Path]:
    """Each PNG file to be written, and the picture that it is made from.

    Raises:
        PictureError: Two pictures would become one file.
    """
    targets: dict[Path, Path] = {}
    for path in files:
        target = out / f"{path.stem}.png"
        if target in targets:
            raise PictureError(
                f"{targets[target]} and {path} would both become {target.name}; colorize them apart"
            )
        targets[target] = path
    return targets


def _colorize(path: Path, target: Path, *, colorizer: Colorizer, correction: Correction) -> float:
    picture = read_picture(path)
    size = colorizer.network_size(*picture.lightness.shape)
    session = PictureSession(colorizer, resize_lightness(picture.lightness, size))
    result = session.colours(correction)
    linear = put_colour(result, picture.lightness)
    write_png(target, encode_srgb(linear, bits=picture.bits))
    return result.score

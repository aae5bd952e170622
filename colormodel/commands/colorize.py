"""``python -m colormodel colorize``: local files in, PNG of the same size and name out."""

from dataclasses import dataclass
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import Progress

from colormodel.checkpoint import DEFAULT_CHECKPOINT, CheckpointError, read_checkpoint
from colormodel.hints import Hint, HintError, read_hints
from colormodel.infer import Colorizer, DeviceError
from colormodel.pictures import (
    PictureError,
    encode_srgb,
    predict_map,
    put_colour,
    read_picture,
    write_png,
)

ERRORS = (CheckpointError, DeviceError, HintError, PictureError)


@dataclass(frozen=True)
class Options:
    """What the command line asks for.

    Attributes:
        files: Pictures to colourize.
        out: Folder of the PNG files.
        checkpoint: The network; none: the bundled one.
        hints: File of hints for all pictures, if any.
        fade: As `Colorizer` takes it.
        device: As `Colorizer` takes it.
    """

    files: list[Path]
    out: Path
    checkpoint: Path | None
    hints: Path | None
    fade: float
    device: str


def run(options: Options) -> int:
    """Colourize every file; one that cannot be read is named and the others go on.

    Returns:
        The exit code: 1 if a file could not be colourized.
    """
    targets = _targets(options)
    hints = read_hints(options.hints) if options.hints else ()
    colorizer = Colorizer(
        read_checkpoint(options.checkpoint or DEFAULT_CHECKPOINT),
        device=options.device,
        fade=options.fade,
    )
    failed = 0
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for target, path in progress.track(targets.items(), description="colorize"):
            try:
                score = _colorize(path, target, colorizer=colorizer, hints=hints)
            except (PictureError, MemoryError) as error:
                typer.echo(f"error: {error}", err=True)
                failed += 1
            else:
                typer.echo(f"{target}\t{score:.3f}")
    return 1 if failed else 0


def _targets(options: Options) -> dict[Path, Path]:
    """Each PNG file to be written, and the picture that it is made from.

    Raises:
        PictureError: Two pictures would become one file.
    """
    targets: dict[Path, Path] = {}
    for path in options.files:
        target = options.out / f"{path.stem}.png"
        if target in targets:
            raise PictureError(
                f"{targets[target]} and {path} would both become {target.name}; colorize them apart"
            )
        targets[target] = path
    return targets


def _colorize(path: Path, target: Path, *, colorizer: Colorizer, hints: tuple[Hint, ...]) -> float:
    picture = read_picture(path)
    result = predict_map(colorizer, picture.lightness, hints)
    linear = put_colour(result, picture.lightness)
    write_png(target, encode_srgb(linear, bits=picture.bits))
    return result.score

"""``python -m colormodel polarity``: fit what tells negatives from positives."""

from dataclasses import dataclass
from pathlib import Path

import typer

from colormodel.checkpoint import (
    DEFAULT_CHECKPOINT,
    CheckpointError,
    load_network,
    read_checkpoint,
)
from colormodel.photos import DataError, load_photos
from colormodel.polarity_fit import fit_weights, save_weights

ERRORS = (CheckpointError, DataError, ValueError)


@dataclass(frozen=True)
class Options:
    """What the command line asks for.

    Attributes:
        photos: Folder of the photographs to fit to.
        out: The file to write.
        checkpoint: Whose encoder; none: the bundled one's.
        limit: Photographs at most.
    """

    photos: Path
    out: Path
    checkpoint: Path | None
    limit: int


def run(options: Options) -> int:
    """Fit and write; the exit code.

    Raises:
        CheckpointError: The file is no checkpoint.
        DataError: There are no photographs.
        ValueError: The network cannot tell.
    """
    checkpoint = read_checkpoint(options.checkpoint or DEFAULT_CHECKPOINT)
    photos = load_photos(options.photos, limit=options.limit)
    weights = fit_weights(load_network(checkpoint), photos.pictures)
    fitted: dict[str, str | int] = {"checkpoint": checkpoint.digest, "photographs": len(photos)}
    save_weights(options.out, weights, fitted=fitted)
    typer.echo(f"{options.out}: {len(weights)} weights, fitted to {len(photos):,} photographs")
    return 0

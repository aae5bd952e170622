"""``python -m colormodel polarity``: fit what tells negatives from positives."""

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


def run(*, photos: Path, out: Path, checkpoint: Path | None, limit: int) -> int:
    """Fit and write; the exit code.

    Raises:
        CheckpointError: The file is no checkpoint.
        DataError: There are no photographs.
        ValueError: The network cannot tell.
    """
    read = read_checkpoint(checkpoint or DEFAULT_CHECKPOINT)
    loaded = load_photos(photos, limit=limit)
    weights = fit_weights(load_network(read), loaded.pictures)
    fitted: dict[str, str | int] = {"checkpoint": read.digest, "photographs": len(loaded)}
    save_weights(out, weights, fitted=fitted)
    typer.echo(f"{out}: {len(weights)} weights, fitted to {len(loaded):,} photographs")
    return 0

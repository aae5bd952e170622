"""``python -m colormodel card``: what a person should know of a checkpoint."""

import json
from dataclasses import asdict
from pathlib import Path

import typer

from colormodel.checkpoint import DEFAULT_CHECKPOINT, Card, CheckpointError, read_checkpoint

ERRORS = (CheckpointError,)


def run(*, checkpoint: Path | None, as_json: bool) -> int:
    """Print the card; the exit code.

    Raises:
        CheckpointError: The file is no checkpoint.
    """
    read = read_checkpoint(checkpoint or DEFAULT_CHECKPOINT)
    if as_json:
        typer.echo(json.dumps({"digest": read.digest, **asdict(read.card)}, indent=2))
    else:
        typer.echo("\n".join(_lines(read.digest, read.card)))
    return 0


def _lines(digest: str, card: Card) -> list[str]:
    data = [f"  {one.source}: {one.photographs:,} photographs, {one.licence}" for one in card.data]
    metrics = [f"  {name}: {value:g}" for name, value in card.metrics.items()]
    return [
        f"{card.name} {card.version}",
        f"sha256 {digest}",
        "",
        card.description,
        "",
        *((f"Weights: {card.terms}", "") if card.terms else ()),
        *(("Trained on:", *data, "") if data else ()),
        f"Training: {card.training}",
        "",
        *(("Measured on photographs that it was not trained on:", *metrics, "") if metrics else ()),
        "Known failures and limits:",
        *(f"  - {limit}" for limit in card.limitations),
    ]

"""``python -m colormodel evaluate``: the table of every network beside what is left grey."""

import itertools
import shlex
import sys
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import Progress

from colormodel.checkpoint import (
    DEFAULT_CHECKPOINT,
    CheckpointError,
    read_checkpoint,
    with_metrics,
)
from colormodel.device import DeviceError
from colormodel.evaluate import (
    Contestant,
    Measurer,
    PhotographsError,
    Summary,
    count_photographs,
    iter_photographs,
    reliability_svg,
    summarise,
    to_json,
    to_markdown,
)
from colormodel.infer import Colorizer
from colormodel.metrics import WeightsError

ERRORS = (CheckpointError, DeviceError, MemoryError, PhotographsError, WeightsError)

#: Photographs measured together: as many as fill the networks' minibatches.
TOGETHER = 16

#: What a card keeps of a row of the table.
CARD_FIGURES = (
    "ciede2000",
    "ms_ssim",
    "psnr",
    "colourfulness_ratio",
    "lpips",
    "green_ground",
    "blotches",
    "photographs",
)


def run(
    *,
    photos: Path,
    references: Path | None,
    weights: Path | None,
    checkpoints: list[Path],
    film: bool,
    hints: int,
    fade: float,
    limit: int | None,
    device: str,
    json: Path | None,
    markdown: Path | None,
    plot: Path | None,
    write_card: bool,
) -> int:
    """Measure every set of photographs and write what was asked for."""
    contestants = _contestants(checkpoints, hints=hints, fade=fade, device=device)
    sets = {"Photographs kept aside": photos}
    if references:
        sets["Period references"] = references
    summaries = []
    for title, folder in sets.items():
        measurer = Measurer(contestants, weights=weights, film=film)
        summaries.append(_evaluate(title, folder, measurer, limit))
    table = to_markdown(
        summaries, command=shlex.join(["python", "-m", "colormodel", *sys.argv[1:]])
    )
    for path, text in (
        (json, to_json(summaries)),
        (markdown, table),
        (plot, reliability_svg(summaries)),
    ):
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if not markdown:
        typer.echo(table)
    if write_card:
        _write_cards(summaries, contestants)
    return 0


def _write_cards(summaries: Sequence[Summary], contestants: Sequence[Contestant]) -> None:
    """Keep each network's own figures where its weights are; its digest changes with that."""
    figures: defaultdict[Path, dict[str, float]] = defaultdict(dict)
    for contestant in contestants:
        hints = f", {contestant.hints} hints" if contestant.hints else ""
        figures[contestant.colorizer.checkpoint.path] |= {
            f"{summary.title}, {row.input}{hints}: {name}": round(value, 4)
            for summary in summaries
            for row in summary.table
            if row.row == contestant.label
            for name in CARD_FIGURES
            if (value := getattr(row, name)) is not None
        }
    for path, measured in figures.items():
        checkpoint = with_metrics(read_checkpoint(path), measured)
        typer.echo(f"{checkpoint.path}: sha256 {checkpoint.digest}", err=True)


def _contestants(
    checkpoints: Sequence[Path], *, hints: int, fade: float, device: str
) -> list[Contestant]:
    """A row for each checkpoint, and one more for those that take hints."""
    bundled = sorted(DEFAULT_CHECKPOINT.parent.glob("*.safetensors"))
    contestants = []
    for path in checkpoints or bundled or [DEFAULT_CHECKPOINT]:
        checkpoint = read_checkpoint(path)
        # The same figures on every processor.
        load = partial(Colorizer, checkpoint, device=device, precision="float32")
        label, colorizer = path.stem, load()
        contestants.append(Contestant(label, colorizer))
        if fade:
            contestants.append(Contestant(f"{label} faded", load(fade=fade)))
        if hints and colorizer.takes_hints:
            contestants.append(Contestant(f"{label} with {hints} hints", colorizer, hints))
    return contestants


def _evaluate(title: str, folder: Path, measurer: Measurer, limit: int | None) -> Summary:
    photographs = iter_photographs(folder, limit=limit)
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=count_photographs(folder, limit=limit))
        while together := list(itertools.islice(photographs, TOGETHER)):
            measurer.add(together)
            progress.advance(task, len(together))
    return summarise(title, measurer.evidence)

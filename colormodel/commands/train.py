"""``python -m colormodel train``: from a recipe and photographs to a checkpoint."""

import csv
import dataclasses
import sys
import time
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress as Bar

from colormodel.checkpoint import Checkpoint, CheckpointError, read_checkpoint
from colormodel.data import DataRecipe
from colormodel.evaluate import (
    Contestant,
    Measurer,
    PhotographsError,
    iter_photographs,
    summarise,
    to_markdown,
)
from colormodel.infer import Colorizer
from colormodel.losses import LossWeights
from colormodel.networks import NetworkConfig
from colormodel.peers import peers
from colormodel.photos import DataError
from colormodel.pictures import PictureError, read_picture
from colormodel.recipe import RecipeError, TrainRecipe, load_recipe
from colormodel.strips import Strip, make_strip
from colormodel.train import Progress, train

ERRORS = (CheckpointError, DataError, PhotographsError, PictureError, RecipeError)

Part = TypeVar("Part", TrainRecipe, DataRecipe, LossWeights, NetworkConfig)

#: Between two lines of progress where stderr is not a terminal.
LINE_EVERY_S = 30
#: Photographs kept aside by which a training that ended is measured.
MEASURED = 64
#: More steps than any training has: then the clock alone ends it.
_BY_THE_CLOCK = 10**9


def run(
    *,
    recipe: Path,
    out: Path,
    resume: bool,
    overrides: list[str],
    look: list[Path],
    processes: int,
    minutes: float | None,
) -> int:
    """Train, or go on training; the checkpoint's path goes to stdout."""
    wanted = override(load_recipe(recipe), overrides)
    for path in look:
        read_picture(path)  # an error now, rather than after hours
    if minutes:
        wanted = dataclasses.replace(wanted, minutes=minutes, steps=_BY_THE_CLOCK)
    with (
        Bar(console=Console(stderr=True)) as bar,
        peers(processes, out) as together,
    ):
        watcher = None if together.rank else _Watcher(bar, out, look)  # the others keep silent
        checkpoint = train(
            wanted,
            out=out,
            resume=resume,
            on_progress=watcher.on_progress if watcher else None,
            together=together,
        )
        if watcher:
            watcher.finish()
            _measure(checkpoint, wanted, out)
    typer.echo(checkpoint.path)
    return 0


def _measure(checkpoint: Checkpoint, recipe: TrainRecipe, out: Path) -> None:
    """Leave figures of some photographs kept aside in ``metrics.md``, where the recipe has any."""
    folder = Path(recipe.photos)
    if not (folder / "val.csv").is_file():
        return
    colorizer = Colorizer(checkpoint, precision="float32")
    measurer = Measurer([Contestant(recipe.name, colorizer)], weights=None, film=True)
    for photograph in iter_photographs(folder, limit=MEASURED):
        measurer.add([photograph])
    summary = summarise(f"{MEASURED} photographs kept aside", measurer.evidence)
    (out / "metrics.md").write_text(to_markdown([summary], command="train"), encoding="utf-8")


def override(recipe: TrainRecipe, assignments: list[str]) -> TrainRecipe:
    """Change some of a recipe's values.

    Raises:
        RecipeError: There is no such key, or the value is not TOML.
    """
    for assignment in assignments:
        key, _, text = assignment.partition("=")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
            recipe = _replaced(recipe, key.split("."), value)
        except (tomllib.TOMLDecodeError, TypeError, AttributeError) as error:
            raise RecipeError(
                f"--set {assignment}: no key of a recipe with a TOML value; "
                "write for example --set data.minibatch=16"
            ) from error
    return recipe


def _replaced(part: Part, path: list[str], value: object) -> Part:
    name, *rest = path
    changes: dict[str, Any] = {name: _replaced(getattr(part, name), rest, value) if rest else value}
    return dataclasses.replace(part, **changes)


class _Watcher:
    """Shows how far it is, and makes a strip of pictures whenever the training saves."""

    def __init__(self, bar: Bar, out: Path, look: list[Path]) -> None:
        self._bar, self._out, self._look = bar, out, look
        self._task = bar.add_task("train", total=1.0)
        self._checkpoint = out / "checkpoint.safetensors"
        self._looked_at = self._saved_at()
        self._told_at = 0.0
        self._last: Progress | None = None

    def on_progress(self, progress: Progress) -> None:
        self._last = progress
        step, _, loss, _, speed = progress
        text = f"step {step}  loss {loss:.3f}  {speed:.0f} pictures/s"
        self._bar.update(self._task, completed=progress.share, description=text)
        if not sys.stderr.isatty() and time.monotonic() - self._told_at > LINE_EVERY_S:
            self._told_at = time.monotonic()
            typer.echo(f"{progress.share:6.1%}  {text}", err=True)
        if self._saved_at() != self._looked_at:
            self._looked_at = self._saved_at()
            self._note(progress)
            self.look()

    def finish(self) -> None:
        """The last save is noted and looked at, too."""
        if self._last is not None:
            self._note(self._last)
        self.look()

    def _note(self, progress: Progress) -> None:
        """A line a save in ``progress.csv``: how far it was, and how it went."""
        path = self._out / "progress.csv"
        with path.open("a", encoding="utf-8", newline="") as file:
            lines = csv.writer(file)
            if not file.tell():
                lines.writerow(Progress._fields)
            lines.writerow(progress)

    def look(self) -> None:
        """Colourize the pictures with what is saved, into ``look.jpg`` beside it."""
        if self._look:
            colorizer = Colorizer(read_checkpoint(self._checkpoint), device="cpu")
            make_strip(self._look, [colorizer], Strip()).save(self._out / "look.jpg")

    def _saved_at(self) -> int:
        return self._checkpoint.stat().st_mtime_ns if self._checkpoint.is_file() else 0

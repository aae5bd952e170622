"""Ray Data: `map_batches` over the files, one actor that holds the network.

Stages as its documentation recommends for batch inference: reading, CPU tasks before and after, an
actor between.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import ray.data

from tests.bench.speed.rivals import steps

Batch = dict[str, Any]


def _decode(batch: Batch, network_px: int) -> Batch:
    decoded = [steps.decode(path, network_px) for path in batch["path"]]
    labs, smalls = zip(*decoded, strict=True)
    return {"path": batch["path"], "lab": _objects(labs), "small": _objects(smalls)}


class _Predict:
    """The actor: one network, kept."""

    def __init__(self) -> None:
        self._colorizer = steps.load_network()

    def __call__(self, batch: Batch) -> Batch:
        """Lightness to chroma, both at the network's size."""
        chromas = steps.predict(self._colorizer, list(batch["small"]))
        return {"path": batch["path"], "lab": batch["lab"], "chroma": _objects(chromas)}


def _encode(batch: Batch, out: str) -> Batch:
    rows = zip(batch["path"], batch["lab"], batch["chroma"], strict=True)
    return {"path": [steps.encode(*row, out) for row in rows]}


def colour_all(paths: list[Path], out: Path, *, at_once: int = steps.MINIBATCH) -> None:
    """Colour scans in a pipeline."""
    out.mkdir(parents=True, exist_ok=True)
    px = steps.network_px_of_default()
    items = ray.data.from_items([{"path": str(path)} for path in paths])
    read = items.map_batches(
        _decode, batch_size=at_once, fn_kwargs={"network_px": px}, num_cpus=0.5
    )
    coloured = read.map_batches(
        _Predict, batch_size=at_once, compute=ray.data.ActorPoolStrategy(size=1), num_cpus=0.5
    )
    written = coloured.map_batches(
        _encode, batch_size=at_once, fn_kwargs={"out": str(out)}, num_cpus=0.5
    )
    written.materialize()


def _objects(values: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays of different shapes in one column."""
    column = np.empty(len(values), dtype=object)
    column[:] = list(values)
    return column

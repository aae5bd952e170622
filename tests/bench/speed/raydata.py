"""The same with Ray Data: `map_batches` over the files, one actor that holds the network.

Stages as its documentation recommends for batch inference: reading, CPU tasks before and after, an
actor between. No ledger, no gate, no metadata, no second look at what was written.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from skimage.color import lab2rgb, rgb2lab
from torch.nn import functional

from colormodel.checkpoint import DEFAULT_CHECKPOINT, read_checkpoint
from colormodel.infer import Colorizer
from colormodel.planes import network_size

Batch = dict[str, Any]


def is_installed() -> bool:
    """Whether Ray Data can be measured here."""
    try:
        import ray.data  # noqa: F401, PLC0415 -- optional
    except ImportError:
        return False
    return True


def decode(batch: Batch, network_px: int) -> Batch:
    """Paths to Lab at full size and lightness at the network's."""
    labs, smalls = [], []
    for path in batch["path"]:
        grey = np.asarray(Image.open(path).convert("RGB"))
        lab = rgb2lab(grey.astype(np.float32) / 255).astype(np.float32)
        plane = torch.from_numpy(np.ascontiguousarray(lab[..., 0]))[None, None]
        size = network_size(*lab.shape[:2], network_px=network_px)
        small = functional.interpolate(plane, size, mode="bilinear", antialias=True)
        labs.append(lab)
        smalls.append(small[0, 0].numpy())
    return {"path": batch["path"], "lab": _objects(labs), "small": _objects(smalls)}


class Predict:
    """The actor: one network, kept."""

    def __init__(self, minibatch: int) -> None:
        self._colorizer = Colorizer(read_checkpoint(DEFAULT_CHECKPOINT), minibatch=minibatch)

    def __call__(self, batch: Batch) -> Batch:
        """Lightness to chroma, both at the network's size."""
        maps = self._colorizer.predict(list(batch["small"]))
        chroma = _objects([getattr(chroma_map, "chroma", None) for chroma_map in maps])
        return {"path": batch["path"], "lab": batch["lab"], "chroma": chroma}


def encode(batch: Batch, out: str) -> Batch:
    """Enlarge the colours, put them under the lightness, write."""
    for path, lab, chroma in zip(batch["path"], batch["lab"], batch["chroma"], strict=True):
        wide = torch.from_numpy(np.array(chroma))[None]
        full = functional.interpolate(wide, lab.shape[:2], mode="bilinear", align_corners=False)
        coloured = np.concatenate([lab[..., :1], full[0].permute(1, 2, 0).numpy()], axis=2)
        rgb = np.clip(lab2rgb(coloured) * 255, 0, 255).round().astype(np.uint8)
        Image.fromarray(rgb).save(Path(out) / Path(path).name, "JPEG", quality=90)
    return {"path": batch["path"]}


def colour_all(paths: list[Path], out: Path, *, minibatch: int, network_px: int) -> None:
    """Colour scans in a pipeline."""
    import ray.data  # noqa: PLC0415 -- optional

    out.mkdir(parents=True, exist_ok=True)
    items = ray.data.from_items([{"path": str(path)} for path in paths])
    read = items.map_batches(
        decode, batch_size=minibatch, fn_kwargs={"network_px": network_px}, num_cpus=0.5
    )
    coloured = read.map_batches(
        Predict,
        batch_size=minibatch,
        fn_constructor_kwargs={"minibatch": minibatch},
        compute=ray.data.ActorPoolStrategy(size=1),
        num_cpus=0.5,
    )
    written = coloured.map_batches(
        encode, batch_size=minibatch, fn_kwargs={"out": str(out)}, num_cpus=0.5
    )
    written.materialize()


def _objects(values: list[Any]) -> np.ndarray:
    """Arrays of different shapes in one column."""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column

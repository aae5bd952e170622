"""What a notebook does: one scan at a time, Pillow in, scikit-image's Lab at full size, Pillow out.

The same network at the same size as ours, and the same full-size result; no ledger, no gate, no
metadata, no second look at what was written. Written as well as one would by hand.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.color import lab2rgb, rgb2lab
from torch.nn import functional

from colormodel.infer import Colorizer


def colour_all(paths: list[Path], out: Path, colorizer: Colorizer) -> None:
    """Colour scans one after the other."""
    out.mkdir(parents=True, exist_ok=True)
    for path in paths:
        colour_one(path, out / path.name, colorizer)


def colour_one(path: Path, target: Path, colorizer: Colorizer) -> None:
    """Read, predict, enlarge the colours, write."""
    grey = np.asarray(Image.open(path).convert("RGB"))
    lab = rgb2lab(grey.astype(np.float32) / 255)
    size = colorizer.network_size(*lab.shape[:2])
    plane = torch.from_numpy(np.ascontiguousarray(lab[..., 0], np.float32))[None, None]
    small = functional.interpolate(plane, size, mode="bilinear", antialias=True)[0, 0].numpy()
    chroma_map = colorizer.predict([small])[0]
    if isinstance(chroma_map, Exception):
        raise chroma_map
    chroma = torch.from_numpy(chroma_map.chroma)[None]
    full = functional.interpolate(chroma, lab.shape[:2], mode="bilinear", align_corners=False)
    lab[..., 1:] = full[0].permute(1, 2, 0).numpy()
    rgb = np.clip(lab2rgb(lab) * 255, 0, 255).round().astype(np.uint8)
    Image.fromarray(rgb).save(target, "JPEG", quality=90)

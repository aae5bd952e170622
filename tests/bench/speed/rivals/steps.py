"""What every script does with a scan: Pillow in, scikit-image's Lab at full size, Pillow out."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage.color import lab2rgb, rgb2lab
from torch.nn import functional

from colormodel.checkpoint import DEFAULT_CHECKPOINT, read_checkpoint
from colormodel.infer import Colorizer
from colormodel.planes import network_size

Floats = NDArray[np.float32]

MINIBATCH = 16
QUALITY = 90


def load_network() -> Colorizer:
    """Our network, as we use it."""
    return Colorizer(read_checkpoint(DEFAULT_CHECKPOINT), minibatch=MINIBATCH)


def decode(path: str, network_px: int) -> tuple[Floats, Floats]:
    """A scan's Lab at full size, (H, W, 3), and its lightness at the network's, (h, w)."""
    grey = np.asarray(Image.open(path).convert("RGB"))
    lab = rgb2lab(grey.astype(np.float32) / 255).astype(np.float32)
    plane = torch.from_numpy(np.ascontiguousarray(lab[..., 0]))[None, None]
    size = network_size(*lab.shape[:2], network_px=network_px)
    small = functional.interpolate(plane, size, mode="bilinear", antialias=True)
    return lab, small[0, 0].numpy()


def predict(colorizer: Colorizer, smalls: list[Floats]) -> list[Floats]:
    """Chroma of some scans, (2, h, w) each."""
    maps: list[Any] = colorizer.predict(smalls)
    return [chroma_map.chroma for chroma_map in maps]


def encode(path: str, lab: Floats, chroma: Floats, out: str) -> str:
    """Enlarge the colours, put them under the lightness, write."""
    wide = torch.from_numpy(np.array(chroma))[None]
    full = functional.interpolate(wide, lab.shape[:2], mode="bilinear", align_corners=False)
    coloured = np.concatenate([lab[..., :1], full[0].permute(1, 2, 0).numpy()], axis=2)
    rgb = np.clip(lab2rgb(coloured) * 255, 0, 255).round().astype(np.uint8)
    target = Path(out) / Path(path).name
    Image.fromarray(rgb).save(target, "JPEG", quality=QUALITY)
    return str(target)


def network_px_of_default() -> int:
    """The shorter side at which our network looks at a scan."""
    return read_checkpoint(DEFAULT_CHECKPOINT).network_px

"""Photographs made by code: small scenes whose colours follow from their tones."""

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from colormodel.photos import Photos, Pixels
from colormodel.planes import Plane


def make_scene(seed: int, *, height: int = 72, width: int = 96) -> Pixels:
    """Paint blue sky over green ground with an orange ball, sRGB uint8 (height, width, 3)."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    horizon = draw.integers(height // 3, 2 * height // 3)
    scene = np.empty((height, width, 3))
    scene[:] = np.where((y < horizon)[..., None], (130, 180, 240), (60, 130, 50))
    cy, cx = draw.integers(16, height - 16), draw.integers(16, width - 16)
    scene[(y - cy) ** 2 + (x - cx) ** 2 < 14**2] = (230, 120, 30)
    return (scene + draw.normal(0, 4, (height, width, 1))).clip(0, 255).astype(np.uint8)


def make_planes(count: int, *, shape: tuple[int, int] = (64, 96)) -> list[Plane]:
    """Lightness planes of smooth noise, each another."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0, 100, (count, shape[0] // 8, shape[1] // 8))
    return list(np.kron(coarse, np.ones((8, 8))).astype(np.float32))


def make_photos(count: int) -> Photos:
    """Paint some scenes, alternately from two sources."""
    sources = [("here", "there")[i % 2] for i in range(count)]
    return Photos(
        [make_scene(i) for i in range(count)], sources, {"here": "CC0", "there": "research"}
    )


def write_photos(folder: Path, count: int, *, split: str = "train", first: int = 0) -> None:
    """Write scenes as the archive and listing that `load_photos` reads; every fourth is grey.

    Scenes of one number are the same: *first* is that of the first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["name,source,licence,width,height,sha256"]
    with tarfile.open(folder / f"{split}-00.tar", "w") as tar:
        for i in range(count):
            scene = make_scene(first + i)
            if i % 4 == 3:
                scene[:] = scene.mean(2, keepdims=True).astype(np.uint8)
            file = io.BytesIO()
            Image.fromarray(scene).save(file, "WEBP", lossless=True)
            info = tarfile.TarInfo(f"{split}-{i:05}.webp")
            info.size = len(file.getvalue())
            file.seek(0)
            tar.addfile(info, file)
            lines.append(f"{info.name},{'here' if i % 2 else 'there'},CC0,96,72,-")
    (folder / f"{split}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")

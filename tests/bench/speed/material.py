"""Scans to measure with: real ones where they are at hand, made ones elsewhere."""

import shutil
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from skimage import data as pictures

from tests.scanfiles import codes_of, photograph, write_jpeg

REAL = Path(__file__).parents[3].parent / "shared" / "data" / "scans"
SMALL_PX = 700  # long side, at most, of what is called 640 px
LARGE_HEIGHT, LARGE_WIDTH = 4500, 6000  # 27 megapixels


def small_scans(folder: Path, count: int) -> tuple[Path, str]:
    """Fill *folder* with greyscale JPEGs of about 640 px; say what they are.

    Real archive scans, repeated under other names until there are enough, or made photographs.
    """
    folder.mkdir(parents=True)
    real = [path for path in sorted(REAL.glob("*.jpg")) if _long_side(path) <= SMALL_PX]
    for number in range(count):
        path = folder / f"{number:05d}.jpg"
        if real:
            shutil.copyfile(real[number % len(real)], path)
        else:
            write_jpeg(path, codes_of(photograph(480, 640, seed=number % 50)))
    return folder, "archive scans of 640 px" if real else "made scans of 640 × 480"


def _long_side(path: Path) -> int:
    with Image.open(path) as image:
        return max(image.size)


def large_jpeg(path: Path) -> Path:
    """A greyscale JPEG of 27 megapixels, with the grain that real ones have."""
    Image.fromarray(_large_codes()).save(path, "JPEG", quality=92)
    return path


def large_tiff(path: Path) -> Path:
    """A 16-bit greyscale TIFF of 27 megapixels, tiled, ZIP."""
    codes = _large_codes().astype(np.uint16) * 257
    codes ^= np.random.default_rng(2).integers(0, 256, codes.shape, dtype=np.uint16)
    tifffile.imwrite(path, codes, tile=(512, 512), compression="zlib", photometric="minisblack")
    return path


def _large_codes() -> np.ndarray:
    grey = Image.fromarray(pictures.astronaut()).convert("L")
    codes = np.asarray(grey.resize((LARGE_WIDTH, LARGE_HEIGHT), Image.Resampling.BICUBIC))
    grain = np.random.default_rng(1).normal(0, 4, codes.shape).astype(np.float32)
    return np.clip(codes + grain, 0, 255).astype(np.uint8)

"""A small archive to try everything on, made from the photographs that scikit-image installs."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from skimage import data

#: ITU-R BT.709 luma, close to what a panchromatic plate saw.
_LUMA = np.array([0.2126, 0.7152, 0.0722])

_NOTE = """This folder is a demonstration archive. Like most, it also holds things that are not
scans: this note, a photograph that is already in colour, and a file that was cut off in copying.
"""


def make_demo_archive(folder: Path) -> int:
    """Write the demonstration scans into *folder*; files already there stay as they are.

    Returns:
        How many files the archive holds.

    Raises:
        OSError: The folder cannot be written.
    """
    for name, encode in _SCANS.items():
        path = folder / name
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.part")
        draft.write_bytes(encode())
        draft.replace(path)
    return len(_SCANS)


def _grey(picture: np.ndarray) -> np.ndarray:
    """Luma of a picture as float64 in [0, 1], shape (H, W)."""
    scaled = picture.astype(np.float64) / 255
    return scaled if scaled.ndim == 2 else scaled[..., :3] @ _LUMA


def _jpeg(picture: np.ndarray, **options: bool | int) -> bytes:
    buffer = io.BytesIO()
    grey = Image.fromarray(np.round(_grey(picture) * 255).astype(np.uint8))
    grey.save(buffer, "JPEG", quality=92, dpi=(300, 300), **options)
    return buffer.getvalue()


def _colour_jpeg(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def _png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.round(_grey(picture) * 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _tiff(picture: np.ndarray, *, bits: int, title: str) -> bytes:
    """A greyscale TIFF; at 16 bits with the fine gradation that a real scanner gives."""
    grey = _grey(picture)
    if bits == 16:
        grain = np.random.default_rng(1907).normal(0, 0.0008, grey.shape)
        grey = np.clip(grey + grain, 0, 1)
    codes = np.round(grey * (2**bits - 1)).astype(np.uint16 if bits == 16 else np.uint8)
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        codes,
        photometric="minisblack",
        compression="zlib",
        description=title,
        resolution=(600, 600),
        resolutionunit="INCH",
        software="Autochrome demo",
        datetime="2026:01:01 00:00:00",
        metadata=None,
    )
    return buffer.getvalue()


_SCANS: dict[str, Callable[[], bytes]] = {
    "portraits/astronaut.jpg": lambda: _jpeg(data.astronaut()),
    "portraits/photographer.tif": lambda: _tiff(data.camera(), bits=8, title="A photographer"),
    "animals/cat.png": lambda: _png(data.cat()),
    "still/coffee.jpg": lambda: _jpeg(data.coffee(), progressive=True),
    "streets/motorcycle.tif": lambda: _tiff(
        data.stereo_motorcycle()[0], bits=16, title="Motorcycle in a garage"
    ),
    "sky/rocket.tif": lambda: _tiff(data.rocket(), bits=16, title="A rocket on its pad"),
    "textures/grass.png": lambda: _png(data.grass()),
    "textures/bricks.jpg": lambda: _jpeg(data.brick()),
    "sky/rocket-in-colour.jpg": lambda: _colour_jpeg(data.rocket()),
    "damaged/cut-off.jpg": lambda: _jpeg(data.astronaut())[:20_000],
    "notes.txt": _NOTE.encode,
}

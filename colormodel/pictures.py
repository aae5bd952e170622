"""Pictures as local files: grey of 8 or 16 bits in, sRGB of the same depth out."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyvips
import torch
from numpy.typing import NDArray
from torch.nn import functional

from colormodel.color import grey_to_lightness, srgb_to_lab
from colormodel.infer import Colorizer
from colormodel.planes import ChromaMap, GuidedUpsampler, Plane, linear_in_gamut
from colormodel.srgb import from_linear

Codes = NDArray[np.uint8] | NDArray[np.uint16]

#: Full-size rows worked on at once.
STRIP_ROWS = 256


class PictureError(Exception):
    """A file cannot be read as a picture; the message says which and why."""


@dataclass(frozen=True)
class Picture:
    """A picture without its colours.

    Attributes:
        lightness: L* in [0, 100], float32 (H, W).
        bits: Of each sample in the file: 8 or 16.
    """

    lightness: Plane
    bits: int


def read_picture(path: Path) -> Picture:
    """Read a JPEG, PNG, WebP or TIFF, the right way up; colours are left out.

    Codes are taken to be sRGB's.

    Raises:
        PictureError: The file is missing, damaged or no picture.
    """
    if not path.is_file():
        raise PictureError(f"{path}: no such file; name a JPEG, PNG, WebP or TIFF")
    try:
        codes = _read_codes(path)
    except (ValueError, pyvips.Error) as error:
        why = str(error).strip().splitlines()[-1].strip()
        raise PictureError(f"{path}: not read ({why}); give a JPEG, PNG, WebP or TIFF") from error
    largest = 65535 if codes.dtype == np.uint16 else 255
    if codes.ndim == 2:
        table = grey_to_lightness(torch.arange(largest + 1, dtype=torch.float64) / largest)
        lightness = table.float().numpy()[codes]
    else:
        srgb = torch.from_numpy(codes.astype(np.float32)).permute(2, 0, 1)[None] / largest
        lightness = srgb_to_lab(srgb)[0, 0].clamp(0, 100).numpy()
    return Picture(lightness, 16 if codes.dtype == np.uint16 else 8)


def resize_lightness(lightness: Plane, size: tuple[int, int]) -> Plane:
    """Bring L* (H, W) to a network's size, averaging where it becomes smaller."""
    plane = torch.from_numpy(np.ascontiguousarray(lightness))[None, None]
    small = functional.interpolate(plane, size, mode="bilinear", antialias=True)
    resized: Plane = small[0, 0].clamp(0, 100).numpy()
    return resized


def predict_map(colorizer: Colorizer, lightness: Plane) -> ChromaMap:
    """What the network says about one picture of any size, L* in [0, 100], float32 (H, W).

    Raises:
        MemoryError: It does not fit into memory.
        NetworkFault: The network has no finite colours for it.
        DeviceError: The device has failed.
    """
    size = colorizer.network_size(*lightness.shape)
    (result,) = colorizer.predict([resize_lightness(lightness, size)])
    if isinstance(result, Exception):
        raise result
    return result


def put_colour(chroma_map: ChromaMap, lightness: Plane, *, under: Plane | None = None) -> Plane:
    """Give a picture its colours, at full size.

    Args:
        chroma_map: Of the picture.
        lightness: The picture's L*, whose edges the colours follow, float32 (H, W).
        under: The L* that the colours are put under, where it is another one.

    Returns:
        Linear light, sRGB's primaries, float32 (3, H, W) in [0, 1].
    """
    height, width = lightness.shape
    final = lightness if under is None else under
    upsampler = GuidedUpsampler(chroma_map, height, width)
    linear = np.empty((3, height, width), np.float32)
    for top in range(0, height, STRIP_ROWS):
        rows = slice(top, min(top + STRIP_ROWS, height))
        linear[:, rows] = linear_in_gamut(final[rows], upsampler.rows(lightness[rows], top))
    return linear


def encode_srgb(linear: Plane, *, bits: int) -> Codes:
    """Linear light (3, H, W) in [0, 1] to sRGB codes of 8 or 16 bits, (H, W, 3)."""
    srgb = np.moveaxis(from_linear(linear), 0, -1)
    if bits == 16:
        return np.rint(srgb * 65535).astype(np.uint16)
    return np.rint(srgb * 255).astype(np.uint8)


def write_png(path: Path, codes: Codes) -> None:
    """Write sRGB codes (H, W, 3) of 8 or 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, _ = codes.shape
    kind = "ushort" if codes.dtype == np.uint16 else "uchar"
    image = pyvips.Image.new_from_memory(np.ascontiguousarray(codes).data, width, height, 3, kind)
    image.copy(interpretation="rgb16" if kind == "ushort" else "srgb").pngsave(str(path))


def _read_codes(path: Path) -> Codes:
    """Codes of the first page, upright, transparent parts on white; (H, W) or (H, W, 3)."""
    image = pyvips.Image.new_from_file(str(path), access="sequential", fail_on="truncated")
    if image.format not in {"uchar", "ushort"}:
        raise ValueError(f"samples are {image.format}, not of 8 or 16 bits")
    if image.interpretation not in {"b-w", "grey16", "srgb", "rgb16"}:
        image = image.colourspace("srgb")
    if image.hasalpha():
        image = image.flatten(background=255 if image.format == "uchar" else 65535)
    codes: Codes = image.autorot().numpy()
    return codes

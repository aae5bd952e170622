"""Greyscale JPEG files of every kind that a splice meets, made by code."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from colormodel.planes import ChromaMap
from tasks.derivatives.chroma import chroma_planes, encode_plane
from tasks.derivatives.jpegfile import Segment
from tasks.derivatives.splice import read_grey_jpeg, splice_luma
from tasks.scans.formats.markers import APP1, XMP


def make_picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """A smooth picture with some grain and a hard edge, uint8 (height, width)."""
    noise = np.random.default_rng(seed).normal(0, 6, (height, width))
    rows, columns = np.mgrid[0:height, 0:width]
    smooth = 128 + 70 * np.sin(rows / 9 + seed) * np.cos(columns / 13)
    return np.clip(smooth + noise + 40 * (columns > width // 2), 0, 255).astype(np.uint8)


def srgb_lightness() -> NDArray[np.float32]:
    """L* of each sRGB code, after IEC 61966-2-1 and CIE 15."""
    value = np.arange(256) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    root = np.where(linear > (6 / 29) ** 3, np.cbrt(linear), linear * (29 / 6) ** 2 / 3 + 4 / 29)
    return (116 * root - 16).astype(np.float32)


def make_chroma_map(luma: NDArray[np.uint8], strength: float = 30) -> ChromaMap:
    """Chroma that varies over the picture, at a network's size."""
    small = np.asarray(Image.fromarray(luma).resize((32, 32), Image.Resampling.BOX))
    rows, columns = np.mgrid[0:32, 0:32] / 16
    chroma = np.stack([np.sin(3 * rows + columns), np.cos(2 * columns - rows)]) * strength
    return ChromaMap(
        chroma.astype(np.float32),
        np.ones((32, 32), np.float32),
        0.8,
        srgb_lightness()[small],
    )


def make_grey_jpeg(luma: NDArray[np.uint8], **options: object) -> bytes:
    """*luma* as a greyscale JPEG file, with Pillow's options."""
    coded = io.BytesIO()
    Image.fromarray(luma).save(coded, "JPEG", **options)
    return coded.getvalue()


def make_spliced(data: bytes, *, icc: bytes | None = None, xmp: bytes | None = None) -> bytes:
    """Splice colour that varies over the picture into the greyscale JPEG file *data*."""
    grey = read_grey_jpeg(data)
    luma = np.asarray(Image.open(io.BytesIO(data)))
    planes = chroma_planes(luma, make_chroma_map(luma), lightness_of=srgb_lightness())
    cb, cr = (encode_plane(plane, 90, progressive=grey.progressive) for plane in planes)
    segments = [Segment(APP1, XMP + xmp)] if xmp else []
    return splice_luma(grey, (cb, cr), icc_profile=icc, xmp=segments)

"""Photographs to evaluate on, one at a time: a split in tar files, or a folder of pictures."""

import csv
import io
import itertools
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

#: Shorter side at which pictures are compared; larger ones are made smaller, as in `val`.
COMPARED_PX = 256
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


class PhotographsError(Exception):
    """There are no photographs where some were named."""


@dataclass(frozen=True)
class Photograph:
    """A colour photograph, the truth to compare with.

    Attributes:
        name: File name.
        source: Collection that it belongs to.
        srgb: uint8 (H, W, 3).
    """

    name: str
    source: str
    srgb: NDArray[np.uint8]


def count_photographs(folder: Path, *, limit: int | None = None) -> int:
    """How many `iter_photographs` gives."""
    listing = folder / "val.csv"
    if listing.is_file():
        with listing.open(encoding="utf-8", newline="") as file:
            count = sum(1 for _ in csv.DictReader(file))
    else:
        count = len(_files(folder))
    return count if limit is None else min(count, limit)


def iter_photographs(folder: Path, *, limit: int | None = None) -> Iterator[Photograph]:
    """Read the photographs of ``val.csv`` and ``val-*.tar``, or else the pictures in a folder.

    Args:
        folder: Where they are.
        limit: Stop after so many.

    Raises:
        PhotographsError: There are none.
    """
    photographs = _from_tars(folder) if (folder / "val.csv").is_file() else _from_files(folder)
    return itertools.islice(photographs, limit)


def _from_tars(folder: Path) -> Iterator[Photograph]:
    with (folder / "val.csv").open(encoding="utf-8", newline="") as file:
        sources = {row["name"]: row["source"] for row in csv.DictReader(file)}
    for archive in sorted(folder.glob("val-*.tar")):
        with tarfile.open(archive) as tar:
            for member in tar:
                content = tar.extractfile(member) if member.name in sources else None
                if content is not None:
                    yield _decode(member.name, sources[member.name], content.read())


def _from_files(folder: Path) -> Iterator[Photograph]:
    for path in _files(folder):
        yield _decode(path.name, folder.name, path.read_bytes())


def _files(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise PhotographsError(
            f"{folder}: no photographs: give a folder with val.csv and val-*.tar, "
            f"or with pictures ({', '.join(sorted(SUFFIXES))})"
        )
    return files


def _decode(name: str, source: str, content: bytes) -> Photograph:
    try:
        with Image.open(io.BytesIO(content)) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except OSError as error:
        raise PhotographsError(f"{name}: damaged ({error}); copy it again") from error
    scale = COMPARED_PX / min(upright.size)
    if scale < 1:
        size = (round(upright.width * scale), round(upright.height * scale))
        upright = upright.resize(size, Image.Resampling.LANCZOS)
    return Photograph(name, source, np.asarray(upright))

"""Training photographs: decoded once to uint8, kept in one file, cut into squares on any device."""

import csv
import io
import json
import os
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from colormodel.color import srgb_to_lab

Pixels = npt.NDArray[np.uint8]


class DataError(Exception):
    """Photographs are missing or damaged; the message says what to do."""


@dataclass(frozen=True)
class Photos:
    """Photographs in memory.

    Attributes:
        pictures: sRGB, uint8, (h, w, 3) each, of any size.
        sources: Where each comes from.
        licences: Under which terms each source is used.
    """

    pictures: Sequence[Pixels]
    sources: Sequence[str]
    licences: dict[str, str]

    def __len__(self) -> int:
        return len(self.pictures)


def load_photos(
    folder: Path,
    *,
    split: str = "train",
    least_chroma: float = 0.0,
    limit: int | None = None,
    cache: Path | None = None,
) -> Photos:
    """Decode the photographs `{split}-*.tar` that `{split}.csv` lists, as far as they are there.

    Args:
        folder: Where they are.
        split: Which of them.
        least_chroma: Photographs of less mean chroma are left out.
        limit: Look at so many only, drawn by their names: the same ones every time.
        cache: Folder in which what was decoded is kept for the next time, a file an archive; its
            pictures are read from there as they are needed, by all processes together.

    Raises:
        DataError: There are none, or one is damaged.
    """
    listing, archives = folder / f"{split}.csv", sorted(folder.glob(f"{split}-*.tar"))
    if not listing.is_file() or not archives:
        raise DataError(
            f"{folder}: no photographs: need {split}.csv and {split}-*.tar; "
            "name their folder with --photos"
        )
    with listing.open(encoding="utf-8", newline="") as file:
        listed = sorted(csv.DictReader(file), key=lambda row: zlib.crc32(row["name"].encode()))
    rows = {row["name"]: row for row in listed[:limit]}
    pictures: list[Pixels] = []
    sources: list[str] = []
    for archive in archives:
        for name, pixels in _cached(archive, cache) if cache else _decoded(archive, rows):
            if name in rows and (least_chroma <= 0 or _mean_chroma(pixels) >= least_chroma):
                pictures.append(pixels)
                sources.append(rows[name]["source"])
    return Photos(pictures, sources, {row["source"]: row["licence"] for row in rows.values()})


class Bank:
    """All photographs in one tensor, from which squares are cut many at a time.

    Attributes:
        device: Where the pixels are, and the squares will be.
    """

    def __init__(self, pictures: Sequence[Pixels], device: torch.device) -> None:
        """Bring the pixels to a device; on a CPU they stay where they are."""
        self.device = device
        self._pictures = pictures
        sizes = np.array([picture.shape[:2] for picture in pictures], np.int64).reshape(-1, 2)
        starts = np.concatenate([[0], sizes.prod(1).cumsum()])
        self._longest = int(sizes.min(1).max(initial=0))  # side of a square
        self._sizes, self._starts = (torch.from_numpy(a).to(device) for a in (sizes, starts))
        self._pixels: Tensor | None = None
        if device.type != "cpu":
            self._pixels = torch.empty((int(starts[-1]), 3), dtype=torch.uint8, device=device)
            for picture, start in zip(pictures, starts, strict=False):
                flat = torch.from_numpy(picture.reshape(-1, 3).copy())
                self._pixels[start : start + len(flat)] = flat.to(device)

    def squares(
        self, chosen: Tensor, edge: int, *, least_cover: float, generator: torch.Generator
    ) -> Tensor:
        """Cut random squares, mirror half of them and bring all to one size, filtering as Pillow.

        Args:
            chosen: Numbers of photographs, int64, (N,).
            edge: Of the squares, in pixels.
            least_cover: Of a photograph's shorter side, a square covers at least this share.
            generator: Source of all that is random, on the bank's device.

        Returns:
            sRGB in [0, 1], (N, 3, edge, edge).
        """
        size = self._sizes[chosen].float()  # (N, 2): height, width
        draw = torch.rand((len(chosen), 4), generator=generator, device=self.device)
        side = size.amin(1) * (least_cover + (1 - least_cover) * draw[:, 0])  # (N,)
        corner = draw[:, 1:3] * (size - side[:, None])  # (N, 2): top, left
        mirrored = draw[:, 3] < 0.5
        if self._pixels is None:
            return self._cut_one_by_one(chosen, edge, side, corner, mirrored)
        spare = self._longest // edge + 2  # the filter reaches beyond the square
        window = self._longest + 2 * spare
        first = (corner.long() - spare).clamp(min=0)
        windows = self._windows(chosen, first, window)  # (N, window, window, 3)
        planes = windows.permute(0, 3, 1, 2).float()
        begin, extent = corner - first, size - first
        down, across = (
            _triangles(begin[:, i], side, edge, extent[:, i], window) for i in (0, 1)
        )  # (N, edge, window) each
        across = torch.where(mirrored[:, None, None], across.flip(1), across)
        squares = down[:, None] @ planes @ across.mT[:, None]  # (N, 3, edge, edge)
        return (squares / 255).clamp(0, 1)

    def _cut_one_by_one(
        self, chosen: Tensor, edge: int, side: Tensor, corner: Tensor, mirrored: Tensor
    ) -> Tensor:
        """The same on a CPU, where Pillow takes a third of the time of products of matrices."""
        out = np.empty((len(chosen), edge, edge, 3), np.uint8)
        parts = (chosen, side, corner, mirrored)
        for place, (number, length, (top, left), is_mirrored) in enumerate(
            zip(*(part.tolist() for part in parts), strict=True)
        ):
            box = (left, top, left + length, top + length)
            square = Image.fromarray(self._pictures[number]).resize(
                (edge, edge), Image.Resampling.BILINEAR, box
            )
            out[place] = np.asarray(square)[:, :: -1 if is_mirrored else 1]
        return torch.from_numpy(out).permute(0, 3, 1, 2).float() / 255

    def _windows(self, chosen: Tensor, first: Tensor, window: int) -> Tensor:
        """Pixels from the first on, (N, window, window, 3), uint8; border pixels go on beyond."""
        assert self._pixels is not None  # noqa: S101 - narrows types; only then is this called
        reach = torch.arange(window, device=self.device)
        last = self._sizes[chosen] - 1
        rows = (first[:, :1] + reach).clamp(max=last[:, :1])  # (N, window)
        columns = (first[:, 1:] + reach).clamp(max=last[:, 1:])
        place = rows[:, :, None] * self._sizes[chosen, 1, None, None] + columns[:, None]
        return self._pixels[self._starts[chosen, None, None] + place]


def _triangles(begin: Tensor, side: Tensor, edge: int, extent: Tensor, window: int) -> Tensor:
    """How much each of a window's pixels counts for each of a square's: Pillow's bilinear filter.

    Args:
        begin: Where the squares begin in their windows, (N,).
        side: Of the squares in the photograph's pixels, (N,).
        edge: Of the squares that are made.
        extent: Pixels of the window that are the photograph's, (N,).
        window: All pixels of the window.

    Returns:
        (N, edge, window); rows sum to one.
    """
    scale = side[:, None, None] / edge
    middle = begin[:, None, None] + (torch.arange(edge, device=side.device)[:, None] + 0.5) * scale
    pixel = torch.arange(window, device=side.device) + 0.5  # (window,)
    weight = (1 - (pixel - middle).abs() / scale.clamp(min=1)).clamp(min=0)
    weight = weight * (pixel < extent[:, None, None])
    return weight / weight.sum(2, keepdim=True)


def _decoded(archive: Path, names: dict[str, dict[str, str]]) -> Iterator[tuple[str, Pixels]]:
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name in names:
                yield member.name, _decode(tar, member, archive)


def _decode(tar: tarfile.TarFile, member: tarfile.TarInfo, archive: Path) -> Pixels:
    file = tar.extractfile(member)
    try:
        return np.asarray(Image.open(io.BytesIO(file.read() if file else b"")).convert("RGB"))
    except OSError as error:
        raise DataError(
            f"{archive}: {member.name} cannot be decoded ({error}); copy the archive again"
        ) from error


def _cached(archive: Path, cache: Path) -> Iterator[tuple[str, Pixels]]:
    """Pictures of an archive as views of one file that is mapped into memory."""
    stat = archive.stat()
    pixels = cache / f"{archive.stem}-{stat.st_size}-{stat.st_mtime_ns}.rgb"
    index = pixels.with_suffix(".json")
    if not index.is_file():
        _fill(archive, pixels, index)
    mapped = np.memmap(pixels, np.uint8, mode="c")  # copies what is written, which nothing is
    start = 0
    for name, height, width in json.loads(index.read_text(encoding="utf-8")):
        end = start + 3 * height * width
        yield name, mapped[start:end].reshape(height, width, 3)
        start = end


def _fill(archive: Path, pixels: Path, index: Path) -> None:
    """Decode an archive; the index, which makes it valid, comes last."""
    pixels.parent.mkdir(parents=True, exist_ok=True)
    entries: list[tuple[str, int, int]] = []
    beside = pixels.with_suffix(f".{os.getpid()}.tmp")
    with tarfile.open(archive) as tar, beside.open("wb") as file:
        for member in tar:
            picture = _decode(tar, member, archive)
            entries.append((member.name, *picture.shape[:2]))
            file.write(picture.tobytes())
    beside.replace(pixels)
    beside.write_text(json.dumps(entries), encoding="utf-8")
    beside.replace(index)


def _mean_chroma(pixels: Pixels) -> float:
    small = torch.from_numpy(pixels[::8, ::8].copy()).permute(2, 0, 1).float() / 255
    return float(srgb_to_lab(small)[1:].norm(dim=0).mean())

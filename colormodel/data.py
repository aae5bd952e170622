"""Training photographs, decoded once into memory; a step's number decides its minibatch."""

import csv
import io
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from colormodel.color import srgb_to_lab
from colormodel.film import film_lightness, plain_lightness

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

    pictures: list[Pixels]
    sources: list[str]
    licences: dict[str, str]

    def __len__(self) -> int:
        return len(self.pictures)


@dataclass(frozen=True)
class DataRecipe:
    """How photographs become minibatches.

    Attributes:
        crop_px: Edge of the square that the network is trained on.
        batch: Squares in a minibatch.
        least_cover: The square covers at least this share of the photograph's shorter side.
        least_chroma: Photographs of less mean chroma are left out: they are grey already.
        film_share: Share of squares seen on old stock rather than in plain grey.
        neutral_share: Share of squares with a border, a step wedge or a flat field, all neutral.
        hint_share: Share of squares with hints.
        source_weights: How often a source is drawn per photograph; 1 where it is not named.
    """

    crop_px: int = 128
    batch: int = 32
    least_cover: float = 0.7
    least_chroma: float = 4.0
    film_share: float = 0.0
    neutral_share: float = 0.0
    hint_share: float = 0.0
    source_weights: Mapping[str, float] = field(default_factory=dict)


class Minibatch(NamedTuple):
    """What a step sees, and what it should have said."""

    lightness: Tensor  # L* in [0, 100]; (N, 1, H, W)
    chroma: Tensor  # true a*, b*; (N, 2, H, W)
    hints: Tensor  # a*, b*, mask; (N, 3, H, W)


def load_photos(
    folder: Path, *, split: str = "train", least_chroma: float = 0.0, limit: int | None = None
) -> Photos:
    """Decode the photographs `{split}-*.tar` that `{split}.csv` lists.

    Args:
        folder: Where they are.
        split: Which of them.
        least_chroma: Photographs of less mean chroma are left out.
        limit: Look at so many only, drawn by their names: the same ones every time.

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
    photos = Photos([], [], {row["source"]: row["licence"] for row in rows.values()})
    for archive in archives:
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.name in rows:
                    pixels = _decode(tar, member, archive)
                    if least_chroma <= 0 or _mean_chroma(pixels) >= least_chroma:
                        photos.pictures.append(pixels)
                        photos.sources.append(rows[member.name]["source"])
    return photos


class MinibatchMaker:
    """Makes the minibatch of any step, the same one every time."""

    def __init__(self, photos: Photos, recipe: DataRecipe, *, seed: int) -> None:
        if not len(photos):
            raise DataError("no photograph is left to train on; lower least_chroma in the recipe")
        self.photos, self.recipe, self.seed = photos, recipe, seed
        weights = np.array([recipe.source_weights.get(s, 1.0) for s in photos.sources])
        self.odds = weights / weights.sum()

    def minibatch(self, step: int) -> Minibatch:
        """Draw, cut and degrade the minibatch of a step."""
        recipe, draw = self.recipe, np.random.default_rng((self.seed, step))
        generator = torch.Generator().manual_seed(int(draw.integers(2**62)))
        chosen = draw.choice(len(self.photos), recipe.batch, p=self.odds)
        squares = [
            _cut(self.photos.pictures[i], recipe.crop_px, draw, recipe.least_cover) for i in chosen
        ]
        srgb = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).float() / 255
        srgb = add_neutrals(srgb, draw, share=recipe.neutral_share)
        chroma = srgb_to_lab(srgb)[:, 1:]
        lightness = plain_lightness(srgb)
        on_film = torch.from_numpy(draw.random(recipe.batch) < recipe.film_share)
        if on_film.any():
            lightness[on_film] = film_lightness(srgb[on_film], generator)
        return Minibatch(lightness, chroma, draw_hints(chroma, draw, share=recipe.hint_share))


def draw_hints(chroma: Tensor, draw: np.random.Generator, *, share: float) -> Tensor:
    """Reveal true colours at random places: mostly a few, sometimes many.

    Args:
        chroma: True a*, b*, (N, 2, H, W).
        draw: Source of all that is random.
        share: Of pictures that get hints at all.

    Returns:
        a*, b*, mask; (N, 3, H, W).
    """
    n, _, height, width = chroma.shape
    mask = torch.zeros(n, 1, height, width)
    smooth = functional.avg_pool2d(chroma, 3, 1, 1, count_include_pad=False)
    for i in range(n):
        if draw.random() >= share:
            continue
        for _ in range(min(1 + draw.geometric(1 / 10), 80)):
            # A point is a disc of one pixel to nine across.
            reach = int(draw.integers(0, 5))
            y, x = int(draw.integers(height)), int(draw.integers(width))
            mask[i, 0, max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1] = 1
    return torch.cat((smooth * mask, mask), 1)


def add_neutrals(srgb: Tensor, draw: np.random.Generator, *, share: float) -> Tensor:
    """Give some pictures the neutral things that scans have: borders, step wedges, flat fields.

    Args:
        srgb: In [0, 1], (N, 3, H, W); changed in place.
        draw: Source of all that is random.
        share: Of pictures that get one.

    Returns:
        *srgb*.
    """
    height, width = srgb.shape[-2:]
    for picture in srgb:
        if draw.random() >= share:
            continue
        kind = draw.choice(["border", "wedge", "flat"], p=[0.7, 0.2, 0.1])
        if kind == "border":
            frame = torch.ones(height, width, dtype=torch.bool)
            top, bottom, left, right = draw.uniform(0, 0.12, 4)
            rows = slice(int(top * height), height - int(bottom * height))
            frame[rows, int(left * width) : width - int(right * width)] = False
            picture[:, frame] = float(draw.choice([0.02, 0.98, draw.random()]))
        elif kind == "wedge":
            steps = int(draw.integers(4, 20))
            ramp = torch.linspace(0, 1, width).mul(steps).floor().clamp(max=steps - 1) / (steps - 1)
            depth = int(height * draw.uniform(0.06, 0.2))
            picture[:, :depth] = ramp
        else:
            picture[:] = float(draw.random())
    return srgb


def _decode(tar: tarfile.TarFile, member: tarfile.TarInfo, archive: Path) -> Pixels:
    file = tar.extractfile(member)
    try:
        return np.asarray(Image.open(io.BytesIO(file.read() if file else b"")).convert("RGB"))
    except OSError as error:
        raise DataError(
            f"{archive}: {member.name} cannot be decoded ({error}); copy the archive again"
        ) from error


def _mean_chroma(pixels: Pixels) -> float:
    small = torch.from_numpy(pixels[::8, ::8].copy()).permute(2, 0, 1).float() / 255
    return float(srgb_to_lab(small)[1:].norm(dim=0).mean())


def _cut(pixels: Pixels, edge: int, draw: np.random.Generator, least_cover: float) -> Pixels:
    """Cut a random square, mirror it half the time and bring it to *edge* × *edge*."""
    height, width = pixels.shape[:2]
    side = min(height, width) * draw.uniform(least_cover, 1)
    left, top = draw.uniform(0, width - side), draw.uniform(0, height - side)
    box = (left, top, left + side, top + side)
    square = np.asarray(
        Image.fromarray(pixels).resize((edge, edge), Image.Resampling.BILINEAR, box)
    )
    return square[:, ::-1] if draw.random() < 0.5 else square

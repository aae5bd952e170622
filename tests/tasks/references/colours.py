"""Colour pictures made by code: all different, with colours that follow from what they show."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.references.rules import split_of

Codes = NDArray[np.uint8]


def make_colour(seed: int, *, height: int = 200, width: int = 260) -> Codes:
    """Paint sky, ground and a few balls, sRGB uint8 (height, width, 3); no two seeds look alike."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1)
    slope, level = draw.uniform(-0.6, 0.6), draw.uniform(0.3, 0.7)
    above = (y < level + slope * (x - 0.5))[..., None]
    shade = (0.6 + 0.4 * np.sin(draw.uniform(3, 12) * x + draw.uniform(3, 12) * y))[..., None]
    picture = np.where(above, (120, 170, 240), (70, 140, 50)) * shade
    for _ in range(5):
        cy, cx, radius = draw.random(), draw.random(), draw.uniform(0.06, 0.2)
        inside = (y - cy) ** 2 + (x - cx) ** 2 < radius**2
        picture[inside] = draw.choice([(220, 110, 40), (200, 60, 60), (230, 200, 80)])
    return (picture + draw.normal(0, 3, (height, width, 1))).clip(0, 255).astype(np.uint8)


def write_colour(path: Path, codes: Codes, *, quality: int = 92) -> Path:
    """Write a picture as JPEG or PNG, by its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"quality": quality} if path.suffix == ".jpg" else {}
    Image.fromarray(codes).save(path, **options)
    return path


def write_colours(folder: Path, count: int, *, first: int = 0) -> list[Path]:
    """Write that many pictures."""
    return [
        write_colour(folder / f"{seed:03}.jpg", make_colour(seed))
        for seed in range(first, first + count)
    ]


def write_both(folder: Path, *, train: int, held_out: int) -> list[Path]:
    """Write so many pictures for each split: which it is follows from the files' digests."""
    wanted = Counter({"train": train, "evaluation": held_out})
    paths = []
    seed = 0
    while wanted.total():
        path = write_colour(folder / f"{seed:03}.jpg", make_colour(seed))
        split = split_of(hashlib.sha256(path.read_bytes()).hexdigest())
        if wanted[split]:
            wanted[split] -= 1
            paths.append(path)
        else:
            path.unlink()
        seed += 1
    return paths

"""From photographs to minibatches, made on the device; a step's number decides its minibatch."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from colormodel.color import linear_to_lab, srgb_to_linear
from colormodel.film_stock import photograph
from colormodel.peers import Peers
from colormodel.photos import Bank, DataError, Photos

#: Of the border, the step wedge and the flat field that neutral squares get.
_NEUTRALS = (0.7, 0.2, 0.1)
#: Hints in a square at most, and how far one reaches to each side at most.
_MOST_HINTS, _MOST_REACH = 80, 4


@dataclass(frozen=True)
class DataRecipe:
    """How photographs become minibatches.

    Attributes:
        crop_px: Edge of the square that the network is trained on.
        minibatch: Squares in a minibatch.
        least_cover: The square covers at least this share of the photograph's shorter side.
        least_chroma: Photographs of less mean chroma are left out: they are grey already.
        film_share: Share of squares seen on old stock rather than in plain grey.
        neutral_share: Share of squares with a border, a step wedge or a flat field, all neutral.
        hint_share: Share of squares with hints.
        source_weights: How often a source is drawn per photograph; 1 where it is not named.
    """

    crop_px: int = 128
    minibatch: int = 32
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
    is_hinted: bool  # whether there is any hint, known without asking the device


class MinibatchMaker:
    """Makes the minibatch of any step, the same one every time on the same kind of device."""

    def __init__(
        self, photos: Photos, recipe: DataRecipe, *, seed: int, device: torch.device | None = None
    ) -> None:
        if not len(photos):
            raise DataError("no photograph is left to train on; lower least_chroma in the recipe")
        self.photos, self.recipe, self.seed = photos, recipe, seed
        self.bank = Bank(photos.pictures, device or torch.device("cpu"))
        weights = np.array([recipe.source_weights.get(s, 1.0) for s in photos.sources])
        self.odds = weights / weights.sum()

    def minibatch(self, step: int) -> Minibatch:
        """Draw, cut and degrade the minibatch of a step."""
        recipe, device = self.recipe, self.bank.device
        draw = np.random.default_rng((self.seed, step))
        generator = torch.Generator(device).manual_seed(int(draw.integers(2**62)))

        def some(share: float) -> Tensor:
            """Numbers of so many squares; how many is known to the host, so no device is asked."""
            return torch.from_numpy(np.flatnonzero(draw.random(recipe.minibatch) < share)).to(
                device
            )

        chosen = torch.from_numpy(draw.choice(len(self.photos), recipe.minibatch, p=self.odds))
        srgb = self.bank.squares(
            chosen.to(device), recipe.crop_px, least_cover=recipe.least_cover, generator=generator
        )
        neutral, on_film, hinted = map(
            some, (recipe.neutral_share, recipe.film_share, recipe.hint_share)
        )
        if len(neutral):
            srgb[neutral] = add_neutrals(srgb[neutral], generator)
        linear = srgb_to_linear(srgb)
        lightness, chroma = torch.split(linear_to_lab(linear), [1, 2], 1)
        if len(on_film):
            lightness = lightness.index_copy(0, on_film, photograph(linear[on_film], generator))
        hints = torch.zeros_like(srgb)
        if len(hinted):
            hints[hinted] = draw_hints(chroma[hinted], generator)
        return Minibatch(lightness, chroma, hints, bool(len(hinted)))


def draw_hints(chroma: Tensor, generator: torch.Generator) -> Tensor:
    """Reveal true colours at random places: mostly a few, sometimes many.

    Args:
        chroma: True a*, b*, (N, 2, H, W).
        generator: Source of all that is random, on the same device.

    Returns:
        a*, b*, mask; (N, 3, H, W).
    """
    n, _, height, width = chroma.shape
    draw = torch.rand((4, n, _MOST_HINTS), generator=generator, device=chroma.device)
    # Ten more than one on average, by the geometric distribution.
    count = 2 + (draw[0, :, :1].clamp(min=1e-6).log() / np.log(0.9)).floor()
    counts = torch.arange(_MOST_HINTS, device=chroma.device) < count  # (n, points)
    reach = (draw[1] * (_MOST_REACH + 1)).long()  # a point is one pixel to nine across
    y, x = (draw[2] * height).long(), (draw[3] * width).long()
    top, bottom = (y - reach).clamp(min=0), (y + reach + 1).clamp(max=height)
    left, right = (x - reach).clamp(min=0), (x + reach + 1).clamp(max=width)
    # Each rectangle begins to count in two corners and ceases to in the others; summed up from the
    # first row and column on, that gives the number of rectangles over each pixel.
    corners = torch.stack(
        [i * (width + 1) + j for i in (top, bottom) for j in (left, right)], 1
    )  # (n, 4, points)
    signs = chroma.new_tensor([1, -1, -1, 1]).view(1, 4, 1) * counts[:, None].to(chroma)
    plane = chroma.new_zeros(n, (height + 1) * (width + 1))
    plane = plane.scatter_add(1, corners.flatten(1), signs.expand(n, 4, _MOST_HINTS).flatten(1))
    covered = plane.view(n, 1, height + 1, width + 1).cumsum(2).cumsum(3)
    mask = (covered[..., :height, :width] > 0.5).to(chroma)
    smooth = functional.avg_pool2d(chroma, 3, 1, 1, count_include_pad=False)
    return torch.cat((smooth * mask, mask), 1)


def add_neutrals(srgb: Tensor, generator: torch.Generator) -> Tensor:
    """Give pictures the neutral things that scans have: a border, a step wedge or a flat field.

    Args:
        srgb: In [0, 1], (N, 3, H, W).
        generator: Source of all that is random, on the same device.

    Returns:
        The same with one of these things each.
    """
    n, _, height, width = srgb.shape
    draw = torch.rand((9, n, 1, 1, 1), generator=generator, device=srgb.device)
    row = (torch.arange(height, device=srgb.device).view(-1, 1) + 0.5) / height
    column = (torch.arange(width, device=srgb.device) + 0.5) / width
    top, bottom, left, right = draw[:4] * 0.12
    border = (row < top) | (row > 1 - bottom) | (column < left) | (column > 1 - right)
    tone = torch.where(draw[4] < 1 / 3, 0.02, torch.where(draw[4] < 2 / 3, 0.98, draw[5]))
    steps = (4 + draw[6] * 16).floor()
    ramp = (column * steps).floor() / (steps - 1)
    wedge = row < 0.06 + 0.14 * draw[7]
    kind = draw[8]
    is_border, is_wedge = kind < _NEUTRALS[0], kind >= 1 - _NEUTRALS[1]
    is_flat = ~is_border & ~is_wedge
    painted = torch.where((is_border & border) | is_flat, tone, srgb)
    return torch.where(is_wedge & wedge, ramp.clamp(max=1), painted)


def minibatches_ahead(
    maker: MinibatchMaker, first: int, last: int, together: Peers | None = None
) -> Iterator[Minibatch]:
    """Give the minibatches of steps first … last - 1, each made while the one before is used.

    Of several processes, each gets others.
    """
    together = together or Peers()

    def make(step: int) -> Minibatch:
        return maker.minibatch(step * together.count + together.rank)

    with ThreadPoolExecutor(1, thread_name_prefix="minibatches") as pool:
        ready: list[Future[Minibatch]] = [
            pool.submit(make, step) for step in range(first, min(first + 2, last))
        ]
        for step in range(first, last):
            minibatch = ready.pop(0).result()
            if step + 2 < last:
                ready.append(pool.submit(make, step + 2))
            yield minibatch

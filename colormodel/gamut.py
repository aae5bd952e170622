"""The a*b* plane in bins: which colours sRGB can show, and how a colour is spread over bins.

After Zhang, Isola and Efros, "Colorful Image Colorization" (2016), with one difference: a colour is
spread over the four corners of its grid cell by bilinear weights rather than over five neighbours
by a Gaussian, so that the mean of an encoding is the colour itself.
"""

import math

import torch
from torch import Tensor, nn

from colormodel.color import srgb_to_lab

_REACH = 12  # grid lines each side of zero: 12 × 10 covers sRGB, whose b* goes down to -107.9


class ColorBins(nn.Module):
    """The bins of a regular a*b* grid that hold a colour of sRGB.

    Attributes:
        centres: a*, b* of each bin, shape (bins, 2).
        index_of_grid: Bin of each grid point, the nearest one where the point itself is outside
            the gamut, shape (25, 25).
    """

    centres: Tensor
    index_of_grid: Tensor

    def __init__(self, spacing: float = 10.0) -> None:
        super().__init__()
        self.spacing = spacing
        centres, index_of_grid = _bins_in_gamut(spacing)
        # Not persistent: they follow from the spacing, which the configuration holds.
        self.register_buffer("centres", centres, persistent=False)
        self.register_buffer("index_of_grid", index_of_grid, persistent=False)

    def __len__(self) -> int:
        return len(self.centres)

    def encode(self, chroma: Tensor) -> tuple[Tensor, Tensor]:
        """Spread colours over bins.

        Args:
            chroma: a*, b*, shape (N, 2, H, W).

        Returns:
            Bins and their weights, each (N, 4, H, W); the weights of a pixel sum to one.
        """
        reach = self.index_of_grid.shape[0] // 2
        position = (chroma.float() / self.spacing + reach).clamp(0, 2 * reach - 1e-3)
        low = position.floor()
        (fa, fb), (ia, ib) = (position - low).unbind(1), low.long().unbind(1)
        corners = [(0, 0), (0, 1), (1, 0), (1, 1)]
        indices = torch.stack([self.index_of_grid[ia + i, ib + j] for i, j in corners], 1)
        weights = torch.stack(
            [(fa if i else 1 - fa) * (fb if j else 1 - fb) for i, j in corners], 1
        )
        return indices, weights

    def annealed_mean(self, logits: Tensor, *, temperature: float) -> Tensor:
        """Take one colour from each distribution: between its mean (1) and its mode (0).

        Args:
            logits: Shape (N, bins, h, w).
            temperature: In (0, 1]; Zhang 2016 uses 0.38.

        Returns:
            a*, b*, shape (N, 2, h, w).
        """
        # float32: bfloat16 loses the tail of some three hundred bins.
        share = (logits.float().permute(0, 2, 3, 1) / temperature).softmax(3)  # (N, h, w, bins)
        return (share @ self.centres).permute(0, 3, 1, 2)  # (N, 2, h, w)

    def spread(self, logits: Tensor) -> Tensor:
        """Give the standard deviation of each distribution, in a*b* units.

        Args:
            logits: Shape (N, bins, h, w).

        Returns:
            Shape (N, 1, h, w).
        """
        share = logits.float().permute(0, 2, 3, 1).softmax(3)  # (N, h, w, bins)
        square = (share @ self.centres.square().sum(1, keepdim=True)).permute(0, 3, 1, 2)
        mean = (share @ self.centres).permute(0, 3, 1, 2)  # (N, 2, h, w)
        return (square - mean.square().sum(1, keepdim=True)).clamp(min=0).sqrt()

    def entropy(self, logits: Tensor) -> Tensor:
        """Give the Shannon entropy of each distribution, in nats: 0 for one certain bin.

        Args:
            logits: Shape (N, bins, h, w).

        Returns:
            Shape (N, 1, h, w).
        """
        # -Σ p log p is log Z - Σ p x, with log Z = x - log p of any bin, best of the likeliest:
        # one exponential less than by logarithms of all shares.
        x = logits.float().permute(0, 2, 3, 1)  # (N, h, w, bins)
        share = x.softmax(3)
        log_sum = x.amax(3) - share.amax(3).log()
        entropy: Tensor = log_sum - torch.linalg.vecdot(share, x)
        return entropy[:, None]


def _bins_in_gamut(spacing: float) -> tuple[Tensor, Tensor]:
    """Find the grid points whose cell holds a colour of sRGB, by walking through the RGB cube."""
    reach = math.ceil(_REACH * 10 / spacing)
    level = torch.linspace(0, 1, 48)
    cube = torch.stack(torch.meshgrid(level, level, level, indexing="ij")).flatten(
        2
    )  # (3, 48, 48²)
    chroma = srgb_to_lab(cube)[1:].flatten(1)  # (2, 48³)
    cell = (chroma / spacing).round().long() + reach
    inside = torch.zeros(2 * reach + 1, 2 * reach + 1, dtype=torch.bool)
    inside[cell[0], cell[1]] = True
    points = (inside.nonzero() - reach).float() * spacing  # (bins, 2)
    line = torch.arange(-reach, reach + 1).float() * spacing
    grid = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1)  # (25, 25, 2)
    nearest = torch.cdist(grid.flatten(0, 1), points).argmin(1)
    return points, nearest.view(2 * reach + 1, 2 * reach + 1)

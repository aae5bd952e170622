"""How a few coloured points reach the rest of the picture."""

import torch
from torch import Tensor, nn
from torch.nn import functional


def pool_hints(hints: Tensor, factor: int) -> Tensor:
    """Average the hints of each cell, over the hinted pixels alone.

    Args:
        hints: a* and b* over 100, zero where not hinted, and the mask; (N, 3, H, W).
        factor: Edge of a cell in pixels.

    Returns:
        a* and b* over 100 and whether the cell has a hint, (N, 3, H/factor, W/factor).
    """
    mask = functional.avg_pool2d(hints[:, 2:], factor)  # (N, 1, h, w)
    total = functional.avg_pool2d(hints[:, :2], factor)  # (N, 2, h, w)
    return torch.cat((total / mask.clamp(min=1e-6), (mask > 0).to(mask)), 1)


class HintAttention(nn.Module):
    """Each cell looks at all hinted cells and takes their colours where it resembles them.

    Attention weights fall with unlikeness of the features and with distance, by a learned rate a
    head; a null key, of colour nothing, takes what no hint explains. Without hints the output is 0.
    """

    def __init__(self, channels: int, *, heads: int = 4, size: int = 16) -> None:
        super().__init__()
        self.heads, self.size = heads, size
        self.query = nn.Conv2d(channels, heads * size, 1)
        self.key = nn.Conv2d(channels, heads * size, 1)
        self.log_falloff = nn.Parameter(torch.linspace(-1, 4, heads))  # from wide to narrow
        self.null = nn.Parameter(torch.zeros(heads))

    @property
    def outputs(self) -> int:
        """Channels that come out: a*, b* over 100 and the share of the hints, for each head."""
        return 3 * self.heads

    def nothing(self, features: Tensor) -> Tensor:
        """Give what comes of no hints; unlike `forward`, without asking the device for any."""
        n, _, h, w = features.shape
        return features.new_zeros(n, self.outputs, h, w)

    def forward(self, features: Tensor, hints: Tensor) -> Tensor:
        """Spread hints.

        Args:
            features: (N, channels, h, w).
            hints: As `pool_hints` gives them, at the features' size; (N, 3, h, w).

        Returns:
            (N, outputs, h, w).
        """
        n, _, h, w = features.shape
        cells = h * w
        most = int(hints[:, 2].flatten(1).sum(1).max())  # hinted cells of the most hinted picture
        if not most:
            return self.nothing(features)
        present, where = hints[:, 2].flatten(1).topk(most, dim=1)  # (N, K) each
        value = hints.flatten(2).gather(2, where[:, None].expand(n, 3, most))  # (N, 3, K)
        query = self.query(features).view(n, self.heads, self.size, cells)
        key = self.key(features).view(n, self.heads, self.size, cells)
        key = key.gather(3, where[:, None, None].expand(n, self.heads, self.size, most))
        likeness = (
            torch.einsum("nmsc,nmsk->nmck", query, key) / self.size**0.5
        )  # (N, heads, cells, K)
        distance = _square_distance(h, w, where)  # (N, cells, K)
        score = likeness.float() - self.log_falloff.exp().view(-1, 1, 1) * distance[:, None]
        score = score.masked_fill(present[:, None, None] == 0, float("-inf"))
        null = self.null.view(1, -1, 1, 1).expand(n, self.heads, cells, 1).float()
        share = torch.cat((score, null), 3).softmax(3)[..., :most]  # (N, heads, cells, K)
        spread = torch.einsum("nmck,nvk->nmvc", share, value.float())  # (N, heads, 3, cells)
        return spread.reshape(n, self.outputs, h, w).to(features)


def _square_distance(h: int, w: int, where: Tensor) -> Tensor:
    """Give squared distances of all cells to some, in units of the shorter side; (N, cells, K)."""
    y, x = torch.meshgrid(
        torch.arange(h, device=where.device), torch.arange(w, device=where.device), indexing="ij"
    )
    place = torch.stack((y, x), -1).view(1, h * w, 2).float() / min(h, w)  # (1, cells, 2)
    return (place[:, :, None] - place[0, where][:, None]).square().sum(-1)

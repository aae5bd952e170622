"""What training minimises, and how much each colour counts."""

from dataclasses import dataclass

import torch
from torch import Tensor

from colormodel.gamut import ColorBins
from colormodel.networks.base import Heads

_TYPICAL_ERROR = 10.0  # a*b* units: brings the regression's loss to about one


@dataclass(frozen=True)
class LossWeights:
    """How the heads' losses add up.

    Attributes:
        distribution: Weight of the cross-entropy over bins.
        regression: Weight of the chroma distance.
        rare_mix: λ of Zhang 2016: share of the uniform distribution mixed into the prior.
        rare_power: Exponent on the weights: 1 as Zhang 2016, 0 counts all colours alike.
        vivid_discount: How much less a distance counts per unit of true chroma: 0.045 is CIE94's.
    """

    distribution: float = 1.0
    regression: float = 1.0
    rare_mix: float = 0.5
    rare_power: float = 0.5
    vivid_discount: float = 0.02


def mean_square(heads: Heads, chroma: Tensor) -> Tensor:
    """Give the article's loss: the mean square error of a* and b*, in units of 100.

    Args:
        heads: Of the network.
        chroma: True a*, b*, (N, 2, H, W).
    """
    square: Tensor = (heads.regression - chroma).div(100).square()
    return square.mean()


def chroma_distance(predicted: Tensor, chroma: Tensor, *, vivid_discount: float) -> Tensor:
    """Give the mean distance in the a*b* plane, discounted for vivid colours as in CIE94.

    Args:
        predicted: a*, b*, (N, 2, H, W).
        chroma: True a*, b*, (N, 2, H, W).
        vivid_discount: Per unit of true chroma.

    Returns:
        A scalar, about one for the errors of an untrained network.
    """
    # The one under the root keeps the gradient finite where the answer is exact.
    distance = ((predicted - chroma).square().sum(1) + 1).sqrt()
    # Not `chroma.norm(dim=1)`: over two channels it takes a fifth of a training step on a CPU.
    vividness = chroma.square().sum(1).sqrt()
    loss: Tensor = (distance / (1 + vivid_discount * vividness)).mean() / _TYPICAL_ERROR
    return loss


def distribution_loss(
    logits: Tensor, chroma: Tensor, *, bins: ColorBins, weights: Tensor
) -> Tensor:
    """Give the cross-entropy against soft-encoded colours, each pixel weighted by its rarity.

    Args:
        logits: (N, bins, h, w).
        chroma: True a*, b*, (N, 2, h, w).
        bins: Of the network.
        weights: Of each bin, as `rarity_weights` gives them, (bins,).
    """
    indices, shares = bins.encode(chroma)  # (N, 4, h, w) each
    # Bins last: in a channels-last plane they lie side by side, which softmax likes.
    log_share = logits.float().permute(0, 2, 3, 1).log_softmax(3)  # (N, h, w, bins)
    log_likelihood = log_share.gather(3, indices.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    rarity = (weights[indices] * shares).sum(1)  # (N, h, w)
    return -(rarity * (shares * log_likelihood).sum(1)).mean()


def rarity_weights(prior: Tensor, *, mix: float, power: float) -> Tensor:
    """Give rare colours more weight (Zhang 2016, section 2.2).

    Args:
        prior: Share of each bin among the training photographs' pixels, (bins,), sums to one.
        mix: λ in [0, 1], the share of the uniform distribution.
        power: Exponent on the result; 0 makes all weights one.

    Returns:
        (bins,); their mean under *prior* is one.
    """
    weights = ((1 - mix) * prior + mix / len(prior)).reciprocal().pow(power)
    return weights / (prior * weights).sum()


def color_prior(chroma: Tensor, bins: ColorBins) -> Tensor:
    """Count how often each bin occurs.

    Args:
        chroma: a*, b* of many pixels, (N, 2, H, W).
        bins: The bins to count.

    Returns:
        Shares, (bins,), sum to one.
    """
    indices, shares = bins.encode(chroma)
    counts = torch.zeros(len(bins)).index_add_(0, indices.flatten(), shares.flatten())
    return counts / counts.sum()

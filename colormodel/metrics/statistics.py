"""What many figures say together: rank correlation, reliability, paired differences."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class ReliabilityBin:
    """Pixels or scans of about equal confidence.

    Attributes:
        confidence: Their mean confidence, in [0, 1].
        error: Their mean error.
        count: How many they are.
    """

    confidence: float
    error: float
    count: int


@dataclass(frozen=True)
class PairedDifference:
    """How much the second of two lists is larger than the first, item by item.

    Attributes:
        mean: Mean of second - first.
        low: Lower end of the 95 % bootstrap interval of that mean.
        high: Upper end.
        p_value: Share of resampled means on the other side of zero, two-sided.
    """

    mean: float
    low: float
    high: float
    p_value: float


def spearman(first: ArrayLike, second: ArrayLike) -> float:
    """Rank correlation in [-1, 1], ties at their mean rank; 0 where a list is constant.

    Raises:
        ValueError: The lists differ in length or are empty.
    """
    ranks = [_ranks(values) for values in (first, second)]
    if ranks[0].size != ranks[1].size or not ranks[0].size:
        raise ValueError(f"{ranks[0].size} and {ranks[1].size} values cannot be paired")
    centred = [rank - rank.mean() for rank in ranks]
    norm = np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum())
    return float((centred[0] * centred[1]).sum() / norm) if norm else 0.0


def reliability(confidence: ArrayLike, error: ArrayLike, *, bins: int = 10) -> list[ReliabilityBin]:
    """Mean error by confidence, in bins of equal count from the least confident up."""
    sure, wrong = np.ravel(confidence).astype(np.float64), np.ravel(error).astype(np.float64)
    order = np.argsort(sure, kind="stable")
    return [
        ReliabilityBin(float(sure[part].mean()), float(wrong[part].mean()), part.size)
        for part in np.array_split(order, min(bins, order.size))
        if part.size
    ]


def paired_bootstrap(
    first: ArrayLike, second: ArrayLike, *, samples: int = 10_000, seed: int = 0
) -> PairedDifference:
    """Bootstrap of the mean difference second - first over the same items.

    Args:
        first: A figure for each item.
        second: The same figure of the same items, by another model.
        samples: How often the items are drawn again, with replacement.
        seed: Of the drawing: the same lists give the same interval.

    Raises:
        ValueError: The lists differ in length or are empty.
    """
    before, after = np.ravel(first).astype(np.float64), np.ravel(second).astype(np.float64)
    if before.size != after.size or not before.size:
        raise ValueError(f"{before.size} and {after.size} values cannot be paired")
    difference = after - before
    rng = np.random.default_rng(seed)
    means = np.array(
        [
            difference[rng.integers(0, difference.size, difference.size)].mean()
            for _ in range(samples)
        ]
    )
    low, high = np.quantile(means, [0.025, 0.975])
    tail = min((means <= 0).mean(), (means >= 0).mean())
    return PairedDifference(
        float(difference.mean()), float(low), float(high), min(1.0, 2 * float(tail))
    )


def _ranks(values: ArrayLike) -> NDArray[np.float64]:
    """Ranks from 0, ties at their mean."""
    _, place, count = np.unique(np.ravel(values), return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(count) - (count + 1) / 2
    ranks: NDArray[np.float64] = mean_rank[place]
    return ranks

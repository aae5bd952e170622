"""What training minimises."""

import pytest
import torch

from colormodel.gamut import ColorBins
from colormodel.losses import (
    chroma_distance,
    color_prior,
    distribution_loss,
    mean_square,
    rarity_weights,
)
from colormodel.networks import Heads


@pytest.fixture(scope="module")
def bins() -> ColorBins:
    """The bins of the default network."""
    return ColorBins(10.0)


def test_prior_counts_pixels(bins: ColorBins) -> None:
    """Three grey pixels and one orange one: three quarters grey."""
    chroma = torch.zeros(1, 2, 2, 2)
    chroma[0, :, 0, 0] = torch.tensor([30.0, 60.0])
    prior = color_prior(chroma, bins)
    assert float(prior.sum()) == pytest.approx(1)
    grey = int((bins.centres == 0).all(1).nonzero())
    assert float(prior[grey]) == pytest.approx(0.75)


def test_rare_colours_weigh_more(bins: ColorBins) -> None:
    """Weights fall with frequency, are one on average, and power 0 makes them equal."""
    prior = torch.rand(len(bins)).pow(6)
    prior /= prior.sum()
    weights = rarity_weights(prior, mix=0.5, power=1.0)
    assert float((weights * prior).sum()) == pytest.approx(1, abs=1e-4)
    assert weights[prior.argmin()] == weights.max() > weights.min() == weights[prior.argmax()]
    torch.testing.assert_close(rarity_weights(prior, mix=0.5, power=0.0), torch.ones(len(bins)))
    torch.testing.assert_close(rarity_weights(prior, mix=1.0, power=1.0), torch.ones(len(bins)))


def test_distribution_loss_is_the_cross_entropy(bins: ColorBins) -> None:
    """A colour on a bin's centre with weights of one: PyTorch's own cross-entropy."""
    logits = torch.randn(2, len(bins), 3, 3)
    target = torch.randint(len(bins), (2, 3, 3))
    chroma = bins.centres[target].permute(0, 3, 1, 2)
    loss = distribution_loss(logits, chroma, bins=bins, weights=torch.ones(len(bins)))
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits, target))


def test_distance_is_least_at_the_truth() -> None:
    """Vivid colours may be missed by more, and the gradient is finite where the answer is exact."""
    chroma = torch.tensor([60.0, 0.0]).view(1, 2, 1, 1)
    exact = chroma.clone().requires_grad_()
    loss = chroma_distance(exact, chroma, vivid_discount=0.045)
    loss.backward()  # type: ignore[no-untyped-call]
    assert exact.grad is not None
    assert torch.isfinite(exact.grad).all()
    missed = chroma_distance(chroma + 10, chroma, vivid_discount=0.045)
    assert missed > loss
    assert missed < chroma_distance(chroma + 10, chroma, vivid_discount=0.0)


def test_mean_square_is_in_units_of_a_hundred() -> None:
    """Ten units off in both axes: 0.01."""
    heads = Heads(torch.full((1, 2, 4, 4), 10.0))
    assert float(mean_square(heads, torch.zeros(1, 2, 4, 4))) == pytest.approx(0.01)

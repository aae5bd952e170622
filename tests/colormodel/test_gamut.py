"""Colours in bins and back."""

import math

import pytest
import torch

from colormodel.color import srgb_to_lab
from colormodel.gamut import ColorBins


@pytest.fixture(scope="module")
def bins() -> ColorBins:
    """The bins of the default network."""
    return ColorBins(10.0)


@pytest.fixture(scope="module")
def chroma() -> torch.Tensor:
    """Chroma of random colours of sRGB."""
    generator = torch.Generator().manual_seed(2)
    return srgb_to_lab(torch.rand((2, 3, 16, 24), generator=generator))[:, 1:]


def test_bins_are_about_those_of_zhang(bins: ColorBins) -> None:
    """Zhang 2016 counts 313 bins of edge 10; how cells are placed moves that a little."""
    assert 230 <= len(bins) <= 330
    assert torch.unique(bins.centres, dim=0).shape == bins.centres.shape
    assert (bins.centres == 0).all(1).sum() == 1


def test_shares_sum_to_one(bins: ColorBins, chroma: torch.Tensor) -> None:
    """However a colour is spread, all of it is there."""
    indices, shares = bins.encode(chroma)
    assert indices.shape == shares.shape == (2, 4, 16, 24)
    assert shares.min() >= 0
    torch.testing.assert_close(shares.sum(1), torch.ones(2, 16, 24))
    assert indices.min() >= 0
    assert indices.max() < len(bins)


def test_mean_of_the_encoding_is_the_colour(bins: ColorBins, chroma: torch.Tensor) -> None:
    """Exact for colours inside the gamut; near its border a corner may move to the nearest bin."""
    inside = chroma * 0.5
    indices, shares = bins.encode(inside)
    mean = (bins.centres[indices] * shares[..., None]).sum(1).permute(0, 3, 1, 2)
    torch.testing.assert_close(mean, inside, atol=1e-3, rtol=0)


def test_impossible_colours_go_to_the_nearest_bin(bins: ColorBins) -> None:
    """Far outside the grid there is still a bin for everything."""
    indices, shares = bins.encode(torch.tensor([[1e4, -1e4]]).view(1, 2, 1, 1))
    assert torch.isfinite(shares).all()
    a, b = bins.centres[indices[0, :, 0, 0]].mean(0)
    assert a > 30
    assert b < -30


def test_temperature_leads_from_mean_to_mode(bins: ColorBins) -> None:
    """At 1 the mean of two bins, near 0 the likelier one."""
    logits = torch.full((1, len(bins), 1, 1), -50.0)
    one, other = 3, len(bins) - 3
    logits[0, one], logits[0, other] = 0.1, 0.0
    mean = bins.annealed_mean(logits, temperature=1.0)[0, :, 0, 0]
    mode = bins.annealed_mean(logits, temperature=0.01)[0, :, 0, 0]
    torch.testing.assert_close(mode, bins.centres[one], atol=0.1, rtol=0)
    halfway = bins.centres[[one, other]].mean(0)
    assert (mean - halfway).norm() < 0.1 * (bins.centres[one] - bins.centres[other]).norm()


def test_spread_is_the_standard_deviation(bins: ColorBins) -> None:
    """None for a certain colour; half the distance for two equally likely ones."""
    logits = torch.full((1, len(bins), 1, 2), -80.0)
    logits[0, 3], logits[0, 9, 0, 1] = 0.0, 0.0
    certain, torn = bins.spread(logits)[0, 0, 0]
    assert float(certain) == pytest.approx(0, abs=0.05)
    half = (bins.centres[3] - bins.centres[9]).norm() / 2
    assert float(torn) == pytest.approx(float(half), rel=1e-3)


def test_entropy_counts_the_colours_that_are_likely(bins: ColorBins) -> None:
    """None for a certain colour; ln 2 for two equally likely ones, however far apart."""
    logits = torch.full((1, len(bins), 1, 2), -80.0)
    logits[0, 3], logits[0, 9, 0, 1] = 0.0, 0.0
    certain, torn = bins.entropy(logits)[0, 0, 0]
    assert float(certain) == pytest.approx(0, abs=1e-4)
    assert float(torn) == pytest.approx(math.log(2), rel=1e-4)

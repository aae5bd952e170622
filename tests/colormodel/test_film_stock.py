"""Old stock: what it does to tones, and that it does it again for the same seed."""

from collections.abc import Callable

import pytest
import torch

from colormodel.color import srgb_to_linear
from colormodel.film_stock import (
    add_grain,
    compress,
    develop,
    expose,
    fade,
    film_lightness,
    plain_lightness,
    scratch,
    soften,
)

Stage = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


@pytest.fixture
def srgb() -> torch.Tensor:
    """Smooth coloured gradients, (12, 3, 32, 48)."""
    generator = torch.Generator().manual_seed(6)
    coarse = torch.rand((12, 3, 3, 3), generator=generator)
    return torch.nn.functional.interpolate(coarse, size=(32, 48), mode="bicubic").clamp(0, 1)


def test_range_shape_and_repetition(srgb: torch.Tensor) -> None:
    """L* in [0, 100] of the same size; one seed, one scan; another seed, another."""
    one = film_lightness(srgb, torch.Generator().manual_seed(1))
    again = film_lightness(srgb, torch.Generator().manual_seed(1))
    other = film_lightness(srgb, torch.Generator().manual_seed(2))
    assert one.shape == (12, 1, 32, 48)
    assert one.min() >= 0
    assert one.max() <= 100
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_the_scene_is_not_touched(srgb: torch.Tensor) -> None:
    """The colours that the network has to give stay what they were."""
    before = srgb.clone()
    film_lightness(srgb, torch.Generator().manual_seed(1))
    assert torch.equal(srgb, before)


def test_stock_sees_other_tones_than_the_eye() -> None:
    """Red beside blue of the same lightness: most emulsions make the blue the lighter one."""
    pair = torch.tensor([[0.75, 0.2, 0.2], [0.2, 0.4, 0.95]]).T.reshape(1, 3, 1, 2)
    assert float(plain_lightness(pair).diff().abs()) < 8
    light = expose(srgb_to_linear(pair.repeat(400, 1, 1, 1)), torch.Generator().manual_seed(3))
    red, blue = light[..., 0, 0], light[..., 0, 1]
    assert 0.6 < (blue > red).float().mean() < 0.999


def test_white_stays_white_and_black_black_through_exposure() -> None:
    """Emulsions weigh colours; they do not change the exposure of neutral things."""
    generator = torch.Generator().manual_seed(4)
    torch.testing.assert_close(expose(torch.ones(50, 3, 2, 2), generator), torch.ones(50, 1, 2, 2))
    assert expose(torch.zeros(50, 3, 2, 2), generator).abs().max() == 0


@pytest.mark.parametrize("stage", [soften, develop, add_grain, fade, scratch, compress])
def test_each_stage_changes_something_and_stays_in_range(srgb: torch.Tensor, stage: Stage) -> None:
    """No stage is idle, none leaves [0, 1], none writes into its argument."""
    grey = srgb.mean(1, keepdim=True).repeat(2, 1, 1, 1)
    before = grey.clone()
    out = stage(grey, torch.Generator().manual_seed(5))
    assert out.shape == grey.shape
    assert out.min() >= 0
    assert out.max() <= 1 + 1e-6
    assert (out - grey).abs().max() > 0.01
    assert torch.equal(grey, before)


def test_developing_keeps_the_order_of_tones() -> None:
    """A tone curve never turns light into dark."""
    ramp = torch.linspace(0, 1, 64).view(1, 1, 1, 64).repeat(200, 1, 1, 1)
    out = develop(ramp, torch.Generator().manual_seed(7))
    assert out.diff(dim=3).min() >= -1e-6

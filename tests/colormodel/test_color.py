"""Colour conversions against scikit-image and against each other."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage import color as reference

from colormodel.color import (
    grey_to_lightness,
    lightness_to_grey,
    lightness_to_luminance,
    linear_to_srgb,
    luminance_to_lightness,
    srgb_to_lab,
    srgb_to_linear,
)


@pytest.fixture
def srgb() -> torch.Tensor:
    """Random colours with the cube's corners among them."""
    generator = torch.Generator().manual_seed(1)
    colours = torch.rand((2, 3, 16, 16), generator=generator)
    colours[0, :, 0, :8] = torch.tensor([[i >> k & 1 for i in range(8)] for k in range(3)]).float()
    return colours


def test_lab_agrees_with_scikit_image(srgb: torch.Tensor) -> None:
    """Its white has four digits (0.95047, 1.08883), ours is that of its matrix: 0.02 apart."""
    expected = reference.rgb2lab(srgb.permute(0, 2, 3, 1).double().numpy())
    np.testing.assert_allclose(srgb_to_lab(srgb).permute(0, 2, 3, 1), expected, atol=0.03)


def test_double_precision_is_kept(srgb: torch.Tensor) -> None:
    """In float32 and in float64 the same but for float32's rounding."""
    lab = srgb_to_lab(srgb.double())
    assert lab.dtype == torch.float64
    torch.testing.assert_close(srgb_to_lab(srgb).double(), lab, atol=1e-3, rtol=0)


@given(st.floats(0, 1))
def test_greys_have_no_chroma(grey: float) -> None:
    """Equal RGB is exactly neutral, and its L* is that of the grey."""
    lab = srgb_to_lab(torch.full((3, 1, 1), grey, dtype=torch.float64))
    assert lab[1:].abs().max() < 1e-9
    lightness = grey_to_lightness(torch.tensor(grey, dtype=torch.float64))
    assert float(lab[0]) == pytest.approx(float(lightness), abs=1e-9)


@given(st.floats(0, 1))
def test_curves_invert_each_other(value: float) -> None:
    """Each transfer curve undoes its inverse, on both sides of its knee."""
    x = torch.tensor(value, dtype=torch.float64)
    # Both halves of the sRGB curve are rounded to four digits where they meet.
    assert float(linear_to_srgb(srgb_to_linear(x))) == pytest.approx(value, abs=1e-6)
    assert float(lightness_to_luminance(luminance_to_lightness(x))) == pytest.approx(
        value, abs=1e-9
    )
    assert float(lightness_to_grey(grey_to_lightness(x))) == pytest.approx(value, abs=1e-6)

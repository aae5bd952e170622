"""Chroma planes: inside what the luminance leaves, and the same however they were computed."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tasks.derivatives import chroma
from tasks.derivatives.chroma import chroma_planes
from tests.tasks.derivatives.jpegs import make_chroma_map, make_picture, srgb_lightness

Codes = NDArray[np.uint8]

LARGE = (900, 1100)  # against a map of 32 × 32: cells of 4 × 4 pixels


def planes_of(luma: Codes, strength: float = 30) -> tuple[Codes, Codes]:
    """Cb and Cr of a picture with chroma that varies."""
    return chroma_planes(luma, make_chroma_map(luma, strength), lightness_of=srgb_lightness())


def decoded(luma: Codes, planes: tuple[Codes, Codes]) -> NDArray[np.float64]:
    """R′G′B′, not clipped, (H, W, 3), with chroma enlarged linearly, as decoders do it."""
    height, width = luma.shape
    box = (0.0, 0.0, width / 2, height / 2)
    blue, red = (
        np.asarray(
            Image.fromarray(one.astype(np.float32)).resize(
                (width, height), Image.Resampling.BILINEAR, box=box
            ),
            np.float64,
        )
        - 128
        for one in planes
    )
    return np.stack(
        [luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue], axis=2
    )


@pytest.mark.parametrize("strength", [30, 90])
@pytest.mark.parametrize("size", [(96, 120), (97, 121), LARGE, (901, 1103), (1700, 1701)])
def test_no_channel_leaves_its_range(size: tuple[int, int], strength: float) -> None:
    """Whatever the size, nothing is left for a decoder to clip but what was rounded."""
    luma = make_picture(*size)
    luma[10:14, 10:14], luma[20:24, 20:24] = 0, 255  # specks, where no colour fits
    colour = decoded(luma, planes_of(luma, strength))
    assert colour.min() >= -1.5
    assert colour.max() <= 255 + 1.5
    assert np.ptp(colour - luma[..., None]) > 20  # and there is colour


def test_large_pictures_have_the_same_colours_at_less_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells twice as large give nearly the planes that small ones would."""
    luma = make_picture(*LARGE)
    coarse = planes_of(luma)
    monkeypatch.setattr(chroma, "_CELLS_TO_EACH", 1000)
    fine = planes_of(luma)
    difference = np.abs(np.stack(coarse).astype(int) - np.stack(fine))
    assert 0 < difference.mean() < 0.5
    assert np.percentile(difference, 99) <= 3
    assert coarse[0].shape == fine[0].shape == (450, 550)


@pytest.mark.parametrize("size", [(480, 640), LARGE, (1803, 1805)])
def test_planes_do_not_depend_on_strips(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result is the same wherever strips begin."""
    luma = make_picture(*size)
    usual = planes_of(luma)
    monkeypatch.setattr(chroma, "STRIP_ROWS", 24)
    monkeypatch.setattr(chroma, "_STRIP_SAMPLES", 0)
    for expected, found in zip(usual, planes_of(luma), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_doubling_is_linear_between_centres() -> None:
    """A slope stays one, and edges are repeated."""
    slope = np.arange(0, 80, 8, dtype=np.int16)[None, None, :].repeat(3, 1)
    doubled = chroma._doubled(slope)
    assert doubled.shape == (1, 6, 20)
    assert doubled[0, 0].tolist() == [0, *range(2, 72, 4), 72]

"""Full-size chroma: the gamut, the conversion to linear light, and the guided enlargement."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import color, data, filters
from torch.nn import functional

from colormodel.metrics import edge_band_error
from colormodel.planes import (
    ChromaMap,
    GuidedUpsampler,
    fit_gamut,
    linear_in_gamut,
    network_size,
)

SIZES = st.tuples(st.integers(1, 90), st.integers(1, 90))
SEEDS = st.integers(0, 2**32 - 1)


def exact_linear(lightness: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """Lab to linear sRGB in float64, straight from the definitions; (3, rows, W)."""
    middle = (lightness.astype(np.float64) + 16) / 116
    roots = np.stack([middle + chroma[0] / 500.0, middle, middle - chroma[1] / 200.0])
    scaled = np.where(roots > 6 / 29, roots**3, 3 * (6 / 29) ** 2 * (roots - 4 / 29))
    x, y = np.array([[0.64, 0.30, 0.15, 0.3127], [0.33, 0.60, 0.06, 0.3290]])
    xyz = np.stack([x, y, 1 - x - y]) / y
    primaries = xyz[:, :3] * np.linalg.solve(xyz[:, :3], xyz[:, 3])
    return np.tensordot(np.linalg.inv(primaries), scaled * xyz[:, 3, None, None], axes=1)


def random_map(rng: np.random.Generator, height: int, width: int) -> ChromaMap:
    """A map without any smoothness, the hardest there is."""
    return ChromaMap(
        chroma=rng.uniform(-80, 80, (2, height, width)).astype(np.float32),
        confidence=rng.uniform(0, 1, (height, width)).astype(np.float32),
        score=0.5,
        lightness=rng.uniform(0, 100, (height, width)).astype(np.float32),
    )


@given(SEEDS)
def test_fitted_colours_are_inside_the_gamut(seed: int) -> None:
    """Any colour, after fitting, has linear light in [0, 1] by the exact formulas."""
    rng = np.random.default_rng(seed)
    lightness = rng.uniform(0, 100, (8, 64)).astype(np.float32)
    lightness[0] = rng.choice(np.float32([0, 1e-3, 0.5, 7.9996, 8, 99.999, 100]), 64)
    chroma = rng.normal(0, 1, (2, 8, 64)) * rng.choice([1, 10, 60, 200], (8, 64))
    fitted = fit_gamut(lightness, chroma.astype(np.float32))
    linear = exact_linear(lightness, fitted)
    assert linear.min() >= -3e-6
    assert linear.max() <= 1 + 3e-6


@given(SEEDS)
def test_fitting_keeps_hue_and_reaches_the_border(seed: int) -> None:
    """Chroma is only scaled, not beyond need: a slightly longer one would be outside."""
    rng = np.random.default_rng(seed)
    lightness = rng.uniform(1, 99, (4, 64)).astype(np.float32)
    chroma = (rng.normal(0, 60, (2, 4, 64))).astype(np.float32)
    fitted = fit_gamut(lightness, chroma)
    cross = chroma[0] * fitted[1] - chroma[1] * fitted[0]
    np.testing.assert_allclose(cross / np.square(chroma).sum(0), 0, atol=1e-6)
    scale = (fitted * chroma).sum(0) / np.square(chroma).sum(0)
    assert scale.min() >= 0
    assert scale.max() <= 1
    scaled = scale < 1
    longer = exact_linear(lightness, chroma * (scale + 2 / 4096))
    outside = (longer.min(axis=0) < 0) | (longer.max(axis=0) > 1)
    assert outside[scaled].all()


def test_colours_inside_the_gamut_are_untouched() -> None:
    """Every sRGB colour of a coarse cube comes back to the last bit, save for the cube's faces."""
    steps = np.linspace(0.02, 0.98, 12)
    rgb = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(36, 48, 3)
    lab = color.rgb2lab(rgb).astype(np.float32)
    chroma = np.moveaxis(lab[..., 1:], -1, 0)
    np.testing.assert_array_equal(fit_gamut(lab[..., 0], chroma), chroma)


def test_without_chroma_the_channels_are_equal_to_the_last_bit() -> None:
    """Neutral stays neutral, from black to white, and luminance is that of L*."""
    lightness = np.linspace(0, 100, 65536, dtype=np.float32).reshape(256, 256)
    linear = linear_in_gamut(lightness, np.zeros((2, 256, 256), np.float32))
    np.testing.assert_array_equal(linear[0], linear[1])
    np.testing.assert_array_equal(linear[0], linear[2])
    assert linear[0, 0, 0] == pytest.approx(0, abs=1e-7)
    assert linear[0, -1, -1] == pytest.approx(1, abs=1e-6)


def test_conversion_agrees_with_scikit_image() -> None:
    """Lab of random sRGB colours leads back to them, save for the faces of the cube."""
    rgb = np.random.default_rng(1).uniform(0.01, 0.99, (40, 50, 3))
    lab = color.rgb2lab(rgb).astype(np.float32)
    linear = linear_in_gamut(lab[..., 0], np.moveaxis(lab[..., 1:], -1, 0))
    expected = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    # scikit-image rounds its matrix to five digits and its white to 1.08883
    np.testing.assert_allclose(np.moveaxis(linear, 0, -1), expected, atol=4e-4)


@given(SEEDS)
def test_rounding_to_sixteen_bits_keeps_lightness(seed: int) -> None:
    """L* of the fitted colour, written as 16-bit sRGB and read back, is within 0.05."""
    rng = np.random.default_rng(seed)
    lightness = rng.uniform(0, 100, (16, 64)).astype(np.float32)
    chroma = rng.normal(0, 50, (2, 16, 64)).astype(np.float32)
    linear = linear_in_gamut(lightness, chroma).astype(np.float64)
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    read = np.round(encoded * 65535) / 65535
    linear = np.where(read <= 0.04045, read / 12.92, ((read + 0.055) / 1.055) ** 2.4)
    luminance = np.tensordot([0.2126390, 0.7151687, 0.0721923], linear, axes=1)
    root = np.where(luminance > (6 / 29) ** 3, np.cbrt(luminance), luminance * 841 / 108 + 4 / 29)
    assert np.abs(116 * root - 16 - lightness).max() <= 0.01


@given(SEEDS, SIZES, SIZES, st.integers(1, 40))
@settings(deadline=None)
def test_strips_equal_the_whole(
    seed: int, size: tuple[int, int], map_size: tuple[int, int], rows: int
) -> None:
    """Chroma of a strip is bit for bit that of the whole scan's rows, larger or smaller map."""
    rng = np.random.default_rng(seed)
    height = size[0]
    lightness = rng.uniform(0, 100, size).astype(np.float32)
    upsampler = GuidedUpsampler(random_map(rng, *map_size), *size)
    whole = upsampler.rows(lightness, 0)
    tops = range(0, height, rows)
    strips = [upsampler.rows(lightness[top : top + rows], top) for top in tops]
    np.testing.assert_array_equal(np.concatenate(strips, axis=1), whole)
    fitted = fit_gamut(lightness, whole)
    strips = [fit_gamut(lightness[top : top + rows], whole[:, top : top + rows]) for top in tops]
    np.testing.assert_array_equal(np.concatenate(strips, axis=1), fitted)
    assert np.isfinite(whole).all()


@pytest.mark.parametrize("size", [(1, 1), (7, 500), (300, 3), (256, 256)])
def test_constant_chroma_stays_constant(size: tuple[int, int]) -> None:
    """A map of one colour gives that colour everywhere, whatever the lightness."""
    rng = np.random.default_rng(2)
    blank = random_map(rng, 32, 64)
    chroma = np.broadcast_to(np.float32([[[12]], [[-30]]]), (2, 32, 64))
    upsampler = GuidedUpsampler(ChromaMap(chroma, blank.confidence, 1.0, blank.lightness), *size)
    rows = upsampler.rows(rng.uniform(0, 100, size).astype(np.float32), 0)
    np.testing.assert_allclose(rows, np.broadcast_to(chroma[:, :1, :1], (2, *size)), atol=1e-4)


def test_centres_are_aligned() -> None:
    """Enlarged without lightness to go by, a ramp of chroma stays where it was."""
    ramp = np.broadcast_to(np.linspace(-40, 40, 64, dtype=np.float32), (2, 64, 64))
    flat = np.full((64, 64), 50, np.float32)
    upsampler = GuidedUpsampler(ChromaMap(ramp, flat, 1.0, flat), 640, 640)
    rows = upsampler.rows(np.full((640, 640), 50, np.float32), 0)
    centres = (np.arange(640) + 0.5) / 10 - 0.5
    expected = np.interp(centres, np.arange(64), ramp[0, 0])
    np.testing.assert_allclose(rows[0], np.broadcast_to(expected, (640, 640)), atol=1e-3)


def shrunk(planes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Antialiased to the network's size, as a network that knows every colour would answer."""
    small = functional.interpolate(
        torch.from_numpy(planes)[None], size, mode="bilinear", antialias=True
    )
    return small[0].numpy()


def edge_errors(truth: np.ndarray, lightness: np.ndarray) -> tuple[float, float]:
    """Error near colour edges, guided by *lightness* and bilinear, of chroma known at 96 px."""
    height, width = truth.shape[1:]
    size = network_size(height, width, network_px=96)
    small, seen = shrunk(truth, size), shrunk(lightness[None], size)[0]
    chroma_map = ChromaMap(small, np.ones(size, np.float32), 1.0, seen)
    guided = GuidedUpsampler(chroma_map, height, width).rows(lightness, 0)
    plain = functional.interpolate(torch.from_numpy(small)[None], (height, width), mode="bilinear")
    target = torch.from_numpy(truth)[None]
    return (
        edge_band_error(torch.from_numpy(guided)[None], target).item(),
        edge_band_error(plain, target).item(),
    )


def test_colours_bleed_far_less_than_bilinear_over_known_edges() -> None:
    """Discs of random colour and tone on a ground: less than two fifths of the bilinear error."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:600, :800]
    lab = np.empty((3, 600, 800), np.float32)
    lab[:] = np.reshape([75, -10, -25], (3, 1, 1))
    for y, x in [(150, 150), (150, 450), (420, 250), (430, 600), (200, 680)]:
        colour = [rng.uniform(15, 50), rng.uniform(-40, 40), rng.uniform(-20, 50)]
        lab[:, (rows - y) ** 2 + (columns - x) ** 2 < 100**2] = np.reshape(colour, (3, 1))
    guided, bilinear = edge_errors(lab[1:], lab[0])
    assert guided < 0.4 * bilinear


@pytest.mark.parametrize("grain", [0.0, 3.0])
@pytest.mark.parametrize("photo", [data.astronaut, data.coffee, data.chelsea])
def test_colours_bleed_less_than_bilinear_in_photographs(
    photo: Callable[[], np.ndarray], grain: float
) -> None:
    """Also where the lightness is blurred and grainy as on old film."""
    lab = color.rgb2lab(photo()).astype(np.float32).transpose(2, 0, 1)
    lightness = np.ascontiguousarray(lab[0])
    if grain:
        noise = np.random.default_rng(0).normal(0, grain, lightness.shape)
        lightness = np.clip(filters.gaussian(lightness, 0.7) + noise, 0, 100).astype(np.float32)
    guided, bilinear = edge_errors(np.ascontiguousarray(lab[1:]), lightness)
    assert guided < (0.99 if grain else 0.93) * bilinear


def test_lightness_never_seen_does_not_run_away() -> None:
    """A white speck on a grey gradient gets the chroma of the brightest tone around it."""
    lightness = np.broadcast_to(np.linspace(20, 60, 64, dtype=np.float32), (64, 64))
    chroma = np.stack([lightness - 40, 40 - lightness])
    upsampler = GuidedUpsampler(ChromaMap(chroma, lightness, 1.0, lightness), 256, 256)
    full = np.broadcast_to(np.linspace(20, 60, 256, dtype=np.float32), (256, 256)).copy()
    full[128, 128] = 100
    chroma_there = upsampler.rows(full, 0)[:, 128, 128]
    around = upsampler.rows(full, 0)[:, 128, 127]
    assert np.abs(chroma_there - around).max() < 5


def test_rows_outside_the_scan_are_refused() -> None:
    """A strip that runs over the end is a mistake of the caller, told with its figures."""
    upsampler = GuidedUpsampler(random_map(np.random.default_rng(3), 32, 32), 100, 50)
    with pytest.raises(ValueError, match="rows 90 to 110 of width 50"):
        upsampler.rows(np.zeros((20, 50), np.float32), 90)
    with pytest.raises(ValueError, match="width 51"):
        upsampler.rows(np.zeros((20, 51), np.float32), 0)


def test_a_map_of_unequal_planes_is_refused() -> None:
    """Chroma, confidence and lightness belong to one size."""
    plane = np.zeros((32, 32), np.float32)
    with pytest.raises(ValueError, match="do not belong"):
        ChromaMap(np.zeros((2, 32, 31), np.float32), plane, 1.0, plane)


@given(st.integers(64, 20_000), st.integers(64, 20_000), st.sampled_from([96, 160, 256]))
def test_network_size_is_whole_bounded_and_of_the_scans_shape(
    height: int, width: int, network_px: int
) -> None:
    """Multiples of 32, at most four squares in area, turned like the scan, aspect kept."""
    size = network_size(height, width, network_px=network_px)
    assert size[0] % 32 == size[1] % 32 == 0
    assert min(size) >= 32
    assert size[0] * size[1] <= 5 * network_px**2
    assert size == network_size(width, height, network_px=network_px)[::-1]
    if max(height, width) <= 4 * min(height, width):
        assert abs(min(size) - network_px) <= 16
        aspect = (size[1] / size[0]) / (width / height)
        assert abs(np.log(aspect)) <= np.log(1 + 16 / (min(size)))


@pytest.mark.parametrize(
    ("scan", "network"),
    [
        ((64, 64), (160, 160)),
        ((4500, 6000), (160, 224)),
        ((6000, 4000), (256, 160)),
        ((20_000, 20_000), (160, 160)),
        ((1000, 10_000), (96, 960)),
        ((64, 20_000), (32, 3200)),
        ((1, 20_000), (32, 3200)),
    ],
)
def test_network_size_of_some_scans(scan: tuple[int, int], network: tuple[int, int]) -> None:
    """Usual shapes, panoramas and slivers."""
    assert network_size(*scan, network_px=160) == network


def test_a_scan_without_pixels_has_no_network_size() -> None:
    """Nought rows are a mistake of the caller."""
    with pytest.raises(ValueError, match="0 × 10"):
        network_size(0, 10, network_px=160)


def test_conversion_fits_into_the_gamut() -> None:
    """To the last bit as `fit_gamut` does, and what it is given stays as it is."""
    rng = np.random.default_rng(3)
    lightness = rng.uniform(0, 100, (90, 400)).astype(np.float32)
    chroma = rng.normal(0, 50, (2, 90, 400)).astype(np.float32)
    given = chroma.copy()
    fitted = fit_gamut(lightness, chroma)
    assert not np.array_equal(fitted, chroma)
    expected = linear_in_gamut(lightness, fitted)
    np.testing.assert_array_equal(linear_in_gamut(lightness, chroma), expected)
    np.testing.assert_array_equal(chroma, given)

"""The metrics, against published values, other implementations and what they must do by nature."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from skimage import color, data
from skimage.metrics import structural_similarity

from colormodel.metrics import (
    Lpips,
    Recognizer,
    WeightsError,
    blotches,
    chroma_ms_ssim,
    ciede2000,
    colourfulness,
    dark_warmth,
    edge_band,
    edge_band_error,
    green_ground,
    kid,
    paired_bootstrap,
    psnr,
    reliability,
    spearman,
)

WEIGHTS = Path(__file__).parents[3] / "shared" / "data" / "weights"
needs_weights = pytest.mark.skipif(not WEIGHTS.is_dir(), reason=f"{WEIGHTS} is not there")

# L1 a1 b1 L2 a2 b2 ΔE00: table 1 of Sharma, Wu and Dalal (2005), "The CIEDE2000 color-difference
# formula: implementation notes, supplementary test data, and mathematical observations".
SHARMA = """
50.0000   2.6772 -79.7751  50.0000   0.0000 -82.7485   2.0425
50.0000   3.1571 -77.2803  50.0000   0.0000 -82.7485   2.8615
50.0000   2.8361 -74.0200  50.0000   0.0000 -82.7485   3.4412
50.0000  -1.3802 -84.2814  50.0000   0.0000 -82.7485   1.0000
50.0000  -1.1848 -84.8006  50.0000   0.0000 -82.7485   1.0000
50.0000  -0.9009 -85.5211  50.0000   0.0000 -82.7485   1.0000
50.0000   0.0000   0.0000  50.0000  -1.0000   2.0000   2.3669
50.0000  -1.0000   2.0000  50.0000   0.0000   0.0000   2.3669
50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0009   7.1792
50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0010   7.1792
50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0011   7.2195
50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0012   7.2195
50.0000  -0.0010   2.4900  50.0000   0.0009  -2.4900   4.8045
50.0000  -0.0010   2.4900  50.0000   0.0010  -2.4900   4.8045
50.0000  -0.0010   2.4900  50.0000   0.0011  -2.4900   4.7461
50.0000   2.5000   0.0000  50.0000   0.0000  -2.5000   4.3065
50.0000   2.5000   0.0000  73.0000  25.0000 -18.0000  27.1492
50.0000   2.5000   0.0000  61.0000  -5.0000  29.0000  22.8977
50.0000   2.5000   0.0000  56.0000 -27.0000  -3.0000  31.9030
50.0000   2.5000   0.0000  58.0000  24.0000  15.0000  19.4535
50.0000   2.5000   0.0000  50.0000   3.1736   0.5854   1.0000
50.0000   2.5000   0.0000  50.0000   3.2972   0.0000   1.0000
50.0000   2.5000   0.0000  50.0000   1.8634   0.5757   1.0000
50.0000   2.5000   0.0000  50.0000   3.2592   0.3350   1.0000
60.2574 -34.0099  36.2677  60.4626 -34.1751  39.4387   1.2644
63.0109 -31.0961  -5.8663  62.8187 -29.7946  -4.0864   1.2630
61.2901   3.7196  -5.3901  61.4292   2.2480  -4.9620   1.8731
35.0831 -44.1164   3.7933  35.0232 -40.0716   1.5901   1.8645
22.7233  20.0904 -46.6940  23.0331  14.9730 -42.5619   2.0373
36.4612  47.8580  18.3852  36.2715  50.5065  21.2231   1.4146
90.8027  -2.0831   1.4410  91.1528  -1.6435   0.0447   1.4441
90.9257  -0.5406  -0.9208  88.6381  -0.8985  -0.7239   1.5381
 6.7747  -0.2908  -2.4247   5.8714  -0.0985  -2.2286   0.6377
 2.0776   0.0795  -1.1350   0.9033  -0.0636  -0.5514   0.9082
"""


def test_ciede2000_of_the_published_pairs() -> None:
    """All 34 pairs of the paper to its four decimals, both ways round."""
    # The pairs 9 to 16 lie at the turn of hue: they need the figures exactly as printed.
    table = torch.tensor(
        [[float(x) for x in line.split()] for line in SHARMA.split("\n") if line],
        dtype=torch.float64,
    )
    assert table.shape == (34, 7)
    first, second = table[:, 0:3].T[:, :, None], table[:, 3:6].T[:, :, None]
    np.testing.assert_allclose(ciede2000(first, second)[:, 0], table[:, 6], atol=5.1e-5)
    np.testing.assert_allclose(ciede2000(second, first)[:, 0], table[:, 6], atol=5.1e-5)


@given(st.integers(0, 2**32 - 1))
def test_ciede2000_agrees_with_scikit_image(seed: int) -> None:
    """Random colours, saturated and nearly grey, in float32."""
    rng = np.random.default_rng(seed)
    scale = np.array([50, rng.choice([1, 40]), rng.choice([1, 40])])
    first, second = rng.normal(0, 1, (2, 8, 9, 3)) * scale + [50, 0, 0]
    expected = color.deltaE_ciede2000(first, second)
    measured = ciede2000(
        *(torch.from_numpy(np.moveaxis(lab, -1, 0).astype(np.float32)) for lab in (first, second))
    )
    # Within float32 of the hue's turn, the formula jumps: that many pixels may differ.
    assert np.mean(np.abs(measured.numpy() - expected) > 2e-2) <= 1 / 72
    assert torch.isfinite(measured).all()


def test_ciede2000_of_grey_is_finite_and_nothing() -> None:
    """No chroma has no hue: no difference, and no NaN."""
    grey = torch.zeros(3, 2, 2)
    grey[0] = torch.tensor([[0.0, 30.0], [60.0, 100.0]])
    assert (ciede2000(grey, grey) == 0).all()


def test_psnr_is_that_of_the_definition() -> None:
    """One code value off everywhere is 48.13 dB; equal pictures are capped."""
    picture = torch.full((2, 3, 8, 8), 0.5)
    np.testing.assert_allclose(psnr(picture, picture + 1 / 255), 20 * math.log10(255), atol=1e-3)
    assert (psnr(picture, picture) == 100).all()


def test_colourfulness_knows_grey_and_the_formula() -> None:
    """Grey is 0; a photograph matches the formula in NumPy on the 0-255 scale."""
    photo = data.astronaut()
    red, green, blue = np.moveaxis(photo.astype(np.float64), -1, 0)
    first, second = red - green, (red + green) / 2 - blue
    expected = np.hypot(first.std(), second.std()) + 0.3 * np.hypot(first.mean(), second.mean())
    srgb = torch.from_numpy(photo).movedim(-1, 0)[None] / 255
    assert colourfulness(srgb).item() == pytest.approx(expected, rel=1e-4)
    assert colourfulness(srgb.mean(1, keepdim=True).expand(-1, 3, -1, -1)).item() == 0


def test_edge_band_holds_what_is_near_a_chroma_edge() -> None:
    """A red and a blue half: the band is three pixels each side, the error is that of bleeding."""
    truth = torch.zeros(1, 2, 20, 40)
    truth[:, 0, :, :20], truth[:, 1, :, 20:] = 40, -40
    columns = edge_band(truth)[0].any(0).nonzero().flatten().tolist()
    assert columns == list(range(16, 23))  # the step is noted at its left pixel, 19
    assert edge_band_error(truth, truth).item() == 0
    grey = torch.zeros_like(truth)
    assert edge_band_error(grey, truth).item() == pytest.approx(40)
    assert edge_band_error(truth, grey).isnan().item()


def test_spearman_agrees_with_scipy_also_with_ties() -> None:
    """Ranks, not values, and ties at their mean."""
    rng = np.random.default_rng(0)
    for first, second in (rng.normal(size=(2, 200)), rng.integers(0, 5, (2, 200))):
        expected = stats.spearmanr(first, second).statistic
        assert spearman(first, second) == pytest.approx(expected, abs=1e-12)
    assert spearman([1, 2, 3], [10, 20, 1000]) == pytest.approx(1)
    assert spearman([1, 1, 1], [1, 2, 3]) == 0
    with pytest.raises(ValueError, match="3 and 2"):
        spearman([1, 2, 3], [1, 2])


def test_reliability_bins_are_of_equal_count_and_in_order() -> None:
    """Confidence rises from bin to bin, and every item is in one."""
    confidence = np.random.default_rng(0).uniform(0, 1, 103)
    bins = reliability(confidence, 1 - confidence)
    assert len(bins) == 10
    assert sum(part.count for part in bins) == 103
    assert [part.confidence for part in bins] == sorted(part.confidence for part in bins)
    for part in bins:
        assert part.error == pytest.approx(1 - part.confidence)


def test_paired_bootstrap_tells_a_difference_from_none() -> None:
    """A steady gain among noisy items is found; two draws of the same are not told apart."""
    rng = np.random.default_rng(0)
    before = rng.normal(10, 5, 200)
    better = paired_bootstrap(before, before - 0.3 + rng.normal(0, 0.5, 200))
    assert better.high < 0
    assert better.p_value < 0.01
    assert better.low < better.mean < better.high
    after = before + rng.normal(0, 0.5, 200)
    same = paired_bootstrap(before, after)
    assert same.low < 0 < same.high
    assert same.p_value > 0.05
    assert same == paired_bootstrap(before, after)


def test_kid_is_about_zero_for_one_distribution_and_grows() -> None:
    """Unbiased: its mean over samples of one distribution is 0; a shift is seen."""
    generator = torch.Generator().manual_seed(0)
    values = []
    for _ in range(20):
        first, second = torch.randn(2, 100, 32, generator=generator)
        values.append(kid(first, second))
    assert abs(np.mean(values)) < 3 * np.std(values) / math.sqrt(20)
    assert min(values) < 0
    assert kid(first, second + 0.5) > 10 * max(values)


def test_kid_agrees_with_the_sums_written_out() -> None:
    """Every pair of different rows within, every pair across."""
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(4, 3, generator=generator), torch.randn(5, 3, generator=generator)

    def kernel(p: torch.Tensor, q: torch.Tensor) -> float:
        return (float(p.double() @ q.double()) / 3 + 1) ** 3

    within_x = np.mean([kernel(x[i], x[j]) for i in range(4) for j in range(4) if i != j])
    within_y = np.mean([kernel(y[i], y[j]) for i in range(5) for j in range(5) if i != j])
    across = np.mean([kernel(p, q) for p in x for q in y])
    assert kid(x, y) == pytest.approx(within_x + within_y - 2 * across)


def test_kid_of_pairs_is_unbiased() -> None:
    """Second views of the same scenes are about 0; taken for independent they are far below."""
    generator = torch.Generator().manual_seed(2)
    paired, independent = [], []
    for _ in range(20):
        scenes = torch.randn(50, 32, generator=generator)
        again = scenes + 0.1 * torch.randn(50, 32, generator=generator)
        paired.append(kid(scenes, again, paired=True))
        independent.append(kid(scenes, again))
    assert abs(np.mean(paired)) < 3 * np.std(paired) / math.sqrt(20)
    assert max(independent) < min(paired)


@needs_weights
def test_lpips_grows_with_what_a_person_sees() -> None:
    """Nothing for the same picture, little for a shift of tone, more for noise and lost colour."""
    lpips = Lpips(WEIGHTS)
    photo = (torch.from_numpy(data.astronaut()).movedim(-1, 0)[None] / 255)[..., :256, :320]
    noise = torch.randn(photo.shape, generator=torch.Generator().manual_seed(0)) * 0.1
    grey = photo.mean(1, keepdim=True).expand_as(photo)
    with torch.inference_mode():
        same, dimmed, noisy, greyed = (
            lpips(photo, other).item()
            for other in (photo, photo * 0.98, (photo + noise).clamp(0, 1), grey)
        )
        pair = lpips(photo.expand(2, -1, -1, -1), torch.cat((photo, grey)))
    assert same == 0
    assert 0 < dimmed < 0.01 < greyed < noisy < 1
    np.testing.assert_allclose(pair, [0, greyed], atol=1e-5)


@needs_weights
def test_mobilenet_knows_a_cat_in_any_size() -> None:
    """The cat of scikit-image is one of ImageNet's cats; features do not hang on the minibatch."""
    recognizer = Recognizer(WEIGHTS)
    cat = torch.from_numpy(data.chelsea()).movedim(-1, 0)[None] / 255
    with torch.inference_mode():
        one = recognizer(cat)
        three = recognizer(torch.cat((cat, cat.flip(3), cat)))
    assert 281 <= one.label.item() <= 285
    assert one.features.shape == (1, 1280)
    np.testing.assert_allclose(three.features[2], one.features[0], rtol=1e-3, atol=1e-4)


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    """The message says which file, and what to give."""
    with pytest.raises(WeightsError, match=r"squeezenet.*--weights"):
        Lpips(tmp_path)


def test_ms_ssim_of_one_scale_is_ssim() -> None:
    """Below 22 px there is one scale: scikit-image's, under the same Gaussian window."""
    draw = np.random.default_rng(3)
    first = draw.normal(10, 20, (2, 20, 21))
    second = first + draw.normal(0, 10, first.shape)
    expected = np.mean(
        [
            structural_similarity(
                *pair, data_range=255, gaussian_weights=True, use_sample_covariance=False
            )
            for pair in zip(first, second, strict=True)
        ]
    )
    found = chroma_ms_ssim(torch.from_numpy(first)[None], torch.from_numpy(second)[None])
    assert float(found) == pytest.approx(expected, abs=1e-6)


def test_ms_ssim_falls_with_what_is_lost() -> None:
    """Same colours: 1; washed out less; grey less still; moved to another place least."""
    draw = torch.Generator().manual_seed(2)
    coarse = torch.randn((1, 2, 8, 8), generator=draw) * 25
    truth = torch.nn.functional.interpolate(coarse, size=(192, 192), mode="bicubic")
    guesses = torch.cat((truth, 0.6 * truth, 0 * truth, -truth))
    same, washed, grey, inverse = chroma_ms_ssim(guesses, truth.expand_as(guesses)).tolist()
    assert same == pytest.approx(1)
    assert same > washed > grey > inverse
    assert chroma_ms_ssim(truth[..., :3, :5], truth[..., :3, :5]).item() == pytest.approx(1)


def test_green_streets_are_counted_where_the_ground_is_grey() -> None:
    """Not in the sky, not where grass is truly green; without ground nothing is said."""
    truth = torch.zeros(1, 3, 40, 40)
    truth[:, 0] = 60
    truth[:, 1:, 20:, :10] = torch.tensor([-30.0, 30.0]).view(2, 1, 1)  # a lawn
    chroma = torch.zeros(3, 2, 40, 40)
    chroma[1, 0, :20] = -20  # a green sky
    chroma[2, 0, 20:, :25] = -20  # the lawn, and half of the street
    assert green_ground(chroma, truth).tolist() == pytest.approx([0, 0, 0.5])
    truth[:, 1] = -30
    assert green_ground(chroma, truth).isnan().all()


def test_blotches_are_what_varies_where_lightness_does_not() -> None:
    """Variation beside an edge of lightness counts nothing, on a flat wall it does."""
    truth = torch.zeros(1, 3, 64, 128)
    truth[:, 0] = 50
    truth[:, 0, :, 64::2] = 90  # flat on the left alone
    chroma = torch.zeros(3, 2, 64, 128)
    chroma[1, :, :, 90:110] = 30
    chroma[2, :, 20:40, 10:40] = 30
    calm, elsewhere, blotchy = blotches(chroma, truth).tolist()
    assert calm == elsewhere == 0
    assert blotchy > 2
    truth[:, 0] = torch.rand(64, 128, generator=torch.Generator().manual_seed(1)) * 90
    assert blotches(chroma, truth).isnan().all()


def test_warmth_is_of_dark_places() -> None:
    """Signed, against the truth; light places count nothing."""
    truth = torch.zeros(1, 3, 8, 8)
    truth[:, 0, :4], truth[:, 0, 4:], truth[:, 2] = 20, 80, 5
    chroma = torch.full((2, 2, 8, 8), 5.0)
    chroma[0, 1, :4], chroma[1, 1, 4:] = 17, 60
    assert dark_warmth(chroma, truth).tolist() == pytest.approx([12, 0])

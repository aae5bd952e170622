"""Photographs told from what must not be coloured, and the frame from the picture."""

from pathlib import Path

import numpy as np
import pytest
import skimage.data
import skimage.filters

from tasks.errors import AlreadyColour, BlankScan, Reason
from tasks.scans.findings import Thresholds, examine
from tasks.scans.frame import Box
from tasks.scans.hue import HueRule
from tasks.scans.negative import tone_score
from tasks.scans.reader import open_scan
from tasks.scans.resample import resize
from tasks.scans.tone import tone_curve
from tasks.scans.twotone import measure_tones
from tests import scanfiles
from tests.scanfiles import codes_of, in_film_border, photograph, with_step_wedge, write_png

DATA = Path(__file__).parents[4] / "shared" / "data"


@pytest.mark.parametrize("seed", range(4))
def test_a_film_border_is_found_and_stays_neutral(seed: int, tmp_path: Path) -> None:
    """The picture lies where it was put, and the mask covers all around it but none of it."""
    framed = in_film_border(photograph(360, 480, seed=seed))
    found = examine(open_scan(write_png(tmp_path / "f.png", codes_of(framed))))
    margin = (framed.shape[0] - 360) // 2
    expected = [margin / side for side in framed.shape]
    box = found.picture
    assert (box.top, box.left) == pytest.approx(expected, abs=0.012)
    assert (1 - box.bottom, 1 - box.right) == pytest.approx(expected, abs=0.012)
    neutral = found.keep_neutral(*framed.shape)
    assert neutral[: margin - 5].all()
    assert neutral[:, -margin + 5 :].all()
    assert not neutral[margin + 5 : -margin - 5, margin + 5 : -margin - 5].any()
    assert found.negative_doubt is None


def test_a_dark_sky_that_lightens_evenly_is_no_border(tmp_path: Path) -> None:
    """It has no edge; the same tones with one are a border."""
    picture = photograph(360, 480)
    sky = np.linspace(0.08, 0.2, 150)[:, None] + 0.01 * picture[:150]
    picture[:150] = sky
    found = examine(open_scan(write_png(tmp_path / "sky.png", codes_of(picture))))
    assert found.picture == Box(0.0, 0.0, 1.0, 1.0)
    assert not found.neutral
    picture[60:150] = 0.5
    found = examine(open_scan(write_png(tmp_path / "edge.png", codes_of(picture))))
    assert found.picture.top == pytest.approx(60 / 360, abs=0.01)


@pytest.mark.parametrize("steps", [10, 14, 20])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_step_wedge_stays_neutral(steps: int, turns: int, tmp_path: Path) -> None:
    """Along any edge its patches are found, and the mask does not reach over the picture."""
    picture = with_step_wedge(photograph(450, 600), steps=steps)
    turned = np.rot90(picture, turns)
    found = examine(open_scan(write_png(tmp_path / "w.png", codes_of(turned))))
    neutral = np.rot90(found.keep_neutral(*turned.shape), -turns)
    strip = neutral[455:, 100:500]
    assert strip.mean() > 0.7
    assert neutral[:400, 50:-50].mean() < 0.02


def test_a_gradient_is_no_wedge(tmp_path: Path) -> None:
    """A sky that darkens evenly has no patches."""
    picture = photograph(300, 400)
    picture[:100] = np.linspace(0.9, 0.3, 400)[None, :]
    found = examine(open_scan(write_png(tmp_path / "g.png", codes_of(picture))))
    assert all(box.area < 0.06 for box in found.neutral)


def test_the_score_of_a_negative_changes_its_sign() -> None:
    """Each measure is odd under inversion, so no scan is suspected both ways."""
    for seed in range(4):
        lightness = (100 * photograph(200, 300, seed=seed)).astype(np.float32)
        score = tone_score(lightness)
        assert abs(score) > 0.01
        assert tone_score(100 - lightness) == pytest.approx(-score, abs=1e-3)


def test_only_what_may_be_a_negative_is_left_to_the_network(tmp_path: Path) -> None:
    """A dark border clears a scan, a light one never does."""
    picture = skimage.data.camera() / 255
    framed = codes_of(in_film_border(picture))
    assert examine(open_scan(write_png(tmp_path / "p.png", framed))).negative_doubt is None
    doubt = examine(open_scan(write_png(tmp_path / "n.png", 255 - framed))).negative_doubt
    assert doubt is not None
    assert doubt.suspected_from == Thresholds().negative.in_light_border
    assert doubt.view.shape == (96, 96)
    inner = resize((100 * (1 - picture)).astype(np.float32), 96, 96)
    assert np.corrcoef(doubt.view.ravel(), inner.ravel())[0, 1] > 0.97


@pytest.mark.parametrize("level", [0.0, 0.02, 0.5, 0.97, 1.0])
@pytest.mark.parametrize("bits", [8, 16])
def test_an_empty_sheet_is_blank(level: float, bits: int, tmp_path: Path) -> None:
    """White, grey or black, with the noise of the scanner on it."""
    rng = np.random.default_rng(1)
    sheet = np.clip(level + rng.normal(0, 0.004, (300, 400)), 0, 1)
    with pytest.raises(BlankScan, match="nothing to do"):
        examine(open_scan(write_png(tmp_path / "b.png", codes_of(sheet, bits))))


def test_a_faded_photograph_is_not_blank(tmp_path: Path) -> None:
    """A tenth of the contrast is still a picture."""
    faded = 0.7 + 0.12 * (photograph() - 0.5)
    examine(open_scan(write_png(tmp_path / "f.png", codes_of(faded, 16))))


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("kind", ["scroll", "weave"])
def test_fine_things_are_not_averaged_to_a_blank_sheet(
    kind: str, turned: bool, tmp_path: Path
) -> None:
    """Of a strip many times as long as wide the short side is kept; of a weave single pixels."""
    if kind == "scroll":
        picture = np.tile(0.4 + 0.1 * photograph(40, 40), (1, 300))
    else:
        threads = np.sin(np.arange(1200)) * 0.15
        picture = 0.5 + threads[:900, None] + np.random.default_rng(0).choice(threads, (900, 1200))
    pixels = codes_of(picture.T if turned else picture)
    examine(open_scan(write_png(tmp_path / "s.png", pixels)))


@pytest.mark.parametrize("bits", [8, 16])
def test_two_tones_are_measured_by_counting_codes(bits: int) -> None:
    """As the pixels themselves, sorted, have it."""
    codes = codes_of(photograph(120, 90), bits=bits)
    lightness_of = tone_curve(None, bits=bits).lightness
    tones = measure_tones(codes, lightness_of)
    lightness = lightness_of[codes].astype(np.float64)
    darkest_first = np.sort(lightness, axis=None)
    count = round(tones.ink * lightness.size)
    ink, paper = (
        np.percentile(part, [25, 50, 75]) for part in (darkest_first[:count], darkest_first[count:])
    )
    assert (tones.ink_spread, tones.paper_spread) == pytest.approx(
        (ink[2] - ink[0], paper[2] - paper[0]), abs=1e-4
    )
    assert tones.contrast == pytest.approx(paper[1] - ink[1], abs=1e-4)
    quarter = tones.contrast / 4
    between = (lightness > ink[1] + quarter) & (lightness < paper[1] - quarter)
    assert tones.between == pytest.approx(between.mean(), abs=2e-3)
    threshold = skimage.filters.threshold_otsu(lightness, nbins=200)
    assert darkest_first[count - 1] == pytest.approx(threshold, abs=1.0)


def test_an_even_cast_is_toned_at_most(tmp_path: Path) -> None:
    """A grey picture scanned with a warm lamp is not colour."""
    codes = codes_of(photograph(300, 400)[..., None] * np.array([1.0, 0.96, 0.88]))
    assert examine(open_scan(write_png(tmp_path / "c.png", codes))).reason is Reason.TONED


def test_thresholds_are_arguments(tmp_path: Path) -> None:
    """A stricter rule calls sepia colour."""
    pixels = scanfiles.toned(photograph(300, 400), "sepia")
    scan = open_scan(write_png(tmp_path / "s.png", pixels))
    assert examine(scan).reason is Reason.TONED
    strict = HueRule(
        toned_rest=0.01, colour_rest=0.01, colour_breadth=0.01, plain_places=1.1, detail=0, broad=0
    )
    with pytest.raises(AlreadyColour, match=r"toned prints: up to 0\.01"):
        examine(scan, thresholds=Thresholds(hue=strict))


def test_a_box_speaks_in_shares() -> None:
    """The same box fits any size."""
    box = Box(0.25, 0.1, 0.75, 0.9)
    assert box.area == pytest.approx(0.4)
    assert box.slices(8, 10) == (slice(2, 6), slice(1, 9))
    assert box.inset(0.5).area == pytest.approx(0)


@pytest.mark.skipif(not (DATA / "scans").is_dir(), reason="../shared/data/scans is not there")
@pytest.mark.timeout(600)
def test_every_archive_scan_is_fit_to_be_coloured() -> None:
    """Of real scans none is refused, one is sepia; `tests/bench/judgements.py` sees them all."""
    paths = sorted((DATA / "scans").glob("*.jpg"))
    chosen = [path for path in paths if path.stem in {"burrill", "01-children-walking"}]
    found = {path.stem: examine(open_scan(path)) for path in [*paths[::6], *chosen]}
    doubts = {name: findings.reason for name, findings in found.items() if findings.reason}
    assert doubts == {"burrill": Reason.TONED}

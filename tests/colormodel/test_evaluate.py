"""The evaluation: what it reads, what it counts, what it says."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import torch
from PIL import Image

from colormodel.checkpoint import Card, save_checkpoint
from colormodel.evaluate import (
    Contestant,
    Evidence,
    Measurement,
    Measurer,
    Photograph,
    PhotographsError,
    count_photographs,
    iter_photographs,
    reliability_svg,
    summarise,
    to_json,
    to_markdown,
)
from colormodel.infer import Colorizer
from colormodel.networks import NetworkConfig, build_network
from tests.colormodel.photographs import make_scene, write_photos

WEIGHTS = Path(__file__).parents[3] / "shared" / "data" / "weights"


@pytest.fixture(scope="module")
def contestants(tmp_path_factory: pytest.TempPathFactory) -> list[Contestant]:
    """A network that answers at random, without and with hints."""
    torch.manual_seed(0)
    config = NetworkConfig(name="unet", network_px=64, width=16)
    path = tmp_path_factory.mktemp("checkpoint") / "random.safetensors"
    checkpoint = save_checkpoint(path, build_network(config), card=Card("random", "0"))
    colorizer = Colorizer(checkpoint, device="cpu", precision="float32")
    return [Contestant("random", colorizer), Contestant("random, hints", colorizer, hints=10)]


def photographs(count: int) -> list[Photograph]:
    """Scenes of two sources and two shapes."""
    return [
        Photograph(f"{i}.png", ("here", "there")[i % 2], make_scene(i, width=(96, 128)[i % 2]))
        for i in range(count)
    ]


def measured(contestants: list[Contestant], *, together: int, weights: Path | None) -> Evidence:
    """Six photographs, so many at a time."""
    measurer = Measurer(contestants, weights=weights, film=True)
    everything = photographs(6)
    for start in range(0, 6, together):
        measurer.add(everything[start : start + together])
    return measurer.evidence


@pytest.mark.skipif(not WEIGHTS.is_dir(), reason=f"{WEIGHTS} is not there")
def test_the_table_has_every_row_input_and_metric(contestants: list[Contestant]) -> None:
    """Six photographs, three rows, two inputs; left grey is the same from both."""
    summary = summarise("Scenes", measured(contestants, together=4, weights=WEIGHTS))
    keys = [(row.row, row.input) for row in summary.table]
    rows = ("left grey", "random", "random, hints")
    assert sorted(keys) == sorted((row, name) for row in rows for name in ("plain", "film"))
    table = dict(zip(keys, summary.table, strict=True))
    for row in summary.table:
        assert row.photographs == 6
        assert row.ciede2000 > 1
        assert 5 < row.psnr < 50
        for value in (row.edge_band, row.lpips, row.kid, row.recognised):
            assert value is not None
            assert np.isfinite(value)
    grey = table["left grey", "plain"]
    assert grey.colourfulness == pytest.approx(0, abs=1e-3)
    assert grey.colourfulness_difference < -10
    assert table["left grey", "film"].ciede2000 == grey.ciede2000
    assert table["random", "film"].ciede2000 != table["random", "plain"].ciede2000
    assert set(summary.by_source) == {"here", "there"}
    assert "| there | 3 |" in to_markdown([summary], command="evaluate")
    assert sum(rows[0].photographs for rows in summary.by_source.values()) == 6


def test_the_minibatch_does_not_matter_and_figures_come_again(
    contestants: list[Contestant],
) -> None:
    """One at a time or all together: the same figures; also those with random hints and film."""
    one = measured(contestants, together=1, weights=None)
    six = measured(contestants, together=6, weights=None)
    assert len(one.measurements) == len(six.measurements) == 6 * 3 * 2
    figures = {(m.name, m.row, m.input): m for m in six.measurements}
    for m in one.measurements:
        other = figures[m.name, m.row, m.input]
        assert m.figures == pytest.approx(other.figures, abs=0.01, nan_ok=True)
        assert m.score == pytest.approx(other.score, abs=1e-3)


def test_without_weights_their_columns_stay_empty(contestants: list[Contestant]) -> None:
    """The table says so with a dash rather than with a nought."""
    summary = summarise("Scenes", measured(contestants, together=6, weights=None))
    assert summary.table[0].lpips is None
    assert summary.table[0].kid is None
    assert "| – | – | – |" in to_markdown([summary], command="evaluate")


def evidence_of(scores: np.ndarray, errors: np.ndarray) -> Evidence:
    """Measurements whose scores and errors are given."""
    evidence = Evidence()
    for index, (score, error) in enumerate(zip(scores.tolist(), errors.tolist(), strict=True)):
        figures = {
            "ciede2000": error,
            "psnr": 20.0,
            "colourfulness": 10.0,
            "true_colourfulness": 20.0,
            "edge_band": float("nan") if index == 0 else 4.0,
            "ms_ssim": 0.75,
            "green_ground": float("nan") if index == 0 else 0.125,
            "blotches": 3.0,
            "true_blotches": 2.0,
            "dark_warmth": float("nan"),
        }
        evidence.measurements.append(
            Measurement(f"{index}", "source", "network", "plain", figures, score)
        )
    evidence.pixels["network", "plain"] = [np.stack([scores, errors], 1).astype(np.float32)]
    return evidence


def test_confidence_that_knows_finds_all_of_the_worst() -> None:
    """Where the score falls as the error rises, the threshold parts the worst quarter exactly."""
    errors = np.random.default_rng(0).permutation(np.arange(100.0))
    summary = summarise("Known", evidence_of(1 - errors / 100, errors))
    (confidence,) = summary.confidence
    assert confidence.scan_correlation == pytest.approx(1)
    assert confidence.pixel_correlation == pytest.approx(1)
    (threshold,) = summary.thresholds
    assert threshold.sent == pytest.approx(0.25)
    assert threshold.found == 1
    assert 1 - 75 / 100 <= threshold.threshold <= 1 - 74 / 100
    (row,) = summary.table
    assert row.edge_band == 4
    assert (row.ms_ssim, row.green_ground, row.blotches, row.dark_warmth) == (
        0.75,
        0.125,
        1.5,
        None,
    )
    assert row.colourfulness_ratio == 0.5


def test_confidence_that_is_constant_is_not_reported() -> None:
    """The article's network knows nothing of its errors: no correlation, no threshold, no plot."""
    summary = summarise("Constant", evidence_of(np.full(10, 0.5), np.arange(10.0)))
    assert summary.confidence == []
    assert summary.thresholds == []
    ET.fromstring(reliability_svg([summary]))  # noqa: S314 — our own text


def test_reports_hold_the_figures(tmp_path: Path) -> None:
    """JSON can be read again, Markdown has a line a row, SVG is well-formed XML with a curve."""
    errors = np.random.default_rng(0).uniform(0, 20, 50)
    summary = summarise("Scans & more", evidence_of(1 - errors / 40, errors))
    (read,) = json.loads(to_json([summary]))
    assert read["table"][0]["ciede2000"] == pytest.approx(errors.mean())
    text = to_markdown([summary], command="python -m colormodel evaluate --photos x")
    assert "`python -m colormodel evaluate --photos x`" in text
    assert (
        f"| plain | network | {errors.mean():.2f} | 0.750 | 20.00 | 10.0 (-10.0) | 0.50 | 4.00 |"
        in text
    )
    assert "| 12.5% | 1.50 | – |" in text
    picture = ET.fromstring(reliability_svg([summary]))  # noqa: S314 — our own text
    assert len(picture.findall(".//{*}polyline")) == 2
    assert len(picture.findall(".//{*}circle")) == 20


def test_photographs_come_from_tars_in_their_order(tmp_path: Path) -> None:
    """With their sources, as many as asked for."""
    write_photos(tmp_path, 5, split="val")
    assert count_photographs(tmp_path) == 5
    assert count_photographs(tmp_path, limit=3) == 3
    photos = list(iter_photographs(tmp_path, limit=3))
    assert [photo.name for photo in photos] == [f"val-{i:05}.webp" for i in range(3)]
    assert [photo.source for photo in photos] == ["there", "here", "there"]
    np.testing.assert_array_equal(photos[0].srgb, make_scene(0))


def test_photographs_come_from_a_folder_made_no_larger(tmp_path: Path) -> None:
    """Pictures by name; the large are made smaller to 256 px, the small stay, the rest is left."""
    folder = tmp_path / "references"
    folder.mkdir()
    Image.new("RGB", (600, 512)).save(folder / "b.jpg")
    Image.new("L", (100, 90)).save(folder / "a.png")
    (folder / "notes.txt").write_text("no picture")
    photos = list(iter_photographs(folder))
    assert [(photo.name, photo.source) for photo in photos] == [
        ("a.png", "references"),
        ("b.jpg", "references"),
    ]
    assert [photo.srgb.shape for photo in photos] == [(90, 100, 3), (256, 300, 3)]


def test_folders_without_photographs_are_refused(tmp_path: Path) -> None:
    """Before anything is measured, with what is expected."""
    with pytest.raises(PhotographsError, match=r"no photographs: give a folder with val\.csv"):
        count_photographs(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(PhotographsError, match=r"a\.jpg: damaged"):
        list(iter_photographs(tmp_path))

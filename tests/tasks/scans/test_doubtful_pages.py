"""What is skipped only where it is sure: pages of print, and sheets that hold next to nothing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from tasks.errors import Bilevel, BlankScan, Reason
from tasks.scans.findings import examine
from tasks.scans.reader import open_scan
from tests.scanfiles import codes_of, photograph, text_page, write_png

Picture = NDArray[np.float64]


def _reason(picture: Picture, tmp_path: Path, bits: int = 8) -> Reason | None:
    codes = codes_of(np.clip(picture, 0, 1), bits)
    return examine(open_scan(write_png(tmp_path / "p.png", codes))).reason


def _halftone(picture: Picture, pitch: float) -> Picture:
    """Print it in dots, *pitch* pixels apart, at 45 degrees."""
    y, x = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]] * (2 * np.pi / pitch)
    screen = 0.5 + 0.25 * (np.cos((x + y) * 0.7071) + np.cos((x - y) * 0.7071))
    dots: Picture = gaussian_filter((picture > screen).astype(np.float64), 0.8)
    return dots


@pytest.mark.parametrize("pitch", [3, 5, 8])
@pytest.mark.parametrize("share", [0.08, 0.23, 0.4])
def test_a_page_with_a_halftone_is_shown_to_a_person(
    share: float, pitch: float, tmp_path: Path
) -> None:
    """Whatever its screen; it may be taken for a photograph, but never be skipped."""
    page = text_page(1400, 1000, seed=3)
    height = int((0.75 * share * page.size) ** 0.5)
    width = min(900, int(height / 0.75))
    picture = np.clip(photograph(height, width, seed=1), 0.03, 0.97)
    page[200 : 200 + height, 50 : 50 + width] = 0.14 + 0.77 * _halftone(picture, pitch)
    assert _reason(page, tmp_path) in {Reason.PRINT_SUSPECTED, None}


@pytest.mark.parametrize("size", [(700, 520), (1400, 1000), (2800, 2000)])
def test_text_alone_is_sure(size: tuple[int, int], tmp_path: Path) -> None:
    """A page of it is skipped, at any size."""
    with pytest.raises(Bilevel, match="nothing to do"):
        _reason(text_page(*size), tmp_path)


def _fog(rng: np.random.Generator) -> Picture:
    scene = gaussian_filter(photograph(400, 500, seed=int(rng.integers(9))), 4)
    return 0.7 + 0.022 * (scene - 0.5)


def _thin_plate(rng: np.random.Generator) -> Picture:
    return 0.045 + 0.025 * photograph(400, 500, seed=int(rng.integers(9)))


def _stars(rng: np.random.Generator) -> Picture:
    sky = np.full((800, 1000), 0.03)
    for y, x in rng.integers(0, (796, 996), (150, 2)):
        sky[y : y + 3, x : x + 3] = rng.uniform(0.4, 1)
    return sky


def _snow(rng: np.random.Generator) -> Picture:
    return 0.95 + 0.02 * (zoom(rng.uniform(size=(5, 6)), 80, order=1) - 0.5)


def _figure_in_snow(rng: np.random.Generator) -> Picture:
    snow = np.full((500, 700), 0.96)
    row, column = rng.integers(150, 350, 2)
    snow[row : row + 30, column : column + 10] = 0.15
    return snow


@pytest.mark.parametrize("scene", [_fog, _thin_plate, _stars, _snow, _figure_in_snow])
@pytest.mark.parametrize("seed", range(3))
def test_a_faint_picture_is_shown_to_a_person(
    scene: Callable[[np.random.Generator], Picture], seed: int, tmp_path: Path
) -> None:
    """Fog, an underexposed plate, stars, snow: with the grain of their film."""
    rng = np.random.default_rng(seed)
    picture = scene(rng)
    picture = picture + rng.normal(0, 0.004, picture.shape)
    assert _reason(picture, tmp_path, bits=16) is Reason.NEARLY_BLANK


@pytest.mark.parametrize("sheet", [0.0, 1.0])
@pytest.mark.parametrize(
    ("contrast", "at"),
    [(15 / 255, (900, 700)), (15 / 255, (60, 80)), (0.05, (20, 20)), (0.8, (60, 80))],
)
def test_a_small_picture_on_a_large_sheet_is_shown_to_a_person(
    sheet: float, contrast: float, at: tuple[int, int], tmp_path: Path
) -> None:
    """In its middle or in a corner, which is then no border: faint, and small, but a picture."""
    page = np.full((2000, 1500), sheet)
    picture = contrast * photograph(200, 300, seed=1)
    page[at[0] : at[0] + 200, at[1] : at[1] + 300] = np.abs(sheet - picture)
    assert _reason(page, tmp_path) is Reason.NEARLY_BLANK


@pytest.mark.parametrize("seed", range(3))
def test_an_empty_sheet_in_uneven_light_is_blank(seed: int, tmp_path: Path) -> None:
    """Shading, grain, dust and a hair are no structure."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1:1:500j, -1:1:400j]
    sheet = 0.9 + 0.006 * x - 0.008 * y * y + rng.normal(0, 0.01, x.shape)
    for row, column in rng.integers(5, 390, (30, 2)):
        sheet[row : row + 2, column : column + 2] *= 0.5
    sheet[100:400, 200] *= 0.8  # a hair
    with pytest.raises(BlankScan, match="no structure"):
        _reason(sheet, tmp_path)

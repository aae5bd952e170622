"""Small pictures for reports: of the scan's shape, whatever that is."""

from pathlib import Path

import numpy as np
import pytest
import pyvips

from tasks.report.preview import PreviewRequest, make_preview, shrink
from tasks.scans.header import ReadLimits
from tests.scanfiles import write_tiff


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((300, 66_000), (7, 1600)),  # a scroll, wider than any JPEG
        ((66_000, 300), (400, 2)),
        ((800, 1200), (400, 600)),
        ((30, 40), (30, 40)),
    ],
)
def test_a_preview_is_the_whole_scan(
    size: tuple[int, int], expected: tuple[int, int], tmp_path: Path
) -> None:
    """Scan and derivative alike, so that they can stand beside each other; then smaller still."""
    height, width = size
    codes = np.linspace(20, 220, height * width).reshape(size).astype(np.uint8)
    scan = write_tiff(tmp_path / "scan.tif", codes)
    colour = write_tiff(tmp_path / "colour.tif", np.repeat(codes[..., None], 3, axis=2))
    request = PreviewRequest(scan, 0, colour, height_px=400, limits=ReadLimits())
    made = make_preview(request)
    for jpeg in (made.before, made.after):
        picture = pyvips.Image.new_from_buffer(jpeg, "")
        assert (picture.height, picture.width) == expected
        smaller = pyvips.Image.new_from_buffer(shrink(jpeg, height_px=20), "")
        assert smaller.height <= 20
        assert smaller.width <= 80


def test_film_is_shown_by_its_poster(tmp_path: Path) -> None:
    """As it is, and without its colours, which is what it was; of any size."""
    codes = np.random.default_rng(1907).integers(0, 255, (720, 1280, 3)).astype(np.uint8)
    poster = tmp_path / "poster.jpg"
    pyvips.Image.new_from_array(codes).jpegsave(str(poster), Q=95)
    made = make_preview(PreviewRequest(None, 0, poster, height_px=400, limits=ReadLimits()))
    before, after = (pyvips.Image.new_from_buffer(one, "") for one in (made.before, made.after))
    assert (before.height, before.width) == (after.height, after.width) == (400, 711)
    assert (before.bands, after.bands) == (1, 3)

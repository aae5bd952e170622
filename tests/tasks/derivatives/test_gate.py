"""The tone gate: what is off is found out before it is published."""

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tasks.derivatives import gate
from tasks.derivatives import write as write_module
from tasks.errors import ToneGateFailed
from tests import scanfiles
from tests.tasks.derivatives.jpegs import make_grey_jpeg, make_picture
from tests.tasks.derivatives.scanmaker import colour, make_deep_picture, make_tiff


def test_gate_stops_what_is_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that shifts tone a little is found out, and leaves nothing behind."""
    path = make_tiff(tmp_path / "scan.tif", make_deep_picture(90, 80))
    honest = write_module.coloured_strips

    def shifted(*args: object, **named: object) -> object:
        for strip in honest(*args, **named):
            yield np.minimum(strip, 65535 - 80) + np.uint16(80)

    monkeypatch.setattr(write_module, "coloured_strips", shifted)
    with pytest.raises(ToneGateFailed, match="differs"):
        colour(path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_gate_stops_a_splice_with_other_luminance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the wrong file's coded data had been copied."""
    path = tmp_path / "scan.jpg"
    path.write_bytes(make_grey_jpeg(make_picture(64, 64)))
    other = write_module.read_grey_jpeg(make_grey_jpeg(make_picture(64, 64, seed=5)))
    honest = write_module.splice_luma
    monkeypatch.setattr(
        write_module, "splice_luma", lambda _grey, chroma, **named: honest(other, chroma, **named)
    )
    with pytest.raises(ToneGateFailed, match="luminance"):
        colour(path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(("reported", "at_once", "every"), [(30_000, 1 << 20, 4), (3_000, 1, 40)])
def test_of_a_large_splice_some_rows_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reported: int, at_once: int, every: int
) -> None:
    """And its luminance is compared whole; what is reported is near what all rows would give.

    There may be parts without any of these rows.
    """
    path = tmp_path / "scan.jpg"
    path.write_bytes(make_grey_jpeg(make_picture(400, 300)))
    (whole,) = colour(path, tmp_path)
    monkeypatch.setattr(gate, "_REPORTED_PIXELS", reported)
    monkeypatch.setattr(gate, "_REPORTED_AT_ONCE", at_once)
    monkeypatch.setattr(gate, "_ROWS", 30)
    (some,) = colour(path, tmp_path)
    assert whole.tone.rule == "the Y plane is the scan's, bit for bit"
    assert some.tone.rule == "the Y plane is the scan's, bit for bit; ΔL* of one row in " + str(
        every
    )
    assert some.tone.luma_identical
    assert some.tone.mean_delta_l == pytest.approx(whole.tone.mean_delta_l, rel=0.1)
    assert 0 < some.tone.max_delta_l <= whole.tone.max_delta_l


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_orientation_that_does_not_exist_is_none(tmp_path: Path, orientation: int) -> None:
    """Such numbers are in old files; the gate reads the picture as everyone does."""
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / "scan.jpg"
    path.write_bytes(make_grey_jpeg(make_picture(40, 60), exif=exif.tobytes()))
    (master,) = colour(path, tmp_path)
    assert master.tone.luma_identical


@pytest.mark.parametrize("tag", [262, 278])
def test_a_scan_whose_pixels_are_whole_passes_whatever_its_tags_say(
    tag: int, tmp_path: Path
) -> None:
    """A guess about the pixels is a doubt, for a person, and no fault of ours."""
    path = make_tiff(tmp_path / "odd.tif", make_picture(64, 80))
    data = bytearray(path.read_bytes())
    at = data.index(struct.pack("<HHI", tag, 3 if tag == 262 else 4, 1))
    data[at : at + 2] = struct.pack("<H", 40_000)  # a private tag: the other is missing
    path.write_bytes(data)
    tone = colour(path, tmp_path / "out")[0].tone
    assert tone is not None
    assert tone.passed
    assert bool(tone.doubt) == (tag == 262)


def test_what_is_no_number_agrees_with_nothing() -> None:
    """One NaN among good pixels, and none is told from zero."""
    for wrong in (np.nan, np.inf, -np.inf):
        tally = gate._Tally()
        tally.add(np.array([[0.0, wrong, 0.1]], dtype=np.float32))
        tally.add(np.zeros((2, 3), dtype=np.float32))
        assert tally.check("").max_delta_l == np.inf


def test_the_lightness_of_a_toned_print_is_rounded_once(tmp_path: Path) -> None:
    """To a code of grey and then to a colour, dark parts would be off by up to 0.5 L*."""
    rng = np.random.default_rng(7)
    dark = rng.integers(0, 64, (400, 400, 3), dtype=np.uint8)
    dark[..., 2] //= 4  # a warm tone, as deep as sepia gets
    path = tmp_path / "toned.png"
    Image.fromarray(dark).save(path)
    (master, *_) = colour(path, tmp_path / "out")
    assert master.tone.max_delta_l < 0.4
    assert not master.tone.doubt


def test_a_table_against_the_photometric_sense_is_a_doubt(tmp_path: Path) -> None:
    """One of the two is wrong: no fault of ours, and no reading confirms the other."""
    rising = [round(code / 255 * 65535) for code in range(256)]
    for sense, table in ((0, rising), (1, rising[::-1])):
        path = tmp_path / f"{sense}.tif"
        codes = make_picture(80, 90).astype(np.uint8)
        tags = [(301, 3, 256, table, True)]
        photometric = "minisblack" if sense else "miniswhite"
        tifffile.imwrite(path, codes, photometric=photometric, extratags=tags)
        (master, *_) = colour(path, tmp_path / f"out-{sense}")
        assert "runs against its photometric sense" in master.tone.doubt


def test_odd_chunks_leave_nothing_on_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The second decoder of PNG is given the picture alone: it complains where nobody listens."""
    path = scanfiles.write_png(tmp_path / "scan.png", make_picture(60, 70).astype(np.uint8))
    data = path.read_bytes()
    for kind in (b"gAMA", b"pHYs", b"tEXt", b"iCCP"):
        data = scanfiles.with_png_chunk(data, kind, b"\0")
    path.write_bytes(data)
    colour(path, tmp_path / "out")
    assert capfd.readouterr() == ("", "")

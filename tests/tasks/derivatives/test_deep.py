"""Masters of scans deeper than 16 bits: the scan's own depth, its tone, and nothing of it lost."""

from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import pyvips
import tifffile
from numpy.typing import NDArray

from tasks.derivatives import OutputPolicy, WrittenFile, write_derivatives
from tasks.derivatives import write as write_module
from tasks.errors import ToneGateFailed, UnreadableScan, UnsupportedFormat
from tasks.scans.reader import open_scan
from tests.packets import read_xmp
from tests.scanfiles import packed_tiff, photograph, press, write_jp2
from tests.tasks.derivatives.scanmaker import (
    GAMMA_22,
    LINEAR,
    colour,
    make_map_for,
    make_provenance,
    make_tiff,
)
from tests.tasks.scans.test_tone_rule import lightness, srgb

Levels = NDArray[np.float64]

#: Samples by name: their type, and which numbers are black and white; None where no tag states it.
KINDS: dict[str, tuple[type, tuple[float, float], bool]] = {
    "float": (np.float32, (0.0, 1.0), True),
    "float, 100 is white": (np.float32, (0.0, 100.0), True),
    "float, black below 0": (np.float32, (-0.5, 2.0), True),
    "half": (np.float16, (0.0, 1.0), True),
    "unsigned": (np.uint32, (0, 2**32 - 1), False),
    "unsigned, of a range": (np.uint32, (1000, 3_000_000_000), True),
    "signed": (np.int32, (-(2**31), 2**31 - 1), False),
    "signed, 0 is black": (np.int32, (0, 2**31 - 1), True),
}
TYPES = {"float": np.float32, "half": np.float32}


def expected_type(kind: str) -> type:
    """What a master of a kind holds."""
    return TYPES.get(kind.partition(",")[0], np.uint32)


def fine_levels(height: int, width: int) -> Levels:
    """Levels in [0, 1] that 16 bits do not hold, both ends among them."""
    fine = np.random.default_rng(5).uniform(-1, 1, (height, width)) / 65535
    levels = np.clip(photograph(height, width) + fine, 0, 1)
    levels[0, :2] = 0, 1
    return levels


def write_deep(path: Path, kind: str, sense: str, **options: object) -> tuple[Path, Levels]:
    """Write a scan of a kind; give the levels that its samples mean, min-is-black."""
    dtype, (low, high), is_stated = KINDS[kind]
    levels = fine_levels(270, 300)
    numbers = low + (levels if sense == "minisblack" else 1 - levels) * (high - low)
    is_float = np.dtype(dtype).kind == "f"
    stored = (numbers if is_float else np.rint(numbers)).astype(dtype)
    tags = [(340, "d", 1, float(low), True), (341, "d", 1, float(high), True)] if is_stated else []
    tifffile.imwrite(path, stored, photometric=sense, metadata=None, extratags=tags, **options)
    meant = (stored.astype(np.float64) - low) / (high - low)
    return path, meant if sense == "minisblack" else 1 - meant


def levels_of(path: Path) -> Levels:
    """What a master holds, in [0, 1], (H, W, 3)."""
    samples = tifffile.imread(path)
    full = 1 if samples.dtype.kind == "f" else np.iinfo(samples.dtype).max
    return samples / full


def lightness_of(levels: Levels, icc: bytes) -> NDArray[np.float64]:
    """L* of RGB levels through a profile, by lcms in floating point."""
    lab = imagecodecs.cms_profile("lab4")
    asked = levels.astype(np.float32)
    found = imagecodecs.cms_transform(
        asked, icc, lab, colorspace="rgb", outcolorspace="lab", outdtype="float32"
    )
    return found[..., 0].astype(np.float64)


def grey_of(path: Path, folder: Path) -> WrittenFile:
    """The master of a scan in which the network sees no colour."""
    scan = open_scan(path)
    flat = make_map_for(scan, strength=0)
    provenance = make_provenance(scan)
    return write_derivatives(
        path, scan, flat, provenance=provenance, policy=OutputPolicy(), folder=folder
    )[0]


@pytest.mark.parametrize("sense", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_grey_master_holds_what_the_scan_holds(kind: str, sense: str, tmp_path: Path) -> None:
    """Of the scan's own type, every sample where it was: to the last digit that the type holds."""
    path, expected = write_deep(tmp_path / "scan.tif", kind, sense)
    master = grey_of(path, tmp_path)
    found = levels_of(master.path)
    assert tifffile.imread(master.path).dtype == expected_type(kind)
    error = np.abs(found - expected[..., None]).max()
    assert error <= (2**-32 if expected_type(kind) is np.uint32 else 2**-24)
    assert (found[0, 0] == 0).all()
    assert (found[0, 1] == 1).all()


@pytest.mark.parametrize("icc", [None, GAMMA_22, LINEAR], ids=["no profile", "gamma", "linear"])
@pytest.mark.parametrize("kind", ["float", "unsigned", "signed, 0 is black"])
def test_a_coloured_master_keeps_the_tone(kind: str, icc: bytes | None, tmp_path: Path) -> None:
    """L* of every pixel, by lcms on the profiles of scan and master; and how the file is made."""
    path, expected = write_deep(tmp_path / "scan.tif", kind, "minisblack", iccprofile=icc)
    master, access, thumbnail = colour(path, tmp_path, thumbnail_px=64)
    with tifffile.TiffFile(master.path) as opened:
        page = opened.pages[0]
        is_float = expected_type(kind) is np.float32
        assert page.tile == (256, 256)
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert page.predictor == (3 if is_float else 2)
        assert page.sampleformat == (3 if is_float else 1)
        assert (page.tags.valueof(340), page.tags.valueof(341)) == (
            ((0.0,) * 3, (1.0,) * 3) if is_float else (None, None)
        )
        assert "dc:source" in read_xmp(page.tags.valueof(700))
        written_icc = page.tags.valueof(34675)
    found = levels_of(master.path)
    assert np.ptp(found, axis=2).max() > 0.1
    light = srgb(expected) if icc is None else expected ** (1.0 if icc is LINEAR else 2.2)
    off = np.abs(lightness_of(found, written_icc) - lightness(light))
    # lcms shortens what it is asked in floating point to tables of its own: off by 0.01 at black.
    assert off.max() <= 0.03
    assert master.tone.max_delta_l <= 0.005
    assert "0.005" in master.tone.rule
    copy = pyvips.Image.new_from_file(str(access.path))
    assert (copy.width, copy.height, copy.format) == (300, 270, "uchar")
    assert abs(access.tone.bias_l) < 0.1
    assert pyvips.Image.new_from_file(str(thumbnail.path)).width == 64


@pytest.mark.parametrize("icc", [None, GAMMA_22, LINEAR], ids=["no profile", "gamma", "linear"])
def test_access_copies_of_deep_masters_are_as_those_of_16_bits(
    icc: bytes | None, tmp_path: Path
) -> None:
    """The same picture in 16 bits gives the same JPEG, whole and reduced, but for rounding."""
    path, levels = write_deep(tmp_path / "deep.tif", "float", "minisblack", iccprofile=icc)
    codes = np.rint(levels * 65535).astype(np.uint16)
    plain = make_tiff(tmp_path / "plain.tif", codes, iccprofile=icc)
    for access_px in (0, 120):
        pictures = []
        for number, one in enumerate((path, plain)):
            folder = tmp_path / f"{access_px}-{number}"
            access = colour(one, folder, access_px=access_px)[1]
            pictures.append(pyvips.Image.new_from_file(str(access.path)).numpy().astype(int))
        difference = np.abs(pictures[0] - pictures[1])
        assert difference.max() <= 16  # JPEG rounds a coefficient, black a channel, the other way
        assert difference.mean() < 0.5


@pytest.mark.parametrize("bits", [17, 24, 31])
def test_odd_depths_are_written_in_the_next(bits: int, tmp_path: Path) -> None:
    """Integers of 17 to 31 bits are spread over 32."""
    codes = np.rint(fine_levels(70, 90) * ((1 << bits) - 1)).astype(np.uint32)
    path = packed_tiff(tmp_path / "packed.tif", codes, bits)
    master = grey_of(path, tmp_path)
    assert tifffile.imread(master.path).dtype == np.uint32
    found = levels_of(master.path)[..., 1]
    assert np.abs(found - codes / ((1 << bits) - 1)).max() <= 2**-32


def test_a_jpeg_2000_of_24_bits_keeps_them(tmp_path: Path) -> None:
    """Not only TIFF is deep."""
    codes = np.rint(fine_levels(64, 80) * ((1 << 24) - 1)).astype(np.uint32)
    path = write_jp2(tmp_path / "deep.jp2", codes, bitspersample=24)
    scan = open_scan(path)
    assert (scan.header.stored_bits, scan.header.bits) == (24, 32)
    assert not scan.header.notes
    master = grey_of(path, tmp_path)
    found = levels_of(master.path)[..., 1]
    assert np.abs(found - codes / ((1 << 24) - 1)).max() <= 2**-24


def test_a_toned_float_scan_is_read_by_its_lightness(tmp_path: Path) -> None:
    """RGB of floating point: L* of each pixel is that of its three channels."""
    shares = np.array([1.0, 0.92, 0.8])
    rgb = (fine_levels(90, 120)[..., None] * shares).astype(np.float32)
    tags = [(340, "f", 3, (0.0,) * 3, True), (341, "f", 3, (1.0,) * 3, True)]
    path = tmp_path / "toned.tif"
    tifffile.imwrite(path, rgb, photometric="rgb", metadata=None, extratags=tags)
    master, _ = colour(path, tmp_path)
    with tifffile.TiffFile(master.path) as opened:
        icc = opened.pages[0].tags.valueof(34675)
    expected = lightness_of(rgb, imagecodecs.cms_profile("srgb"))
    found = lightness_of(levels_of(master.path), icc)
    assert np.abs(found - expected).max() <= 0.03
    assert tifffile.imread(master.path).dtype == np.float32


def test_deep_inks_go_through_their_profile(tmp_path: Path) -> None:
    """CMYK of 32-bit floating point, of which black ink makes the picture."""
    levels = fine_levels(60, 80)
    inks = np.zeros((60, 80, 4), np.float32)
    inks[..., 3] = 1 - levels
    tags = [(340, "f", 4, (0.0,) * 4, True), (341, "f", 4, (1.0,) * 4, True)]
    path = tmp_path / "inks.tif"
    tifffile.imwrite(
        path, inks, photometric="separated", metadata=None, iccprofile=press(), extratags=tags
    )
    master, _ = colour(path, tmp_path)
    assert tifffile.imread(master.path).dtype == np.float32
    with tifffile.TiffFile(master.path) as opened:
        icc = opened.pages[0].tags.valueof(34675)
    found = lightness_of(levels_of(master.path), icc)
    assert np.abs(found - 100 * levels).max() <= 0.05
    assert not master.tone.doubt


@pytest.mark.parametrize("dtype", [np.float64, np.uint64])
def test_64_bits_are_refused_by_name(dtype: type, tmp_path: Path) -> None:
    """No common reader of pictures takes them, so that a derivative could not hold them."""
    path = make_tiff(tmp_path / "scan.tif", np.ones((40, 40), dtype))
    with pytest.raises(UnsupportedFormat, match=r"64 bits a sample.*; convert it to"):
        open_scan(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_what_is_no_number_has_no_tone(
    value: float, compression: str | None, tmp_path: Path
) -> None:
    """Such a scan is at fault itself, and the message says how."""
    numbers = fine_levels(60, 80).astype(np.float32)
    numbers[40, 3] = value
    tags = [(340, "f", 1, 0.0, True), (341, "f", 1, 1.0, True)]
    path = make_tiff(tmp_path / "scan.tif", numbers, extratags=tags, compression=compression)
    scan = open_scan(path)
    with pytest.raises(UnreadableScan, match=r"1 samples of the TIFF.*NaN.*; restore"):
        list(scan.level_strips())
    with pytest.raises(UnreadableScan, match="no finite numbers"):
        open_scan(path).survey  # noqa: B018


@pytest.mark.parametrize("kind", ["float", "signed, 0 is black"])
def test_numbers_beyond_black_and_white_are_clipped(kind: str, tmp_path: Path) -> None:
    """What is stated to be white is white, and nothing is whiter."""
    dtype, (low, high), _ = KINDS[kind]
    levels = fine_levels(60, 80) * 0.9
    levels[1, 1] = -0.2
    numbers = low + levels * (high - low)
    if kind == "float":
        numbers[2, 2] = 40.0
    tags = [(340, "d", 1, float(low), True), (341, "d", 1, float(high), True)]
    path = make_tiff(tmp_path / "scan.tif", numbers.astype(dtype), extratags=tags)
    found = levels_of(grey_of(path, tmp_path).path)
    assert found.min() == 0
    assert found.max() <= 1
    assert (found[1, 1] == 0).all()
    if kind == "float":
        assert (found[2, 2] == 1).all()


def shifted(strips: Iterator[np.ndarray], by: float) -> Iterator[np.ndarray]:
    """Strips whose samples are off."""
    for strip in strips:
        full = 1 if strip.dtype.kind == "f" else np.iinfo(strip.dtype).max
        moved = np.clip(strip / full + by, 0, 1) * full
        yield moved.astype(strip.dtype)


@pytest.mark.parametrize("kind", ["float", "unsigned"])
def test_a_shift_that_16_bits_would_allow_is_found(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate is ten times as narrow as that of 16 bits."""
    honest = write_module.coloured_strips
    path, _ = write_deep(tmp_path / "scan.tif", kind, "minisblack")
    monkeypatch.setattr(
        write_module, "coloured_strips", lambda *a, **k: shifted(honest(*a, **k), 2e-4)
    )
    with pytest.raises(ToneGateFailed, match="L\\* differs"):
        colour(path, tmp_path)


@pytest.mark.parametrize("kind", ["float", "unsigned"])
def test_a_master_of_16_bits_does_not_do(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor one of integers for floating point."""
    honest = write_module.coloured_strips
    path, _ = write_deep(tmp_path / "scan.tif", kind, "minisblack")
    lesser = np.uint16 if kind == "unsigned" else np.uint32

    def cut(strips: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        for strip in strips:
            full = 1 if strip.dtype.kind == "f" else np.iinfo(strip.dtype).max
            levels = strip.astype(np.float64) / full
            yield np.rint(levels * np.iinfo(lesser).max).astype(lesser)

    monkeypatch.setattr(write_module, "coloured_strips", lambda *a, **k: cut(honest(*a, **k)))
    with pytest.raises(ToneGateFailed, match="bands of"):
        colour(path, tmp_path)


@pytest.mark.parametrize("orientation", [3, 6])
def test_turned_deep_scans_come_out_upright(orientation: int, tmp_path: Path) -> None:
    """Through the scratch file, levels stay levels."""
    turn = [(274, "H", 1, orientation, True)]
    path = tmp_path / "scan.tif"
    tags = [*turn, (340, "f", 1, 0.0, True), (341, "f", 1, 1.0, True)]
    levels = fine_levels(61, 44).astype(np.float32)
    make_tiff(path, levels, extratags=tags)
    found = levels_of(grey_of(path, tmp_path).path)[..., 0]
    expected = np.rot90(levels, 2 if orientation == 3 else -1)
    assert np.abs(found - expected).max() <= 2**-24

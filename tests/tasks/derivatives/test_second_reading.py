"""The second reading finds what the reader finds, by other ways, in files of every kind."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tasks.derivatives.second_reading import light_of_profile, read_again
from tasks.derivatives.second_reading.light import lightness
from tasks.derivatives.second_reading.reading import PAGES
from tasks.derivatives.second_reading.tiff import tiff_page
from tasks.derivatives.second_reading.tone import light_of
from tasks.errors import UnreadableScan, UnsupportedFormat
from tasks.filetypes import Format
from tasks.scans.reader import Scan, open_scan
from tests import scanfiles
from tests.tasks.derivatives.scanmaker import colour
from tests.tasks.scans.test_pixels_decide import FAULTS, HARMLESS, plain_entries, write_entries
from tests.tasks.scans.test_tone_rule import tonefiles

ODD = Path(__file__).parents[4] / "shared" / "cases"

# What the two readings may differ by: at 8 bits, where the reader rounds a colour's lightness to a
# code, half of the largest step; of JPEG, what decoders differ by; at 16 bits, a step at black.
AGREEMENT_L = {8: 0.01, 16: 0.03, 32: 0.001}
ROUNDED_L = 0.26  # where the reader spreads fewer bits than 8 over 8, as here 6


def worst_difference(scan: Scan) -> float:
    """The largest |ΔL*| of any pixel between the two readings."""
    is_deep = scan.header.bits > 16
    strips = scan.level_strips() if is_deep else scan.strips()
    first = scan.tone.lightness_of(np.concatenate([strip for _, strip in strips]))
    again, worst, rows = read_again(scan), 0.0, 0
    assert again.size == first.shape[::-1]
    for top, found in again.strips(37):
        place = again.place(top, len(found))
        part = first[place.top : place.top + place.height, place.left : place.left + place.width]
        worst = max(worst, float(np.abs(again.as_stored(part) - found).max()))
        rows += len(found)
    assert rows == again.page.height
    return worst


@pytest.mark.parametrize("kind", sorted(scanfiles.READABLE))
def test_every_kind_is_read_alike(kind: str, tmp_path: Path) -> None:
    """Both readers agree on every pixel of every kind of file."""
    made = scanfiles.READABLE[kind](tmp_path)
    scan = open_scan(made.path, page=made.page)
    is_rounded = scan.header.stored_bits in {3, 5, 6, 7}
    assert worst_difference(scan) <= (ROUNDED_L if is_rounded else AGREEMENT_L[scan.header.bits])


@pytest.mark.parametrize("kind", sorted(tonefiles()))
def test_every_statement_is_read_alike(kind: str, tmp_path: Path) -> None:
    """Both readers agree on the tone of every row of the table."""
    path = tonefiles()[kind](tmp_path)
    scan = open_scan(path)
    assert worst_difference(scan) <= AGREEMENT_L[scan.header.bits]


@pytest.mark.parametrize("fault", sorted(FAULTS | HARMLESS))
def test_odd_tags_are_read_alike(fault: str, tmp_path: Path) -> None:
    """A tag that says nothing is read as the reader reads it; what stops a library is told."""
    path = write_entries(tmp_path / "odd.tif", plain_entries((FAULTS | HARMLESS)[fault]))
    doubts = {
        "depth as bytes": "Its tone rests on one reading: the other libraries",
        "no photometric sense": "The file does not say whether its 0 is black or white;",
    }
    if fault in doubts:
        assert colour(path, tmp_path)[0].tone.doubt.startswith(doubts[fault])
    else:
        assert worst_difference(open_scan(path)) <= AGREEMENT_L[8]


@pytest.mark.parametrize("sense", [0, 1])
def test_an_odd_tag_hides_no_sign(sense: int, tmp_path: Path) -> None:
    """Signed samples whose strips have no rows: the clean view gives them as unsigned."""
    codes = scanfiles.codes_of(scanfiles.photograph(), 16)
    stored = (codes.astype(np.int32) - 32768).astype(np.int16)
    path = scanfiles.write_tiff(tmp_path / "signed.tif", stored, photometric=sense)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        tag = file.pages[0].tags[278]
    data[tag.offset + 8 : tag.offset + 12] = bytes(4)
    path.write_bytes(data)
    assert worst_difference(open_scan(path)) <= AGREEMENT_L[16]


def test_a_jpeg_2000_without_its_last_marker_is_read_alike(tmp_path: Path) -> None:
    """The codec refuses it as it is."""
    data = scanfiles.write_jp2(tmp_path / "a.jp2", scanfiles.codes_of(scanfiles.photograph()))
    data.write_bytes(data.read_bytes().removesuffix(b"\xff\xd9"))
    assert worst_difference(open_scan(data)) <= AGREEMENT_L[8]


@pytest.mark.parametrize("kind", ["sepia", "cyanotype"])
@pytest.mark.parametrize("suffix", ["tif", "jpg", "png"])
def test_toned_prints_are_read_alike(kind: str, suffix: str, tmp_path: Path) -> None:
    """Where the reader gives a colour's lightness as a code it rounds by up to 0.25 L*."""
    pixels = scanfiles.toned(scanfiles.photograph(), kind)
    path = tmp_path / f"toned.{suffix}"
    if suffix == "tif":
        scanfiles.write_tiff(path, pixels, photometric="rgb")
    elif suffix == "jpg":
        scanfiles.write_jpeg(path, pixels, icc_profile=scanfiles.srgb())
    else:
        scanfiles.write_png(path, pixels)
    assert worst_difference(open_scan(path)) < 0.3


@pytest.mark.skipif(not ODD.is_dir(), reason="../shared/cases is not there")
def test_reported_scans_are_read_alike() -> None:
    """The files that people sent: tone, depth, and odd tags."""
    paths = sorted(ODD.glob("0[168]*/in/*"))
    assert len(paths) > 5
    for path in paths:
        scan = open_scan(path)
        assert worst_difference(scan) <= AGREEMENT_L[scan.header.bits], path


def test_a_profile_by_table_is_asked_for_every_pixel() -> None:
    """Its channels do not add up, and a matrix's do."""
    matrix = light_of_profile(scanfiles.srgb(), codes=256, channels=3)
    assert matrix is not None
    assert matrix.icc is None
    greys = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    x = np.arange(256) / 255
    light = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    assert np.abs(matrix.lightness(greys)[0] - lightness(light)).max() < 0.005
    assert light_of_profile(b"junk" * 100, codes=256, channels=3) is None


@pytest.mark.parametrize("sense", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("dtype", ["int16", "uint32", "float32"])
def test_numbers_of_other_kinds_become_light_by_their_range(
    sense: str, dtype: str, tmp_path: Path
) -> None:
    """Signed, longer and floating-point samples, whose range is stated or that of their type."""
    share = scanfiles.photograph()
    low, high = {"int16": (-32768, 32767), "uint32": (0, 2**32 - 1), "float32": (-1.0, 3.0)}[dtype]
    numbers = (low + share * (high - low)).astype(dtype)
    stored = (
        numbers if sense == "minisblack" else (low + (high - numbers.astype(float))).astype(dtype)
    )
    tags = [(340, "f", 1, low, True), (341, "f", 1, high, True)] if dtype == "float32" else []
    path = scanfiles.write_tiff(tmp_path / "n.tif", stored, photometric=sense, extratags=tags)
    page = tiff_page(path, 0, 0, open_scan(path).clean)
    light = light_of(
        page.tone, bits=page.bits, channels=1, is_min_white=page.is_min_white, white=65535
    )
    found = light.lightness(np.concatenate(list(page.strips())))
    levels = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    assert np.abs(found - lightness(levels)).max() < 0.02


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", [8, 9])
def test_lab_is_looked_at_by_its_lightness(bits: int, kind: int, tmp_path: Path) -> None:
    """L* is the first sample; ICC's has white at 65,280 (ICC.1, version 2)."""
    share = scanfiles.photograph()
    full = 65280 if (kind, bits) == (9, 16) else (1 << bits) - 1
    codes = np.zeros((*share.shape, 3), np.uint8 if bits == 8 else np.uint16)
    codes[..., 0] = np.rint(share * full)
    path = scanfiles.write_tiff(tmp_path / "l.tif", codes, photometric=kind)
    page = tiff_page(path, 0, 0, open_scan(path).clean)
    light = light_of(page.tone, bits=bits, channels=1, is_min_white=False, white=(1 << bits) - 1)
    found = light.lightness(np.concatenate(list(page.strips())))
    assert np.abs(found - codes[..., 0] * (100 / full)).max() < 0.01


def test_every_format_is_read_again() -> None:
    """One that is not would send each of its scans to a person, as of doubtful tone."""
    assert set(PAGES) == set(Format)


@pytest.mark.parametrize("orientation", [3, 6])
def test_exif_behind_the_data_turns_a_png(orientation: int, tmp_path: Path) -> None:
    """PNG allows it there; libvips does not look."""
    path = scanfiles.write_png(tmp_path / "a.png", scanfiles.codes_of(scanfiles.photograph()))
    exif = scanfiles.exif_block(orientation).removeprefix(b"Exif\0\0")
    data, chunk = path.read_bytes(), b"eXIf" + exif
    at = data.index(b"IEND") - 4
    chunk = len(exif).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    path.write_bytes(data[:at] + chunk + data[at:])
    scan = open_scan(path)
    assert scan.header.orientation == orientation
    assert worst_difference(scan) <= AGREEMENT_L[8]


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_signed_jpeg_2000_of_every_depth_is_read_alike(bits: int, tmp_path: Path) -> None:
    """The codec gives signed numbers of 9 to 15 bits as they are stored."""
    codes = scanfiles.codes_of(scanfiles.photograph(), bits).astype(np.int16) - (1 << bits - 1)
    path = scanfiles.write_jp2(tmp_path / "a.jp2", codes, bitspersample=bits)
    assert worst_difference(open_scan(path)) <= AGREEMENT_L[16]


@pytest.mark.parametrize("channels", [2, 3])
def test_channels_in_another_order_are_read_alike(channels: int, tmp_path: Path) -> None:
    """Blue first, or alpha: the box that says so counts for both readers."""
    codes = scanfiles.codes_of(scanfiles.photograph())
    planes = [codes // 3, codes // 2, codes] if channels == 3 else [codes // 3, codes]
    data = scanfiles.write_jp2(tmp_path / "a.jp2", np.stack(planes, axis=2)).read_bytes()
    order = [(0, 0, 3), (1, 0, 2), (2, 0, 1)] if channels == 3 else [(0, 1, 0), (1, 0, 1)]
    at = data.index(b"jp2h") - 4
    end = at + int.from_bytes(data[at : at + 4], "big")
    body = struct.pack(f">{1 + 3 * len(order)}H", len(order), *np.ravel(order))
    box = struct.pack(">I", 8 + len(body)) + b"cdef" + body
    head = struct.pack(">I", end - at + len(box)) + data[at + 4 : end]
    path = tmp_path / "b.jp2"
    path.write_bytes(data[:at] + head + box + data[end:])
    assert worst_difference(open_scan(path)) <= 0.3  # rounded to a code


def test_romm_is_read_alike(tmp_path: Path) -> None:
    """A named colour space with a curve and primaries of its own."""
    pixels = scanfiles.toned(scanfiles.photograph(), "sepia")
    path = scanfiles.write_jp2(tmp_path / "a.jp2", pixels)
    data = bytearray(path.read_bytes())
    at = data.index(b"colr")
    data[at + 7 : at + 11] = (21).to_bytes(4, "big")
    path.write_bytes(data)
    assert worst_difference(open_scan(path)) <= 0.3  # rounded to a code


def _jpx(tmp_path: Path, *between: bytes) -> Path:
    """Two pictures in one file, each in a box of its codestream."""
    found = b""
    for seed in range(2):
        codes = scanfiles.codes_of(scanfiles.photograph(seed=seed))
        data = scanfiles.write_jp2(tmp_path / "a.jp2", codes, codecformat="jp2").read_bytes()
        at = data.index(b"jp2c") + 4
        found += b"" if found else data[: at - 8]
        found += b"".join(between) * seed + (8 + len(data) - at).to_bytes(4, "big")
        found += b"jp2c" + data[at:]
    path = tmp_path / "a.jpx"
    path.write_bytes(found)
    return path


def test_each_codestream_of_a_jpx_is_a_page(tmp_path: Path) -> None:
    """None is dropped without a word; both readings take the same one."""
    path = _jpx(tmp_path)
    for page in range(2):
        scan = open_scan(path, page=page)
        assert scan.header.pages == 2
        codes = np.concatenate([strip for _, strip in scan.strips()])
        assert np.array_equal(codes, scanfiles.codes_of(scanfiles.photograph(seed=page)))
        assert worst_difference(scan) <= AGREEMENT_L[8]
    with pytest.raises(UnreadableScan, match="page 3 is not among them"):
        open_scan(path, page=2)


def test_pictures_of_a_jpx_with_colours_of_their_own_are_refused(tmp_path: Path) -> None:
    """What is said of one layer alone is not taken for what holds of all."""
    box = b"\1\0\0\0\0\0\x10"
    for kind in (b"colr", b"cgrp", b"jplh"):
        box = (8 + len(box)).to_bytes(4, "big") + kind + box
    with pytest.raises(UnsupportedFormat, match="colours of their own"):
        open_scan(_jpx(tmp_path, box))


@pytest.mark.parametrize("bits", [24, 25, 32])
def test_jpeg_2000_is_read_as_deep_as_the_codec_is_true(bits: int, tmp_path: Path) -> None:
    """Beyond 24 bits a round trip through OpenJPEG gives other numbers: refused by name."""
    numbers = np.random.default_rng(0).integers(0, 1 << bits, (40, 50)).astype(np.uint32)
    path = scanfiles.write_jp2(tmp_path / "a.jp2", numbers, bitspersample=bits)
    if bits > 24:
        with pytest.raises(UnsupportedFormat, match=r"components 2[56] bits deep"):
            open_scan(path)
        return
    levels = np.concatenate([strip for _, strip in open_scan(path).level_strips()])
    assert np.array_equal(np.rint(levels * ((1 << bits) - 1)), numbers)

"""Odd codings, profiles and markers: both readings find the same tone, or a person is asked."""

import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from tasks.derivatives.second_reading import Unstated, read_again
from tasks.scans.icc import build_profile, parametric_curve
from tasks.scans.reader import open_scan
from tasks.scans.resample import resize
from tests import scanfiles
from tests.tasks.derivatives.test_second_reading import worst_difference

CODES = scanfiles.codes_of(scanfiles.photograph())
HEIGHT, WIDTH = CODES.shape
SEPIA = scanfiles.toned(scanfiles.photograph(), "sepia")
GREY_RGB = np.repeat(CODES[..., None], 3, axis=2)


def lightness_of(path: Path) -> np.ndarray:
    """L* as the reader finds it."""
    scan = open_scan(path)
    return scan.tone.lightness_of(np.concatenate([strip for _, strip in scan.strips()]))


def expected() -> np.ndarray:
    """L* of the codes as sRGB."""
    light = CODES / 255
    light = np.where(light <= 0.04045, light / 12.92, ((light + 0.055) / 1.055) ** 2.4)
    return np.where(light > 216 / 24389, 116 * np.cbrt(light) - 16, light * (24389 / 27))


def tiff(path: Path, data: bytes, **tags: tuple[int, ...]) -> Path:
    """A TIFF of one strip; `t262=(3, 6)` is a tag of a type and its values."""
    found = {256: (4, WIDTH), 257: (4, HEIGHT), 273: (4, 8), 278: (4, HEIGHT), 279: (4, len(data))}
    found |= {int(name[1:]): value for name, value in tags.items()}
    data += b"\0" * (len(data) % 2)
    table, more = b"", b""
    start = 8 + len(data) + 2 + 12 * len(found) + 4
    for tag, (kind, *values) in sorted(found.items()):
        body = struct.pack(f"<{len(values)}{'I' if kind in (4, 5) else 'H'}", *values)
        place = body.ljust(4, b"\0")
        if len(body) > 4:
            place, more = struct.pack("<I", start + len(more)), more + body
        count = len(values) // 2 if kind == 5 else len(values)
        table += struct.pack("<HHI", tag, kind, count) + place
    head = b"II*\0" + struct.pack("<I", 8 + len(data))
    path.write_bytes(head + data + struct.pack("<H", len(found)) + table + bytes(4) + more)
    return path


@pytest.mark.parametrize("compression", [1, 5, 8])
def test_bits_from_the_other_end_are_read(compression: int, tmp_path: Path) -> None:
    """FillOrder 2 holds for compressed bytes, too: their checksum is of the turned ones."""
    plain = CODES.tobytes()
    packed = {1: plain, 5: imagecodecs.lzw_encode(plain), 8: zlib.compress(plain)}[compression]
    data = imagecodecs.bitorder_decode(packed)
    path = tiff(
        tmp_path / "f.tif", data, t258=(3, 8), t259=(3, compression), t262=(3, 1), t266=(3, 2)
    )
    assert np.abs(lightness_of(path) - expected()).max() < 0.01
    assert worst_difference(open_scan(path)) < 0.01


def test_reference_black_and_white_is_followed_once(tmp_path: Path) -> None:
    """Of subsampled YCbCr libtiff has spread the codes when it made RGB of them."""
    luma = np.rint(16 + CODES.astype(float) * 219 / 255).astype(np.uint8)
    rows = luma.reshape(HEIGHT // 2, 2, WIDTH // 2, 2).transpose(0, 2, 1, 3)
    blocks = rows.reshape(HEIGHT // 2, WIDTH // 2, 4)
    data = np.concatenate([blocks, np.full_like(blocks[..., :2], 128)], axis=2).tobytes()
    ends = [value for one in (16, 235, 128, 240, 128, 240) for value in (one, 1)]
    path = tiff(
        tmp_path / "v.tif", data, t258=(3, 8, 8, 8), t262=(3, 6), t277=(3, 3), t530=(3, 2, 2),
        t532=(5, *ends),
    )  # fmt: skip
    assert np.abs(lightness_of(path) - expected()).max() < 0.6  # a code, rounded twice


@pytest.mark.parametrize("subsampling", ["444", "420", "440", "411"])
def test_jpeg_in_tiff_is_what_its_markers_say(subsampling: str, tmp_path: Path) -> None:
    """JFIF is YCbCr though the tag says RGB: no green picture, and no damage."""
    data = imagecodecs.jpeg8_encode(
        SEPIA, level=98, colorspace="rgb", outcolorspace="ycbcr", subsampling=subsampling
    )
    tags = {"t258": (3, 8, 8, 8), "t259": (3, 7), "t277": (3, 3)}
    right, wrong = (
        tiff(tmp_path / f"{kind}.tif", data, t262=(3, kind), t530=(3, 1, 1), **tags)
        for kind in (6, 2)
    )
    assert np.abs(lightness_of(right) - lightness_of(wrong)).max() < 0.6
    assert worst_difference(open_scan(wrong)) < 0.5
    assert "ycbcr by its own markers" in "".join(open_scan(wrong).header.notes)


def test_rgb_in_a_jpeg_under_a_tag_of_ycbcr_is_no_colour(tmp_path: Path) -> None:
    """Its components are numbered by their letters: it would be skipped as coloured."""
    data = imagecodecs.jpeg8_encode(GREY_RGB, level=98, colorspace="rgb", outcolorspace="rgb")
    path = tiff(
        tmp_path / "r.tif", data, t258=(3, 8, 8, 8), t259=(3, 7), t262=(3, 6), t277=(3, 3),
        t530=(3, 1, 1),
    )  # fmt: skip
    assert np.abs(lightness_of(path) - expected()).max() < 3
    assert worst_difference(open_scan(path)) < 0.5


def test_a_palette_of_16_bits_is_read_as_deep_twice(tmp_path: Path) -> None:
    """The second reading cut its colours to 8 bits, and failed the gate."""
    colours = np.repeat(np.arange(65536, dtype=np.uint16)[None], 3, axis=0)
    codes = scanfiles.codes_of(scanfiles.photograph(), 16)
    path = scanfiles.write_tiff(tmp_path / "p.tif", codes, photometric="palette", colormap=colours)
    assert worst_difference(open_scan(path)) < 0.05


def segment(code: int, body: bytes) -> bytes:
    """A JPEG's marker segment."""
    return bytes((0xFF, code)) + struct.pack(">H", len(body) + 2) + body


def marked(path: Path, data: bytes, *segments: bytes) -> Path:
    """A JPEG without application segments but these."""
    found, at = data[:2] + b"".join(segments), 2
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        found += b"" if 0xE0 <= data[at + 1] <= 0xEF else data[at:end]
        at = end
    path.write_bytes(found + data[at:])
    return path


def icc(profile: bytes, number: bytes = b"\1\1") -> bytes:
    """A profile as a JPEG's segment."""
    return segment(0xE2, b"ICC_PROFILE\0" + number + profile)


@pytest.mark.parametrize("transform", [1, 2, 77])
def test_adobe_s_number_decides_nothing_that_libjpeg_knows_not(
    transform: int, tmp_path: Path
) -> None:
    """It warns of others than 0 and 1, which is no damage of pixels."""
    data = imagecodecs.jpeg8_encode(SEPIA, level=98, colorspace="rgb", outcolorspace="ycbcr")
    adobe = segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes((transform,)))
    assert worst_difference(open_scan(marked(tmp_path / "a.jpg", data, adobe))) < 0.5


def test_inks_of_which_nothing_says_their_sense_ask_a_person(tmp_path: Path) -> None:
    """Without Adobe's segment programs differ in whether 0 is no ink, or all of it."""
    data = imagecodecs.jpeg8_encode(
        scanfiles.black_ink(CODES), level=98, colorspace="cmyk", outcolorspace="cmyk"
    )
    path = marked(tmp_path / "k.jpg", data, icc(scanfiles.press()))
    with pytest.raises(Unstated, match="inks are inverted"):
        read_again(open_scan(path))


@pytest.mark.parametrize(
    ("number", "shift"), [(b"\1\1", -20), (b"\1\1", 1 << 20), (b"\0\0", 0), (b"\0\1", 0)]
)
def test_a_profile_of_a_wrong_size_or_number_is_read_alike(
    number: bytes, shift: int, tmp_path: Path
) -> None:
    """The engine overlooks tags beyond the size that a profile states."""
    profile = scanfiles.gray_gamma(1.8)
    profile = struct.pack(">I", len(profile) + shift) + profile[4:]
    data = imagecodecs.jpeg8_encode(CODES, level=98)
    scan = open_scan(marked(tmp_path / "p.jpg", data, icc(profile, number)))
    assert np.abs(scan.tone.linear - np.linspace(0, 1, 256) ** 1.8).max() < 0.002
    assert worst_difference(scan) < 0.05


def test_a_falling_profile_asks_a_person(tmp_path: Path) -> None:
    """Neither reading follows a curve under which black is white: it does not fail at the gate."""
    profile = build_profile(b"GRAY", parametric_curve(1.0), description="falling")
    falling = b"curv\0\0\0\0" + struct.pack(">I3H", 3, 65535, 20000, 0)
    at = profile.index(b"kTRC") + 4
    row = struct.pack(">II", len(profile), len(falling))
    profile = profile[:at] + row + profile[at + 8 :] + falling
    data = imagecodecs.jpeg8_encode(CODES, level=98)
    scan = open_scan(marked(tmp_path / "p.jpg", data, icc(profile)))
    assert scan.tone_doubt
    assert worst_difference(scan) < 0.05


def colour_boxes(path: Path, *bodies: bytes) -> Path:
    """A JP2 with these colour specifications."""
    data = scanfiles.write_jp2(path, CODES, codecformat="jp2").read_bytes()
    at, colr = data.index(b"jp2h") - 4, data.index(b"colr") - 4
    end = at + int.from_bytes(data[at : at + 4], "big")
    behind = data[colr + int.from_bytes(data[colr : colr + 4], "big") : end]
    boxes = b"".join(struct.pack(">I", 8 + len(body)) + b"colr" + body for body in bodies)
    inner = data[at + 8 : colr] + boxes + behind
    path.write_bytes(data[:at] + struct.pack(">I", 8 + len(inner)) + b"jp2h" + inner + data[end:])
    return path


def test_a_vendor_s_colours_are_none_that_are_known(tmp_path: Path) -> None:
    """By themselves they ask a person; before a profile they are passed over, by both readings."""
    vendor, profile = b"\4\0\0" + bytes(16), b"\2\0\0" + scanfiles.gray_gamma(1.8)
    assert "vendor's way" in open_scan(colour_boxes(tmp_path / "v.jp2", vendor)).tone_doubt
    scan = open_scan(colour_boxes(tmp_path / "b.jp2", vendor, profile))
    assert not scan.tone_doubt
    assert np.abs(scan.tone.linear - np.linspace(0, 1, 256) ** 1.8).max() < 0.002
    assert worst_difference(scan) < 0.05


def test_further_pictures_are_named(tmp_path: Path) -> None:
    """Behind a JPEG's end, and in an animated PNG: a person sees that they were not read."""
    data = scanfiles.write_jpeg(tmp_path / "a.jpg", CODES).read_bytes()
    (tmp_path / "a.jpg").write_bytes(data + bytes(70) + data)
    png = scanfiles.write_png(tmp_path / "a.png", CODES).read_bytes()
    frame = struct.pack(">I", 1) + zlib.compress(b"more")
    (tmp_path / "a.png").write_bytes(scanfiles.with_png_chunk(png, b"fdAT", frame))
    for name in ("a.jpg", "a.png"):
        assert "a further picture" in "".join(open_scan(tmp_path / name).header.unread)
    (tmp_path / "b.jpg").write_bytes(data + bytes(5000))
    assert not open_scan(tmp_path / "b.jpg").header.unread


@pytest.mark.parametrize("mark", [0, 1])
def test_a_scan_below_its_thumbnail_is_the_page(mark: int, tmp_path: Path) -> None:
    """As DNG has it: the chain holds the small one, and the scan lies below, unmarked."""
    codes = scanfiles.codes_of(scanfiles.photograph())
    small = np.rint(resize(codes, 90, 120)).astype(np.uint8)
    plain = {"photometric": "minisblack", "metadata": None}
    path = tmp_path / "t.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(small, subfiletype=mark, subifds=1, **plain)
        writer.write(codes, subfiletype=0, **plain)
        writer.write(scanfiles.codes_of(scanfiles.photograph(seed=3)), **plain)
    scans = [open_scan(path, page=page) for page in range(2)]
    assert {scan.header.pages for scan in scans} == {2}
    found = [np.concatenate([strip for _, strip in scan.strips()]) for scan in scans]
    assert any(np.array_equal(one, codes) for one in found)
    below = next(scan for scan in scans if scan.directory == 2)
    with pytest.raises(IndexError):  # tifffile numbers the chain alone: then a person looks
        read_again(below)

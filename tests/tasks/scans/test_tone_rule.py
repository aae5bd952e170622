"""Every statement of tone that a file can make, composed: the table, against formulas and lcms."""

import io
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from tasks.derivatives.second_reading import Unstated, read_again
from tasks.scans.findings import examine
from tasks.scans.reader import Scan, open_scan
from tasks.scans.tone import ToneSource, tone_curve
from tests import scanfiles
from tests.scanfiles import codes_of, photograph, with_png_chunk, write_tiff

CASES = Path(__file__).parents[4] / "shared" / "cases"

# The largest |ΔL*| of reading alone: codes of fewer bits are rounded to 16, where a step of light
# at black is 0.014 L*; at 8 bits nothing is rounded.
READING_L = {8: 0.005, 16: 0.02}

#: How many bits of a container are used, and whether MaxSampleValue says so.
DEPTHS = {
    "8": (8, 8, False),
    "16": (16, 16, False),
    "10 in 16, tagged": (16, 10, True),
    "12 in 16, tagged": (16, 12, True),
    "14 in 16, tagged": (16, 14, True),
    "10 in 16": (16, 10, False),
    "12 in 16": (16, 12, False),
    "14 in 16": (16, 14, False),
}


def whole(scan: Scan) -> np.ndarray:
    """All of a scan's codes."""
    return np.concatenate([strip for _, strip in scan.strips()])


def lightness(light: np.ndarray) -> np.ndarray:
    """L* of light relative to white, by CIE 15's formula."""
    return np.where(light > 216 / 24389, 116 * np.cbrt(light) - 16, light * 24389 / 27)


def srgb(x: np.ndarray) -> np.ndarray:
    """Light of sRGB's codes, by IEC 61966-2-1."""
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def found_lightness(path: Path) -> np.ndarray:
    """L* of every pixel as the reader has it."""
    scan = open_scan(path)
    return scan.tone.lightness[whole(scan)]


def picture(bits: int) -> np.ndarray:
    """Codes that use all of a depth, and reach both of its ends."""
    codes = codes_of((photograph() - 0.01) / 0.98, bits)
    codes[0, :2] = 0, (1 << bits) - 1
    return codes


def profile_tag(icc: bytes) -> tuple[int, int, int, bytes, bool]:
    """An InterColorProfile tag."""
    return (scanfiles.ICC_TAG, 7, len(icc), icc, True)


def table_tag(tag: int, table: np.ndarray) -> tuple[int, str, int, tuple[int, ...], bool]:
    """A tag of unsigned 16-bit numbers."""
    return (tag, "H", table.size, tuple(int(value) for value in table.ravel()), True)


Curve = Callable[[np.ndarray], np.ndarray]
PROFILES: dict[str, tuple[bytes | None, Curve]] = {
    "no profile": (None, srgb),
    "linear profile": (scanfiles.gray_gamma(1.0), lambda x: x),
    "gamma 2.2 profile": (scanfiles.gray_gamma(2.2), lambda x: x**2.2),
    "gamma 1.8 profile": (scanfiles.gray_gamma(1.8), lambda x: x**1.8),
}


def tonefiles() -> dict[str, Callable[[Path], Path]]:
    """Makers of a file for each row of the tables below, for others to read."""
    return {
        **{
            f"{sense}, {depth}, {name}": partial(depth_file, sense=sense, depth=depth, name=name)
            for sense in ("minisblack", "miniswhite")
            for depth in DEPTHS
            for name in PROFILES
        },
        **{
            f"{kind}, {sense}, {bits}": partial(table_file, sense=sense, bits=bits, kind=kind)
            for kind in ("TransferFunction", "GrayResponseCurve")
            for sense in ("minisblack", "miniswhite")
            for bits in (4, 8, 16)
        },
        **{
            f"{name}, {kind}, {bits}": partial(chunk_file, bits=bits, kind=kind, name=name)
            for name in (*CHUNKS, *GREY_CHUNKS)
            for kind, bits in (("grey", 8), ("grey", 16), ("rgb", 16), ("palette", 8))
            if kind == "grey" or name in CHUNKS
        },
    }


def depth_file(folder: Path, *, sense: str, depth: str, name: str) -> Path:
    """A TIFF of a sense, a depth and a profile, whose codes are those of `picture`."""
    _, bits, is_tagged = DEPTHS[depth]
    icc, _ = PROFILES[name]
    codes, full = picture(bits), (1 << bits) - 1
    stored = codes if sense == "minisblack" else (full - codes).astype(codes.dtype)
    tags = [(scanfiles.MAX_SAMPLE_TAG, "H", 1, full, True)] if is_tagged else []
    tags += [profile_tag(icc)] if icc else []
    return write_tiff(folder / "depth.tif", stored, photometric=sense, extratags=tags)


@pytest.mark.parametrize("sense", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("name", PROFILES)
def test_sense_depth_and_profile_compose(sense: str, depth: str, name: str, tmp_path: Path) -> None:
    """Whatever the sense, a picture is that of its codes between black and white."""
    container, bits, is_tagged = DEPTHS[depth]
    icc, curve = PROFILES[name]
    codes, full = picture(bits), (1 << bits) - 1
    path = depth_file(tmp_path, sense=sense, depth=depth, name=name)
    # A profile is a statement: that 16 bits use fewer is then no longer guessed.
    is_stretched = is_tagged or not icc
    white = full if is_stretched else (1 << container) - 1
    levels = codes if is_stretched or sense == "minisblack" else white - (full - codes.astype(int))
    expected = lightness(curve(levels / white))
    assert np.abs(found_lightness(path) - expected).max() <= READING_L[container]
    scan = open_scan(path)
    assert bool(scan.tone_notes) == (white != (1 << container) - 1)
    assert bool(scan.tone_doubt) == bool(scan.tone_notes and (icc or depth == "14 in 16"))


def response(bits: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of a table by rising codes, and the light that they mean."""
    light = 0.02 + 0.98 * np.linspace(0, 1, 1 << bits) ** 1.7
    if kind == "TransferFunction":
        table = np.rint(light * 65535)
        return table, table / 65535
    table = np.rint(-np.log10(light) * 10_000)
    return table, 10 ** -(table / 10_000)


def table_file(folder: Path, *, sense: str, bits: int, kind: str) -> Path:
    """A TIFF with a table over its stored codes."""
    codes, (table, _) = picture(bits), response(bits, kind)
    if sense == "miniswhite":
        codes, table = (((1 << bits) - 1) - codes).astype(codes.dtype), table[::-1]
    is_transfer = kind == "TransferFunction"
    tags = [table_tag(301 if is_transfer else 291, table), (290, "H", 1, 4, True)]
    stored = codes if bits > 4 else codes[:, ::2] << 4 | codes[:, 1::2]
    path = write_tiff(
        folder / "t.tif", stored, photometric=sense, extratags=tags[: 1 if is_transfer else 2]
    )
    if bits == 4:
        _call_it_four_bits(path, codes.shape[1])
    return path


@pytest.mark.parametrize("sense", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize("kind", ["TransferFunction", "GrayResponseCurve"])
def test_tables_over_stored_codes(sense: str, bits: int, kind: str, tmp_path: Path) -> None:
    """Light is what the table gives the stored code, also where min is white (TIFF 6.0)."""
    path = table_file(tmp_path, sense=sense, bits=bits, kind=kind)
    scan = open_scan(path)
    assert scan.tone.source == ToneSource.STATED
    assert not scan.tone_doubt
    expected = lightness(response(bits, kind)[1][picture(bits)])
    assert np.abs(found_lightness(path) - expected).max() <= 0.02


def _call_it_four_bits(path: Path, width: int) -> None:
    """What was written as bytes is two samples each."""
    with tifffile.TiffFile(path, mode="r+") as file:
        tags = file.pages.first.tags
        tags["ImageWidth"].overwrite(width)
        tags["BitsPerSample"].overwrite(4)


def test_a_table_against_the_sense_is_doubtful(tmp_path: Path) -> None:
    """Taken at its word it would make a negative of the picture: a person looks at it."""
    table = np.rint(np.linspace(0, 65535, 256))[::-1]
    path = write_tiff(tmp_path / "t.tif", picture(8), extratags=[table_tag(301, table)])
    scan = open_scan(path)
    assert "against the photometric sense" in scan.tone_doubt
    assert (np.diff(scan.tone.lightness) >= 0).all()


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ([table_tag(301, np.arange(200))], "200 values"),
        ([table_tag(291, np.arange(255, -1, -1)), (290, "H", 1, 9, True)], "unit 9"),
        ([table_tag(301, np.full(256, 900))], "no tone curve"),
        ([profile_tag(b"not a profile" * 40)], "damaged"),
        ([profile_tag(scanfiles.gray_gamma()[:200])], "no tone curve"),
        ([profile_tag(scanfiles.srgb().replace(b"RGB XYZ ", b"CMYKLab "))], "CMYK"),
        ([profile_tag(scanfiles.gray_gamma().replace(b"mntr", b"link"))], "damaged, or none"),
    ],
    ids=["short table", "unknown unit", "flat table", "noise", "cut", "CMYK", "device link"],
)
def test_what_cannot_be_read_is_noted_and_doubted(
    tags: list[object], words: str, tmp_path: Path
) -> None:
    """The file states a tone, we do not know which: sRGB is assumed, and a person looks at it."""
    path = write_tiff(tmp_path / "t.tif", picture(8), extratags=tags)
    scan = open_scan(path)
    assert scan.tone.source == ToneSource.UNUSABLE
    assert words in scan.tone_doubt
    assert any(words in note for note in scan.tone_notes)


def test_a_statement_stands_in_for_a_damaged_profile(tmp_path: Path) -> None:
    """The next in rank decides; what was passed over is noted, and nothing is in doubt."""
    table = np.rint(np.linspace(0, 1, 256) ** 1.5 * 65535)
    tags = [profile_tag(b"junk" * 50), table_tag(301, table)]
    scan = open_scan(write_tiff(tmp_path / "t.tif", picture(8), extratags=tags))
    assert scan.tone.source == ToneSource.STATED
    assert "damaged" in scan.tone_notes[0]
    assert not scan.tone_doubt


def gama(value: int) -> bytes:
    """The body of a gAMA chunk."""
    return value.to_bytes(4, "big")


def iccp(icc: bytes) -> bytes:
    """The body of an iCCP chunk."""
    return b"grey\0\0" + imagecodecs.zlib_encode(icc)


CHUNKS: dict[str, tuple[list[tuple[bytes, bytes]], Curve]] = {
    "nothing": ([], srgb),
    "gAMA 1.0": ([(b"gAMA", gama(100_000))], lambda x: x),
    "gAMA 0.45455": ([(b"gAMA", gama(45_455))], lambda x: x ** (1 / 0.45455)),
    "gAMA 0.55556": ([(b"gAMA", gama(55_556))], lambda x: x ** (1 / 0.55556)),
    "sRGB before gAMA": ([(b"gAMA", gama(100_000)), (b"sRGB", b"\0")], srgb),
    "sRGB": ([(b"sRGB", b"\1")], srgb),
    "gAMA 0 is passed over": ([(b"gAMA", gama(0)), (b"sRGB", b"\0")], srgb),
    "cICP linear before sRGB": ([(b"sRGB", b"\0"), (b"cICP", bytes((1, 8, 0, 1)))], lambda x: x),
    "cICP gamma 2.8": ([(b"cICP", bytes((1, 5, 0, 1)))], lambda x: x**2.8),
    "cICP BT.709": (
        [(b"cICP", bytes((1, 1, 0, 1)))],
        lambda x: np.where(x < 0.0812, x / 4.5, ((x + 0.0993) / 1.0993) ** (1 / 0.45)),
    ),
    "cICP of narrow range": (
        [(b"cICP", bytes((1, 13, 0, 0)))],
        lambda x: srgb(np.clip((x * 255 - 16) / 219, 0, 1)),
    ),
}
GREY_CHUNKS = {
    "iCCP before gAMA": (
        [(b"gAMA", gama(100_000)), (b"iCCP", iccp(scanfiles.gray_gamma(1.8)))],
        lambda x: x**1.8,
    ),
    "cICP before iCCP": (
        [(b"iCCP", iccp(scanfiles.gray_gamma(1.8))), (b"cICP", bytes((1, 8, 0, 1)))],
        lambda x: x,
    ),
    "damaged iCCP, then gAMA": (
        [(b"iCCP", b"grey\0\0damaged"), (b"gAMA", gama(100_000))],
        lambda x: x,
    ),
}


def chunk_file(folder: Path, *, bits: int, kind: str, name: str) -> Path:
    """A PNG with chunks, whose codes are those of `picture`."""
    codes = picture(bits)
    if kind == "palette":
        indexed = Image.fromarray(codes, mode="P")
        indexed.putpalette([n // 3 for n in range(768)])
        buffer = io.BytesIO()
        indexed.save(buffer, format="PNG")
        data = buffer.getvalue()
    else:
        stored = codes if kind == "grey" else np.repeat(codes[..., None], 3, axis=2)
        data = imagecodecs.png_encode(np.ascontiguousarray(stored))
    for chunk in {**CHUNKS, **GREY_CHUNKS}[name][0]:
        data = with_png_chunk(data, *chunk)
    path = folder / "p.png"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", ["grey", "rgb", "palette"])
@pytest.mark.parametrize("name", [*CHUNKS, *GREY_CHUNKS])
def test_chunks_of_png(bits: int, kind: str, name: str, tmp_path: Path) -> None:
    """The precedence of PNG, third edition: cICP, iCCP, sRGB, gAMA; on codes of every kind."""
    if (kind == "palette" and bits == 16) or (kind != "grey" and name in GREY_CHUNKS):
        pytest.skip("there is no such PNG")
    path = chunk_file(tmp_path, bits=bits, kind=kind, name=name)
    curve = {**CHUNKS, **GREY_CHUNKS}[name][1]
    # Narrow codes of 16 bits run from 16 << 8 to 235 << 8, of 65,535.
    scale = 65535 / (255 * 256) if "narrow" in name and bits == 16 else 1.0
    expected = lightness(curve(picture(bits) / ((1 << bits) - 1) * scale))
    assert np.abs(found_lightness(path) - expected).max() <= READING_L[bits]
    assert not open_scan(path).tone_doubt


@pytest.mark.parametrize("value", [220_000, 0])
def test_gamma_that_is_hardly_meant_is_doubted(value: int, tmp_path: Path) -> None:
    """The exponent of a display in the place of a file's, or none at all."""
    data = with_png_chunk(imagecodecs.png_encode(picture(8)), b"gAMA", gama(value))
    path = tmp_path / "p.png"
    path.write_bytes(data)
    assert open_scan(path).tone_doubt


def test_a_profile_of_png_that_is_damaged_is_doubted(tmp_path: Path) -> None:
    """It stated a tone, and cannot be decompressed; what else the file states stands in for it."""
    path = scanfiles.write_png(tmp_path / "t.png", picture(8))
    data = scanfiles.with_png_chunk(path.read_bytes(), b"iCCP", b"scanner\0\0no deflated data")
    path.write_bytes(data)
    assert "ICC profile is passed over: it cannot be decompressed" in open_scan(path).tone_doubt
    path.write_bytes(scanfiles.with_png_chunk(data, b"gAMA", (45455).to_bytes(4, "big")))
    scan = open_scan(path)
    assert "cannot be decompressed" in scan.tone_notes[0]
    assert scan.tone.source == ToneSource.STATED


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"gAMA", (100_000).to_bytes(4, "big")),
        (b"sRGB", b"\0"),
        (b"cICP", bytes([1, 8, 0, 1])),
        (b"iCCP", b"scanner\0\0" + zlib.compress(scanfiles.gray_gamma(1.0))),
    ],
    ids=["gAMA", "sRGB", "cICP", "iCCP"],
)
def test_a_statement_of_png_that_is_damaged_or_out_of_place_is_doubted(
    kind: bytes, body: bytes, tmp_path: Path
) -> None:
    """Other readers pass it by; so the tone is taken for unstated, and a person is asked."""
    path = scanfiles.write_png(tmp_path / "t.png", picture(8))
    plain = path.read_bytes()
    data = bytearray(with_png_chunk(plain, kind, body))
    place = data.index(kind)
    chunk = bytes(data[place - 4 : place + 8 + len(body)])
    data[place + 4 + len(body)] ^= 1
    for fault, odd in (("fails its checksum", data), ("behind", plain[:-12] + chunk + plain[-12:])):
        path.write_bytes(odd)
        scan = open_scan(path)
        assert fault in scan.tone_doubt
        assert np.array_equal(scan.tone.lightness, tone_curve(None, bits=8).lightness)


def test_an_hdr_curve_is_doubted(tmp_path: Path) -> None:
    """PQ is none of a scan's: what the picture means is not known here."""
    data = with_png_chunk(imagecodecs.png_encode(picture(16)), b"cICP", bytes((9, 16, 0, 1)))
    path = tmp_path / "p.png"
    path.write_bytes(data)
    assert "cICP" in open_scan(path).tone_doubt


@pytest.mark.parametrize("kind", [b"cHRM", b"gAMA", b"sRGB", b"cICP", b"pHYs", b"eXIf", b"iCCP"])
@pytest.mark.parametrize("size", [0, 1, 5, 33])
def test_chunks_of_any_length_refuse_nothing(kind: bytes, size: int, tmp_path: Path) -> None:
    """What cannot be followed is passed over, however long it is."""
    path = tmp_path / "c.png"
    path.write_bytes(with_png_chunk(imagecodecs.png_encode(picture(8)), kind, b"\1" * size))
    assert open_scan(path).header.width == 240


@pytest.mark.parametrize("kind", ["cHRM", "PrimaryChromaticities"])
def test_primaries_decide_how_colours_make_lightness(kind: str, tmp_path: Path) -> None:
    """A toned print under other primaries than sRGB's: lcms is the judge."""
    points = [0.3127, 0.3290, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046]  # BT.2020
    pixels = scanfiles.toned(photograph(), "cyanotype")
    icc = imagecodecs.cms_profile(
        "rgb",
        gamma=2.2,
        whitepoint=(*points[:2], 1.0),
        primaries=[*points[2:4], 1.0, *points[4:6], 1.0, *points[6:], 1.0],
    )
    path = tmp_path / "p"
    if kind == "cHRM":
        body = b"".join(round(value * 100_000).to_bytes(4, "big") for value in points)
        data = with_png_chunk(imagecodecs.png_encode(pixels), b"cHRM", body)
        path.write_bytes(with_png_chunk(data, b"gAMA", (45_455).to_bytes(4, "big")))
    else:
        table = np.rint(np.linspace(0, 1, 256) ** 2.2 * 65535)
        rational = [(round(value * 100_000), 100_000) for value in points]
        tags = [
            table_tag(301, table),
            (318, "2I", 2, tuple(sum(rational[:2], ())), True),
            (319, "2I", 6, tuple(sum(rational[2:], ())), True),
        ]
        write_tiff(path, pixels, photometric="rgb", extratags=tags)
    lab = imagecodecs.cms_transform(
        pixels, icc, imagecodecs.cms_profile("lab4"), colorspace="rgb", outcolorspace="lab",
        outdtype="float32", intent=1,
    )  # fmt: skip
    # Half a code of 8 bits, to which a colour's lightness is rounded, is up to 0.25 L*.
    assert np.abs(found_lightness(path) - lab[..., 0]).max() < 0.3


@pytest.mark.parametrize("bits", [8, 16])
def test_reference_black_white_is_the_range_of_rgb(bits: int, tmp_path: Path) -> None:
    """Codes of 16 to 235 as in video; equal for the three channels."""
    codes = picture(bits)
    scale = 1 << (bits - 8)
    pairs = (16 * scale, 1, 235 * scale, 1) * 3
    stored = np.repeat(codes[..., None], 3, axis=2)
    path = write_tiff(
        tmp_path / "r.tif", stored, photometric="rgb", extratags=[(532, "2I", 6, pairs, True)]
    )
    x = np.clip((codes.astype(float) - 16 * scale) / (219 * scale), 0, 1)
    assert np.abs(found_lightness(path) - lightness(srgb(x))).max() <= READING_L[bits]


@pytest.mark.parametrize("bits", [8, 16])
def test_jp2_names_its_colour_space_once(bits: int, tmp_path: Path) -> None:
    """Greyscale has the curve of sRGB (T.800, I.5.3.3); a profile in its place counts."""
    codes, full = picture(bits), (1 << bits) - 1
    named = scanfiles.write_jp2(tmp_path / "n.jp2", codes, codecformat="jp2")
    assert open_scan(named).tone.source == ToneSource.STATED
    expected = lightness(srgb(codes / full))
    assert np.abs(found_lightness(named) - expected).max() < READING_L[bits]
    linear = scanfiles.with_jp2_profile(named.read_bytes(), scanfiles.gray_gamma(1.0))
    (tmp_path / "l.jp2").write_bytes(linear)
    found = found_lightness(tmp_path / "l.jp2")
    assert np.abs(found - lightness(codes / full)).max() < READING_L[bits]


def exif_of_space(space: int, gamma: float | None, interop: bytes | None = None) -> bytes:
    """An EXIF block, little-endian, with ColorSpace, Gamma and an interoperability index."""
    entries = [struct.pack("<HHIHH", 40961, 3, 1, space, 0)]
    inner_at = 8 + 2 + 12 + 4
    count = 1 + (gamma is not None) + (interop is not None)
    behind = inner_at + 2 + 12 * count + 4
    tail = b""
    if interop is not None:
        entries.append(struct.pack("<HHII", 40965, 4, 1, behind))
        tail += struct.pack("<HHHI4sI", 1, 1, 2, 4, interop, 0)
    if gamma is not None:
        entries.append(struct.pack("<HHII", 42240, 5, 1, behind + len(tail)))
        tail += struct.pack("<II", round(gamma * 1000), 1000)
    inner = struct.pack("<H", count) + b"".join(entries) + bytes(4)
    outer = struct.pack("<HHHIII", 1, 34665, 4, 1, inner_at, 0)
    return b"Exif\0\0II*\0" + (8).to_bytes(4, "little") + outer + inner + tail


@pytest.mark.parametrize(
    ("exif", "curve"),
    [
        (exif_of_space(1, None), srgb),
        (exif_of_space(1, 2.2), srgb),
        (exif_of_space(65535, 1.8), lambda x: x**1.8),
        (exif_of_space(65535, None), srgb),
        (exif_of_space(65535, 1.0, b"R03\0"), lambda x: x ** (563 / 256)),
        (exif_of_space(2, None), lambda x: x ** (563 / 256)),
    ],
    ids=["sRGB", "sRGB before Gamma", "Gamma", "uncalibrated", "R03", "Adobe RGB"],
)
def test_exif_states_the_tone_of_a_jpeg(exif: bytes, curve: Curve, tmp_path: Path) -> None:
    """ColorSpace first; Gamma where that does not know."""
    path = scanfiles.write_jpeg(tmp_path / "e.jpg", picture(8), exif=exif)
    scan = open_scan(path)
    expected = lightness(curve(np.linspace(0, 1, 256)))
    assert np.abs(scan.tone.lightness - expected).max() < READING_L[8]
    assert not scan.tone_doubt


def test_a_profile_of_the_other_kind_counts_by_its_greys(tmp_path: Path) -> None:
    """RGB in a grey file and the reverse: what it says of neutrals, doubted if that is not sRGB."""
    grey = scanfiles.write_jpeg(tmp_path / "g.jpg", picture(8), icc_profile=scanfiles.srgb())
    rgb = np.repeat(picture(8)[..., None], 3, axis=2)
    colour = scanfiles.write_jpeg(tmp_path / "c.jpg", rgb, icc_profile=scanfiles.gray_gamma(1.8))
    assert not open_scan(grey).tone_doubt
    scan = open_scan(colour)
    assert "its greys count" in scan.tone_doubt
    expected = lightness(np.linspace(0, 1, 256) ** 1.8)
    assert np.abs(scan.tone.lightness - expected).max() < READING_L[8]


def test_max_sample_that_the_picture_refutes_clips_nothing(tmp_path: Path) -> None:
    """It is a statistic, and may be wrong."""
    tags = [(scanfiles.MAX_SAMPLE_TAG, "H", 1, 4095, True)]
    codes = picture(16)
    path = write_tiff(tmp_path / "m.tif", codes, extratags=tags)
    assert np.array_equal(whole(open_scan(path)), codes)


@pytest.mark.parametrize("sense", ["minisblack", "miniswhite"])
def test_an_even_sheet_is_not_stretched_into_a_picture(sense: str, tmp_path: Path) -> None:
    """White paper where min is white, a dark sheet where it is black: no 12 bits."""
    codes = np.random.default_rng(1).normal(3000, 60, (200, 300)).astype(np.uint16)
    scan = open_scan(write_tiff(tmp_path / "s.tif", codes, photometric=sense))
    assert (scan.code_range.black, scan.code_range.white) == (0, 65535)
    assert not scan.tone_notes


@pytest.mark.parametrize("sense", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("bits", [8, 11, 13])
def test_fewer_bits_than_scanners_use_ask_a_person(bits: int, sense: str, tmp_path: Path) -> None:
    """Taken at the container's word they would be blank, and skipped."""
    codes = picture(bits).astype(np.uint16)
    stored = codes if sense == "minisblack" else (1 << bits) - 1 - codes
    path = write_tiff(tmp_path / "f.tif", stored.astype(np.uint16), photometric=sense)
    expected = lightness(srgb(codes / ((1 << bits) - 1)))
    assert np.abs(found_lightness(path) - expected).max() <= READING_L[16]
    assert open_scan(path).tone_doubt


@pytest.mark.parametrize("sense", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 15])
def test_a_dark_picture_of_fewer_bits_asks_a_person(bits: int, sense: str, tmp_path: Path) -> None:
    """Of a night few pixels are light: read as 16 bits it is black, and no blank sheet."""
    night = photograph() ** 3 * 0.17
    night[:4, :4] = 0.95
    codes = codes_of(night if sense == "minisblack" else 1 - night, bits).astype(np.uint16)
    scan = open_scan(write_tiff(tmp_path / "n.tif", codes, photometric=sense))
    assert scan.tone_doubt
    examine(scan)  # raises nothing
    assert sum(len(rows) for _, rows in read_again(scan).strips(64)) == len(night)
    if bits < 13:  # above that it may be a night of 16 bits
        expected = lightness(srgb(codes_of(night, bits) / ((1 << bits) - 1)))
        assert np.abs(found_lightness(scan.path) - expected).max() < 0.5


@pytest.mark.parametrize("level", [0.001, 0.004, 0.03, 0.1])
def test_noise_is_taken_for_no_picture_of_fewer_bits(level: float, tmp_path: Path) -> None:
    """A dark sheet of 16 bits: never stretched without a word."""
    noise = np.random.default_rng(1).normal(level, 0.004, (300, 400))
    path = write_tiff(tmp_path / "s.tif", codes_of(np.clip(noise, 0, 1), 16))
    scan = open_scan(path)
    assert scan.tone_doubt or scan.code_range.white == 65535


def test_a_dark_picture_under_max_sample_asks_a_person(tmp_path: Path) -> None:
    """Whether that is its white is not to be seen of it; both readings take it."""
    tags = [(scanfiles.MAX_SAMPLE_TAG, "H", 1, 4095, True)]
    path = write_tiff(tmp_path / "m.tif", codes_of(photograph() * 0.4, 12), extratags=tags)
    scan = open_scan(path)
    assert "may be a statistic" in scan.tone_doubt
    assert np.abs(found_lightness(path) - lightness(srgb(photograph() * 0.4))).max() < 0.1
    assert sum(len(rows) for _, rows in read_again(scan).strips(64)) == scan.header.height


NUMBERS = {  # numbers for which no tag states a range: type, black, white
    "32 bits hold 16": (np.uint32, 0, 65535),
    "32 bits hold 8": (np.uint32, 0, 255),
    "signed 32 hold 16": (np.int32, 0, 65535),
    "signed 16 hold 12": (np.int16, 0, 4095),
    "signed 16 hold 15": (np.int16, 0, 32767),
    "signed 8 hold 7": (np.int8, 0, 127),
    "signed 16 lie about 0": (np.int16, -1024, 3071),
}


@pytest.mark.parametrize("sense", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_that_fill_no_type_ask_a_person(name: str, sense: str, tmp_path: Path) -> None:
    """By the type's ends they would be flat grey, or blank; the second reading knows no more."""
    dtype, low, high = NUMBERS[name]
    levels = (photograph() - 0.01) / 0.98
    levels[0, :2] = 0, 1
    stored = np.rint((levels if sense == "minisblack" else 1 - levels) * (high - low) + low)
    path = write_tiff(tmp_path / "n.tif", stored.astype(dtype), photometric=sense)
    scan = open_scan(path)
    shares = (stored - low) / (high - low)
    expected = lightness(srgb(shares if sense == "minisblack" else 1 - shares))
    assert np.abs(scan.tone.lightness_of(whole(scan)) - expected).max() < 0.3
    assert scan.tone_doubt == scan.code_range.note
    with pytest.raises(Unstated, match="which of its numbers"):
        read_again(scan)


def test_a_stated_range_of_numbers_is_no_guess(tmp_path: Path) -> None:
    """SMinSampleValue and SMaxSampleValue are how signed and long samples say it."""
    tags = [(340, "f", 1, -1024.0, True), (341, "f", 1, 3071.0, True)]
    codes = picture(12).astype(np.int16) - 1024
    scan = open_scan(write_tiff(tmp_path / "s.tif", codes, extratags=tags))
    assert not scan.tone_doubt
    assert scan.tone.lightness[whole(scan)].max() == pytest.approx(100)


@pytest.mark.parametrize("compression", [None, "lzw", "zstd"])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_statistic_of_codes_is_no_range(bits: int, compression: str, tmp_path: Path) -> None:
    """SMinSampleValue of unsigned codes tells of the picture, whatever library decodes it."""
    tags = [(340, "H", 1, 40, True), (341, "H", 1, 200, True)]
    codes = picture(bits)
    path = write_tiff(tmp_path / "s.tif", codes, compression=compression, extratags=tags)
    assert np.array_equal(whole(open_scan(path)), codes)


@pytest.mark.parametrize("compression", [None, "lzw", "zstd"])
def test_a_colour_map_of_eight_bits_is_no_night(compression: str, tmp_path: Path) -> None:
    """Old writers fill the lower half of its entries; whatever library decodes it."""
    colours = np.repeat(np.arange(256, dtype=np.uint16)[None], 3, axis=0)
    codes = picture(8)
    path = write_tiff(
        tmp_path / "p.tif", codes, photometric="palette", colormap=colours, compression=compression
    )
    assert np.array_equal(whole(open_scan(path)), codes)


def test_colorants_without_light_warn_of_nothing(tmp_path: Path) -> None:
    """A matrix of zeros is a damaged profile, no division by zero."""
    icc = bytearray(scanfiles.srgb())
    for name in (b"rXYZ", b"gXYZ", b"bXYZ"):
        at = icc.index(name)
        start = int.from_bytes(icc[at + 4 : at + 8], "big")
        icc[start + 8 : start + 20] = bytes(12)
    rgb = np.repeat(picture(8)[..., None], 3, axis=2)
    path = scanfiles.write_jpeg(tmp_path / "z.jpg", rgb, icc_profile=bytes(icc))
    with np.errstate(all="raise"):
        assert open_scan(path).tone.source == ToneSource.UNUSABLE


@pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases is not there")
def test_min_is_white_is_the_same_photograph_as_its_twin() -> None:
    """Files of 8 to 16 bits of one picture, in both senses."""
    folder = CASES / "01-miniswhite-12in16" / "in"
    reference = found_lightness(folder / "a-black-tagged.tif")
    for path in sorted(folder.glob("*.tif")):
        bits = 8 if "-8" in path.name else 10 if "-10" in path.name else 12
        # The same picture in fewer bits: half a step of the coarser, which is largest at black.
        limit = {8: 0.6, 10: 0.15, 12: 0.03}[bits]
        assert np.abs(found_lightness(path) - reference).max() < limit, path.name


@pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases is not there")
@pytest.mark.parametrize("folder", ["08-dark-linear", "06-png-gamma"])
def test_the_stated_tone_is_kept(folder: str) -> None:
    """However dark a linear scan, and whatever gAMA says."""
    for path in sorted((CASES / folder / "in").iterdir()):
        codes = imagecodecs.imread(path) / 65535
        curve: Curve = {
            "a-linear-dark-below-4096": lambda x: x,
            "b-linear-dark-just-above": lambda x: x,
            "c-dark-no-profile": lambda x: srgb(np.rint(x * 65535) / 4095),
            "b-linear-gama-100000": lambda x: x,
            "c-gama-45455": lambda x: x ** (1 / 0.45455),
        }.get(path.stem, srgb)
        assert np.abs(found_lightness(path) - lightness(curve(codes))).max() < 0.05, path.name

"""Every file of an item, by policy: pixels, tone, depth, profile and metadata."""

import json
import shutil
import subprocess
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import pyvips
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from tasks.derivatives import OutputPolicy, restore_original, write_derivatives
from tasks.derivatives import write as write_module
from tasks.derivatives.access import reduced_size
from tasks.derivatives.jpegfile import parse_jpeg
from tasks.errors import Reason, UnreadableScan, reason_of
from tasks.provenance import DIGITAL_SOURCE_TYPE
from tasks.scans.reader import open_scan
from tests.packets import read_xmp
from tests.tasks.derivatives.jpegs import make_grey_jpeg, make_picture
from tests.tasks.derivatives.scanmaker import (
    GAMMA_22,
    LINEAR,
    colour,
    make_deep_picture,
    make_map_for,
    make_provenance,
    make_tiff,
)

SCANS = Path("../shared/data/scans")


def lightness_by_engine(image: pyvips.Image) -> NDArray[np.float64]:
    """L* by the colour engine (lcms2) through the embedded profile: not by our own arithmetic."""
    return image.icc_import(embedded=True, pcs="lab", intent="relative").numpy()[..., 0]


def xmp_of(path: Path) -> dict[str, tuple[str, ...]]:
    """The XMP properties that libvips finds in a file."""
    return read_xmp(pyvips.Image.new_from_file(str(path)).get("xmp-data"))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("icc", [None, GAMMA_22, LINEAR], ids=["no profile", "gamma", "linear"])
def test_master_keeps_tone_and_depth(tmp_path: Path, bits: int, icc: bytes | None) -> None:
    """L* of every pixel by an independent engine, with the profiles of scan and master."""
    codes = make_picture(300, 400) if bits == 8 else make_deep_picture(300, 400)
    path = make_tiff(tmp_path / "scan.tif", codes, iccprofile=icc)
    master, access = colour(path, tmp_path)
    assert (master.kind, access.kind) == ("master", "access")
    with tifffile.TiffFile(master.path) as opened:
        page = opened.pages[0]
        assert page.shape == (300, 400, 3)
        assert page.tile == (256, 256)
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert page.predictor == tifffile.PREDICTOR.HORIZONTAL
        depth = page.dtype.itemsize * 8
        rgb = page.asarray()
    assert depth == (16 if icc is LINEAR else bits)
    assert np.ptp(rgb.astype(int), axis=-1).max() > 20 << (depth - 8)
    expected = open_scan(path).tone.lightness[codes]
    found = lightness_by_engine(pyvips.Image.new_from_file(str(master.path)))
    limit = 0.5 if bits == 8 else 0.05
    # The engine itself works in fixed point: its own error on a grey ramp is up to 0.02 L*.
    assert np.abs(found - expected).max() <= limit + 0.02
    assert master.tone.max_delta_l <= limit
    assert master.tone.passed


def test_grey_stays_grey_to_the_last_bit(tmp_path: Path) -> None:
    """Without chroma, red, green and blue are the scan's own codes."""
    codes = make_deep_picture(70, 90)
    path = make_tiff(tmp_path / "scan.tif", codes)
    scan = open_scan(path)
    flat = make_map_for(scan, strength=0)
    master, _ = write_derivatives(
        path, scan, flat, provenance=make_provenance(scan), policy=OutputPolicy(), folder=tmp_path
    )
    rgb = tifffile.imread(master.path)
    np.testing.assert_array_equal(rgb, np.repeat(codes[..., None], 3, axis=2))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 300), (257, 3), (256, 256), (513, 255)])
def test_any_size_is_written_whole(tmp_path: Path, height: int, width: int) -> None:
    """Sizes around those of tiles."""
    path = make_tiff(tmp_path / "scan.tif", make_picture(height, width))
    master, access = colour(path, tmp_path)
    assert tifffile.imread(master.path).shape == (height, width, 3)
    assert Image.open(access.path).size == (width, height)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_to_tiff_and_kept_in_splices(
    tmp_path: Path, orientation: int
) -> None:
    """A turned TIFF scan comes out upright; a splice keeps its luminance and its EXIF."""
    picture = make_picture(61, 44)
    tiff = make_tiff(tmp_path / "scan.tif", picture, extratags=[(274, "H", 1, orientation, True)])
    upright = open_scan(tiff).header
    master, _ = colour(tiff, tmp_path / "a")
    assert tifffile.imread(master.path).shape == (upright.height, upright.width, 3)

    exif = Image.Exif()
    exif[274] = orientation
    jpeg = tmp_path / "scan.jpg"
    jpeg.write_bytes(make_grey_jpeg(picture, exif=exif.tobytes(), quality=95))
    (spliced,) = colour(jpeg, tmp_path / "b")
    (plain,) = colour(jpeg, tmp_path / "c", grey_jpeg="lossless", access=False)
    assert Image.open(spliced.path).getexif()[274] == orientation
    turned = pyvips.Image.new_from_file(str(spliced.path)).autorot().numpy().astype(int)
    # The same colours but for coding, and that one keeps Y′, the other L*; turned wrongly: 40.
    assert np.abs(turned - tifffile.imread(plain.path)).mean() < 10
    assert turned.shape == (upright.height, upright.width, 3)


def test_grey_jpeg_is_spliced(tmp_path: Path) -> None:
    """One file, whose luminance is the scan's, from which the scan comes back."""
    path = tmp_path / "scan.jpg"
    path.write_bytes(make_grey_jpeg(make_picture(200, 301), icc_profile=GAMMA_22, comment=b"K 12"))
    (master,) = colour(path, tmp_path)
    assert (master.kind, master.suffix, master.content_type) == ("master", ".jpg", "image/jpeg")
    assert master.tone.luma_identical
    assert "luma splice" in master.note
    assert restore_original(master.path.read_bytes()) == path.read_bytes()
    profile = pyvips.Image.new_from_file(str(master.path)).get("icc-profile-data")
    assert profile == open_scan(path).tone.rgb_profile()
    assert xmp_of(master.path)["Iptc4xmpExt:DigitalSourceType"] == (DIGITAL_SOURCE_TYPE,)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("spiff", "SPIFF"),
        ("three components", "3 channels"),
        ("arithmetic", "arithmetic"),
        ("policy", "policy"),
        ("huge", "7,200 pixels"),
    ],
)
def test_what_is_not_spliced_says_so(
    tmp_path: Path, kind: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lossless path is taken, and the file's note tells why."""
    picture = make_picture(80, 90)
    data = make_grey_jpeg(picture)
    if kind == "spiff":
        data = data[:2] + b"\xff\xe8\x00\x08SPIFF\0" + data[2:]
    elif kind == "three components":
        data = make_grey_jpeg(np.repeat(picture[..., None], 3, 2))
    elif kind == "arithmetic":
        data = by_jpegtran(data, "-arithmetic")
    elif kind == "huge":
        monkeypatch.setattr(write_module, "MAX_SPLICE_PIXELS", 7000)
    path = tmp_path / "scan.jpg"
    path.write_bytes(data)
    master, access = colour(path, tmp_path, grey_jpeg="lossless" if kind == "policy" else "splice")
    assert (master.suffix, access.suffix) == (".tif", ".jpg")
    assert why in master.note


@pytest.mark.parametrize(
    "options",
    [["-optimize"], ["-progressive"], ["-restart", "1"], ["-progressive", "-restart", "2B"]],
)
def test_files_of_another_encoder_are_spliced(tmp_path: Path, options: list[str]) -> None:
    """As jpegtran writes them."""
    path = tmp_path / "scan.jpg"
    path.write_bytes(by_jpegtran(make_grey_jpeg(make_picture(83, 91)), *options))
    (master,) = colour(path, tmp_path)
    assert master.tone.luma_identical
    assert restore_original(master.path.read_bytes()) == path.read_bytes()


def by_jpegtran(data: bytes, *options: str) -> bytes:
    """The file transcoded by libjpeg-turbo's program; skips the test where that is missing."""
    if shutil.which("jpegtran") is None:
        pytest.skip("jpegtran is not installed")
    done = subprocess.run(["jpegtran", *options], input=data, capture_output=True, check=True)
    return done.stdout


@pytest.mark.parametrize("suffix", [".png", ".jp2"])
def test_other_formats_become_masters_of_their_depth(tmp_path: Path, suffix: str) -> None:
    """PNG and JPEG 2000 of 16 bits."""
    encode = {".png": imagecodecs.png_encode, ".jp2": imagecodecs.jpeg2k_encode}[suffix]
    path = tmp_path / f"scan{suffix}"
    path.write_bytes(encode(make_deep_picture(90, 120)))
    master, _ = colour(path, tmp_path)
    assert tifffile.imread(master.path).dtype == np.uint16
    assert master.tone.max_delta_l <= 0.05


def test_a_full_disk_is_called_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What libvips says in words alone, the error says by its number."""
    path = make_tiff(tmp_path / "scan.tif", make_picture(60, 60))
    real = pyvips.Image.jpegsave
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)

    def into_nowhere(image: pyvips.Image, target: str, **options: object) -> None:
        real(image, f"{target}.missing/access.jpg", **options)

    monkeypatch.setattr(pyvips.Image, "jpegsave", into_nowhere, raising=False)
    monkeypatch.setattr("tasks.derivatives.access.shutil.disk_usage", lambda _folder: usage)
    with pytest.raises(OSError, match="cannot be written") as caught:
        colour(path, tmp_path / "out")
    assert reason_of(caught.value) is Reason.OUTPUT_FULL
    assert list((tmp_path / "out").iterdir()) == []


def test_policies(tmp_path: Path) -> None:
    """Plain access copies alone, smaller ones, thumbnails, sidecars."""
    path = make_tiff(tmp_path / "scan.tif", make_deep_picture(400, 600))
    (access,) = colour(path, tmp_path / "a", master=False, subsample=False)
    assert [file.name for file in access.path.parent.iterdir()] == ["access.jpg"]
    factors = parse_jpeg(access.path.read_bytes()).frame.payload[7]
    assert factors == 0x11

    master, access, thumbnail, sidecar = colour(
        path, tmp_path / "b", access_px=300, thumbnail_px=100, sidecar=True
    )
    assert Image.open(access.path).size == (288, 192)
    assert Image.open(thumbnail.path).size == (100, 67)
    told = json.loads(sidecar.path.read_text())
    assert [file["sha256"] for file in told["files"]] == [
        file.sha256 for file in (master, access, thumbnail)
    ]
    assert told["provenance"]["scan_sha256"] == "5c" * 32
    assert told["digital_source_type"] == DIGITAL_SOURCE_TYPE


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_plain_interleaved_jpeg_where_policy_asks(tmp_path: Path, orientation: int) -> None:
    """One scan of three components, coded anew at the scan's size, upright, and a smaller copy."""
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / "scan.jpg"
    path.write_bytes(make_grey_jpeg(make_picture(61, 44), exif=exif.tobytes(), quality=95))
    master, access = colour(path, tmp_path / "out", grey_jpeg="interleaved", access_px=20)
    parsed = parse_jpeg(master.path.read_bytes())
    assert (len(parsed.scans), parsed.frame.payload[5]) == (1, 3)
    header = open_scan(path).header
    assert Image.open(master.path).size == (header.width, header.height)
    assert master.kind == "master"
    assert "interleaved" in master.note
    assert sorted(file.name for file in master.path.parent.iterdir()) == [
        "access.jpg",
        "master.jpg",
    ]
    assert max(Image.open(access.path).size) <= 20
    assert (access.kind, access.tone) == ("access", None)
    assert xmp_of(master.path)["Iptc4xmpExt:DigitalSourceType"] == (DIGITAL_SOURCE_TYPE,)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_spliced_scan_has_a_smaller_copy_where_policy_has_a_size(
    tmp_path: Path, orientation: int
) -> None:
    """Upright, of one scan of three components, in the master's colours and its lightness."""
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / "scan.jpg"
    path.write_bytes(make_grey_jpeg(make_picture(400, 300), exif=exif.tobytes(), quality=95))
    master, access = colour(path, tmp_path / "out", access_px=200, jpeg_quality=95)
    assert (master.tone.luma_identical, access.kind) == (True, "access")
    parsed = parse_jpeg(access.path.read_bytes())
    assert (len(parsed.scans), parsed.frame.payload[5]) == (1, 3)
    small = pyvips.Image.new_from_file(str(access.path))
    assert (small.width, small.height) == ((144, 192) if orientation == 1 else (192, 144))
    large = pyvips.Image.new_from_file(str(master.path)).autorot().resize(0.48)
    difference = lightness_by_engine(small) - lightness_by_engine(large)
    assert abs(difference.mean()) < 0.1
    assert np.abs(difference).mean() < 1
    assert restore_original(master.path.read_bytes()) == path.read_bytes()
    (alone,) = colour(path, tmp_path / "whole", access_px=400)
    assert alone.kind == "master"


@given(st.integers(1, 30_000), st.integers(1, 30_000), st.integers(1, 8000))
def test_a_reduced_size_fits_and_keeps_the_aspect(height: int, width: int, longest: int) -> None:
    """No side is over the bound or empty, and the shape stays within a pixel."""
    small = reduced_size(height, width, longest)
    assert min(small) >= 1
    assert 0.8 * longest < max(small) <= longest
    assert (small[0] <= small[1]) == (height <= width) or small[0] == small[1]
    exact = min(height, width) * max(small) / max(height, width)
    assert min(small) == 1 or abs(min(small) - exact) <= 1


def test_reduced_sizes_halve_evenly() -> None:
    """Half, quarter and eighth of usual shapes are whole numbers, so no tile is off by one."""
    shapes = [(3, 4), (4, 5), (2, 3), (5, 7), (13, 18), (2411, 3372), (2609, 3424), (3073, 3073)]
    for shape in shapes:
        for longest in (1024, 2000, 3000, 4096):
            assert not any(side % 8 for side in reduced_size(*shape, longest)), shape


@pytest.mark.parametrize("bits", [12, 16])
def test_a_jpeg_that_cannot_be_spliced_becomes_a_master_of_its_depth(
    tmp_path: Path, bits: int
) -> None:
    """12 bits, and lossless 16: nothing of their lightness is lost, and the item says why."""
    path = tmp_path / "scan.jpg"
    codes = make_deep_picture(60, 70) >> (16 - bits)
    path.write_bytes(
        imagecodecs.jpeg8_encode(codes, bitspersample=bits, lossless=bits == 16, level=95)
    )
    master, access = colour(path, tmp_path / "out")
    assert tifffile.imread(master.path).dtype == np.uint16
    assert master.tone.max_delta_l <= 0.05
    assert f"{bits} bits each, no greyscale JPEG of 8 bits" in master.note
    assert access.kind == "access"


def test_descriptions_resolution_and_rights_are_carried_over(tmp_path: Path) -> None:
    """In TIFF tags, EXIF and XMP; in letters beyond ASCII."""
    path = make_tiff(
        tmp_path / "scan.tif",
        make_picture(60, 70),
        resolution=(300, 150),
        resolutionunit="INCH",
        extratags=[
            (270, "s", 0, "Zollbrücke über den Ohio".encode(), True),
            (315, "s", 0, "Måns Öberg".encode(), True),
            (33432, "s", 0, "© Archive".encode(), True),
        ],
    )
    master, access, thumbnail = colour(path, tmp_path, thumbnail_px=50, rights="Ask first.")
    with tifffile.TiffFile(master.path) as opened:
        tags = opened.pages[0].tags
        assert tags[270].value == "Zollbrücke über den Ohio"
        assert tags[315].value == "Måns Öberg"
        assert tags[33432].value == "© Archive"
        assert tags[305].value == "Autochrome 1.2.3"
        assert tags[306].value == "2026:11:22 03:04:05"
        x, y = tags[282].value, tags[283].value
        assert (x[0] / x[1], y[0] / y[1]) == pytest.approx((300 / 2.54, 150 / 2.54))
        assert tags[296].value == 3
    for file in (master, access, thumbnail):
        said = xmp_of(file.path)
        assert said["dc:description"] == ("Zollbrücke über den Ohio",)
        assert said["dc:creator"] == ("Måns Öberg",)
        assert said["xmpRights:UsageTerms"] == ("Ask first.",)
        assert said["dc:source"] == ("s3://archive/box/scan.tif",)
    image = pyvips.Image.new_from_file(str(access.path))
    assert image.xres * 10 == pytest.approx(300 / 2.54, rel=1e-2)
    assert "Zollbrücke" in image.get("exif-ifd0-ImageDescription")
    assert said["xmpMM:RenditionClass"] == ("thumbnail",)


def test_smaller_copies_are_as_large_on_paper(tmp_path: Path) -> None:
    """Half the pixels at half the resolution; where none is known, what EXIF has for that."""
    options = {"resolution": (300, 150), "resolutionunit": "INCH"}
    path = make_tiff(tmp_path / "scan.tif", make_picture(400, 600), **options)
    _, *copies = colour(path, tmp_path / "a", access_px=300, thumbnail_px=60)
    for copy in copies:
        image = pyvips.Image.new_from_file(str(copy.path))
        inches = image.width / (image.xres * 25.4), image.height / (image.yres * 25.4)
        assert inches == pytest.approx((600 / 300, 400 / 150), rel=0.02)
        assert copy.tone is None
    unknown = make_tiff(tmp_path / "unknown.tif", make_picture(40, 60))
    for copy in colour(unknown, tmp_path / "b", thumbnail_px=30)[1:]:
        image = pyvips.Image.new_from_file(str(copy.path))
        assert (image.xres * 25.4, image.yres * 25.4) == pytest.approx((72, 72))


def test_scans_own_xmp_is_merged(tmp_path: Path) -> None:
    """Keywords of the scan's packet are in the master's."""
    packet = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        b'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:subject><rdf:Bag><rdf:li>bridges</rdf:li>'
        b"</rdf:Bag></dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    path = make_tiff(
        tmp_path / "scan.tif",
        make_picture(30, 30),
        extratags=[(700, "B", len(packet), packet, True)],
    )
    master, _ = colour(path, tmp_path)
    assert xmp_of(master.path)["dc:subject"] == ("bridges",)


def test_a_second_page_is_written_as_its_own_item(tmp_path: Path) -> None:
    """Pages differ, and so do their masters."""
    path = tmp_path / "scan.tif"
    first, second = make_picture(40, 50, 1), make_picture(60, 30, 2)
    with tifffile.TiffWriter(path) as writer:
        writer.write(first, metadata=None)
        writer.write(second, metadata=None)
    master, _ = colour(path, tmp_path, page=1)
    assert tifffile.imread(master.path).shape == (60, 30, 3)


def test_damage_in_the_scan_leaves_nothing_behind(tmp_path: Path) -> None:
    """A strip that cannot be decoded, half way down."""
    path = make_tiff(
        tmp_path / "scan.tif", make_picture(600, 300), compression="zlib", rowsperstrip=50
    )
    scan = open_scan(path)
    chroma_map = make_map_for(scan)
    with tifffile.TiffFile(path) as opened:
        at = opened.pages[0].dataoffsets[8] + 20
    data = bytearray(path.read_bytes())
    data[at : at + 200] = bytes(200)
    path.write_bytes(data)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(UnreadableScan):
        write_derivatives(
            path,
            scan,
            chroma_map,
            provenance=make_provenance(scan),
            policy=OutputPolicy(),
            folder=out,
        )
    assert list(out.iterdir()) == []


def test_policy_is_a_stable_part_of_the_recipe() -> None:
    """The same keys and values every time; what makes no sense is refused."""
    assert json.dumps(OutputPolicy().as_dict()) == json.dumps(OutputPolicy().as_dict())
    assert OutputPolicy(jpeg_quality=80).as_dict() != OutputPolicy().as_dict()
    for nonsense in ({"master": False, "access": False}, {"jpeg_quality": 0}, {"thumbnail_px": -1}):
        with pytest.raises(ValueError, match=r"policy|qualities|sizes"):
            OutputPolicy(**nonsense)


def test_real_scans(tmp_path: Path) -> None:
    """Some of the sample archive, of each kind."""
    if not SCANS.is_dir():
        pytest.skip(f"{SCANS} is not there")
    for name in ("LC-USW3-033480.jpg", "LC-USF33-011361.jpg", "fsa-8b28649-full.jpg"):
        files = colour(SCANS / name, tmp_path / name)
        assert files[0].tone.passed
        assert files[0].tone.max_delta_l <= 0.5 or files[0].tone.luma_identical


def test_an_access_copy_of_a_linear_scan_shows_no_steps(tmp_path: Path) -> None:
    """Dark parts of a linear 16-bit scan lie within a few codes of 8 bits: its copy is in sRGB."""
    ramp = np.tile(np.linspace(200, 3000, 256).astype(np.uint16), (64, 1))
    path = make_tiff(tmp_path / "scan.tif", ramp, iccprofile=LINEAR)
    master, access = colour(path, tmp_path / "out", jpeg_quality=100, subsample=False)
    assert master.tone is not None
    assert access.tone is not None
    assert access.tone.max_delta_l < 2.5
    assert len(np.unique(np.asarray(Image.open(access.path).convert("L")))) > 30

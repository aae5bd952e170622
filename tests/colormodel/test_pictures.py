"""Local files: depth, orientation and tone survive; what is no picture is named."""

from pathlib import Path

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image
from skimage import color

from colormodel.pictures import (
    PictureError,
    encode_srgb,
    put_colour,
    read_picture,
    resize_lightness,
    write_png,
)
from colormodel.planes import ChromaMap, linear_in_gamut


def ramp(kind: type[np.generic], *, height: int = 40, width: int = 60) -> np.ndarray:
    """Grey from black to white, brightest at the bottom right."""
    level = np.linspace(0, 1, height * width).reshape(height, width)
    return np.rint(level * np.iinfo(kind).max).astype(kind)


def lightness_of(codes: np.ndarray) -> np.ndarray:
    """L* of sRGB grey by scikit-image."""
    level = codes / np.iinfo(codes.dtype).max
    return color.rgb2lab(np.stack([level] * 3, axis=-1))[..., 0]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg"])
def test_grey_of_eight_bits(tmp_path: Path, suffix: str) -> None:
    """Every format gives the L* of its codes; the lossy ones nearly."""
    path = tmp_path / f"grey{suffix}"
    image = Image.fromarray(ramp(np.uint8))
    image.save(path, **({"lossless": True} if suffix == ".webp" else {}))
    picture = read_picture(path)
    assert picture.bits == 8
    assert picture.lightness.dtype == np.float32
    tolerance = 2 if suffix == ".jpg" else 0.01
    np.testing.assert_allclose(picture.lightness, lightness_of(ramp(np.uint8)), atol=tolerance)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_grey_of_sixteen_bits_is_not_clipped(tmp_path: Path, suffix: str) -> None:
    """All 65,536 codes count, which Pillow would cut at 255."""
    path = tmp_path / f"grey{suffix}"
    codes = ramp(np.uint16)
    if suffix == ".tif":
        tifffile.imwrite(path, codes, photometric="minisblack")
    else:
        Image.fromarray(codes).save(path)
    picture = read_picture(path)
    assert picture.bits == 16
    np.testing.assert_allclose(picture.lightness, lightness_of(codes), atol=0.01)


def test_white_is_zero_is_turned_round(tmp_path: Path) -> None:
    """A TIFF whose nought is white reads as it looks."""
    path = tmp_path / "inverted.tif"
    tifffile.imwrite(path, 65535 - ramp(np.uint16), photometric="miniswhite")
    np.testing.assert_allclose(
        read_picture(path).lightness, lightness_of(ramp(np.uint16)), atol=0.01
    )


def test_colour_of_sixteen_bits_becomes_lightness(tmp_path: Path) -> None:
    """An RGB file keeps its depth and gives the L* of its colours."""
    path = tmp_path / "colour.png"
    rgb = np.random.default_rng(0).integers(0, 65536, (30, 20, 3)).astype(np.uint16)
    write_png(path, rgb)
    picture = read_picture(path)
    assert picture.bits == 16
    np.testing.assert_allclose(picture.lightness, color.rgb2lab(rgb / 65535)[..., 0], atol=0.02)


def test_pictures_are_read_upright(tmp_path: Path) -> None:
    """A JPEG with orientation 6 is turned a quarter."""
    path = tmp_path / "turned.jpg"
    image = Image.fromarray(ramp(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(path, exif=exif, quality=95)
    picture = read_picture(path)
    assert picture.lightness.shape == (60, 40)
    assert picture.lightness[-1, 0] > 90


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_what_is_no_picture_is_named(tmp_path: Path, content: bytes) -> None:
    """One line with path and remedy."""
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(PictureError, match=r"broken\.png: not read \(.*\); give a JPEG") as caught:
        read_picture(path)
    assert "\n" not in str(caught.value)


def test_truncated_and_missing_files_are_named(tmp_path: Path) -> None:
    """Half a picture is no picture."""
    whole, half = tmp_path / "whole.jpg", tmp_path / "half.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (200, 200)).astype(np.uint8)
    Image.fromarray(noise).save(whole)
    half.write_bytes(whole.read_bytes()[:10_000])
    with pytest.raises(PictureError, match=r"half\.jpg: not read"):
        read_picture(half)
    with pytest.raises(PictureError, match=r"none\.jpg: no such file"):
        read_picture(tmp_path / "none.jpg")


@pytest.mark.parametrize("bits", [8, 16])
def test_codes_survive_writing_and_reading(tmp_path: Path, bits: int) -> None:
    """Grey in, the same codes out, through L*, linear light and PNG."""
    codes = ramp(np.uint8 if bits == 8 else np.uint16)
    write_png(tmp_path / "in.png", np.stack([codes] * 3, axis=-1))
    lightness = read_picture(tmp_path / "in.png").lightness
    linear = linear_in_gamut(lightness, np.zeros((2, *lightness.shape), np.float32))
    write_png(tmp_path / "folder" / "out.png", encode_srgb(linear, bits=bits))
    read = pyvips.Image.new_from_file(str(tmp_path / "folder" / "out.png")).numpy()
    assert read.dtype == codes.dtype
    # float32 holds L* to 4e-6, less than a 16-bit code but for the very darkest ones
    assert np.abs(read.astype(int) - codes[..., None]).max() <= (0 if bits == 8 else 1)


def test_put_colour_is_the_same_in_strips_and_keeps_lightness() -> None:
    """A picture of more rows than a strip: L* as it was, the colours of the map."""
    rng = np.random.default_rng(0)
    lightness = np.kron(rng.uniform(20, 80, (60, 10)), np.ones((10, 10))).astype(np.float32)
    small = resize_lightness(lightness, (96, 32))
    chroma = np.broadcast_to(np.float32([[[20]], [[-10]]]), (2, 96, 32))
    chroma_map = ChromaMap(chroma, np.ones((96, 32), np.float32), 1.0, small)
    linear = put_colour(chroma_map, lightness)
    expected = linear_in_gamut(
        lightness, np.broadcast_to(np.float32([[[20]], [[-10]]]), (2, *lightness.shape))
    )
    np.testing.assert_allclose(linear, expected, atol=1e-5)
    darker = put_colour(chroma_map, lightness, under=lightness / 2)
    luminance = np.tensordot([0.2126390, 0.7151687, 0.0721923], darker, axes=1)
    np.testing.assert_allclose(luminance, ((lightness / 2 + 16) / 116) ** 3, atol=1e-5)


def test_resizing_keeps_the_mean_and_the_range() -> None:
    """Smaller by averaging, larger by interpolation, never outside [0, 100]."""
    lightness = np.random.default_rng(0).choice(np.float32([0, 100]), (320, 480))
    small = resize_lightness(lightness, (32, 64))
    assert small.shape == (32, 64)
    assert small.mean() == pytest.approx(lightness.mean(), abs=1)
    assert small.std() < 10
    large = resize_lightness(small, (320, 480))
    assert large.min() >= 0
    assert large.max() <= 100

"""Spliced files in the decoders that people use: the luminance is the scan's in each."""

import base64
import io
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import pyvips
import simplejpeg
from PIL import Image

from tests.tasks.derivatives.jpegs import make_grey_jpeg, make_picture, make_spliced

Pairs = list[tuple[bytes, bytes]]

SIZES = [(64, 64), (45, 61), (1, 1), (17, 8), (130, 33)]


KINDS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_rows": 1},
}


def make_pairs(kind: str) -> Pairs:
    """Greyscale files and what was spliced from them."""
    pictures = [make_picture(*size) for size in SIZES]
    originals = [make_grey_jpeg(picture, quality=88, **KINDS[kind]) for picture in pictures]
    return [(original, make_spliced(original)) for original in originals]


@pytest.fixture(scope="module", params=KINDS)
def pair(request: pytest.FixtureRequest) -> Pairs:
    """Files of one kind."""
    return make_pairs(request.param)


def luma_of(data: bytes) -> np.ndarray:
    """Y′ of a greyscale file, by libjpeg-turbo."""
    return simplejpeg.decode_jpeg(data, "GRAY")[..., 0]


def assert_same_luma(rgb: np.ndarray, original: bytes) -> None:
    """Y′ computed from R′G′B′ is the grey file's: to half a code, since R′G′B′ is rounded.

    Where a channel reached 0 or 255 its excess is cut off, and nothing can be computed from it.
    """
    rgb = rgb[..., :3].astype(np.float64)
    luma = rgb @ [0.299, 0.587, 0.114]
    inside = ((rgb > 0) & (rgb < 255)).all(axis=-1)
    assert rgb.shape[:2] == luma_of(original).shape
    assert np.abs(luma - luma_of(original))[inside].max(initial=0) <= 0.75
    assert inside.mean() > 0.8
    assert np.ptp(rgb, axis=-1).max() > 20 or rgb.size == 3


def test_libjpeg_turbo(pair: Pairs) -> None:
    """The Y plane itself, bit for bit; and nothing that libjpeg would warn of."""
    for original, result in pair:
        np.testing.assert_array_equal(luma_of(result), luma_of(original))
        assert_same_luma(simplejpeg.decode_jpeg(result, "RGB"), original)


def test_pillow(pair: Pairs) -> None:
    """The Y plane itself, bit for bit, and R′G′B′."""
    for original, result in pair:
        with Image.open(io.BytesIO(result)) as opened:
            opened.draft("YCbCr", opened.size)
            assert opened.mode == "YCbCr"
            np.testing.assert_array_equal(np.asarray(opened)[..., 0], luma_of(original))
        assert_same_luma(np.asarray(Image.open(io.BytesIO(result))), original)


def test_libvips(pair: Pairs) -> None:
    """Strictly: any warning would be an error."""
    for original, result in pair:
        image = pyvips.Image.new_from_buffer(result, "", fail_on="warning")
        assert image.interpretation == "srgb"
        assert_same_luma(image.numpy(), original)


def test_torchvision(pair: Pairs) -> None:
    """The Y plane itself, bit for bit, and R′G′B′."""
    torch = pytest.importorskip("torch")
    torchvision_io = pytest.importorskip("torchvision.io")
    for original, result in pair:
        coded = torch.frombuffer(bytearray(result), dtype=torch.uint8)
        grey = torchvision_io.decode_jpeg(coded, mode=torchvision_io.ImageReadMode.GRAY)
        np.testing.assert_array_equal(grey[0].numpy(), luma_of(original))
        rgb = torchvision_io.decode_jpeg(coded, mode=torchvision_io.ImageReadMode.RGB)
        assert_same_luma(rgb.permute(1, 2, 0).numpy(), original)


def test_imagemagick(pair: Pairs, tmp_path: Path) -> None:
    """R′G′B′ through `convert`."""
    program = next(filter(None, map(shutil.which, ["magick", "convert-im6.q16"])), None)
    if program is None:
        pytest.skip("ImageMagick is not installed")
    for number, (original, result) in enumerate(pair):
        source, target = tmp_path / f"{number}.jpg", tmp_path / f"{number}.ppm"
        source.write_bytes(result)
        subprocess.run([program, source, "-depth", "8", target], check=True, capture_output=True)
        assert_same_luma(np.asarray(Image.open(target)), original)


def test_djpeg(pair: Pairs, tmp_path: Path) -> None:
    """The program of libjpeg-turbo, grey: the Y plane, bit for bit, and no warning."""
    program = shutil.which("djpeg")
    if program is None:
        pytest.skip("djpeg is not installed")
    for original, result in pair:
        done = subprocess.run(
            [program, "-grayscale"], input=result, capture_output=True, check=True
        )
        assert done.stderr == b""
        np.testing.assert_array_equal(Image.open(io.BytesIO(done.stdout)), luma_of(original))


_PAGE = """<body>%s<script>
onload = () => {
  for (const image of document.images) {
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
    const line = document.createElement("p");
    line.textContent = canvas.width + "x" + canvas.height + ":" + Array.from(pixels).join(" ");
    document.body.append(line);
  }
};
</script></body>"""


def test_chromium(tmp_path: Path) -> None:
    """R′G′B′ on a canvas of the browser."""
    program = next(filter(None, map(shutil.which, ["chromium", "google-chrome"])), None)
    if program is None:
        pytest.skip("Chromium is not installed")
    pairs = [pair for kind in KINDS for pair in make_pairs(kind)]
    coded = (base64.b64encode(result).decode() for _, result in pairs)
    page = tmp_path / "page.html"
    page.write_text(_PAGE % "".join(f'<img src="data:image/jpeg;base64,{data}">' for data in coded))
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    done = subprocess.run(
        [program, *options, "--dump-dom", page.as_uri()],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    lines = re.findall(r"<p>(\d+)x(\d+):([\d ]+)</p>", done.stdout)
    assert len(lines) == len(pairs)
    for (width, height, pixels), (original, _) in zip(lines, pairs, strict=True):
        rgba = np.array(pixels.split(), np.uint8).reshape(int(height), int(width), 4)
        assert_same_luma(rgba, original)

"""Makes scans of every kind that an archive holds, by code: pictures, profiles, files and damage.

`READABLE` names a maker for each row of the reader's matrix; each gives a file and the grey codes
that a right reader finds in it. `REFUSED` names files that must not be read, and the error that
says so.
"""

import functools
import itertools
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pyvips
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageDraw, ImageFont

from tasks import errors
from tasks.scans.icc import SRGB_CURVE, build_profile, parametric_curve, sampled_curve

Codes = NDArray[np.unsignedinteger[Any]]
ORIENTATION_TAG = 274
MAX_SAMPLE_TAG = 281
ICC_TAG = 34675


# Pictures ----------------------------------------------------------------------------------------


def photograph(height: int = 180, width: int = 240, *, seed: int = 0) -> NDArray[np.float64]:
    """Draw what has the statistics of a photograph: sky over ground, things, texture, grain.

    Returns:
        Encoded tone in [0, 1], (height, width); the caller's own.
    """
    return _photograph(height, width, seed).copy()


@functools.lru_cache(maxsize=32)  # a test's cases mostly share a picture
def _photograph(height: int, width: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    horizon = 0.35 * height / max(height, width)
    picture = np.where(y < horizon, 0.82 - 0.25 * y, 0.42 + 0.12 * np.sin(9 * x + 14 * y * y))
    for _ in range(14):
        cy, cx, radius = rng.uniform(0, 1, 3) * (height, width, 0.16 * max(height, width))
        cy, cx, radius = (value / max(height, width) for value in (cy, cx, radius))
        inside = ((y - cy) ** 2 + (x - cx) ** 2) < radius**2
        shade = rng.uniform(0.05, 0.9) + (x - cx) * rng.uniform(-2, 2)
        picture = np.where(inside, shade, picture)
    picture += _texture(height, width, rng) * 0.12 + rng.normal(0, 0.012, (height, width))
    return np.clip(picture, 0.01, 0.99)


def _texture(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Noise whose amplitude falls with frequency, as in nature; mean 0, deviation 1."""
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    fall = 1 / np.maximum(np.hypot(fy, fx), 1 / max(height, width))
    spectrum = np.fft.rfft2(rng.normal(size=(height, width))) * fall
    spectrum[0, 0] = 0
    texture: NDArray[np.float64] = np.fft.irfft2(spectrum, s=(height, width))
    return texture / texture.std()


def codes_of(picture: NDArray[np.float64], bits: int = 8) -> Codes:
    """Quantize tone in [0, 1] to codes of a depth."""
    codes: Codes = np.rint(picture * ((1 << bits) - 1)).astype(np.uint8 if bits <= 8 else np.uint16)
    return codes


def in_film_border(picture: NDArray[np.float64], share: float = 0.06) -> NDArray[np.float64]:
    """Put a picture into the black rebate of a film, with a number written on its edge."""
    margin = max(4, round(share * max(picture.shape)))
    framed = np.pad(picture, margin, constant_values=0.015)
    canvas = Image.fromarray(codes_of(framed))
    font = ImageFont.load_default(max(8, margin - 4))
    ImageDraw.Draw(canvas).text((margin * 2, 1), "RA 6043-D", fill=240, font=font)
    drawn: NDArray[np.float64] = np.asarray(canvas) / 255
    framed[:margin] = drawn[:margin]
    return framed


def with_step_wedge(picture: NDArray[np.float64], *, steps: int = 20) -> NDArray[np.float64]:
    """Lay a grey scale with even steps below a picture, on a dark ground."""
    height, width = picture.shape
    thickness = max(8, height // 9)
    strip = np.full((thickness + thickness // 2, width), 0.05)
    patch = int(0.8 * width) // steps
    for step in range(steps):
        left = width // 10 + step * patch
        strip[thickness // 4 : -thickness // 4, left : left + patch] = 0.95 - 0.9 * step / (
            steps - 1
        )
    return np.vstack([picture, strip])


def text_page(height: int = 700, width: int = 520, *, seed: int = 0) -> NDArray[np.float64]:
    """Print a page of text, as a scanner sees it: soft strokes, paper that is not quite even."""
    rng = np.random.default_rng(seed)
    page = Image.new("L", (width, height), 232)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    words = ["an", "archive", "keeps", "what", "was", "written", "so", "that", "it", "can", "be"]
    for line in range(48, height - 60, 21):
        text = " ".join(rng.choice(words, 10))
        draw.text((40, line), text[: width // 9], fill=36, font=font)
    shading = np.linspace(-0.012, 0.012, width)[None, :]
    noisy = np.asarray(page) / 255 + rng.normal(0, 0.01, (height, width)) + shading
    clipped: NDArray[np.float64] = np.clip(noisy, 0, 1)
    return clipped


def toned(picture: NDArray[np.float64], kind: str) -> NDArray[np.uint8]:
    """Print a picture in sepia or as a cyanotype: a colour for each lightness, uint8 (H, W, 3)."""
    shadow, middle, light = {
        "sepia": ((38, 24, 15), (150, 116, 84), (243, 232, 209)),
        "cyanotype": ((10, 28, 66), (62, 116, 170), (228, 240, 246)),
    }[kind]
    stops = np.array([shadow, middle, light], dtype=np.float64)
    planes = [np.interp(picture, [0, 0.5, 1], stops[:, i]) for i in range(3)]
    return np.rint(np.stack(planes, axis=2)).astype(np.uint8)


def in_colour(picture: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Colour a picture so that hue does not follow lightness, uint8 (H, W, 3)."""
    height, width = picture.shape
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    casts = [
        1 + 0.5 * np.sin(7 * x + 2),
        1 + 0.5 * np.sin(5 * y + 1),
        1 + 0.5 * np.cos(6 * (x + y)),
    ]
    planes = [np.clip(picture * cast, 0, 1) for cast in casts]
    return codes_of(np.stack(planes, axis=2))  # type: ignore[return-value]


# Profiles ----------------------------------------------------------------------------------------


def gray_gamma(gamma: float = 2.2) -> bytes:
    """A grey profile with a power curve; 1.0 is linear."""
    return build_profile(b"GRAY", parametric_curve(gamma), description=f"Gray Gamma {gamma:g}")


def dot_gain(gain: float = 0.20) -> bytes:
    """A grey profile of a press: dots of half the area print *gain* larger, as a sampled curve."""
    dots = 1 - np.linspace(0, 1, 256)
    printed = dots + 4 * gain * dots * (1 - dots)
    return build_profile(b"GRAY", sampled_curve(1 - printed), description=f"Dot Gain {gain:.0%}")


def srgb_grey() -> bytes:
    """A grey profile with the tone curve of sRGB."""
    return build_profile(b"GRAY", SRGB_CURVE, description="sRGB tone, grey")


def srgb() -> bytes:
    """An sRGB profile as lcms writes it."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def grey_by_table() -> bytes:
    """A grey profile without a curve: a table of codes to L*a*b* (`mft2`), L* = 100 · code^0.8."""
    grid = np.rint(np.linspace(0, 1, 33) ** 0.8 * 0xFF00).astype(">u2")
    table = np.stack([grid, np.full(33, 0x8000, ">u2"), np.full(33, 0x8000, ">u2")], axis=1)
    ramp = np.array([0, 65535], ">u2").tobytes()
    identity = b"".join(
        value.to_bytes(4, "big") for value in (65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    )
    body = b"mft2\0\0\0\0" + bytes((1, 3, 33, 0)) + identity
    body += (2).to_bytes(2, "big") * 2 + ramp + table.astype(">u2").tobytes() + ramp * 3
    plain = bytearray(build_profile(b"GRAY", body, description="grey by table"))
    plain[16:24] = b"GRAYLab "
    plain[8:12] = b"\x02\x10\0\0"
    return bytes(plain).replace(b"kTRC", b"A2B0", 1)


# Files -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Made:
    """A file, and what a right reader finds in it.

    Attributes:
        codes: Min-is-black grey codes, of 16 bits where the samples are deeper, upright, (H, W).
        tolerance: Codes that a lossy coding may be off by.
        page: The page of the file.
        deep_bits: Bits of a sample that 16 do not hold; else 0.
    """

    path: Path
    codes: Codes
    tolerance: int = 0
    page: int = 0
    deep_bits: int = 0

    @property
    def bits(self) -> int:
        """Bits that a derivative's samples need."""
        return self.deep_bits or 8 * self.codes.dtype.itemsize


def write_jpeg(path: Path, codes: Codes, **options: Any) -> Path:  # noqa: ANN401 -- Pillow's options
    """Write uint8 (H, W) or (H, W, 3) as JPEG; options are those of Pillow's encoder."""
    Image.fromarray(codes).save(path, format="JPEG", **{"quality": 92, **options})
    return path


def write_png(path: Path, codes: Codes) -> Path:
    """Write uint8 or uint16, (H, W) or (H, W, 2 to 4), as PNG."""
    path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(codes)))
    return path


def write_tiff(path: Path, codes: Codes, **options: Any) -> Path:  # noqa: ANN401 -- tifffile's options
    """Write codes as TIFF; options are those of tifffile, min-is-black unless they say so."""
    is_big = options.pop("bigtiff", False)
    byteorder = options.pop("byteorder", "<")
    with tifffile.TiffWriter(path, bigtiff=is_big, byteorder=byteorder) as writer:
        writer.write(codes, **{"photometric": "minisblack", "metadata": None, **options})
    return path


def write_jp2(path: Path, codes: Codes, **options: Any) -> Path:  # noqa: ANN401 -- the codec's options
    """Write codes as lossless JPEG 2000."""
    path.write_bytes(imagecodecs.jpeg2k_encode(codes, reversible=True, level=0, **options))
    return path


def stored_for(codes: Codes, orientation: int) -> Codes:
    """Give what must be stored so that the orientation turns it into *codes* (EXIF 2.3, 4.6.4)."""
    undo: dict[int, Callable[[Codes], Codes]] = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.T,
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).T,
        8: lambda a: np.rot90(a, -1),
    }
    return np.ascontiguousarray(undo[orientation](codes))


def exif_block(orientation: int = 1, **texts: str) -> bytes:
    """Write an EXIF block: orientation, and texts named description, artist, copyright, date."""
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    tags = {"description": 0x010E, "artist": 0x013B, "copyright": 0x8298, "date": 0x0132}
    for name, text in texts.items():
        exif[tags[name]] = text
    return exif.tobytes()


def with_png_chunk(png: bytes, kind: bytes, body: bytes) -> bytes:
    """Put a chunk after a PNG's header."""
    checksum = zlib.crc32(kind + body).to_bytes(4, "big")
    return png[:33] + len(body).to_bytes(4, "big") + kind + body + checksum + png[33:]


def with_jp2_profile(jp2: bytes, icc: bytes) -> bytes:
    """Put a restricted ICC profile in the place of a JP2's enumerated colour space."""
    start = jp2.index(b"colr") - 4
    old = int.from_bytes(jp2[start : start + 4], "big")
    box = (11 + len(icc)).to_bytes(4, "big") + b"colr" + b"\2\0\0" + icc
    header = jp2.index(b"jp2h") - 4
    size = int.from_bytes(jp2[header : header + 4], "big") + len(box) - old
    grown = jp2[:start] + box + jp2[start + old :]
    return grown[:header] + size.to_bytes(4, "big") + grown[header + 4 :]


def _tiff(name: str, bits: int = 8, **options: Any) -> Callable[[Path], Made]:  # noqa: ANN401
    def make(folder: Path) -> Made:
        codes = codes_of(photograph(), bits)
        return Made(write_tiff(folder / f"{name}.tif", codes, **options), codes)

    return make


def _white_is_zero(bits: int) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        codes = codes_of(photograph(), bits)
        stored = (((1 << bits) - 1) - codes.astype(np.int64)).astype(codes.dtype)
        path = folder / f"white-is-zero-{bits}.tif"
        return Made(write_tiff(path, stored, photometric="miniswhite"), codes)

    return make


def _turned_tiff(orientation: int, bits: int) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        codes = codes_of(photograph(150, 211), bits)
        tag = [(ORIENTATION_TAG, "H", 1, orientation, True)]
        path = folder / f"turned-{orientation}-{bits}.tif"
        stored = stored_for(codes, orientation)
        return Made(write_tiff(path, stored, extratags=tag, rowsperstrip=16), codes)

    return make


def _turned_jpeg(orientation: int) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        codes = codes_of(photograph(150, 211))
        path = folder / f"turned-{orientation}.jpg"
        write_jpeg(path, stored_for(codes, orientation), exif=exif_block(orientation))
        return Made(path, codes, tolerance=24)

    return make


def _by_vips(name: str, bits: int = 8, **options: Any) -> Callable[[Path], Made]:  # noqa: ANN401
    def make(folder: Path) -> Made:
        codes = codes_of(photograph(640, 800), bits)
        path = folder / f"{name}.tif"
        pyvips.Image.new_from_array(codes).tiffsave(str(path), **options)
        return Made(path, codes, tolerance=24 if options.get("compression") == "jpeg" else 0)

    return make


def _multi_page(page: int) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        pages = [codes_of(photograph(120 + 8 * n, 160, seed=n)) for n in range(3)]
        path = folder / f"pages-{page}.tif"
        with tifffile.TiffWriter(path) as writer:
            for codes in pages:
                writer.write(codes, photometric="minisblack", metadata=None)
                # A thumbnail after each page, marked as such: not a page.
                writer.write(
                    codes[::4, ::4], photometric="minisblack", metadata=None, subfiletype=1
                )
        return Made(path, pages[page], page=page)

    return make


def _sub_ifds(folder: Path) -> Made:
    codes = codes_of(photograph())
    path = folder / "sub-ifds.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(codes, photometric="minisblack", metadata=None, subifds=1)
        writer.write(codes[::2, ::2], photometric="minisblack", metadata=None, subfiletype=1)
    return Made(path, codes)


def _twelve_in_sixteen(folder: Path, *, is_tagged: bool) -> Made:
    codes = codes_of(photograph(), 12)
    tags = [(MAX_SAMPLE_TAG, "H", 1, 4095, True)] if is_tagged else []
    path = folder / f"twelve-{is_tagged}.tif"
    expected = np.rint(codes.astype(np.float64) * 65535 / 4095).astype(np.uint16)
    return Made(write_tiff(path, codes, extratags=tags), expected)


def _rgb(name: str, bits: int, **options: Any) -> Callable[[Path], Made]:  # noqa: ANN401
    def make(folder: Path) -> Made:
        codes = codes_of(photograph(), bits)
        stored = np.repeat(codes[..., None], 3, axis=2)
        options.setdefault("photometric", "rgb")
        return Made(write_tiff(folder / f"{name}.tif", stored, **options), codes)

    return make


def _rgb_planes(folder: Path) -> Made:
    codes = codes_of(photograph(), 16)
    path = folder / "rgb-planes.tif"
    stored = np.repeat(codes[None], 3, axis=0)
    return Made(write_tiff(path, stored, photometric="rgb", planarconfig="separate"), codes)


def _alpha_tiff(folder: Path) -> Made:
    codes = codes_of(photograph(), 16)
    stored = np.stack([codes, np.full_like(codes, 65535)], axis=2)
    path = write_tiff(folder / "alpha.tif", stored, extrasamples=["unassalpha"])
    return Made(path, codes)


def _associated_alpha(bits: int) -> Callable[[Path], Made]:
    """Grey that is multiplied by its alpha: the codes under it are kept as they are stored."""

    def make(folder: Path) -> Made:
        codes = codes_of(photograph() / 2, bits)
        alpha = np.full_like(codes, (1 << bits - 1) + 7)
        stored = np.stack([codes, alpha], axis=2)
        path = write_tiff(folder / "alpha.tif", stored, extrasamples=["assocalpha"])
        return Made(path, codes)

    return make


def _palette_tiff(folder: Path) -> Made:
    codes = codes_of(photograph())
    ramp = np.arange(255, -1, -1, dtype=np.uint16) * 257
    path = folder / "palette.tif"
    write_tiff(path, 255 - codes, photometric="palette", colormap=np.stack([ramp] * 3))
    return Made(path, codes)


def _four_bit(folder: Path) -> Made:
    codes = codes_of(photograph(), 4)
    path = folder / "four-bit.tif"
    pyvips.Image.new_from_array(codes * 17).tiffsave(str(path), bitdepth=4)
    return Made(path, codes * 17)


def _jpeg(name: str, **options: Any) -> Callable[[Path], Made]:  # noqa: ANN401 -- Pillow's options
    def make(folder: Path) -> Made:
        codes = codes_of(photograph(183, 241))
        path = write_jpeg(folder / f"{name}.jpg", codes, **options)
        return Made(path, np.asarray(Image.open(path).convert("L")))

    return make


def _rgb_jpeg(folder: Path) -> Made:
    codes = codes_of(photograph(183, 241))
    path = write_jpeg(folder / "rgb.jpg", np.repeat(codes[..., None], 3, axis=2))
    return Made(path, np.asarray(Image.open(path))[..., 0])


def _png(name: str, bits: int) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        codes = codes_of(photograph(), bits)
        return Made(write_png(folder / f"{name}.png", codes), codes)

    return make


def _alpha_png(folder: Path) -> Made:
    codes = codes_of(photograph(), 16)
    stored = np.stack([codes, np.full_like(codes, 65535)], axis=2)
    return Made(write_png(folder / "alpha.png", stored), codes)


def _palette_png(folder: Path) -> Made:
    codes = codes_of(photograph())
    picture = Image.fromarray(255 - codes, mode="P")
    picture.putpalette([255 - i // 3 for i in range(768)])
    path = folder / "palette.png"
    picture.save(path)
    return Made(path, codes)


def _interlaced_png(folder: Path) -> Made:
    codes = codes_of(photograph(), 16)
    path = folder / "interlaced.png"
    picture = pyvips.Image.new_from_array(codes).copy(interpretation="grey16")
    picture.pngsave(str(path), interlace=True)
    return Made(path, codes)


def _turned_png(folder: Path) -> Made:
    codes = codes_of(photograph(150, 211))
    path = write_png(folder / "turned.png", stored_for(codes, 6))
    block = exif_block(6).removeprefix(b"Exif\0\0")
    path.write_bytes(with_png_chunk(path.read_bytes(), b"eXIf", block))
    return Made(path, codes)


def _jp2(name: str, bits: int, **options: Any) -> Callable[[Path], Made]:  # noqa: ANN401
    def make(folder: Path) -> Made:
        codes = codes_of(photograph(), bits)
        return Made(write_jp2(folder / f"{name}.jp2", codes, **options), codes)

    return make


def _twelve_bit_jp2(folder: Path) -> Made:
    codes = codes_of(photograph(), 12)
    path = write_jp2(folder / "twelve.jp2", codes, bitspersample=12)
    return Made(path, np.rint(codes.astype(np.float64) * 65535 / 4095).astype(np.uint16))


def _deep_jpeg(name: str, bits: int, **options: Any) -> Callable[[Path], Made]:  # noqa: ANN401
    def make(folder: Path) -> Made:
        codes = codes_of(photograph(183, 241), bits)
        path = folder / f"{name}.jpg"
        path.write_bytes(imagecodecs.jpeg8_encode(codes, bitspersample=bits, **options))
        if bits == 8:
            return Made(path, codes)
        expected = codes.astype(np.float64) * 65535 / ((1 << bits) - 1)
        lossy = 0 if options.get("lossless") else 2500
        return Made(path, np.rint(expected).astype(np.uint16), tolerance=lossy)

    return make


def _palette_jp2(folder: Path) -> Made:
    """A JP2 whose one component numbers the colours of a palette (ITU-T T.800, I.5.3.4)."""
    codes = codes_of(photograph())
    whole = imagecodecs.jpeg2k_encode(255 - codes, level=0, reversible=True)
    at = whole.index(b"jp2h") - 4
    size = int.from_bytes(whole[at : at + 4], "big")
    inner = whole[at + 8 : at + size].replace(bytes((0, 0, 0, 17)), bytes((0, 0, 0, 16)))
    colours = b"".join(bytes([255 - n] * 3) for n in range(256))
    boxes = (
        _box(b"pclr", bytes((1, 0, 3, 7, 7, 7)) + colours),
        _box(b"cmap", b"".join(bytes((0, 0, 1, n)) for n in range(3))),
    )
    path = folder / "palette.jp2"
    path.write_bytes(whole[:at] + _box(b"jp2h", inner + b"".join(boxes)) + whole[at + size :])
    return Made(path, codes)


def _box(kind: bytes, body: bytes) -> bytes:
    return (8 + len(body)).to_bytes(4, "big") + kind + body


def _untagged_alpha(folder: Path) -> Made:
    made = _alpha_tiff(folder)
    data = bytearray(made.path.read_bytes())
    at = data.index(b"\x52\x01\x03\x00")  # ExtraSamples, as an entry of a little-endian directory
    data[at : at + 2] = b"\x51\x01"  # a number that means nothing here
    made.path.write_bytes(data)
    return made


def _grey_in_planes(folder: Path) -> Made:
    codes = codes_of(photograph())
    planes = np.stack([codes, np.full_like(codes, 255)])
    path = folder / "planes.tif"
    write_tiff(path, planes, planarconfig="separate", extrasamples=["unassalpha"])
    return Made(path, codes)


def _tiled_planes(folder: Path) -> Made:
    codes = codes_of(photograph())
    planes = np.repeat(codes[None], 3, axis=0)
    path = folder / "tiled-planes.tif"
    write_tiff(path, planes, photometric="rgb", planarconfig="separate", tile=(64, 64))
    return Made(path, codes)


def _height_behind(folder: Path) -> Made:
    """A JPEG whose height follows its data (DNL), as some scanners write it."""
    codes = codes_of(photograph(183, 241))
    path = write_jpeg(folder / "dnl.jpg", codes)
    expected = np.asarray(Image.open(path))
    data = path.read_bytes()
    at = data.index(b"\xff\xc0") + 5
    data, height = data[:at] + bytes(2) + data[at + 2 : -2], data[at : at + 2]
    path.write_bytes(data + b"\xff\xdc\0\4" + height + b"\xff\xd9")
    return Made(path, expected)


def _jpeg_ls(bits: int) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        codes = codes_of(photograph(), bits)
        path = folder / f"ls-{bits}.jpg"
        path.write_bytes(imagecodecs.jpegls_encode(codes))
        return Made(path, codes)

    return make


def spread(codes: Codes, bits: int) -> Codes:
    """Spread codes of fewer bits over 8, or over 16, as a right reader does."""
    depth = 8 if bits <= 8 else 16
    wide = codes.astype(np.float64) * ((1 << depth) - 1) / ((1 << bits) - 1)
    found: Codes = np.rint(wide).astype(np.uint8 if depth == 8 else np.uint16)
    return found


def press() -> bytes:
    """A CMYK profile (`mft2`) in which black ink alone gives L* = 100 · (1 - black)."""
    grid = np.array(list(itertools.product([0.0, 1.0], repeat=4)))
    light = np.clip((1 - grid[:, 3]) * (1 - 0.3 * grid[:, :3].sum(axis=1)), 0, 1)
    neutral = np.full(16, 0x8000)
    table = np.rint(np.stack([light * 0xFF00, neutral, neutral], axis=1)).astype(">u2")
    ramp = np.array([0, 65535], ">u2").tobytes()
    unit = b"".join(n.to_bytes(4, "big") for n in (65536, 0, 0, 0, 65536, 0, 0, 0, 65536))
    body = b"mft2\0\0\0\0" + bytes((4, 3, 2, 0)) + unit + (2).to_bytes(2, "big") * 2
    body += ramp * 4 + table.tobytes() + ramp * 3
    plain = bytearray(build_profile(b"GRAY", body, description="a press"))
    plain[12:24] = b"prtrCMYKLab "
    plain[8:12] = b"\x02\x10\0\0"
    return bytes(plain).replace(b"kTRC", b"A2B0", 1)


def srgb_code(lightness: NDArray[np.float64]) -> Codes:
    """The 16-bit sRGB code of neutral L*."""
    light = np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness * 27 / 24389)
    code = np.where(light > 0.0031308, 1.055 * light ** (1 / 2.4) - 0.055, 12.92 * light)
    found: Codes = np.rint(np.clip(code, 0, 1) * 65535).astype(np.uint16)
    return found


def packed_tiff(path: Path, codes: Codes, bits: int, photometric: int = 1) -> Path:
    """Write grey samples of any depth, packed, rows padded to bytes."""
    rows = []
    for row in codes:
        text = "".join(f"{int(code):0{bits}b}" for code in row)
        text += "0" * (-len(text) % 8)
        rows.append(int(text, 2).to_bytes(len(text) // 8, "big"))
    height, width = codes.shape
    data = b"".join(rows)
    tags = {
        256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: height,
        279: len(data),
    }  # fmt: skip
    data += bytes(len(data) % 2)
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = b"II*\0" + struct.pack("<I", 8 + len(data))
    path.write_bytes(head + data + struct.pack("<H", len(tags)) + table + bytes(4))
    return path


def _packed(bits: int, *, is_white_zero: bool = False) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        codes = codes_of(photograph(), bits)
        stored = ((1 << bits) - 1 - codes) if is_white_zero else codes
        path = folder / f"packed-{bits}-{is_white_zero}.tif"
        packed_tiff(path, stored, bits, 0 if is_white_zero else 1)
        return Made(path, spread(codes, bits))

    return make


def _numbers(
    name: str,
    dtype: type,
    low: float,
    high: float,
    **options: Any,  # noqa: ANN401
) -> Callable[[Path], Made]:
    """Samples that are no codes: *low* is black and *high* white, as floating point states."""

    def make(folder: Path) -> Made:
        bits = 8 if np.dtype(dtype).itemsize == 1 else 16
        codes = codes_of(photograph(), bits)
        values = low + codes.astype(np.float64) / ((1 << bits) - 1) * (high - low)
        is_real = np.dtype(dtype).kind == "f"
        stored = (values if is_real else np.rint(values)).astype(dtype)
        tags = [(340, "f", 1, low, True), (341, "f", 1, high, True)] if is_real else []
        path = folder / f"{name}.tif"
        depth = 8 * stored.dtype.itemsize
        deep_bits = max(depth, 32) if is_real or depth > 16 else 0
        write_tiff(path, stored, extratags=tags, **options)
        return Made(path, codes, deep_bits=deep_bits)

    return make


def _lab(name: str, kind: int, dtype: type, **options: Any) -> Callable[[Path], Made]:  # noqa: ANN401
    """L*a*b* of neutrals; kinds 8, 9 and 10 are those of CIE, ICC and ITU."""

    def make(folder: Path) -> Made:
        deep = np.dtype(dtype).itemsize == 2
        white = (65280 if kind == 9 else 65535) if deep else 255
        codes = np.rint(photograph() * white)
        neutral = {8: (0, 0), 9: (128, 128), 10: (128, 96)}[kind]
        planes = [codes, *(np.full_like(codes, zero * (256 if deep else 1)) for zero in neutral)]
        path = folder / f"{name}.tif"
        write_tiff(path, np.stack(planes, axis=2).astype(dtype), photometric=kind, **options)
        return Made(path, srgb_code(codes / white * 100), tolerance=2)

    return make


def black_ink(codes: Codes) -> Codes:
    """Inks, (H, W, 4), of which black alone makes a picture."""
    inks = np.zeros((*codes.shape, 4), dtype=codes.dtype)
    inks[..., 3] = np.iinfo(codes.dtype).max - codes
    return inks


def _cmyk(name: str, bits: int, **options: Any) -> Callable[[Path], Made]:  # noqa: ANN401
    def make(folder: Path) -> Made:
        codes = codes_of(photograph(), bits)
        inks = black_ink(codes)
        if options.get("planarconfig") == "separate":
            inks = np.moveaxis(inks, 2, 0)
        path = folder / f"{name}.tif"
        write_tiff(path, inks, photometric="separated", iccprofile=press(), **options)
        return Made(path, srgb_code(100.0 * codes / ((1 << bits) - 1)), tolerance=8)

    return make


def _cmyk_jpeg(folder: Path) -> Made:
    """As Photoshop writes it: inks inverted, an Adobe marker."""
    inks = black_ink(codes_of(photograph()))
    path = folder / "cmyk.jpg"
    Image.fromarray(inks, mode="CMYK").save(path, "JPEG", quality=95, icc_profile=press())
    black = np.asarray(Image.open(path))[..., 3]
    return Made(path, srgb_code(100.0 - black / 2.55), tolerance=600)


def _ycbcr(folder: Path) -> Made:
    codes = codes_of(photograph())
    neutral = np.full_like(codes, 128)
    path = folder / "ycbcr.tif"
    return Made(
        write_tiff(path, np.stack([codes, neutral, neutral], 2), photometric="ycbcr"), codes
    )


def _signed_jp2(dtype: type) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        bits = 8 * np.dtype(dtype).itemsize
        codes = codes_of(photograph(), bits)
        signed = (codes.astype(np.int64) - (1 << bits - 1)).astype(dtype)
        return Made(write_jp2(folder / f"signed-{bits}.jp2", signed), codes)

    return make


def _shallow_jp2(bits: int) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        codes = codes_of(photograph(), bits)
        path = write_jp2(folder / f"{bits}.jp2", codes, bitspersample=bits)
        return Made(path, spread(codes, bits))

    return make


def _extraneous(folder: Path) -> Made:
    """A JPEG with bytes between its segments, an APP14 cut short and one of no meaning."""
    path = write_jpeg(folder / "extraneous.jpg", codes_of(photograph(183, 241)))
    expected = np.asarray(Image.open(path))
    data = path.read_bytes()
    at = data.index(b"\xff\xdb")
    odd = b"\0\0\x17" + b"\xff\xee\0\7Adobe" + b"\xff\xff" + b"lost"
    path.write_bytes(data[:at] + odd + data[at:])
    return Made(path, expected)


READABLE: dict[str, Callable[[Path], Made]] = {
    "tiff 8-bit": _tiff("plain-8"),
    "tiff 16-bit": _tiff("plain-16", 16),
    "tiff big-endian 16-bit": _tiff("big-endian", 16, byteorder=">"),
    "tiff white is zero 8-bit": _white_is_zero(8),
    "tiff white is zero 16-bit": _white_is_zero(16),
    "tiff lzw": _tiff("lzw", 16, compression="lzw", predictor=True),
    "tiff zip": _tiff("zip", 16, compression="zlib", predictor=True),
    "tiff old zip": _tiff("old-zip", 8, compression="deflate"),
    "tiff packbits": _tiff("packbits", 8, compression="packbits"),
    "tiff jpeg": _by_vips("jpeg", compression="jpeg", Q=95),
    "tiff jpeg tiled": _by_vips("jpeg-tiled", compression="jpeg", Q=95, tile=True),
    "tiff tiled": _tiff("tiled", 16, tile=(64, 80)),
    "tiff many strips": _tiff("strips", 16, rowsperstrip=7),
    "tiff pyramid": _by_vips("pyramid", 16, tile=True, pyramid=True, compression="deflate"),
    "tiff pyramid in sub-ifds": _by_vips("pyramid-sub", tile=True, pyramid=True, subifd=True),
    "tiff big": _tiff("big", 16, bigtiff=True),
    "tiff page 1": _multi_page(0),
    "tiff page 2": _multi_page(1),
    "tiff page 3": _multi_page(2),
    "tiff thumbnail in sub-ifd": _sub_ifds,
    "tiff 4-bit": _four_bit,
    "tiff 12 bits in 16, tagged": lambda folder: _twelve_in_sixteen(folder, is_tagged=True),
    "tiff 12 bits in 16, untagged": lambda folder: _twelve_in_sixteen(folder, is_tagged=False),
    "tiff rgb that is grey 8-bit": _rgb("rgb-8", 8),
    "tiff rgb that is grey 16-bit": _rgb("rgb-16", 16),
    "tiff rgb planes apart": _rgb_planes,
    "tiff alpha": _alpha_tiff,
    "tiff associated alpha 8-bit": _associated_alpha(8),
    "tiff associated alpha 16-bit": _associated_alpha(16),
    "tiff palette": _palette_tiff,
    **{f"tiff orientation {n}": _turned_tiff(n, 16) for n in range(1, 9)},
    **{f"jpeg orientation {n}": _turned_jpeg(n) for n in range(1, 9)},
    "jpeg baseline": _jpeg("baseline"),
    "jpeg progressive": _jpeg("progressive", progressive=True),
    "jpeg restart markers": _jpeg("restart", restart_marker_blocks=5),
    "jpeg rgb that is grey": _rgb_jpeg,
    "png 8-bit": _png("plain-8", 8),
    "png 16-bit": _png("plain-16", 16),
    "png alpha": _alpha_png,
    "png palette": _palette_png,
    "png interlaced": _interlaced_png,
    "png orientation 6": _turned_png,
    "jp2 8-bit": _jp2("plain-8", 8),
    "jp2 16-bit": _jp2("plain-16", 16),
    "jp2 codestream": _jp2("codestream", 8, codecformat="j2k"),
    "jp2 12-bit": _twelve_bit_jp2,
    "jp2 palette": _palette_jp2,
    "jpeg 12-bit": _deep_jpeg("twelve", 12, level=95),
    "jpeg lossless 8-bit": _deep_jpeg("lossless-8", 8, lossless=True),
    "jpeg lossless 16-bit": _deep_jpeg("lossless-16", 16, lossless=True),
    "tiff alpha that no tag explains": _untagged_alpha,
    **{f"tiff {bits} bits packed": _packed(bits) for bits in (6, 10, 12, 14)},
    "tiff 12 bits packed, white is zero": _packed(12, is_white_zero=True),
    "tiff signed 8-bit": _numbers("signed-8", np.int8, -128, 127),
    "tiff signed 16-bit": _numbers("signed-16", np.int16, -32768, 32767),
    "tiff 32-bit": _numbers("unsigned-32", np.uint32, 0, 2**32 - 1),
    "tiff float": _numbers("float", np.float32, -0.5, 2.0),
    "tiff signed 32-bit": _numbers("signed-32", np.int32, -(2**31), 2**31 - 1),
    "tiff float, predicted": _numbers(
        "predicted", np.float32, 0.0, 1.0, compression="zlib", predictor=True, tile=(64, 64)
    ),
    **{
        f"tiff {name}": _tiff(name, 16, compression=name)
        for name in ("zstd", "lerc", "lzma", "png", "jpegxl")
    },
    "tiff zstd, predicted, tiled": _tiff(
        "zstd-tiles", 16, compression="zstd", predictor=True, tile=(64, 64)
    ),
    "tiff webp": _rgb("webp", 8, compression="webp", compressionargs={"lossless": True}),
    "tiff ycbcr": _ycbcr,
    **{
        f"tiff {name} {np.dtype(dtype).name}": _lab(f"{name}-{np.dtype(dtype).name}", kind, dtype)
        for kind, name in ((8, "cielab"), (9, "icclab"))
        for dtype in (np.uint8, np.uint16)
    },
    "tiff itulab": _lab("itulab", 10, np.uint8),
    "tiff cielab, tiled": _lab("lab-tiles", 8, np.uint16, compression="zlib", tile=(64, 64)),
    "tiff cmyk": _cmyk("cmyk", 8),
    "tiff cmyk 16-bit zip": _cmyk("cmyk-16", 16, compression="zlib"),
    "tiff cmyk planes apart": _cmyk("cmyk-planes", 8, planarconfig="separate"),
    "jpeg cmyk": _cmyk_jpeg,
    "jpeg extraneous bytes": _extraneous,
    **{f"jp2 {bits}-bit": _shallow_jp2(bits) for bits in (4, 10)},
    "jp2 signed 8-bit": _signed_jp2(np.int8),
    "jp2 signed 16-bit": _signed_jp2(np.int16),
    "tiff grey and alpha in planes": _grey_in_planes,
    "tiff tiled planes": _tiled_planes,
    "jpeg height behind the data": _height_behind,
    "jpeg-ls 8-bit": _jpeg_ls(8),
    "jpeg-ls 16-bit": _jpeg_ls(16),
}


# Files that must be refused ----------------------------------------------------------------------


def _bytes(name: str, data: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(data)
        return path

    return make


def _cmyk_tiff(folder: Path) -> Path:
    inks = np.repeat(codes_of(photograph())[..., None], 4, axis=2)
    return write_tiff(folder / "cmyk.tif", inks, photometric="separated")


def _unprofiled_cmyk_jpeg(folder: Path) -> Path:
    path = folder / "cmyk.jpg"
    Image.fromarray(codes_of(photograph())).convert("CMYK").save(path)
    return path


def _float_tiff(folder: Path) -> Path:
    return write_tiff(folder / "float.tif", photograph().astype(np.float32))  # type: ignore[arg-type]


def _fax(kind: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / f"{kind}.tif"
        page = Image.fromarray(codes_of(text_page())).convert("1")
        page.save(path, compression=kind)
        return path

    return make


def _saved_jpeg(name: str, picture: Callable[[], Codes]) -> Callable[[Path], Path]:
    return lambda folder: write_jpeg(folder / f"{name}.jpg", picture())


def _raw(folder: Path) -> Path:
    """A camera's file: a small picture first, the raw data in a directory below it."""
    path = folder / "raw.nef"
    codes = codes_of(photograph(), 16)
    with tifffile.TiffWriter(path) as writer:
        small = np.repeat((codes[::4, ::4] >> 8).astype(np.uint8)[..., None], 3, axis=2)
        writer.write(small, photometric="rgb", metadata=None, subifds=1, subfiletype=1)
        writer.write(codes, photometric="cfa", metadata=None)
    return path


REFUSED: dict[str, tuple[Callable[[Path], Path], type[errors.AutochromeError]]] = {
    "empty": (_bytes("empty.tif", b""), errors.TruncatedScan),
    "text": (_bytes("text.jpg", b"Box 14, folder 3: not found.\n" * 40), errors.UnsupportedFormat),
    "gif": (_bytes("gif.tif", b"GIF89a" + bytes(40)), errors.UnsupportedFormat),
    "heic": (_bytes("heic.jpg", b"\0\0\0\x18ftypheic" + bytes(40)), errors.UnsupportedFormat),
    "svg": (_bytes("a.svg", b"\xef\xbb\xbf<?xml version='1.0'?><svg/>"), errors.UnsupportedFormat),
    "png through text mode": (
        _bytes("text.png", b"\x89PNG\n\x1a\n" + bytes(40)),
        errors.UnreadableScan,
    ),
    "camera raw": (_raw, errors.UnsupportedFormat),
    "cmyk tiff": (_cmyk_tiff, errors.UnsupportedFormat),
    "cmyk jpeg": (_unprofiled_cmyk_jpeg, errors.UnsupportedFormat),
    "float tiff": (_float_tiff, errors.UnsupportedFormat),
    "group 3": (_fax("group3"), errors.Bilevel),
    "group 4": (_fax("group4"), errors.Bilevel),
    "text page": (_saved_jpeg("page", lambda: codes_of(text_page())), errors.Bilevel),
    "colour": (_saved_jpeg("colour", lambda: in_colour(photograph())), errors.AlreadyColour),
    "blank": (
        _saved_jpeg("blank", lambda: np.full((200, 300), 190, dtype=np.uint8)),
        errors.BlankScan,
    ),
}

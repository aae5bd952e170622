"""Pages of JPEG, PNG and JPEG 2000 by imagecodecs and Pillow; of very large ones by libvips.

These decoders hold the whole picture. Above `WHOLE_BYTES` libvips streams it, as the reader does:
its tone is read a second time all the same.
"""

import contextlib
import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import imagecodecs
import numpy as np
import pyvips
from PIL import Image

from tasks.derivatives.second_reading.light import Floats
from tasks.derivatives.second_reading.page import CleanView, Codes, StoredPage
from tasks.derivatives.second_reading.tiff import exif_curve
from tasks.derivatives.second_reading.tone import (
    SRGB,
    Curve,
    StatedTone,
    Unstated,
    bt709_light,
    power,
)

#: What a picture may take when it is decoded at once.
WHOLE_BYTES = 256 << 20

_ROWS = 256
_ICC = re.compile(rb"\xff\xe2..ICC_PROFILE\0(.)(.)", re.DOTALL)
_EXIF = re.compile(rb"\xff\xe1..(Exif\0\0.*)", re.DOTALL)
_ADOBE = re.compile(rb"\xff\xee..Adobe", re.DOTALL)
_CODESTREAM = b"\xff\x4f\xff\x51"
_CODESTREAMS = re.compile(rb"jp2c(?:.{8})?\xff\x4f\xff\x51", re.DOTALL)
_EXIF_UUID = b"JpgTiffExif->JP2"
_ROMM = 21
_ROMM_POINTS = np.array(((0.3457, 0.3585), (0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)))
_TRANSFER: dict[int, Curve] = {
    **dict.fromkeys((1, 6, 14, 15), bt709_light),
    4: power(2.2),
    5: power(2.8),
    8: power(1.0),
    13: SRGB,
}


def jpeg_page(path: Path, bits: int, clean: CleanView) -> StoredPage:
    """A JPEG; its profile and EXIF as libvips finds them, or by a search where it refuses the file.

    Args:
        path: The file.
        bits: Of a sample.
        clean: Opens the file without what decoders stumble over.
    """
    try:
        image = pyvips.Image.jpegload(str(path), access="sequential")
    except pyvips.Error:
        image = None
    if image is None or image.bands == 4 or bits != 8:
        return _searched_jpeg(path, bits, clean)
    after, is_customary = _vips_exif_curve(image)
    icc = image.get("icc-profile-data") if image.get_typeof("icc-profile-data") else None
    icc = icc or _searched_icc(_head(path))
    channels = 1 if image.bands == 1 else 3
    return StoredPage(
        width=image.width,
        height=image.height,
        bits=8,
        channels=channels,
        orientation=_orientation(image),
        tone=StatedTone(icc=icc, after=after, is_customary=is_customary),
        strips=_strips(path, image, channels, partial(_decoded, imagecodecs.jpeg8_decode, clean)),
    )


def _searched_jpeg(path: Path, bits: int, clean: CleanView) -> StoredPage:
    """A JPEG that libvips does not open: of other depths, without loss, in inks, or odd."""
    data = path.read_bytes()
    is_ls = data.find(b"\xff\xf7", 0, data.find(b"\xff\xda")) > 0
    decode = imagecodecs.jpegls_decode if is_ls else imagecodecs.jpeg8_decode
    pixels = np.atleast_3d(_decoded(decode, clean, data))
    head = _head(path)
    inks = pixels.shape[2] == 4
    if inks and not _ADOBE.search(head):
        raise Unstated("The file does not say whether its inks are inverted")
    if inks:
        pixels = ~pixels  # as Adobe writes them: the less, the more ink
    exif = Image.Exif()
    exif.load(next((found[1] for found in _EXIF.finditer(head)), b""))
    after, is_customary = exif_curve(exif.get_ifd(34665).get(40961), None)
    colours = 1 if pixels.shape[2] < 3 else pixels.shape[2]
    return StoredPage(
        width=pixels.shape[1],
        height=pixels.shape[0],
        bits=bits,
        channels=colours,
        orientation=_within(exif.get(274, 1)),
        tone=StatedTone(icc=_searched_icc(head), after=after, is_customary=is_customary),
        strips=lambda: _cut(pixels[..., :colours]),
    )


def _head(path: Path) -> bytes:
    """What stands before a JPEG's first scan; of the first 16 MiB."""
    with path.open("rb") as file:
        data = file.read(16 << 20)
    return data[: data.find(b"\xff\xda")]


def _searched_icc(head: bytes) -> bytes | None:
    """A profile in as many segments as there are, in the order of their numbers."""
    numbered = sorted((found[1], _sized(head, found)) for found in _ICC.finditer(head))
    return b"".join(body for _, body in numbered) or None


def _sized(head: bytes, found: "re.Match[bytes]") -> bytes:
    """The part of a profile that a segment's length gives."""
    start = found.start() + 2
    return head[start + 16 : start + int.from_bytes(head[start : start + 2], "big")]


def _decoded(decode: Callable[[bytes], Codes], clean: CleanView, data: bytes) -> Codes:
    """Decode the file as it is, or without what the decoder stumbles over."""
    try:
        return decode(data)
    except RuntimeError:
        with clean() as file:
            return decode(file.read())


def png_page(path: Path, clean: CleanView) -> StoredPage:
    """A PNG; its chunks by a walk of its own."""
    image = pyvips.Image.new_from_file(str(path), access="sequential")
    decode = partial(_decoded, _png_pixels, clean)
    chunks = dict(_chunks(path))
    behind = Image.Exif()  # libvips knows that alone which stands before the data
    behind.load(b"" if image.get_typeof("exif-data") else chunks.get(b"eXIf", b""))
    bits = 16 if chunks[b"IHDR"][8] == 16 else 8
    is_grey = chunks[b"IHDR"][9] in {0, 4}
    tone = StatedTone(icc=_unpacked(chunks.get(b"iCCP")))
    exif, is_customary = _vips_exif_curve(image)
    if exif is None:
        exif, is_customary = exif_curve(behind.get_ifd(34665).get(40961), None)
    gamma = int.from_bytes(chunks.get(b"gAMA", b""), "big")
    if b"sRGB" in chunks:
        tone.after = SRGB
    elif 10_000 <= gamma <= 1_000_000:
        tone.after = power(100_000 / gamma)
    else:
        tone.after, tone.is_customary = exif, is_customary
    code_points = chunks.get(b"cICP", b"")
    if len(code_points) == 4 and code_points[1] in _TRANSFER and not code_points[2]:
        tone.before = _TRANSFER[code_points[1]]
        if not code_points[3]:
            tone.black_white = (16 << (bits - 8), 235 << (bits - 8))
    if len(chunks.get(b"cHRM", b"")) == 32 and b"sRGB" not in chunks and not code_points:
        tone.points = np.frombuffer(chunks[b"cHRM"], ">u4").reshape(4, 2) / 1e5
    return StoredPage(
        width=image.width,
        height=image.height,
        bits=bits,
        channels=1 if is_grey else 3,
        orientation=_within(behind.get(274, _orientation(image))),
        tone=tone,
        strips=_strips(path, image, 1 if is_grey else 3, decode),
    )


def _png_pixels(data: bytes) -> Codes:
    """Decode the critical chunks alone: of the others the decoder complains on the terminal."""
    kept, place = [data[:8]], 8
    while place + 8 <= len(data):
        size, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        if kind[:1].isupper() or kind == b"tRNS":
            kept.append(data[place : place + 12 + size])
        place += 12 + size
    return np.asarray(imagecodecs.png_decode(b"".join(kept)))


def jp2_page(path: Path, page: int, clean: CleanView) -> StoredPage:
    """A JPEG 2000: the codestream alone, or by Pillow, and the first colour specification.

    Of a JPX with several codestreams that which *page* counts.
    """
    data = path.read_bytes()
    head = data[: data.index(_CODESTREAM)]
    start = [one.end() - 4 for one in _CODESTREAMS.finditer(data)][page] if page else len(head)
    precision = (data[start + 42] & 0x7F) + 1
    whole = data[start:] if page else data
    pixels = _decoded(partial(_jp2_pixels, precision=precision), clean, whole)
    if pixels.dtype.kind == "i":  # as they are stored; others' decoders shift them
        pixels = (pixels.astype(np.int64) + (1 << precision - 1)).astype(f"u{pixels.itemsize}")
    pixels = _in_order(pixels, head)
    tone = StatedTone()
    known = (one.start() for one in re.finditer(rb"colr[\1-\3]", head))  # others are a vendor's
    at = next(known, -1)
    if at >= 4:
        size = int.from_bytes(head[at - 4 : at], "big")
        method, body = head[at + 4], head[at + 7 : at - 4 + size]
        if method in {2, 3}:
            tone.icc = body
        elif method == 1:
            space = int.from_bytes(body[:4], "big")
            tone.after, tone.is_customary = (SRGB, True) if space in {16, 17, 18} else (None, False)
            if space == _ROMM:
                tone.after, tone.points = _romm_light, _ROMM_POINTS
    colours = 1 if pixels.shape[2] < 3 else 3
    bits = 8 * pixels.dtype.itemsize if b"pclr" in head else precision
    if bits > 16:
        pixels, bits = pixels / ((1 << bits) - 1), 16
    return StoredPage(
        width=pixels.shape[1],
        height=pixels.shape[0],
        bits=bits,
        channels=colours,
        orientation=_exif_orientation(head),
        tone=tone,
        strips=lambda: _cut(pixels[..., :colours]),
    )


def _in_order(pixels: Codes, head: bytes) -> Codes:
    """Colours in the order that a channel definition gives them (T.800, I.5.3.6), if there is one.

    A palette's are in order already.
    """
    at = head.find(b"cdef")
    if at < 4 or b"pclr" in head:
        return pixels
    end = at - 4 + int.from_bytes(head[at - 4 : at], "big")
    rows = struct.iter_unpack(">3H", head[at + 6 : at + 6 + (end - at - 6) // 6 * 6])
    colours = sorted((place, one) for one, kind, place in rows if not kind and 0 < place < 4)
    order = [one for _, one in colours]
    is_whole = len(order) in {1, 3} and max(order) < pixels.shape[2]
    return pixels[..., order] if is_whole else pixels


def _romm_light(levels: Floats) -> Floats:
    """Light of ROMM RGB's codes (ISO 22028-2)."""
    return np.where(levels < 1 / 32, levels / 16, levels**1.8)


def _jp2_pixels(data: bytes, precision: int) -> Codes:
    """Pillow's decoder where it keeps the depth; palettes need the boxes, other depths do not."""
    if precision in {8, 16}:
        Image.MAX_IMAGE_PIXELS = None  # the limits of the settings have been passed
        with (
            contextlib.suppress(
                OSError, SyntaxError, ValueError
            ),  # what it refuses, others may not
            Image.open(io.BytesIO(data)) as picture,
        ):
            if picture.mode in {"L", "RGB", "I;16"} and (picture.mode != "RGB" or precision == 8):
                return np.atleast_3d(np.asarray(picture))
    start = data.index(_CODESTREAM)
    whole = b"pclr" in data[:start]
    pixels: Codes = imagecodecs.jpeg2k_decode(data if whole else data[start:], numthreads=1)
    return np.atleast_3d(pixels)


def _strips(
    path: Path, image: pyvips.Image, channels: int, decode: Callable[[bytes], Codes]
) -> Callable[[], Iterator[Codes]]:
    size = image.width * image.height * image.bands * (2 if image.format == "ushort" else 1)

    def at_once() -> Iterator[Codes]:
        yield from _cut(np.atleast_3d(decode(path.read_bytes()))[..., :channels])

    def streamed() -> Iterator[Codes]:
        region = pyvips.Region.new(image)
        dtype = np.uint16 if image.format == "ushort" else np.uint8
        for top in range(0, image.height, _ROWS):
            rows = min(_ROWS, image.height - top)
            strip: Codes = np.frombuffer(region.fetch(0, top, image.width, rows), dtype)
            yield strip.reshape(rows, image.width, image.bands)[..., :channels]

    return at_once if size <= WHOLE_BYTES else streamed


def _cut(pixels: Codes) -> Iterator[Codes]:
    for top in range(0, len(pixels), _ROWS):
        yield pixels[top : top + _ROWS]


def _chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """A PNG's small chunks that are whole, of each kind the first."""
    seen, is_behind = set(), False
    with path.open("rb") as file:
        file.seek(8)
        while True:
            head = file.read(8)
            size, kind = int.from_bytes(head[:4], "big"), head[4:]
            if len(head) < 8 or kind == b"IEND":
                return
            is_behind |= kind == b"IDAT"  # no statement but EXIF stands there
            if size < 8 << 20 and kind not in seen and (kind == b"eXIf" or not is_behind):
                body = file.read(size)
                if zlib.crc32(kind + body) == int.from_bytes(file.read(4), "big"):
                    seen.add(kind)
                    yield kind, body
                continue
            file.seek(size + 4, io.SEEK_CUR)


def _unpacked(body: bytes | None) -> bytes | None:
    if not body:
        return None
    try:
        return zlib.decompress(body[body.index(b"\0") + 2 :])
    except (zlib.error, ValueError):
        return None


def _vips_exif_curve(image: pyvips.Image) -> tuple[Curve | None, bool]:
    """EXIF by libexif, whose texts begin with the value."""
    if image.get_typeof("exif-ifd4-InteroperabilityIndex"):
        text = image.get("exif-ifd4-InteroperabilityIndex")
        if text.startswith("R03") and _exif_number(image, "exif-ifd2-ColorSpace") != 1:
            return power(563 / 256), False
    space = _exif_number(image, "exif-ifd2-ColorSpace")
    return exif_curve(space, _exif_number(image, "exif-ifd2-Gamma"))


def _exif_number(image: pyvips.Image, name: str) -> float | None:
    if not image.get_typeof(name):
        return None
    match = re.match(r"(\d+)(?:/(\d+))?", image.get(name))
    if match is None:
        return None
    above, below = int(match[1]), int(match[2] or 1)
    return above / below if below else None


def _orientation(image: pyvips.Image) -> int:
    return _within(image.get("orientation") if image.get_typeof("orientation") else 1)


def _within(orientation: object) -> int:
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _exif_orientation(head: bytes) -> int:
    """Of JP2's EXIF, which lies in a box before the codestream."""
    at = head.find(_EXIF_UUID)
    if at < 0:
        return 1
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + head[at + 16 :].removeprefix(b"Exif\0\0"))
    return _within(exif.get(274, 1))

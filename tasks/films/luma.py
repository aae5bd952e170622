"""Y′ of a decoded frame: the codes that colouring keeps, bit for bit.

Of pictures stored as grey or as Y′CbCr it is their own plane of Y′. Of R′G′B′ it is
round(0.2126 R′ + 0.7152 G′ + 0.0722 B′), ITU-R BT.709's, in whole codes: where the three are equal,
as they are in grey stored as RGB, it is they. Alpha plays no part.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from tasks.errors import UnsupportedFormat

Codes = NDArray[np.unsignedinteger[Any]]

#: FFmpeg's numbers for the range of codes.
LIMITED, FULL = 1, 2
#: Shares of R′ and B′ in Y′, by FFmpeg's number of the matrix: BT.709, FCC, BT.601, SMPTE 240M,
#: BT.2020. Others are taken for the usual one of the film's height.
LUMA_SHARES = {
    1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114),
    7: (0.212, 0.087), 9: (0.2627, 0.0593),
}  # fmt: skip
#: Depths that FFV1 stores; any other goes up to the next.
DEPTHS = (8, 9, 10, 12, 14, 16)
#: By columns and rows of chroma in a block of 16 × 16 pixels.
_SUBSAMPLED = {
    (16, 16): "444", (16, 8): "440", (8, 16): "422", (8, 8): "420", (4, 16): "411", (4, 4): "410"
}  # fmt: skip
_SHARES = (2126, 7152, 722)  # of R′, G′, B′, in 10,000


@dataclass(frozen=True)
class PictureFormat:
    """How a film's frames are stored.

    Attributes:
        name: FFmpeg's name of it.
        bits: A sample.
        is_grey: Whether it has no chroma at all.
        is_rgb: Whether it is R′G′B′, of a palette too.
        planar: The format in which the planes lie apart, in the machine's order of bytes.
    """

    name: str
    bits: int
    is_grey: bool
    is_rgb: bool
    planar: str


@lru_cache(maxsize=64)
def picture_format(name: str) -> PictureFormat:
    """Say how frames of one of FFmpeg's pixel formats are stored.

    Raises:
        UnsupportedFormat: They are of floating point, of one bit, grey with alpha, or a sensor's.
    """
    found = VideoFormat(name, 16, 16)
    colours = [one for one in found.components if not one.is_alpha]
    bits = max(one.bits for one in colours)
    is_rgb = found.is_rgb or found.has_palette
    is_odd = (
        found.is_bayer or "f32" in name or "f16" in name or name.startswith(("mono", "xyz", "ya"))
    )
    if is_odd or not 8 <= max(bits, 8) <= 16:
        raise UnsupportedFormat(
            f"pictures stored as {name} are not read; store the film with 8 to 16 bits of grey, "
            "Y′CbCr or RGB"
        )
    depth = next(one for one in DEPTHS if one >= (8 if found.has_palette else bits))
    suffix = "" if depth == 8 else f"{depth}le"
    is_grey = len(colours) == 1 and not is_rgb
    chroma = found.chroma_width(16), found.chroma_height(16)
    planar = ("gray" if is_grey else "gbrp" if is_rgb else f"yuv{_SUBSAMPLED[chroma]}p") + suffix
    lie_apart = found.is_planar and len({one.plane for one in colours}) == 3
    if is_grey:
        lie_apart = len(found.components) == 1
    is_native = not found.is_big_endian and "msb" not in name
    if lie_apart and is_native and bits == depth:
        planar = name
    return PictureFormat(name, depth, is_grey, is_rgb, planar)


def luma_of(frame: VideoFrame) -> Codes:
    """Y′ of a frame: uint8 or, of more than 8 bits, uint16, (H, W); it may not be written to.

    Raises:
        UnsupportedFormat: See `picture_format`.
    """
    planes = planes_of(frame, 3)
    if not picture_format(frame.format.name).is_rgb:
        return planes[0]
    green, blue, red = planes
    if np.array_equal(green, blue) and np.array_equal(green, red):
        return green
    total = np.full(green.shape, 5000, np.uint32)
    for plane, share in zip((red, green, blue), _SHARES, strict=True):
        total += plane.astype(np.uint32) * np.uint32(share)
    luma: Codes = (total // 10_000).astype(green.dtype)
    return luma


def planes_of(frame: VideoFrame, most: int) -> list[Codes]:
    """A frame's planes as FFmpeg orders them (Y′, Cb, Cr; or G′, B′, R′), so many at most."""
    stored = picture_format(frame.format.name)
    if frame.format.name != stored.planar:
        # The same range on both sides: codes are taken apart, and none is changed.
        frame = frame.reformat(format=stored.planar, src_color_range=FULL, dst_color_range=FULL)
    sample = np.dtype("u1" if stored.bits == 8 else "<u2")
    planes = []
    for plane in frame.planes[: 1 if stored.is_grey else most]:
        row = plane.line_size // sample.itemsize
        whole = np.frombuffer(memoryview(plane), sample)[: plane.height * row].reshape(
            plane.height, row
        )
        planes.append(whole[:, : plane.width])
    return planes


def range_of(frame: VideoFrame) -> int:
    """The range of a frame's codes, `LIMITED` or `FULL`: what it states, or what is usual."""
    stored = picture_format(frame.format.name)
    if stored.is_rgb or frame.format.name.startswith("yuvj"):
        return FULL
    return frame.color_range or (FULL if stored.is_grey else LIMITED)


def ends_of_codes(bits: int, code_range: int) -> tuple[int, int]:
    """The codes of black and of white."""
    if code_range == LIMITED:  # ITU-R BT.709, 4.2 and BT.2100, table 9
        return 16 << (bits - 8), 235 << (bits - 8)
    return 0, (1 << bits) - 1


@lru_cache(maxsize=16)
def light_of_codes(bits: int, code_range: int) -> NDArray[np.float32]:
    """Which share of the way from black to white each code is, float32 (2 ** bits,), in [0, 1]."""
    codes = np.arange(1 << bits, dtype=np.float64)
    black, white = ends_of_codes(bits, code_range)
    return np.clip((codes - black) / (white - black), 0, 1).astype(np.float32)

"""The tone gate: a written file is read back, through its profile, and compared with the scan.

Reading back is libvips's work, writing was tifffile's or the splice's: an error in one is not
hidden by the same error in the other.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pyvips
import simplejpeg
from numpy.typing import NDArray

from tasks.derivatives.colour import even_strips
from tasks.derivatives.policy import ToneCheck
from tasks.derivatives.splice import GreyJpeg, coded_data
from tasks.errors import ToneGateFailed, WriteUnverified
from tasks.scans.orient import Strip, TurnedStrips
from tasks.scans.reader import Scan
from tasks.scans.tone import Codes, ColourTone, colour_tone, lightness_from_light

Floats32 = NDArray[np.float32]

#: Largest |ΔL*| of any pixel of a lossless file, by the scan's depth.
MAX_DELTA_L = {8: 0.5, 16: 0.05}

#: Largest mean ΔL* of a lossy copy: coding adds noise to pixels, but may not shift the tone.
MAX_BIAS_L = 0.5

#: Of a splice, whose Y plane is compared as a whole, ΔL* is reported from about so many pixels.
_REPORTED_PIXELS = 2_000_000

_ROWS = 64
_CELLS = 1 << 16
_DTYPES = {"uchar": np.uint8, "ushort": np.uint16}


class _Tally:
    """Adds up differences of lightness, strip by strip."""

    def __init__(self) -> None:
        self._largest = 0.0
        self._absolute = 0.0
        self._signed = 0.0
        self._pixels = 0

    def add(self, difference: Floats32) -> None:
        absolute = np.abs(difference)
        self._largest = max(self._largest, float(absolute.max(initial=0)))
        self._absolute += float(absolute.sum(dtype=np.float64))
        self._signed += float(difference.sum(dtype=np.float64))
        self._pixels += difference.size

    def check(self, rule: str, *, luma_identical: bool | None = None) -> ToneCheck:
        """What was found; whether it passes is still open."""
        pixels = max(self._pixels, 1)
        return ToneCheck(
            max_delta_l=self._largest,
            mean_delta_l=self._absolute / pixels,
            bias_l=self._signed / pixels,
            luma_identical=luma_identical,
            rule=rule,
            passed=True,
        )


def check_master(path: Path, scan: Scan) -> ToneCheck:
    """Compare a lossless colour file with the scan, pixel by pixel.

    Raises:
        ToneGateFailed: Another size, fewer bits, or a pixel's L* is off by more than the gate.
        WriteUnverified: The file cannot be read back.
    """
    limit = MAX_DELTA_L[scan.header.bits]
    check = _compared(path, scan).check(f"max |ΔL*| ≤ {limit:g}")
    if check.max_delta_l > limit:
        raise _failed(path, f"a pixel's L* differs by {check.max_delta_l:.3f}, over {limit:g}")
    return check


def check_access(path: Path, scan: Scan) -> ToneCheck:
    """Compare a lossy colour file of the scan's size with the scan.

    Raises:
        ToneGateFailed: Another size, or the mean of ΔL* is off by more than the gate.
        WriteUnverified: The file cannot be read back.
    """
    check = _compared(path, scan, lossy=True).check(f"|mean ΔL*| ≤ {MAX_BIAS_L:g}")
    if abs(check.bias_l) > MAX_BIAS_L:
        raise _failed(path, f"L* differs by {check.bias_l:+.3f} on average, over {MAX_BIAS_L:g}")
    return check


def check_splice(path: Path, scan: Scan, grey: GreyJpeg, luma: NDArray[np.uint8]) -> ToneCheck:
    """Compare a spliced JPEG with the greyscale file: the same coded data, the same decoded Y.

    Both are compared whole. ΔL*, which is not zero, for a colour's luminance is not its Y, is only
    reported; of a large picture from evenly spaced rows.

    Args:
        path: The spliced file.
        scan: The scan.
        grey: Its file.
        luma: Its decoded Y plane, uint8 (H, W), as stored.

    Raises:
        ToneGateFailed: The luminance is not the scan's, bit for bit.
        WriteUnverified: The file cannot be read back.
    """
    written = path.read_bytes()
    if coded_data(written)[: len(grey.parsed.scans)] != [one.data for one in grey.parsed.scans]:
        raise _failed(path, "its coded luminance is not the scan's")
    if not np.array_equal(decoded_luma(written), luma):
        raise _failed(path, "its decoded luminance is not the scan's")
    del written
    every = -(-luma.size // _REPORTED_PIXELS)
    tally = _reported(path, scan, luma, every=every)
    seen = f"; ΔL* of every {every}th row" if every > 1 else ""
    return tally.check(f"the Y plane is the scan's, bit for bit{seen}", luma_identical=True)


def decoded_luma(data: bytes) -> NDArray[np.uint8]:
    """The Y plane of a JPEG file by libjpeg-turbo, uint8 (H, W), as stored.

    Raises:
        ValueError: libjpeg warns of something.
    """
    luma: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "GRAY")[..., 0]
    return np.ascontiguousarray(luma)


def _compared(path: Path, scan: Scan, *, lossy: bool = False) -> _Tally:
    tally = _Tally()
    try:
        found = even_strips(_upright_lightness(path, scan, lossy=lossy), _ROWS)
        expected = even_strips(scan.strips(_ROWS), _ROWS)
        for (_, lightness), (_, codes) in zip(found, expected, strict=True):
            tally.add(lightness - scan.tone.lightness.take(codes))
    except pyvips.Error as error:
        raise _unreadable(path, error) from error
    return tally


def _reported(path: Path, scan: Scan, luma: NDArray[np.uint8], *, every: int) -> _Tally:
    """Compare some rows of a spliced file with the scan's, as both are stored."""
    tally = _Tally()
    try:
        image = _opened(path, scan, lossy=True)
        if _orientation(image) != scan.header.orientation:
            raise _failed(path, f"its orientation is {_orientation(image)}")
        rule = colour_tone(image.get("icc-profile-data"), bits=8)
        for top, codes in _strips(image):
            rows = slice(-top % every, None, every)
            expected = scan.tone.lightness.take(luma[top : top + len(codes)][rows])
            tally.add(_lightness(codes[rows], rule) - expected)
    except pyvips.Error as error:
        raise _unreadable(path, error) from error
    return tally


def _upright_lightness(path: Path, scan: Scan, *, lossy: bool) -> Iterator[Strip]:
    """L* of the written file through its own profile, upright, in strips."""
    image = _opened(path, scan, lossy=lossy)
    rule = colour_tone(image.get("icc-profile-data"), bits=_bits(image))
    strips = (_lightness(codes, rule) for _, codes in _strips(image))
    return TurnedStrips(strips, _orientation(image)).upright(_ROWS, path.parent)


def _opened(path: Path, scan: Scan, *, lossy: bool) -> pyvips.Image:
    """The written file, to be read once; its depth, channels, profile and size are checked."""
    pyvips.cache_set_max(0)  # a streaming image is read once; a cached one would be found used up
    image = pyvips.Image.new_from_file(str(path), access="sequential", fail_on="warning")
    if _bits(image) < (8 if lossy else scan.header.bits) or image.bands != 3:
        raise _failed(path, f"it has {image.bands} bands of {image.format} samples")
    if image.get_typeof("icc-profile-data") == 0:
        raise _failed(path, "it has no colour profile")
    size = (image.width, image.height)
    size = size if _orientation(image) < 5 else size[::-1]
    expected = scan.header.width, scan.header.height
    if size != expected:
        raise _failed(
            path, f"it has {size[0]} × {size[1]} pixels, not {expected[0]} × {expected[1]}"
        )
    return image


def _bits(image: pyvips.Image) -> int:
    """Of a sample; 0 of what no derivative has."""
    return 8 * np.dtype(_DTYPES.get(image.format, np.void)).itemsize


def _orientation(image: pyvips.Image) -> int:
    return int(image.get("orientation")) if image.get_typeof("orientation") else 1


def _strips(image: pyvips.Image) -> Iterator[tuple[int, Codes]]:
    """Each strip's first row, and its codes, (rows, W, 3), as stored."""
    region = pyvips.Region.new(image)
    height, width, dtype = image.height, image.width, _DTYPES[image.format]
    for top in range(0, height, _ROWS):
        rows = min(_ROWS, height - top)
        codes: Codes = np.frombuffer(region.fetch(0, top, width, rows), dtype=dtype)
        yield top, codes.reshape(rows, width, 3)


def _lightness(codes: Codes, rule: ColourTone) -> Floats32:
    light = np.zeros(codes.shape[:2], np.float32)
    for channel, share in enumerate(rule.luminances):
        light += (np.float32(share) * rule.channels[channel]).take(codes[..., channel])
    np.sqrt(light, out=light)
    light *= _CELLS
    found = np.rint(light, out=light).astype(np.int32)
    lightness: Floats32 = _lightness_of_roots().take(found, mode="clip")
    return lightness


@cache
def _lightness_of_roots() -> Floats32:
    """L* over the square root of light: within 0.0015, at a quarter of a cube root's time."""
    roots = np.linspace(0, 1, _CELLS + 1)
    return lightness_from_light(roots * roots).astype(np.float32)


def _unreadable(path: Path, error: pyvips.Error) -> WriteUnverified:
    words = " ".join(str(error).split())
    return WriteUnverified(
        f"{path.name} cannot be read back: {words}; check the disk under the scratch folder"
    )


def _failed(path: Path, what: str) -> ToneGateFailed:
    return ToneGateFailed(
        f"{path.name}: {what}; nothing is published. Report it with the scan: this is our fault"
    )

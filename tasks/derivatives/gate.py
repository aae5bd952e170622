"""The tone gate: a written file is read back, and compared with the scan, both by other paths.

The scan is read a second time, by libraries that the reader does not use (`second_reading`): a
wrong reading is found out, not confirmed. The written file is read by libvips, where tifffile or
the splice wrote it. Lightness is lcms's on both sides.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
import simplejpeg
from numpy.typing import NDArray

from tasks.derivatives.policy import ToneCheck
from tasks.derivatives.second_reading import (
    Light,
    OtherPage,
    Place,
    Refuted,
    SecondReading,
    Unstated,
    light_of_profile,
    read_again,
)
from tasks.derivatives.splice import GreyJpeg, coded_data
from tasks.errors import ToneGateFailed, WriteUnverified
from tasks.scans.reader import Scan

Floats32 = NDArray[np.float32]
Samples = NDArray[Any]

#: Largest |ΔL*| of any pixel of a lossless file, by the scan's depth.
MAX_DELTA_L = {8: 0.5, 16: 0.05, 32: 0.005}

#: Largest |ΔL*| of any grey between a spliced file's profile and the scan's tone.
MAX_CURVE_L = 0.1

#: Largest mean ΔL* of a lossy copy: coding adds noise to pixels, but may not shift the tone.
MAX_BIAS_L = 0.5

#: Of a splice, whose Y plane is compared as a whole, ΔL* is reported from about so many pixels.
_REPORTED_PIXELS = 1 << 17
#: Pixels of it that are decoded at once.
_REPORTED_AT_ONCE = 1 << 20

_ROWS, _TURNED_ROWS = 64, 256  # turned strips lie across the written tiles, which are 256 wide
_DTYPES = {
    name: np.dtype(dtype)
    for name, dtype in {
        "uchar": np.uint8,
        "ushort": np.uint16,
        "uint": np.uint32,
        "float": np.float32,
    }.items()
}

# What decoders raise at files that they cannot read; memory and disks are other errors.
_UNREAD = (
    ArithmeticError, AttributeError, EOFError, LookupError, RuntimeError, SyntaxError, TypeError,
    ValueError, pyvips.Error, struct.error,
)  # fmt: skip


class _NoSecondReading(Exception):
    """The scan is not read a second time; the message tells a person why."""


class _FirstReading:
    """The reader's own lightness, where there is no second: it shows errors of writing only."""

    is_turned = False

    def __init__(self, scan: Scan) -> None:
        self._scan = scan

    def strips(self, rows: int) -> Iterator[tuple[int, Floats32]]:
        """L* from top to bottom, upright."""
        is_deep = self._scan.header.sample_type.itemsize > 2
        for top, codes in self._scan.level_strips(rows) if is_deep else self._scan.strips(rows):
            yield top, self._scan.tone.lightness_of(codes)

    def place(self, top: int, rows: int) -> Place:
        """Rows lie where they are."""
        return Place(0, top, self._scan.header.width, rows)

    def as_stored(self, part: Floats32) -> Floats32:
        """A part as it is."""
        return part


class _Tally:
    """Adds up differences of lightness, strip by strip."""

    def __init__(self) -> None:
        self._largest = 0.0
        self._absolute = 0.0
        self._signed = 0.0
        self._pixels = 0

    def add(self, difference: Floats32) -> None:
        absolute = np.abs(difference)
        # What is no number is no agreement: compared with a limit, it would pass.
        largest = float(absolute.max(initial=0))
        self._largest = max(self._largest, largest if np.isfinite(largest) else np.inf)
        self._absolute += float(absolute.sum(dtype=np.float64))
        self._signed += float(difference.sum(dtype=np.float64))
        self._pixels += difference.size

    def check(self, rule: str, *, luma_identical: bool | None = None, doubt: str = "") -> ToneCheck:
        """What was found; whether it passes is still open."""
        pixels = max(self._pixels, 1)
        return ToneCheck(
            max_delta_l=self._largest,
            mean_delta_l=self._absolute / pixels,
            bias_l=self._signed / pixels,
            luma_identical=luma_identical,
            rule=rule,
            passed=True,
            doubt=doubt,
        )


def check_files(
    master: Path, scan: Scan, *, copy: Path | None = None
) -> tuple[ToneCheck, ToneCheck | None]:
    """Compare a lossless colour file with the scan, pixel by pixel, and a lossy copy with it.

    Args:
        master: The lossless file, upright.
        scan: The scan.
        copy: A lossy one of the scan's size that was made from it, if there is one.

    Returns:
        What was found of the master, and of the copy: how that differs from the master, with how
        the master differs from the scan added.

    Raises:
        ToneGateFailed: Another size, fewer bits, a pixel's L* in the master is off by more than the
            gate, or the mean of ΔL* in the copy is.
        WriteUnverified: A file cannot be read back.
    """
    limit = MAX_DELTA_L[scan.header.bits]
    doubt = ""
    try:
        lossless, lossy = _compare(master, scan, _read_again(master, scan), copy)
    except _NoSecondReading as error:
        doubt = str(error)
        lossless, lossy = _compare(master, scan, _FirstReading(scan), copy)
    check = lossless.check(f"max |ΔL*| ≤ {limit:g}", doubt=doubt)
    if check.max_delta_l > limit:
        raise _failed(master, f"a pixel's L* differs by {check.max_delta_l:.3f}, over {limit:g}")
    return check, _checked_copy(copy, lossy, check) if copy else None


def _compare(
    master: Path, scan: Scan, again: "SecondReading | _FirstReading", copy: Path | None
) -> tuple[_Tally, _Tally]:
    """Add up how the master differs from the scan, and its copy from the master."""
    lossless, lossy = _Tally(), _Tally()
    upright = _WrittenLightness(master, scan, is_turned=again.is_turned)
    # One look at the master serves both, unless its parts are asked for in another order.
    beside = _WrittenLightness(copy, scan, is_lossy=True) if copy and not again.is_turned else None
    strips = again.strips(_TURNED_ROWS if again.is_turned else _ROWS)
    for top, expected in _told(master, strips):
        part = again.place(top, len(expected))
        found = upright.lightness(part)
        lossless.add(again.as_stored(found) - expected)
        if beside:
            lossy.add(beside.lightness(part) - found)
    if copy and again.is_turned:
        written, whole = (
            _WrittenLightness(copy, scan, is_lossy=True),
            _WrittenLightness(master, scan),
        )
        for top in range(0, whole.height, _ROWS):
            part = Place(0, top, whole.width, min(_ROWS, whole.height - top))
            lossy.add(written.lightness(part) - whole.lightness(part))
    return lossless, lossy


def _checked_copy(path: Path, tally: _Tally, master: ToneCheck) -> ToneCheck:
    found = tally.check(f"|mean ΔL*| ≤ {MAX_BIAS_L:g}")
    check = replace(
        found,
        max_delta_l=found.max_delta_l + master.max_delta_l,
        mean_delta_l=found.mean_delta_l + master.mean_delta_l,
        bias_l=found.bias_l + master.bias_l,
    )
    if not abs(check.bias_l) <= MAX_BIAS_L:
        raise _failed(path, f"L* differs by {check.bias_l:+.3f} on average, over {MAX_BIAS_L:g}")
    return check


def check_splice(path: Path, scan: Scan, grey: GreyJpeg, luma: NDArray[np.uint8]) -> ToneCheck:
    """Compare a spliced JPEG with the greyscale file: the same coded data, the same decoded Y.

    Both are compared whole, and so is what each grey means under the two profiles. ΔL* of pixels,
    which is not zero, for a colour's luminance is not its Y, is only reported; of a large picture
    from evenly spaced rows.

    Args:
        path: The spliced file.
        scan: The scan.
        grey: Its file.
        luma: Its decoded Y plane, uint8 (H, W), as stored.

    Raises:
        ToneGateFailed: The luminance is not the scan's, bit for bit, or means another lightness.
        WriteUnverified: The file cannot be read back.
    """
    written = path.read_bytes()
    if coded_data(written)[: len(grey.parsed.scans)] != [one.data for one in grey.parsed.scans]:
        raise _failed(path, "its coded luminance is not the scan's")
    if not np.array_equal(decoded_luma(written), luma):
        raise _failed(path, "its decoded luminance is not the scan's")
    del written
    light, doubt = _grey_light(path, scan)
    every = -(-luma.size // _REPORTED_PIXELS)
    tally = _reported(path, scan, light, luma, every=every)
    seen = f"; ΔL* of one row in {every}" if every > 1 else ""
    return tally.check(
        f"the Y plane is the scan's, bit for bit{seen}", luma_identical=True, doubt=doubt
    )


def _grey_light(path: Path, scan: Scan) -> tuple[Light, str]:
    """What the scan's greys mean by the second reading, or the first where there is none."""
    try:
        again = _read_again(path, scan)
    except _NoSecondReading as error:
        return Light(scan.tone.linear[None]), str(error)
    if again.page.orientation != scan.header.orientation:
        raise _failed(path, f"the scan's orientation is {again.page.orientation}")
    return again.light, ""


def decoded_luma(data: bytes) -> NDArray[np.uint8]:
    """The Y plane of a JPEG file by libjpeg-turbo, uint8 (H, W), as stored.

    Raises:
        ValueError: libjpeg warns of something.
    """
    luma: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "GRAY")[..., 0]
    return np.ascontiguousarray(luma)


def _reported(
    path: Path, scan: Scan, meant: Light, luma: NDArray[np.uint8], *, every: int
) -> _Tally:
    """Compare all greys, and some rows, of a spliced file with the scan's, as both are stored."""
    tally = _Tally()
    with _read_back(path):
        image = _opened(path, scan, is_lossy=True)
        if _orientation(image) != scan.header.orientation:
            raise _failed(path, f"its orientation is {_orientation(image)}")
        light = _light(path, image)
        _check_greys(path, light, meant)
        region = pyvips.Region.new(image)
        height = max(_ROWS, _REPORTED_AT_ONCE // image.width)
        for top in range(0, image.height, height):
            rows = slice(-top % every, None, every)
            part = Place(0, top, image.width, min(height, image.height - top))
            codes = luma[top : top + part.height][rows, :, None]
            found = light.lightness(_codes(image, region, part)[rows])
            tally.add(found - meant.lightness(codes))
    return tally


def _check_greys(path: Path, written: Light, scan: Light) -> None:
    ramp = np.arange(256, dtype=np.uint8)[None, :, None]
    greys = written.lightness(np.repeat(ramp, 3, axis=2)) - scan.lightness(ramp)
    worst = int(np.abs(greys).argmax())  # NaN counts as the largest
    if not abs(greys[0, worst]) <= MAX_CURVE_L:
        raise _failed(
            path, f"grey {worst} has an L* that differs by {greys[0, worst]:+.3f} under its profile"
        )


def _read_again(path: Path, scan: Scan) -> SecondReading:
    try:
        again = read_again(scan)
    except OtherPage as error:
        raise _failed(path, f"the scan was misread: {error}") from error
    except Unstated as error:
        raise _NoSecondReading(f"{error}; the reader had to guess.") from error
    except _UNREAD as error:
        raise _NoSecondReading(_only_one(error)) from error
    if again.size != (scan.header.width, scan.header.height):
        raise _failed(path, f"the scan is read a second time with {again.size} pixels")
    return again


def _told(path: Path, strips: Iterator[tuple[int, Floats32]]) -> Iterator[tuple[int, Floats32]]:
    """Strips of a reading, whose errors are not those of the written file."""
    while True:
        try:
            strip = next(strips, None)
        except Refuted as error:
            raise _failed(path, f"the scan was misread: {error}") from error
        except _UNREAD as error:
            raise _NoSecondReading(_only_one(error)) from error
        if strip is None:
            return
        yield strip


def _only_one(error: Exception) -> str:
    words = " ".join((str(error) or type(error).__name__).split())
    return (
        "Its tone rests on one reading: the other libraries, by which the gate reads it again, do "
        f"not read such a file (in their words: {words[:200]})."
    )


class _WrittenLightness:
    """L* of a written file through its own profile, in parts from top to bottom, or of any order.

    Args:
        is_turned: Whether parts are asked for in another order.
    """

    def __init__(
        self, path: Path, scan: Scan, *, is_lossy: bool = False, is_turned: bool = False
    ) -> None:
        self._path = path
        with _read_back(path):
            self._image = _opened(path, scan, is_lossy=is_lossy, is_turned=is_turned)
            self._region = pyvips.Region.new(self._image)
        self._light = _light(path, self._image)
        self.width, self.height = int(self._image.width), int(self._image.height)
        if _orientation(self._image) != 1:
            raise _failed(path, f"its orientation is {_orientation(self._image)}")

    def lightness(self, part: Place) -> Floats32:
        """Of a part, float32 (height, width)."""
        with _read_back(self._path):
            codes = _codes(self._image, self._region, part)
        return self._light.lightness(codes)


def _codes(image: pyvips.Image, region: pyvips.Region, part: Place) -> Samples:
    """Codes of 8 or 16 bits; of deeper samples levels in [0, 1]."""
    data = region.fetch(part.left, part.top, part.width, part.height)
    codes: Samples = np.frombuffer(data, dtype=_DTYPES[image.format])
    if codes.dtype == np.uint32:
        codes = codes / np.iinfo(np.uint32).max
    return codes.reshape(part.height, part.width, 3)


def _light(path: Path, image: pyvips.Image) -> Light:
    icc = image.get("icc-profile-data")
    found = light_of_profile(icc, codes=1 << min(16, _bits(image)), channels=3)
    if found is None:
        raise _failed(path, "the colour engine refuses its profile")
    return found


def _opened(path: Path, scan: Scan, *, is_lossy: bool, is_turned: bool = False) -> pyvips.Image:
    """The written file; its depth, channels, profile and size are checked."""
    pyvips.cache_set_max(0)  # a streaming image is read once; a cached one would be found used up
    access = "random" if is_turned else "sequential"
    load = pyvips.Image.jpegload if is_lossy else pyvips.Image.tiffload
    image = load(str(path), access=access, fail_on="warning")
    needed = np.dtype(np.uint8) if is_lossy else scan.header.sample_type
    is_float = image.format == "float"
    if _bits(image) < 8 * needed.itemsize or is_float < (needed.kind == "f") or image.bands != 3:
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
    return 8 * _DTYPES[image.format].itemsize if image.format in _DTYPES else 0


def _orientation(image: pyvips.Image) -> int:
    return int(image.get("orientation")) if image.get_typeof("orientation") else 1


@contextmanager
def _read_back(path: Path) -> Iterator[None]:
    """Tell of a written file that libvips cannot read.

    Raises:
        WriteUnverified: It cannot.
    """
    try:
        yield
    except pyvips.Error as error:
        words = " ".join(str(error).split())
        raise WriteUnverified(
            f"{path.name} cannot be read back: {words}; check the disk under the scratch folder"
        ) from error


def _failed(path: Path, what: str) -> ToneGateFailed:
    return ToneGateFailed(
        f"{path.name}: {what}; nothing is published. Report it with the scan: this is our fault"
    )

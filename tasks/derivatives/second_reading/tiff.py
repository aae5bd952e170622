"""A page of a TIFF by tifffile, which shares no code with libtiff: tags, strips and tiles."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import tifffile
from numpy.typing import NDArray
from tifffile import COMPRESSION, PHOTOMETRIC, SAMPLEFORMAT

from tasks.derivatives.second_reading.light import Floats, light_of_lightness
from tasks.derivatives.second_reading.page import CleanView, Codes, StoredPage
from tasks.derivatives.second_reading.tone import SRGB, Curve, StatedTone, Unstated, power

_REDUCED, _MASK, _OLD_REDUCED = 0b001, 0b100, 2  # of NewSubfileType, and SubfileType
_LAB = {
    PHOTOMETRIC.CIELAB,
    PHOTOMETRIC.ICCLAB,
    PHOTOMETRIC.ITULAB,
}  # of which L* alone is looked at
_CHANNELS: dict[int, int] = {
    PHOTOMETRIC.SEPARATED: 4,
    **dict.fromkeys((PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK, *_LAB), 1),
    **dict.fromkeys((PHOTOMETRIC.RGB, PHOTOMETRIC.PALETTE, PHOTOMETRIC.YCBCR), 3),
}
_SENSIBLE = {
    "BitsPerSample": (1, 64), "Compression": (1, 65535), "RowsPerStrip": (1, 1 << 32),
    "SampleFormat": (1, 6),
}  # fmt: skip
_BLOCK_BYTES = 1 << 22  # what is read at once of uncompressed data


class OtherPage(Exception):
    """The directory that the reader took is not the page that was asked for."""


@dataclass(frozen=True)
class _Samples:
    """What a page's stored numbers are.

    Attributes:
        kind: Photometric sense.
        format: Unsigned, signed, floating point, or of no type.
        bits: Of a sample.
        low, high: The range that is stated; NaN where none is.
    """

    kind: int
    format: int
    bits: int
    low: float
    high: float

    @property
    def are_codes(self) -> bool:
        """Whether stored numbers are codes already."""
        return self.format in {1, 4} and self.bits <= 16

    @property
    def is_deep(self) -> bool:
        """Whether 16 bits do not hold them."""
        return self.format == SAMPLEFORMAT.IEEEFP or self.bits > 16

    @property
    def given_bits(self) -> int:
        """Bits of the codes that are given: numbers that are none are made codes of 16 bits."""
        if self.kind == PHOTOMETRIC.PALETTE:
            return 16 if self.bits > 8 else 8
        return self.bits if self.are_codes else 16

    def levels(self, strip: NDArray[Any]) -> Codes:
        """Places of signed, floating-point or longer numbers in the range that is stated.

        Those that 16 bits hold come as codes of 16 bits, as the reader has them.
        """
        low, high, reach = self.low, self.high, 2.0**self.bits
        if not low < high:
            if self.format == SAMPLEFORMAT.IEEEFP:
                raise ValueError("floating point of no stated range")
            low = -reach / 2 if self.format == SAMPLEFORMAT.INT else 0.0
            high = low + reach - 1
        if not np.isfinite(strip).all():
            raise ValueError("samples that are no finite numbers")
        numbers = strip.astype(np.float64)
        if self.format == SAMPLEFORMAT.INT and strip.dtype.kind == "u":  # as in a clean view
            numbers -= np.where(numbers >= reach / 2, reach, 0)
        share = np.clip((numbers - low) / (high - low), 0, 1)
        return share if self.is_deep else np.rint(share * 65535).astype(np.uint16)


def tiff_page(path: Path, page: int, directory: int, clean: CleanView) -> StoredPage:
    """Find a page.

    Args:
        path: The file.
        page: Its number, from 0, among pages.
        directory: Where the reader found it; that is checked.
        clean: Opens the file with a directory of what the pixels need; it is asked where tags that
            say how they are stored are missing, or mean nothing.

    Raises:
        OtherPage: That directory is another page.
        Unstated: No tag says what the samples mean.
        ValueError: The page is of a kind that is not read here.
    """
    with tifffile.TiffFile(path) as file:
        check_directory(file, page, directory)
        found = _directory(file, directory)
        if "PhotometricInterpretation" not in found.tags:
            raise Unstated("The file does not say whether its 0 is black or white")
        opened = partial(_opened, path, directory, clean if _is_odd(found) else None)
        with opened() as (_, layout):
            samples = _samples(found, layout)
            size = layout.imagewidth, layout.imagelength
            is_ycbcr = samples.kind == PHOTOMETRIC.YCBCR
            is_plain_ycbcr = is_ycbcr and layout.compression != COMPRESSION.JPEG
        if samples.kind not in _CHANNELS or (is_plain_ycbcr and samples.bits != 8):
            raise ValueError(
                f"photometric sense {samples.kind} in compression {int(layout.compression)}"
            )
        orientation = int(_first(found, "Orientation", 1))
        return StoredPage(
            width=size[0],
            height=size[1],
            bits=samples.given_bits,
            channels=_CHANNELS[samples.kind],
            orientation=orientation if 1 <= orientation <= 8 else 1,
            tone=_stated(found, samples),
            strips=lambda: _strips(opened, samples),
            is_min_white=samples.kind == PHOTOMETRIC.MINISWHITE,
            has_range=samples.low < samples.high,
        )


def _is_odd(page: tifffile.TiffPage) -> bool:
    """Whether tags that say how pixels are stored are missing, or mean nothing."""
    return "BitsPerSample" not in page.tags or any(
        tag in page.tags and not least <= _first(page, tag, -1) <= most
        for tag, (least, most) in _SENSIBLE.items()
    )


@contextmanager
def _opened(
    path: Path, directory: int, clean: CleanView | None
) -> Iterator[tuple[tifffile.TiffFile, tifffile.TiffPage]]:
    """Open the file, or its clean view, which has one directory."""
    with ExitStack() as stack:
        source = stack.enter_context(clean()) if clean else path
        file = stack.enter_context(tifffile.TiffFile(source))
        yield file, _directory(file, 0 if clean else directory)


def _samples(page: tifffile.TiffPage, layout: tifffile.TiffPage) -> _Samples:
    """What the samples are: by the page's own tags where they say it."""
    own = int(_first(page, "SampleFormat", 1))
    return _Samples(
        kind=int(_first(page, "PhotometricInterpretation", -1)),
        format=own if 1 <= own <= 4 else 1,
        bits=int(layout.bitspersample),
        low=_first(page, "SMinSampleValue", np.nan),
        high=_first(page, "SMaxSampleValue", np.nan),
    )


def check_directory(file: tifffile.TiffFile, page: int, directory: int) -> None:
    """See that a directory is the page: the one with as many pages before it.

    Masks are none. One that is marked as reduced, or is much smaller than another, may be a
    thumbnail or a level of a pyramid: then the reader's word is taken for it.
    """
    seen = _seen(*_identity(file))
    for number in range(len(seen), directory + 1):
        found = _directory(file, number)
        is_reduced = found.subfiletype & _REDUCED or _first(found, "SubfileType", 0) == _OLD_REDUCED
        pixels = 0 if is_reduced else found.imagewidth * found.imagelength
        seen.append(None if found.subfiletype & _MASK else pixels)
    sizes = [size for size in seen[: directory + 1] if size is not None]
    before = sizes if seen[directory] is None else sizes[:-1]
    small = sum(2 * size <= max(sizes) for size in before)
    is_none = seen[directory] is None and bool(sizes)
    if is_none or not len(before) - small <= page <= len(before):
        raise OtherPage(f"page {page + 1} is not directory {directory + 1}")


def _identity(file: tifffile.TiffFile) -> tuple[int, ...]:
    found = Path(file.filehandle.path).stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@lru_cache(maxsize=4)
def _seen(*_identity: int) -> list[int | None]:
    """Pixels of a file's directories, as far as they have been looked at.

    None of masks, and 0 of those that are marked as reduced.
    """
    return []


def _directory(file: tifffile.TiffFile, number: int) -> tifffile.TiffPage:
    return cast("tifffile.TiffPage", file.pages[number])  # frames come only where asked for


def _first(page: tifffile.TiffPage, tag: str, default: float) -> float:
    value = page.tags.valueof(tag, default)
    value = value[0] if isinstance(value, tuple | list) and value else value
    return float(value) if isinstance(value, int | float) else default


def _numbers(page: tifffile.TiffPage, tag: str, *, pairs: bool = False) -> Floats:
    """A tag's numbers; rationals, which come as pairs, divided."""
    value = page.tags.valueof(tag)
    if value is None or isinstance(value, str | bytes):
        return np.empty(0)
    found = np.atleast_1d(np.array(value, dtype=np.float64))
    tagged = page.tags.get(tag)
    if pairs and tagged is not None and int(tagged.dtype) in {5, 10}:
        found = found[::2] / np.maximum(found[1::2], 1e-12)
    return found


def _stated(page: tifffile.TiffPage, samples: _Samples) -> StatedTone:
    kind, bits = samples.kind, samples.given_bits
    if kind in _LAB:
        full = 65280 if kind == PHOTOMETRIC.ICCLAB and bits == 16 else (1 << bits) - 1
        lightness = np.minimum(np.arange(1 << bits) * (100 / full), 100)
        return StatedTone(tables=[light_of_lightness(lightness)[None]])
    icc = page.tags.valueof("InterColorProfile")
    after, is_customary = _exif_curve(page)
    white, primaries = (
        _numbers(page, "WhitePoint", pairs=True),
        _numbers(page, "PrimaryChromaticities", pairs=True),
    )
    has_points = white.size == 2 and primaries.size == 6
    return StatedTone(
        icc=bytes(icc) if icc else None,
        after=after,
        tables=[] if samples.is_deep else list(_tables(page, 1 << bits)),
        points=np.concatenate([white, primaries]).reshape(4, 2) if has_points else None,
        black_white=_reference(page, samples),
        max_sample=0 if samples.is_deep else int(_first(page, "MaxSampleValue", 0)),
        is_customary=is_customary,
    )


def _tables(page: tifffile.TiffPage, size: int) -> Iterator[Floats]:
    """TransferFunction is light in 16 bits, GrayResponseCurve density in a power of ten's parts."""
    transfer, density = _numbers(page, "TransferFunction"), _numbers(page, "GrayResponseCurve")
    if transfer.size in {size, 3 * size}:
        yield transfer.reshape(-1, size) / 65535
    unit = int(_first(page, "GrayResponseUnit", 2))
    if density.size == size and 1 <= unit <= 5:
        yield 1 / 10 ** (density[None] / 10**unit)


def _reference(page: tifffile.TiffPage, samples: _Samples) -> tuple[float, float] | None:
    """Black and white, of the codes that are given; stored ones may be deeper."""
    values, full = _numbers(page, "ReferenceBlackWhite", pairs=True), (1 << samples.bits) - 1
    is_meant = samples.kind in {PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR}
    if not is_meant or values.size < 6 or samples.format == SAMPLEFORMAT.IEEEFP:
        return None
    given = ((1 << samples.given_bits) - 1) / full
    black, white = int(values[0]), min(int(values[1]), full)
    is_even = samples.kind == PHOTOMETRIC.YCBCR or len({*values[::2]}) == len({*values[1::2]}) == 1
    if not is_even or not 0 <= black < white or (black, white) == (0, full):
        return None
    return black * given, white * given


def _exif_curve(page: tifffile.TiffPage) -> tuple[Curve | None, bool]:
    exif = page.tags.valueof("ExifTag")
    if not isinstance(exif, dict):
        return None, False
    gamma = exif.get("Gamma")
    if isinstance(gamma, tuple) and len(gamma) == 2 and gamma[1]:
        gamma = gamma[0] / gamma[1]
    return exif_curve(exif.get("ColorSpace"), gamma if isinstance(gamma, int | float) else None)


def exif_curve(space: object, gamma: float | None) -> tuple[Curve | None, bool]:
    """What EXIF's ColorSpace and Gamma mean, and whether that is written unasked."""
    if space == 1:
        return SRGB, True
    if space == 2:
        return power(563 / 256), False
    if gamma and 0.1 <= gamma <= 10:
        return power(gamma), False
    return None, False


def _strips(
    opened: Callable[[], AbstractContextManager[tuple[tifffile.TiffFile, tifffile.TiffPage]]],
    samples: _Samples,
) -> Iterator[Codes]:
    """Codes of colour channels, palettes looked up."""
    with opened() as (file, page):
        palette = _palette(page, samples) if samples.kind == PHOTOMETRIC.PALETTE else None
        for strip in _bands(file, page):
            if palette is not None:
                yield palette[strip[..., 0]]
            else:
                colours = strip[..., : _CHANNELS[samples.kind]]
                if samples.kind == PHOTOMETRIC.YCBCR and page.compression != COMPRESSION.JPEG:
                    colours = _rgb(colours)
                yield colours if samples.are_codes else samples.levels(colours)


def _rgb(samples: Codes) -> Codes:
    """RGB of YCbCr of 8 bits, by the coefficients of BT.601 (TIFF 6.0, section 21)."""
    offset = samples.astype(np.float64) - (0, 128, 128)
    matrix = np.array([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]])
    found: Codes = np.rint(np.clip(offset @ matrix.T, 0, 255)).astype(np.uint8)
    return found


def _palette(page: tifffile.TiffPage, samples: _Samples) -> Codes:
    """Colours, (codes, 3), of 8 bits: the upper half of the map's 16, or all where it has but 8."""
    colours = np.array(page.colormap, dtype=np.uint16).T
    if samples.given_bits > 8:
        return colours
    return (colours >> 8 if colours.max() > 255 else colours).astype(np.uint8)


def _bands(file: tifffile.TiffFile, page: tifffile.TiffPage) -> Iterator[Codes]:
    """Rows of tiles, or strips, with all samples, (rows, W, samples)."""
    width, height = page.imagewidth, page.imagelength
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    rows, columns = (
        (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, width)
    )
    rows = min(rows, height)
    across, down = -(-width // columns), -(-height // rows)
    if planes == 1 and not page.is_tiled and _is_plain(page):
        yield from _plain_rows(file, page, rows)
        return
    for row in range(down):
        count = min(rows, height - row * rows)
        band = np.empty((count, across * columns, page.samplesperpixel), page.dtype)
        for plane in range(planes):
            for column in range(across):
                number = (plane * down + row) * across + column
                piece = _piece(file, page, number)[:count]
                left = column * columns
                target = band[:, left : left + piece.shape[1]]
                if planes > 1:
                    target[..., plane] = piece[..., 0]
                else:
                    target[...] = piece
        yield band[:, :width]


def _is_plain(page: tifffile.TiffPage) -> bool:
    return page.compression == 1 and page.bitspersample in {8, 16} and page.fillorder == 1


def _plain_rows(file: tifffile.TiffFile, page: tifffile.TiffPage, rows: int) -> Iterator[Codes]:
    """Uncompressed strips, a few rows at a time: one strip may hold all of a large picture."""
    dtype = np.dtype(page.dtype).newbyteorder(file.byteorder)
    shape = page.imagewidth, page.samplesperpixel
    row_bytes = shape[0] * shape[1] * dtype.itemsize
    most = max(1, _BLOCK_BYTES // row_bytes)
    for number, offset in enumerate(page.dataoffsets[: -(-page.imagelength // rows)]):
        left = min(rows, page.imagelength - number * rows)
        file.filehandle.seek(offset)
        while left:
            count = min(most, left)
            data = file.filehandle.read(count * row_bytes)
            yield np.frombuffer(data, dtype).reshape(count, *shape).astype(page.dtype)
            left -= count


def _piece(file: tifffile.TiffFile, page: tifffile.TiffPage, number: int) -> Codes:
    """A decoded strip or tile, (rows, W, samples)."""
    file.filehandle.seek(page.dataoffsets[number])
    data = file.filehandle.read(page.databytecounts[number])
    decoded: Any = page.decode(
        data, number, jpegtables=page.jpegtables, jpegheader=page.jpegheader
    )[0]
    if decoded is None:
        raise ValueError(f"piece {number + 1} is empty")
    piece: Codes = decoded[0]
    return piece

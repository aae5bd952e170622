"""Strips and tiles of a TIFF, decoded one by one by tifffile and the codecs of imagecodecs."""

import math
import zlib
from typing import Any, BinaryIO, cast

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from tasks.errors import AutochromeError, UnreadableScan
from tasks.scans.formats.source import BLOCK_BYTES, ByteSource, damaged
from tasks.scans.formats.structure import Photometric, Structure, Values
from tasks.scans.formats.tiffchain import LOOK_CELLS, Look
from tasks.scans.resample import resize

Array = NDArray[Any]
Codes = NDArray[Any]  # uint8 or uint16; levels, float32 or float64, of deep samples

#: What tifffile and the codecs raise at damaged data.
DAMAGE = (RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, OSError)


class Pieces:
    """A TIFF page, decoded where it is asked for; memory is that of a row of pieces."""

    def __init__(self, source: ByteSource, structure: Structure) -> None:
        """Open a page that may be read while *source* is open.

        Raises:
            UnreadableScan: The library makes no sense of it.
        """
        self._structure = structure
        self._file = source.assembled(structure.parts)
        try:
            self._page = cast("tifffile.TiffPage", tifffile.TiffFile(self._file).pages[0])
            self._decode = self._page.decode
        except DAMAGE as error:
            raise _damaged(error) from error
        page = self._page
        self._rows = int(page.tilelength if page.is_tiled else page.rowsperstrip)
        self._columns = int(page.tilewidth) if page.is_tiled else structure.width
        self._table = _table(structure)
        self._band: tuple[int, Codes] | None = None

    def rows(self, top: int, bottom: int) -> Codes:
        """Decode rows *top* to *bottom*, (rows, W, samples): codes or inks, uint8 or uint16.

        Deep samples are given as levels between black, 0, and white, 1 (`Structure.level_type`).
        """
        first, last = top // self._rows, (bottom - 1) // self._rows
        parts = []
        for number in range(first, last + 1):
            start = number * self._rows
            band = self._decoded(number)
            parts.append(band[max(0, top - start) : bottom - start])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _decoded(self, number: int) -> Codes:
        """Give a row of pieces; the last one is kept, for strips may be small."""
        if self._band is None or self._band[0] != number:
            self._band = None
            self._band = number, self._decode_band(number)
        return self._band[1]

    def _decode_band(self, number: int) -> Codes:
        width, height = self._structure.width, self._structure.height
        across, down = -(-width // self._columns), -(-height // self._rows)
        count = min(self._rows, height - number * self._rows)
        is_separate = self._page.planarconfig == 2 and self._page.samplesperpixel > 1
        planes = self._page.samplesperpixel if is_separate else 1
        found: list[Array] = []
        for plane in range(planes):
            first = plane * across * down + number * across
            pieces = [self._piece(first + column)[:count] for column in range(across)]
            found.append(np.concatenate(pieces, axis=1)[:, :width])
        samples = np.concatenate(found, axis=2) if planes > 1 else found[0]
        if samples.shape[:2] != (count, width):
            raise damaged(
                f"the TIFF's rows from {number * self._rows:,} decode to {samples.shape[1]:,} × "
                f"{samples.shape[0]:,} pixels, not {width:,} × {count:,}"
            )
        return self._codes(samples)

    def _piece(self, index: int) -> Array:
        self._file.seek(self._page.dataoffsets[index])
        data = self._file.read(self._page.databytecounts[index])
        try:
            found, _, _ = self._decode(data, index, jpegtables=self._page.jpegtables)
        except DAMAGE as error:
            raise _damaged(error) from error
        piece: Array = np.asarray(found)[0]
        return piece

    def _codes(self, samples: Array) -> Codes:
        """Turn decoded numbers into codes of the whole range, min-is-black."""
        rule, bits = self._structure.values, self._structure.stored_bits
        if rule is None:
            return samples.astype(np.uint16 if bits > 8 else np.uint8, copy=False)
        if self._structure.photometric == Photometric.PALETTE:
            return self._looked_up(samples[..., 0])
        if self._table is not None and samples.dtype.kind in "ub":
            return self._table.take(samples, mode="clip")
        levels = _levels(_meant(samples, rule, bits), rule)
        if self._structure.is_deep:
            return levels.astype(self._structure.level_type, copy=False)
        return _coded(levels, depth=_depth(bits))

    def _looked_up(self, indices: Array) -> Codes:
        """Expand a palette of 16-bit entries; the codes are as deep as its indices.

        Old writers put 8 bits into the entries, which libtiff's readers tell by the largest, too.
        """
        palette = np.asarray(self._page.colormap, dtype=np.uint16)  # (3, colours)
        if palette.max(initial=0) < 256:
            palette = palette * np.uint16(257)
        depth = _depth(self._structure.stored_bits)
        table = palette.T if depth == 16 else (palette.T >> 8).astype(np.uint8)
        return table.take(indices, axis=0, mode="clip")


def _depth(bits: int) -> int:
    return 8 if bits <= 8 else 16


def _table(structure: Structure) -> Codes | None:
    """The code of each number that a sample may be, where there are few."""
    rule, bits = structure.values, structure.stored_bits
    if rule is None or structure.is_deep or rule.black % 1 or rule.white % 1:
        return None
    numbers = np.arange(1 << bits)
    return _coded(_levels(_meant(numbers, rule, bits), rule), depth=_depth(bits))


def _meant(numbers: Array, rule: Values, bits: int) -> NDArray[np.float64]:
    """Read two's complement out of numbers that a decoder gave as unsigned."""
    with np.errstate(invalid="ignore"):  # signalling NaN, which `_levels` refuses
        found = numbers.astype(np.float64)
    if rule.is_signed and numbers.dtype.kind != "f" and numbers.min(initial=0) >= 0:
        found -= np.where(found >= 1 << bits - 1, float(1 << bits), 0.0)
    return found


def _levels(numbers: NDArray[np.float64], rule: Values) -> NDArray[np.float64]:
    """Where numbers lie between black and white; those outside are clipped.

    Raises:
        UnreadableScan: Some are no numbers, or infinite: they have no tone.
    """
    if rule.is_float and not np.isfinite(numbers).all():
        count = np.count_nonzero(~np.isfinite(numbers))
        raise UnreadableScan(
            f"{count:,} samples of the TIFF, or more, are no finite numbers (NaN or infinite), so "
            "that they have no tone; restore the file from a copy, or put numbers in their place"
        )
    return np.clip((numbers - rule.black) / (rule.white - rule.black), 0, 1)


def _coded(levels: NDArray[np.float64], *, depth: int) -> Codes:
    codes = np.rint(levels * ((1 << depth) - 1))
    return codes.astype(np.uint8 if depth == 8 else np.uint16)


def look_at(source: ByteSource, structure: Structure) -> Look | None:
    """Look at a page in bands across it, half of it in all; None where it cannot be decoded.

    Returns:
        Mean codes in [0, 1] of its cells, float32 (`LOOK_CELLS`, `LOOK_CELLS`).
    """
    height = structure.height
    if structure.photometric == Photometric.PALETTE:
        return None
    bands = []
    try:
        pieces = Pieces(source, structure)
        for number in range(LOOK_CELLS):
            top = (number + 0.25) * height / LOOK_CELLS
            bottom = top + height / (2 * LOOK_CELLS)
            first, last = math.floor(top), min(height, math.ceil(bottom))
            rows = pieces.rows(first, last).mean(axis=2)
            edges = np.arange(first, last + 1)
            weights = np.diff(np.clip(edges, top, bottom))
            bands.append(resize((weights @ rows / weights.sum())[None], 1, LOOK_CELLS)[0])
    except AutochromeError:
        return None
    full = (1 << (structure.bits if structure.values else structure.stored_bits)) - 1
    look = (np.stack(bands) / (1 if structure.is_deep else full)).astype(np.float32)
    is_inverted = structure.photometric == Photometric.MIN_IS_WHITE and not structure.values
    return 1 - look if is_inverted else look


def check_zip(source: ByteSource, structure: Structure) -> None:
    """Inflate a page's ZIP pieces for their checksums, which libtiff does not look at.

    Raises:
        UnreadableScan: The data is damaged.
    """
    file = source.assembled(structure.parts)
    page = cast("tifffile.TiffPage", tifffile.TiffFile(file).pages[0])
    pieces = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    for index, (offset, size) in enumerate(pieces):
        file.seek(offset)
        try:
            _inflate(file, size, limit=structure.buffer_bytes, is_turned=page.fillorder == 2)
        except zlib.error as error:
            raise damaged(
                f"piece {index + 1:,} of {len(pieces):,} of the TIFF fails its checksum ({error})"
            ) from error


def _inflate(file: BinaryIO, size: int, *, limit: int, is_turned: bool) -> None:
    """Inflate a piece block by block, up to what it may hold; zlib compares the checksum itself."""
    inflater, found = zlib.decompressobj(), 0
    while size > 0 and not inflater.eof and found <= limit:
        block = file.read(min(BLOCK_BYTES, size))
        size -= len(block) or size
        block = bytes(imagecodecs.bitorder_decode(block)) if is_turned else block
        while block and not inflater.eof and found <= limit:
            found += len(inflater.decompress(block, BLOCK_BYTES))
            block = inflater.unconsumed_tail


def _damaged(error: Exception) -> UnreadableScan:
    return damaged(f"the TIFF is damaged: {printable(error)}")


def printable(error: Exception) -> str:
    """Give a decoder's words on one printable line: they may quote the file."""
    text = " ".join(str(error).split())
    return "".join(char for char in text if char.isprintable())[:200] or type(error).__name__

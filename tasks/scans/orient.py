"""Orientation 1 to 8, applied to arrays, and to strips in bounded memory."""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Strip = tuple[int, Array]

# After the exchange of rows and columns of 5 to 8, which axes run backwards (EXIF 2.3, 4.6.4).
_ROWS_BACKWARDS, _COLUMNS_BACKWARDS = {3, 4, 7, 8}, {2, 3, 6, 7}


def orient(picture: Array, orientation: int) -> Array:
    """Turn a stored picture, (H, W), upright; a view."""
    turned = picture.T if orientation >= 5 else picture
    if orientation in _ROWS_BACKWARDS:
        turned = turned[::-1]
    if orientation in _COLUMNS_BACKWARDS:
        turned = turned[:, ::-1]
    return turned


class TurnedStrips:
    """Strips of a picture turned upright, through a scratch file where they come in another order.

    Each strip is laid into the file with rows and columns exchanged already, so that every upright
    strip is a few long reads. Memory is that of two strips, whatever the picture's size.
    """

    def __init__(self, strips: Iterable[Array], orientation: int) -> None:
        self._strips = strips
        self._orientation = orientation

    def upright(self, rows: int, scratch: Path | None) -> Iterator[Strip]:
        """Give (top, strip) from top to bottom."""
        if self._orientation in {1, 2}:
            yield from self._as_they_come()
            return
        with tempfile.TemporaryFile(dir=scratch, prefix="autochrome-turn-") as file:
            blocks, dtype = self._lay_down(file)
            yield from self._pick_up(file, blocks, dtype, rows)

    def _as_they_come(self) -> Iterator[Strip]:
        top = 0
        for strip in self._strips:
            yield top, orient(strip, self._orientation)
            top += len(strip)

    def _lay_down(self, file: BinaryIO) -> tuple[list[tuple[int, int]], np.dtype[Any]]:
        """Write the strips; give each block's shape, and the samples' type."""
        blocks: list[tuple[int, int]] = []
        dtype: np.dtype[Any] = np.dtype(np.uint8)
        for strip in self._strips:
            block = strip.T if self._orientation >= 5 else strip
            blocks.append((block.shape[0], block.shape[1]))
            dtype = block.dtype
            file.write(np.ascontiguousarray(block).data)
        file.flush()
        return blocks, dtype

    def _pick_up(
        self, file: BinaryIO, blocks: list[tuple[int, int]], dtype: np.dtype[Any], rows: int
    ) -> Iterator[Strip]:
        is_exchanged = self._orientation >= 5
        height = blocks[0][0] if is_exchanged else sum(block[0] for block in blocks)
        is_backwards = self._orientation in _ROWS_BACKWARDS
        for top in range(0, height, rows):
            count = min(rows, height - top)
            start = height - top - count if is_backwards else top
            if is_exchanged:
                strip = _across(file, blocks, dtype, start, count)
            else:
                width = blocks[0][1]
                strip = _read(file, dtype, start * width, (count, width))
            strip = strip[::-1] if is_backwards else strip
            is_mirrored = self._orientation in _COLUMNS_BACKWARDS
            yield top, np.ascontiguousarray(strip[:, ::-1] if is_mirrored else strip)


def _across(
    file: BinaryIO,
    blocks: list[tuple[int, int]],
    dtype: np.dtype[Any],
    start: int,
    count: int,
) -> Array:
    """Put the same rows of all blocks side by side."""
    parts, offset = [], 0
    for height, width in blocks:
        parts.append(_read(file, dtype, offset + start * width, (count, width)))
        offset += height * width
    return np.concatenate(parts, axis=1)


def _read(file: BinaryIO, dtype: np.dtype[Any], start: int, shape: tuple[int, int]) -> Array:
    file.seek(start * dtype.itemsize)
    data = file.read(shape[0] * shape[1] * dtype.itemsize)
    return np.frombuffer(data, dtype=dtype).reshape(shape)

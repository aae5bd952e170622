"""The second reading of a scan: lightness in strips, and where they lie in the upright picture."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from tasks.derivatives.second_reading.light import Floats32, Light
from tasks.derivatives.second_reading.page import StoredPage
from tasks.derivatives.second_reading.tiff import tiff_page
from tasks.derivatives.second_reading.tone import Unstated, White, light_of, white_of
from tasks.derivatives.second_reading.whole import jp2_page, jpeg_page, png_page
from tasks.filetypes import Format
from tasks.scans.reader import Scan


class Refuted(Exception):
    """The picture itself says that the reader took the wrong white."""


@dataclass(frozen=True)
class Place:
    """Where stored rows lie in the upright picture."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class SecondReading:
    """A scan's page, read again.

    Attributes:
        page: As it is stored.
        light: What its codes mean.
        white: The stored code at the far end of the range.
    """

    page: StoredPage
    light: Light
    white: White

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, upright."""
        size = self.page.width, self.page.height
        return size[::-1] if self.page.orientation >= 5 else size

    @property
    def is_turned(self) -> bool:
        """Whether stored rows come in another order than upright ones."""
        return self.page.orientation > 2

    def strips(self, rows: int) -> Iterator[tuple[int, Floats32]]:
        """L* from top to bottom as stored, float32 (rows, W), with each strip's first row.

        Raises:
            Refuted: What the picture shows contradicts the white that was taken.
        """
        top = largest = 0
        for strip in self.page.strips():
            is_open = (self.white.is_limit or self.white.beaten > 0) and strip.dtype.kind != "f"
            largest = max(largest, int(strip.max())) if is_open else 0
            if self.white.is_limit and largest > self.white.code:
                raise Refuted(f"code {largest:,} is above {self.white.code:,}, taken for white")
            for start in range(0, len(strip), rows):
                part = strip[start : start + rows]
                yield top, self.light.lightness(part)
                top += len(part)
        if largest < self.white.least:
            raise Refuted(f"no code is above {largest:,} of {self.white.code:,}, taken for white")
        if is_open and not self.white.is_limit and largest <= self.white.beaten:
            raise Refuted(f"no code is above {self.white.beaten:,}, which MaxSampleValue names")
        if top != self.page.height:
            raise ValueError(f"{top} of {self.page.height} rows were decoded")

    def place(self, top: int, rows: int) -> Place:
        """Where stored rows lie in the upright picture (EXIF 2.3, 4.6.4)."""
        width, height, turn = self.page.width, self.page.height, self.page.orientation
        start = height - top - rows if turn in {3, 4, 6, 7} else top
        if turn >= 5:
            return Place(start, 0, rows, width)
        return Place(0, start, width, rows)

    def as_stored(self, part: Floats32) -> Floats32:
        """Turn a part of the upright picture back."""
        turn = self.page.orientation
        if turn in {3, 6, 7, 8}:
            part = np.rot90(part, {6: 1, 8: -1}.get(turn, 2))
        if turn in {5, 7}:
            part = part.T
        return {2: np.fliplr, 4: np.flipud}.get(turn, np.asarray)(part)


#: How the page of a scan is read again, by the format of its file.
PAGES: dict[Format, Callable[[Scan], StoredPage]] = {
    Format.TIFF: lambda scan: tiff_page(scan.path, scan.header.page, scan.directory, scan.clean),
    Format.JPEG: lambda scan: jpeg_page(scan.path, scan.header.stored_bits, scan.clean),
    Format.PNG: lambda scan: png_page(scan.path, scan.clean),
    Format.JP2: lambda scan: jp2_page(scan.path, scan.header.page, scan.clean),
}


def read_again(scan: Scan) -> SecondReading:
    """Read a scan's file a second time.

    Raises:
        OtherPage: The reader took another page.
        Unstated: The file leaves open what decides about its tone.
        ValueError: It is of a kind that is not read here; or what decoders raise.
    """
    page = PAGES[scan.header.format](scan)
    if scan.code_range.is_of_numbers and not page.has_range:
        raise Unstated("The file does not say which of its numbers are black and white")
    read_white = scan.code_range.largest if scan.header.bits == 16 else (1 << page.bits) - 1
    white = white_of(page.tone, page.bits, read_white)
    light = light_of(
        page.tone,
        bits=page.bits,
        channels=page.channels,
        is_min_white=page.is_min_white,
        white=white.code,
    )
    return SecondReading(page, light, white)

"""What a second decoder tells of a page, as it is stored."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, BinaryIO

from numpy.typing import NDArray

from tasks.derivatives.second_reading.tone import StatedTone

Codes = NDArray[Any]
#: Opens a file without what decoders stumble over though pixels do not need it.
CleanView = Callable[[], AbstractContextManager[BinaryIO]]


@dataclass(frozen=True, eq=False)
class StoredPage:
    """A page as it is stored: nothing is turned, inverted or spread.

    Attributes:
        width: Before it is turned.
        height: Before it is turned.
        bits: Of a sample as it is given: codes are below 2**bits. Samples deeper than 16 bits are
            given as levels, floating point in [0, 1], of which 2**16 stand for all.
        channels: 1, 3, or 4 of inks; palettes are looked up, alpha is left out.
        orientation: EXIF's, 1 to 8.
        tone: What the file states of its tone.
        strips: Decodes from top to bottom, (rows, W, channels).
        is_min_white: Whether code 0 is the brightest.
        has_range: Whether the file states which numbers are black and white.
    """

    width: int
    height: int
    bits: int
    channels: int
    orientation: int
    tone: StatedTone
    strips: Callable[[], Iterator[Codes]]
    is_min_white: bool = False
    has_range: bool = False

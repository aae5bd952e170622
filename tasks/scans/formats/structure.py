"""The one shape in which every format's module reports what a file's structure says."""

import enum
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.errors import UnsupportedFormat
from tasks.filetypes import Format
from tasks.scans.formats.blocks import Block
from tasks.scans.formats.exif import Exif
from tasks.scans.formats.source import Part


class Photometric(enum.StrEnum):
    """What a stored sample means. Decoded codes are always min-is-black grey, or RGB."""

    MIN_IS_BLACK = "min-is-black"
    MIN_IS_WHITE = "min-is-white"
    RGB = "rgb"
    YCBCR = "ycbcr"
    PALETTE = "palette"
    CMYK = "cmyk"
    LAB = "cielab"
    ICC_LAB = "icclab"
    ITU_LAB = "itulab"


#: What is turned into sRGB of 16 bits when it is decoded.
CONVERTED = {Photometric.CMYK, Photometric.LAB, Photometric.ICC_LAB, Photometric.ITU_LAB}


def press_profile(icc: bytes | None, kind: str) -> bytes:
    """Give the profile of CMYK samples.

    Raises:
        UnsupportedFormat: There is none, or it is of another kind.
    """
    if icc and len(icc) >= 128 and icc[16:20] == b"CMYK":
        return icc
    raise UnsupportedFormat(
        f"a CMYK {kind} without the profile of its press, on which its lightness depends; "
        "embed the profile, or convert it to grey or RGB"
    )


@dataclass(frozen=True)
class Values:
    """How decoded numbers become codes.

    Attributes:
        black: The number that is black.
        white: The number that is white: the smaller one where the least is white.
        is_signed: Whether integers are two's complement; a decoder may give them as unsigned.
        is_float: Whether the numbers are floating point.
        is_open: Whether black and white are the ends of the type alone, where what writes such a
            type seldom fills it: signed integers, and those of more than 16 bits.
    """

    black: float
    white: float
    is_signed: bool = False
    is_float: bool = False
    is_open: bool = False


@dataclass(frozen=True, eq=False)
class Statement:
    """What one tag, chunk or box of a file states of its tone, beside an ICC profile.

    Attributes:
        name: Its name in the format, for notes.
        curve: Light of codes between black and white, as an ICC curve tag.
        light: The same as a table over the stored codes, in [0, 1], float64 (1 or 3, 2**bits).
        chromaticities: x and y of white, red, green and blue, (4, 2).
        black_white: The stored codes of black and of white.
        outranks_profile: Whether the format puts it before a profile, not after it.
        is_customary: Whether writers put it there unasked, so that little can be built on it.
        fault: Why it cannot be followed; then it states nothing.
    """

    name: str
    curve: bytes | None = None
    light: NDArray[np.float64] | None = None
    chromaticities: NDArray[np.float64] | None = None
    black_white: tuple[int, int] | None = None
    outranks_profile: bool = False
    is_customary: bool = False
    fault: str = ""


@dataclass(frozen=True)
class Structure:
    """What a file's structure says of one page of it, as stored, before anything is decoded.

    Attributes:
        width: Pixels a row, before the orientation is applied.
        height: Rows, before the orientation is applied.
        stored_bits: Bits a sample in the file: 1, 2, 4, 8, 12, 16, …
        channels: Colour channels of the decoded picture, alpha not counted: 1 or 3.
        compression: The coding's name, in the words of the format.
        pages: Pages of the file; pyramid levels, masks and thumbnails are not pages.
        directory: Where the decoder finds the page (TIFF: number of its directory).
        white: Largest code of the samples, where they have fewer bits than they are decoded in.
        max_sample: TIFF's MaxSampleValue: a statistic by the standard, a white by custom.
        statements: What the file states of its tone, the weightiest first.
        parts: What decoders are given: of the file what decides about the pixels, without the rest.
        values: How decoded numbers become codes; None where decoding gives codes.
        depths: Bits of each component, where they may differ.
        in_pieces: Whether a TIFF's strips or tiles are decoded one by one.
        buffer_bytes: What a decoder must hold at once, because the coding cannot be streamed.
        resolution_ppcm: Pixels per centimetre across and down, as stored.
        icc: Profile of the decoded codes.
        ink_icc: Profile through which CMYK is decoded.
        exif: What EXIF or, of a TIFF, the directory says.
        blocks: Other metadata, unread, besides those in EXIF.
        first_exif: Of a later page, what the first says: tools state rights once.
        notes: What is wrong with the file though its pixels are whole, or was guessed about them: a
            sentence each, for the item's story.
    """

    format: Format
    width: int
    height: int
    stored_bits: int
    channels: int
    photometric: Photometric
    compression: str
    has_alpha: bool = False
    pages: int = 1
    directory: int = 0
    white: int | None = None
    max_sample: int | None = None
    statements: tuple[Statement, ...] = ()
    parts: tuple[Part, ...] = ()
    values: Values | None = None
    depths: tuple[int, ...] = ()
    in_pieces: bool = False
    buffer_bytes: int = 0
    resolution_ppcm: tuple[float, float] | None = None
    icc: bytes | None = None
    ink_icc: bytes | None = None
    exif: Exif = field(default_factory=Exif)
    blocks: tuple[Block, ...] = ()
    first_exif: Exif = field(default_factory=Exif)
    notes: tuple[str, ...] = ()

    @property
    def bits(self) -> int:
        """Depth of codes, 8 or 16: never less than the stored samples', up to 16."""
        return 16 if self.stored_bits > 8 or self.photometric in CONVERTED else 8

    @property
    def is_deep(self) -> bool:
        """Whether codes of 16 bits hold less than the samples do: then levels are decoded."""
        return self.stored_bits > 16 or (self.values is not None and self.values.is_float)

    @property
    def sample_type(self) -> np.dtype[Any]:
        """Samples of a lossless derivative, which hold all that the stored ones do."""
        if not self.is_deep:
            return np.dtype(np.uint8 if self.bits == 8 else np.uint16)
        is_float = self.values is not None and self.values.is_float
        return np.dtype(np.float32 if is_float else np.uint32)

    @property
    def level_type(self) -> np.dtype[Any]:
        """Type of decoded levels: what holds a stored sample's place between black and white."""
        return np.dtype(np.float32 if self.sample_type == np.float32 else np.float64)

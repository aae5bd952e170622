"""Which codes mean black and white: stated by the depth, by a tag, by custom, or guessed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.scans.formats.structure import Photometric, Structure
from tasks.scans.tone_rule import ToneRule

Codes = NDArray[np.unsignedinteger[Any]]

#: Whites that MaxSampleValue gives by custom: TIFF 6.0 means it as a statistic of the picture.
_CUSTOMARY_WHITES = {(1 << bits) - 1 for bits in range(9, 16)}
_GUESSED_BITS = (10, 12, 14)
_SURE_BITS = 12  # read as 16 bits it would be black on black; of 14 bits it may be a dark picture
_UPPER_SHARE = 0.01  # of a guessed range's samples are in its upper half; of a dark sheet's are not
_FEWEST_TONES = 0.25  # share of a guessed range that the picture spans; a white sheet does not
_LEAST_TOP = 15 / 16  # of 14 bits' range the picture must reach: a dark picture seldom ends there


@dataclass(frozen=True)
class CodeRange:
    """Decoded codes of black and white, min-is-black; those outside are clipped.

    Attributes:
        note: What was taken for white against the depth, and why; empty where it was stated.
        doubt: Why a person should look; empty where it is sure.
    """

    black: int
    white: int
    note: str = ""
    doubt: str = ""

    @property
    def largest(self) -> int:
        """Of the stored codes, the one at the far end of the range."""
        return self.white - self.black

    def spread(self, codes: Codes) -> Codes:
        """Spread codes over all that their type holds, so that white is white."""
        if codes.dtype.kind == "f":  # levels are spread
            return codes
        full = int(np.iinfo(codes.dtype).max)
        span = self.white - self.black
        if span == full:
            return codes
        wide = np.clip(codes, self.black, self.white).astype(np.uint32) - np.uint32(self.black)
        return ((wide * full + span // 2) // span).astype(codes.dtype)


def find_range(
    structure: Structure, rule: ToneRule, strips: Callable[[], Iterable[Codes]]
) -> CodeRange:
    """Find black and white of a page.

    Args:
        structure: What its file says.
        rule: What its tone is stated to be: where that is, white is not guessed.
        strips: Decodes the page; only called where the picture itself must be asked.
    """
    full = (1 << structure.bits) - 1
    if rule.is_by_code:
        return CodeRange(0, full)
    if structure.white is not None:
        return _from_dark(structure, structure.white, full)
    if structure.stored_bits != 16 or structure.is_deep:
        return CodeRange(0, full)
    return _found_in_picture(structure, rule, strips)


def _from_dark(
    structure: Structure, white: int, full: int, *, note: str = "", doubt: str = ""
) -> CodeRange:
    """The range below a white; decoders give min-is-white codes as *full* less the stored one."""
    if structure.photometric == Photometric.MIN_IS_WHITE:
        return CodeRange(full - white, full, note, doubt)
    return CodeRange(0, white, note, doubt)


def _found_in_picture(
    structure: Structure, rule: ToneRule, strips: Callable[[], Iterable[Codes]]
) -> CodeRange:
    """White below 65,535: by custom where no code is above, or guessed where nothing is stated."""
    full = 65535
    is_silent = not rule.name or rule.is_customary
    custom = structure.max_sample if structure.max_sample in _CUSTOMARY_WHITES else 0
    ceiling = max(custom, (1 << _GUESSED_BITS[-1]) - 1 if is_silent else 0)
    counts = _counts(structure, strips, ceiling) if ceiling else None
    if counts is None:
        return CodeRange(0, full)
    largest = int(np.flatnonzero(counts)[-1])
    if largest <= custom:
        note = f"White is {custom:,} of 65,535, as MaxSampleValue says."
        doubt = "" if is_silent else f"{note} By the {rule.name} alone it would be 65,535."
        return _from_dark(structure, custom, full, note=note, doubt=doubt)
    white = _guess(counts, largest) if is_silent else None
    if white is None:
        return CodeRange(0, full)
    bits = white.bit_length()
    note = f"White is guessed to be {white:,} of 65,535: the picture uses {bits} bits of 16."
    is_sure = bits <= _SURE_BITS and not rule.name
    return _from_dark(structure, white, full, note=note, doubt="" if is_sure else note)


def _counts(
    structure: Structure, strips: Callable[[], Iterable[Codes]], ceiling: int
) -> NDArray[np.intp] | None:
    """How often each stored code up to *ceiling* occurs; None as soon as one is above."""
    counts = np.zeros(ceiling + 1, dtype=np.intp)
    is_turned = structure.photometric == Photometric.MIN_IS_WHITE
    for codes in strips():
        stored = 65535 - codes if is_turned else codes
        if stored.max() > ceiling:
            return None
        counts += np.bincount(stored.reshape(-1), minlength=ceiling + 1)
    return counts


def _guess(counts: NDArray[np.intp], largest: int) -> int | None:
    """The white of a picture that would else be black on black, or white on white."""
    bits = next(bits for bits in _GUESSED_BITS if largest < 1 << bits)
    white = (1 << bits) - 1
    ranks = np.cumsum(counts)
    low, high = np.searchsorted(ranks, np.array([0.01, 0.99]) * ranks[-1])
    spans = (high - low) >= _FEWEST_TONES * white
    reaches = bits < 14 or largest >= _LEAST_TOP * white
    upper = counts[white // 2 + 1 :].sum() >= _UPPER_SHARE * ranks[-1]
    return white if spans and reaches and upper else None

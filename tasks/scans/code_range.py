"""Which codes mean black and white: stated by the depth, by a tag, by custom, or guessed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.scans.formats.structure import Photometric, Structure, Values
from tasks.scans.resample import StripReducer, look_size
from tasks.scans.surface import smooth_surface
from tasks.scans.tone_rule import ToneRule

Codes = NDArray[np.unsignedinteger[Any]]

#: Whites that MaxSampleValue gives by custom: TIFF 6.0 means it as a statistic of the picture.
_CUSTOMARY_WHITES = {(1 << bits) - 1 for bits in range(9, 16)}
_GUESSED_BITS = range(8, 16)
_SURE_BITS = {10, 12}  # read as 16 bits it would be black on black, and scanners have such
_DARK_BITS = 13  # from here on it may be a dark picture of 16 bits
_DARKEST_BITS = 14  # up to here nothing is lighter than a quarter of the codes: L* 27
_LOOK_PX = 96  # long side on which a sheet is told from a picture
_GOES_ON = 0.4  # correlation of neighbours there that no noise has
_MOST_NOISE = 12  # deviations from the middle beyond which lies no noise
_NUMBER_BITS = (8, 10, 12, 14, 16, 24)  # what longer or signed numbers hold
_DEEP_SHADE = 4  # bits of a type's that no dark picture leaves empty
_UPPER_SHARE = 0.01  # of a guessed range's samples are in its upper half; of a dark sheet's are not
_FEWEST_TONES = 0.25  # share of a guessed range that the picture spans; a white sheet does not
_LEAST_TOP = 15 / 16  # then of the range the picture must reach: a dark one seldom ends there


@dataclass(frozen=True)
class CodeRange:
    """Decoded codes of black and white, min-is-black; those outside are clipped.

    Attributes:
        note: What was taken for white against the depth, and why; empty where it was stated.
        doubt: Why a person should look; empty where it is sure.
        levels: Of deep samples, the levels of black and white; codes are made of what is spread.
        is_of_numbers: Whether it was guessed of numbers for which nothing states a range.
    """

    black: int
    white: int
    note: str = ""
    doubt: str = ""
    levels: tuple[float, float] = (0.0, 1.0)
    is_of_numbers: bool = False

    @property
    def largest(self) -> int:
        """Of the stored codes, the one at the far end of the range."""
        return self.white - self.black

    def spread(self, codes: NDArray[Any]) -> NDArray[Any]:
        """Spread codes over all that their type holds, so that white is white."""
        if codes.dtype.kind == "f":
            low, high = self.levels
            spread = codes if (low, high) == (0, 1) else np.clip((codes - low) / (high - low), 0, 1)
            return spread.astype(codes.dtype, copy=False)
        full = int(np.iinfo(codes.dtype).max)
        span = self.white - self.black
        if span == full:
            return codes
        wide = np.clip(codes, self.black, self.white).astype(np.uint32) - np.uint32(self.black)
        found: NDArray[Any] = ((wide * full + span // 2) // span).astype(codes.dtype)
        return found


def find_range(
    structure: Structure, rule: ToneRule, strips: Callable[[], Iterable[Codes]]
) -> CodeRange:
    """Find black and white of a page.

    Args:
        structure: What its file says.
        rule: What its tone is stated to be: where that is, white is not guessed.
        strips: Decodes the page, to codes or levels; only called where the picture itself must be
            asked.
    """
    full = (1 << structure.bits) - 1
    if rule.is_by_code:
        return CodeRange(0, full)
    if structure.values is not None and structure.values.is_open:
        return _found_in_numbers(structure, structure.values, strips)
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


def _found_in_numbers(
    structure: Structure, values: Values, strips: Callable[[], Iterable[Codes]]
) -> CodeRange:
    """Black and white of numbers that fill their type only in part; a person looks at it.

    Signed ones of which none is below 0 are unsigned; long ones hold what scanners measure.
    """
    full, bits = (1 << structure.bits) - 1, structure.stored_bits
    darkest, lightest = 1.0, 0.0
    for strip in strips():
        levels = strip if strip.dtype.kind == "f" else strip / full
        darkest, lightest = min(darkest, levels.min()), max(lightest, levels.max())
    span = values.white - values.black
    smallest, largest = sorted(round(values.black + one * span) for one in (darkest, lightest))
    black, white = 0, (1 << bits) - 1
    if smallest >= 0:
        used = largest.bit_length()
        if not values.is_signed and used > bits - _DEEP_SHADE:
            return CodeRange(0, full)
        white = (1 << next((one for one in _NUMBER_BITS if one >= used), bits)) - 1
        white = min(white, (1 << bits - values.is_signed) - 1)
    elif smallest < -(1 << bits - 2) or largest >= 1 << bits - 2:
        half = 1 << bits - 1
        ends = f"{-half:,} is taken for black, {half - 1:,} for white"
        return CodeRange(0, full, f"Signed samples of no stated range: {ends}.")
    else:
        black, white = smallest, max(largest, smallest + 1)
    note = (
        f"Black is guessed to be {black:,} and white {white:,}: the samples lie between "
        f"{smallest:,} and {largest:,}, and nothing says what they mean."
    )
    low, high = sorted((number - values.black) / span for number in (black, white))
    if structure.is_deep:
        return CodeRange(0, full, note, note, levels=(low, high), is_of_numbers=True)
    return CodeRange(round(low * full), round(high * full), note, note, is_of_numbers=True)


def _found_in_picture(
    structure: Structure, rule: ToneRule, strips: Callable[[], Iterable[Codes]]
) -> CodeRange:
    """White below 65,535: by custom where no code is above, or guessed where nothing is stated."""
    full = 65535
    is_silent = not rule.name or rule.is_customary
    custom = structure.max_sample if structure.max_sample in _CUSTOMARY_WHITES else 0
    ceiling = max(custom, (1 << _GUESSED_BITS[-1]) - 1 if is_silent else 0)
    found = _counts(structure, strips, ceiling) if ceiling else None
    if found is None:
        return CodeRange(0, full)
    counts, look = found
    largest = int(np.flatnonzero(counts)[-1])
    if largest <= custom:
        note = f"White is {custom:,} of 65,535, as MaxSampleValue says."
        doubt = "" if is_silent else f"{note} By the {rule.name} alone it would be 65,535."
        if 2 * largest < custom:
            doubt = f"{note} No code is above {largest:,}: it may be a statistic."
        return _from_dark(structure, custom, full, note=note, doubt=doubt)
    bits = max(_GUESSED_BITS[0], largest.bit_length())
    white = (1 << bits) - 1
    is_meant = bits <= _DARKEST_BITS and _is_meant(counts, bits)
    is_sheet = _is_sheet(counts, look)
    is_dark = bits <= _DARKEST_BITS or largest >= _LEAST_TOP * white
    if not is_silent or not (is_meant or (is_dark and not is_sheet)):
        return CodeRange(0, full)
    if not is_meant and bits >= _DARK_BITS:
        note = f"No code is above {largest:,} of 65,535: a dark picture, or one of {bits} bits."
        return CodeRange(0, full, note, note)
    note = f"White is guessed to be {white:,} of 65,535: the picture uses {bits} bits of 16."
    is_sure = is_meant and not is_sheet and bits in _SURE_BITS and not rule.name
    return _from_dark(structure, white, full, note=note, doubt="" if is_sure else note)


def _counts(
    structure: Structure, strips: Callable[[], Iterable[Codes]], ceiling: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]] | None:
    """How often each stored code up to *ceiling* occurs, and their means in a small picture.

    None as soon as one is above.
    """
    counts, top = np.zeros(ceiling + 1, dtype=np.intp), 0
    height, width = structure.height, structure.width
    small = look_size((height, width), _LOOK_PX)
    look = StripReducer(height, width, small_height=small[0], small_width=small[1])
    is_turned = structure.photometric == Photometric.MIN_IS_WHITE
    for codes in strips():
        stored = 65535 - codes if is_turned else codes
        if stored.max() > ceiling:
            return None
        counts += np.bincount(stored.reshape(-1), minlength=ceiling + 1)
        look.add(top, stored.mean(axis=2, dtype=np.float32))
        top += len(codes)
    return counts, look.picture()


def _is_sheet(counts: NDArray[np.intp], look: NDArray[np.float32]) -> bool:
    """Whether codes are those of an even sheet: noise about one level, from place to place anew."""
    ranks, seen = np.cumsum(counts), np.flatnonzero(counts)
    low, middle, high = np.searchsorted(ranks, np.array([0.16, 0.5, 0.84]) * ranks[-1])
    if max(seen[-1] - middle, middle - seen[0]) > _MOST_NOISE * max(1, (high - low) / 2):
        return False
    rest = look - smooth_surface(look)
    goes_on = min(np.mean(rest[1:] * rest[:-1]), np.mean(rest[:, 1:] * rest[:, :-1]))
    return bool(goes_on < _GOES_ON * np.mean(rest**2) + 1e-9)


def _is_meant(counts: NDArray[np.intp], bits: int) -> bool:
    """Whether the picture would else be black on black, or white on white."""
    white = (1 << bits) - 1
    ranks = np.cumsum(counts)
    low, high = np.searchsorted(ranks, np.array([0.01, 0.99]) * ranks[-1])
    spans = (high - low) >= _FEWEST_TONES * white
    upper = counts[white // 2 + 1 :].sum() >= _UPPER_SHARE * ranks[-1]
    reaches = bits < _DARK_BITS or np.flatnonzero(counts)[-1] >= _LEAST_TOP * white
    return bool(spans and reaches and upper)

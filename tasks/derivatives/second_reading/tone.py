"""What a file states of its tone, found and weighed a second time, and the light that follows."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tasks.derivatives.second_reading.light import (
    Floats,
    Light,
    power_light,
    primaries_light,
    profile_light,
    srgb_light,
)

Curve = Callable[[Floats], Floats]

_CUSTOMARY = {2**bits - 1 for bits in range(9, 16)}  # MaxSampleValue, used as a white
_GUESSED = {2**bits - 1 for bits in range(8, 15)}
_PIVOT, _OFFSET = 0.08124285829863521, 0.09929682680944  # of BT.709 in codes (H.273, table 3)


def bt709_light(levels: Floats) -> Floats:
    """Light of BT.709's codes: the inverse of its transfer function."""
    power = ((levels + _OFFSET) / (1 + _OFFSET)) ** (1 / 0.45)
    return np.where(levels < _PIVOT, levels / 4.5, power)


def power(exponent: float) -> Curve:
    """The curve of a power."""
    return lambda levels: power_light(levels, exponent)


SRGB: Curve = srgb_light


class Unstated(Exception):
    """The file leaves open what decides about its tone; the message says so to a person."""


@dataclass
class StatedTone:
    """What a second look found in a file.

    Attributes:
        icc: The ICC profile.
        before: A curve that outranks the profile.
        after: A curve that counts where there is no usable profile.
        tables: Light of stored codes, (1 or 3, codes), which count before *after*.
        points: Chromaticities of white, red, green and blue, (4, 2).
        black_white: Stored codes of black and white.
        max_sample: TIFF's MaxSampleValue.
        is_customary: Whether *after* is written unasked.
    """

    icc: bytes | None = None
    before: Curve | None = None
    after: Curve | None = None
    tables: list[Floats] = field(default_factory=list)
    points: Floats | None = None
    black_white: tuple[float, float] | None = None
    max_sample: int = 0
    is_customary: bool = False

    @property
    def is_silent(self) -> bool:
        """Whether nothing was found on which a reader can build."""
        is_stated = self.before or self.icc or self.tables or (self.after and not self.is_customary)
        return not is_stated and self.black_white is None


def light_of(
    tone: StatedTone, *, bits: int, channels: int, is_min_white: bool, white: int
) -> Light:
    """Compose the light of every stored code.

    Args:
        tone: What the file states.
        bits: Bits a stored sample.
        channels: 1, 3, or 4 of inks.
        is_min_white: Whether code 0 is the brightest.
        white: The stored code at the other end of the range from 0.

    Raises:
        Unstated: A table and the photometric sense contradict each other.
    """
    levels = np.clip(np.arange(1 << bits) / white, 0, 1)
    levels = 1 - levels if is_min_white else levels
    if channels == 4:
        inks = profile_light(tone.icc or b"", levels, 4)
        if inks is None:
            raise ValueError("inks without the profile of a press")
        return inks
    if tone.before is not None:
        return _light(tone, _in_range(tone, levels, bits), tone.before, channels)
    if tone.icc:
        found = profile_light(tone.icc, levels, channels)
        if found is not None:
            return found
    for table in tone.tables:
        if table.shape[1] == levels.size and np.ptp(table, axis=1).min() > 0.1:
            if ((table[:, 0] > table[:, -1]) != is_min_white).all():
                raise Unstated("A table of its tones runs against its photometric sense")
            return _of_parts(tone, table, channels)
    return _light(tone, _in_range(tone, levels, bits), tone.after or SRGB, channels)


def _in_range(tone: StatedTone, levels: Floats, bits: int) -> Floats:
    if tone.black_white is None:
        return levels
    black, white = tone.black_white
    return np.clip((np.arange(1 << bits) - black) / (white - black), 0, 1)


def _light(tone: StatedTone, levels: Floats, curve: Curve, channels: int) -> Light:
    return _of_parts(tone, curve(levels)[None], channels)


def _of_parts(tone: StatedTone, light: Floats, channels: int) -> Light:
    """One curve for all channels, or one for each, weighed by the primaries."""
    if channels == 1:
        return Light(light[:1].astype(np.float32))
    shares = primaries_light(tone.points)
    return Light((shares[:, None] * light).astype(np.float32))


@dataclass(frozen=True)
class White:
    """The stored code at the end of the range, and what the picture must show for it.

    Attributes:
        code: That code.
        is_limit: Whether no code may lie above it: it was a guess or a custom.
        least: A code that some pixel must reach where it was a guess.
        beaten: A code that some pixel must exceed: else it would be white.
    """

    code: int
    is_limit: bool = False
    least: int = 0
    beaten: int = 0


def white_of(tone: StatedTone, bits: int, read_white: int) -> White:
    """Judge the white that the reader took.

    Args:
        tone: What the file states.
        bits: Bits a stored sample.
        read_white: The reader's; it is believed only where nothing is stated, or MaxSampleValue
            says the same.
    """
    full = (1 << bits) - 1
    if bits != 16 or tone.tables or tone.black_white:
        return White(full)
    custom = tone.max_sample if tone.max_sample in _CUSTOMARY else 0
    is_guess = read_white in _GUESSED and tone.is_silent
    if read_white < full and (read_white == custom or is_guess):
        is_open = read_white == custom or read_white <= 255  # the fewest bits that are guessed
        return White(read_white, is_limit=True, least=0 if is_open else read_white // 2)
    return White(full, beaten=custom)

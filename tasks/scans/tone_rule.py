"""The one place where a file's statements of tone are weighed and composed.

Photometric sense, depth, white, profile and the tags, chunks and boxes of each format are
independent of one another; a scan's tone is what all of them say together. A statement always beats
a guess. Where two readings can be defended and differ, that is a doubt, and a person decides.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.scans.formats.structure import Photometric, Statement, Structure
from tasks.scans.icc import SRGB_CURVE, luminance_shares, parse_profile
from tasks.scans.tone import (
    SRGB_LUMINANCES,
    ColourTone,
    ToneCurve,
    ToneSource,
    colour_tone,
    curve_of_light,
    curve_of_tag,
    is_tone,
    tone_curve,
)

Floats = NDArray[np.float64]

_DOUBTFUL_L = 0.5  # readings that differ by less are the same to a viewer


@dataclass(frozen=True, eq=False)
class ToneRule:
    """How a page's codes become lightness.

    Attributes:
        grey: Of grey codes, min-is-black, spread over the whole range.
        colour: Of red, green and blue.
        name: The statement that decides; empty where none does, and sRGB is assumed.
        is_customary: Whether writers make that statement unasked.
        is_by_code: Whether it tells which stored codes are black and white.
        notes: What was passed over or read otherwise than by the letter, a sentence each.
        doubt: Why a person should look at the tone; empty where it is sure.
    """

    grey: ToneCurve
    colour: ColourTone
    name: str = ""
    is_customary: bool = False
    is_by_code: bool = False
    notes: tuple[str, ...] = ()
    doubt: str = ""


def tone_rule(structure: Structure) -> ToneRule:
    """Weigh what a file states of a page's tone."""
    notes: list[str] = []
    for read in _readers(structure):
        found = read()
        if isinstance(found, str):
            notes.append(found)
        elif found is not None:
            grounds = (*notes, *found.notes)
            return ToneRule(**{**vars(found), "notes": grounds})
    source = ToneSource.UNUSABLE if notes else ToneSource.ASSUMED
    grey, has_range = _ranged(structure, SRGB_CURVE, source)
    doubt = f"Its tone is stated, but not so that it can be read: {notes[0]}" if notes else ""
    return ToneRule(
        grey, _colour(structure, grey), is_by_code=has_range, notes=tuple(notes), doubt=doubt
    )


def _readers(structure: Structure) -> Iterator[Callable[[], ToneRule | str | None]]:
    """Each statement's reader, the weightiest first."""
    ranked = sorted(structure.statements, key=lambda one: not one.outranks_profile)
    before = [one for one in ranked if one.outranks_profile]
    for statement in before:
        yield lambda one=statement: _by_statement(structure, one)  # type: ignore[misc]
    yield lambda: _by_profile(structure)
    for statement in ranked[len(before) :]:
        yield lambda one=statement: _by_statement(structure, one)  # type: ignore[misc]


def _by_profile(structure: Structure) -> ToneRule | str | None:
    """Read the ICC profile; one of the other kind, grey or RGB, by its neutral colours."""
    if not structure.icc:
        return None
    bits, profile = structure.bits, parse_profile(structure.icc)
    space = profile.space.decode("latin-1").strip() if profile else ""
    if profile is None or space not in {"GRAY", "RGB"}:
        kind = f"of {space!a} colour" if profile else "damaged, or none of a picture"
        return f"The ICC profile is {kind}: it is passed over."
    channels = 1 if space == "GRAY" else 3
    grey = tone_curve(structure.icc, bits=bits, channels=channels)
    if grey.source != ToneSource.PROFILE:
        return "The ICC profile holds no tone curve that can be meant: it is passed over."
    if channels == structure.channels:
        of_colour = colour_tone(structure.icc, bits=bits) if channels == 3 else _shared(grey)
        return ToneRule(grey, of_colour, "ICC profile")
    note = f"An ICC profile of {space} in a file of {structure.channels} channels: its greys count."
    return ToneRule(
        grey, _shared(grey), "ICC profile", notes=(note,), doubt=_if_other_than_srgb(grey, note)
    )


def _if_other_than_srgb(grey: ToneCurve, why: str) -> str:
    assumed = tone_curve(None, bits=grey.bits).lightness
    return why if np.abs(grey.lightness - assumed).max() > _DOUBTFUL_L else ""


def _by_statement(structure: Structure, statement: Statement) -> ToneRule | str | None:
    if statement.fault:
        return f"The {statement.name} is passed over: {statement.fault}."
    if statement.light is not None:
        return _by_table(structure, statement)
    if statement.curve is None:
        return None
    grey, has_range = _ranged(structure, statement.curve, ToneSource.STATED)
    doubt = ""
    if grey.linear[len(grey.linear) // 2] > 0.55:
        doubt = (
            f"The {statement.name} makes the picture lighter than its codes, as where the exponent "
            "of a display was written instead."
        )
    notes = (doubt,) if doubt else ()
    return ToneRule(
        grey,
        _colour(structure, grey),
        statement.name,
        is_customary=statement.is_customary,
        is_by_code=has_range,
        notes=notes,
        doubt=doubt,
    )


def _ranged(structure: Structure, tag: bytes, source: ToneSource) -> tuple[ToneCurve, bool]:
    """A curve over all codes, of which those below black and above white say nothing more.

    The codes are left as they are: spreading those of 8 bits would round them.
    """
    bits = structure.bits
    curve = curve_of_tag(tag, bits=bits, source=source)
    found = next((one.black_white for one in structure.statements if one.black_white), None)
    if found is None:
        return curve, False
    black, white = float(found[0]), float(found[1])
    if structure.values is not None:  # decoding has spread the stored codes
        spread = ((1 << bits) - 1) / ((1 << structure.stored_bits) - 1)
        black, white = black * spread, white * spread
    place = np.clip((np.arange(1 << bits) - black) / (white - black), 0, 1)
    light = np.interp(place, np.linspace(0, 1, 1 << bits), curve.linear.astype(np.float64))
    return curve_of_light(light, bits=bits, source=source), True


def _by_table(structure: Structure, statement: Statement) -> ToneRule | str:
    """A table of light over the stored codes, turned so that it rises from the dark end."""
    tables = np.atleast_2d(statement.light)  # type: ignore[arg-type]
    is_falling = structure.photometric == Photometric.MIN_IS_WHITE
    if is_falling:
        tables = tables[:, ::-1]
    doubt = ""
    if (tables[:, -1] < tables[:, 0]).all():
        tables = tables[:, ::-1]
        doubt = (
            f"The {statement.name} runs against the photometric sense, {structure.photometric}, "
            "in which it is read."
        )
    if not all(is_tone(table) for table in tables):
        return f"The {statement.name} is no tone curve: it is passed over."
    bits = structure.bits
    curves = [curve_of_light(table, bits=bits, source=ToneSource.STATED) for table in tables]
    shares = _shares(structure)
    grey = curves[0]
    if len(curves) == 3:
        light = np.tensordot(np.array(shares), tables, axes=1)
        grey = curve_of_light(light, bits=bits, source=ToneSource.STATED)
    channels = np.stack([curve.linear for curve in (curves if len(curves) == 3 else curves * 3)])
    return ToneRule(
        grey,
        ColourTone(shares, channels, None),
        statement.name,
        is_by_code=True,
        notes=(doubt,) if doubt else (),
        doubt=doubt,
    )


def _colour(structure: Structure, grey: ToneCurve) -> ColourTone:
    return ColourTone(_shares(structure), np.stack([grey.linear] * 3), None)


def _shared(grey: ToneCurve) -> ColourTone:
    return ColourTone(_normal(SRGB_LUMINANCES), np.stack([grey.linear] * 3), None)


def _shares(structure: Structure) -> tuple[float, float, float]:
    """Shares of the channels in the light, by the first statement of primaries."""
    stated = (one.chromaticities for one in structure.statements)
    found = next((one for one in stated if one is not None), None)
    shares = luminance_shares(found) if found is not None else SRGB_LUMINANCES
    return _normal(shares) if min(shares) >= 0 else _normal(SRGB_LUMINANCES)


def _normal(shares: tuple[float, float, float]) -> tuple[float, float, float]:
    red, green, blue = (share / sum(shares) for share in shares)
    return red, green, blue

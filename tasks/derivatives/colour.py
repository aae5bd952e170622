"""Full-size colour in strips: the network's chroma under the scan's own lightness.

Lightness is L* as ICC profiles mean it, under D50, for so it is read from the scan and so the tone
gate reads it back. The network's chroma is relative to D65, and a saturated colour's luminance
under D65 is not what it is under D50 after adaptation: L* would be off by up to 0.5. So each
pixel's light is scaled to the scan's.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from colormodel.planes import (
    ChromaMap,
    GuidedUpsampler,
    Plane,
    ShareUpsampler,
    linear_in_gamut,
)
from tasks.scans.reader import Scan
from tasks.scans.tone import ToneCurve, tone_curve

if TYPE_CHECKING:
    from colormodel.correction import Correction  # it loads torch, which children never do

Bools = NDArray[np.bool_]
Light = NDArray[np.floating[Any]]
Samples = NDArray[Any]
Values = TypeVar("Values", bound=np.generic)

#: Pixels of the map of own colours over which its edges fade.
_SOFT_PX = 5

#: Pixels whose colours are computed at once: the temporary arrays stay in the processor's cache,
#: and are bounded, whatever the width.
BLOCK_PIXELS = 1 << 17

#: A step between neighbouring codes above which 8 bits cannot hold a colour's lightness: rounding
#: is off by up to half a step, and the gate allows 0.5 L*.
_COARSE_STEP_L = 0.9

# Luminances of sRGB's primaries under D50 (the Y row of the profile's colorants, ICC.1 annex E).
_LUMINANCES = np.array([0.22249, 0.71687, 0.06061])
_LUMINANCES /= _LUMINANCES.sum()


#: Light by which a scan's darkest code may be above black, or its brightest below white, and its
#: curve still serve for colours: these have channels darker, and brighter, than their own light.
_UNUSED_LIGHT = 1e-4


@dataclass(frozen=True)
class OwnColour:
    """Where a scan's own colours are kept, upright.

    Attributes:
        found: What was found to have such, bool (h, w) of any size.
        painted: How much of each pixel of the chroma map a person has painted, float32 in [0, 1].
    """

    found: Bools | None = None
    painted: Plane | None = None

    @classmethod
    def of(
        cls, found: Bools | None, said: "Correction | None", chroma_map: ChromaMap
    ) -> "OwnColour | None":
        """Of what was found and what a person says; None for nowhere."""
        painted = None
        if said is not None and any(mask.kind == "keep" for mask in said.masks):
            painted = said.mask("keep", *chroma_map.lightness.shape)
        return None if found is None and painted is None else cls(found, painted)


def output_tone(scan: Scan) -> ToneCurve:
    """The tone curve to write with: the scan's; in 16 bits where its own are too coarse.

    Equal steps of light, as some 8-bit profiles have, leave over 3 L* between the darkest codes:
    enough for grey, but a colour's three channels could not be rounded within the gate. A curve
    that does not reach from black to white has no code for what those channels need: sRGB's has.
    """
    if scan.tone.linear[0] > _UNUSED_LIGHT or scan.tone.linear[-1] < 1 - _UNUSED_LIGHT:
        return tone_curve(None, bits=16)
    if scan.tone.bits == 8 and is_coarse_in_eight_bits(scan.tone):
        return tone_curve(scan.tone.rgb_profile(), bits=16, channels=3)
    return scan.tone


def is_coarse_in_eight_bits(tone: ToneCurve) -> bool:
    """Whether codes of 8 bits under this curve lie too far apart to show what they mean."""
    every = 1 if tone.bits == 8 else 257
    return bool(np.diff(tone.lightness[::every]).max() > _COARSE_STEP_L)


def output_type(scan: Scan, tone: ToneCurve) -> np.dtype[Any]:
    """Type of the samples to write under a tone curve: they hold what the scan's do."""
    needed = scan.header.sample_type
    return needed if needed.itemsize > 2 else np.dtype(np.uint8 if tone.bits == 8 else np.uint16)


def coloured_strips(
    scan: Scan,
    chroma_map: ChromaMap,
    *,
    tone: ToneCurve,
    rows: int,
    own_colour: OwnColour | None = None,
) -> Iterator[Samples]:
    """Colour the scan from top to bottom.

    Args:
        scan: The scan.
        chroma_map: What the network says of it.
        tone: The tone curve to write with.
        rows: Rows of a strip; the last may have fewer.
        own_colour: Where the scan's own colours are kept; None for nowhere.

    Yields:
        R, G, B samples of `output_type`, (rows, W, 3), whose L* is the scan's: codes over all that
        integers hold; floating point between black, 0, and white, 1.
    """
    upsampler = GuidedUpsampler(chroma_map, scan.header.height, scan.header.width)
    dtype = output_type(scan, tone)
    encode = partial(_encoded, tone, dtype)
    # In colour, a lightness between two codes of 8 bits would be rounded twice: over the gate.
    is_finer = dtype.itemsize > 2 or (dtype.itemsize == 1 and scan.header.channels == 3)
    decoded = scan.level_strips(rows) if is_finer else scan.strips(rows)
    own = None
    if own_colour is not None and scan.header.channels == 3:
        own = _OwnStrips(scan, own_colour, chroma_map, rows)
    for top, codes in even_strips(decoded, rows):
        kept = own.next_strip(scan.tone.lightness_of(codes)) if own else None
        strip = np.empty((*codes.shape, 3), dtype)
        step = max(1, BLOCK_PIXELS // codes.shape[1])
        for start in range(0, codes.shape[0], step):
            part = slice(start, start + step)
            linear = _colour(scan.tone, codes[part], upsampler, top + start)
            if kept is not None and kept.share[part].any():
                linear = hold_light(kept.over(linear, part), scan.tone.light_of(codes[part]))
            for channel, light in enumerate(linear):
                strip[part, :, channel] = encode(light)
        yield strip


def _encoded(tone: ToneCurve, dtype: np.dtype[Any], light: Light) -> Samples:
    if dtype.itemsize <= 2:
        return tone.encode(light)
    levels = tone.levels(light)
    return levels if dtype.kind == "f" else np.rint(levels * np.iinfo(dtype).max)


@dataclass(frozen=True)
class _OriginalColours:
    """Colours of the scan's own, light (rows, W, 3), and how much of them counts, (rows, W)."""

    light: Plane
    share: Plane

    def over(self, linear: Light, part: slice) -> Light:
        """Lay them over others, (3, rows, W)."""
        light, share = np.moveaxis(self.light[part], 2, 0), self.share[part]
        return linear + share * (np.clip(light, 0, 1) - linear)


class _OwnStrips:
    """The scan's own colours where they are kept, strip by strip.

    What was found has soft edges; what was painted, those of the picture.
    """

    def __init__(self, scan: Scan, where: OwnColour, chroma_map: ChromaMap, rows: int) -> None:
        self._height, self._width = size = scan.header.height, scan.header.width
        self._found = self._painted = None
        if where.found is not None:
            self._found = uniform_filter(where.found.astype(np.float32), _SOFT_PX)
        if where.painted is not None:
            self._painted = ShareUpsampler(chroma_map, where.painted, *size)
        self._strips = even_strips(scan.colour_strips(rows), rows)

    def next_strip(self, lightness: Plane) -> _OriginalColours:
        top, light = next(self._strips)
        share = np.zeros(light.shape[:2], np.float32)
        if self._found is not None:
            places = np.arange(top, top + len(light))
            rows = _between(places, self._height, self._found)
            share = _between(np.arange(self._width), self._width, rows.T).T
        if self._painted is not None:
            share = np.maximum(share, self._painted.rows(lightness.astype(np.float32), top))
        return _OriginalColours(light, share)


def _between(places: NDArray[np.intp], full: int, small: Plane) -> Plane:
    """Rows of a small plane at places of a full one, linear between centres."""
    centre = np.clip((places + 0.5) * len(small) / full - 0.5, 0, len(small) - 1)
    before = np.minimum(centre.astype(np.intp), max(0, len(small) - 2))
    share = (centre - before).astype(np.float32)[:, None]
    after = np.minimum(before + 1, len(small) - 1)
    between: Plane = small[before] * (1 - share) + small[after] * share
    return between


def even_strips(
    strips: Iterable[tuple[int, NDArray[Values]]], rows: int
) -> Iterator[tuple[int, NDArray[Values]]]:
    """Cut strips of any height anew into strips of *rows* rows; the last may have fewer."""
    held: list[NDArray[Values]] = []
    count = top = 0
    for _, strip in strips:
        held.append(strip)
        count += strip.shape[0]
        while count >= rows:
            joined = held[0] if len(held) == 1 else np.concatenate(held)
            yield top, joined[:rows]
            held, count, top = [joined[rows:]], count - rows, top + rows
    if count:
        yield top, np.concatenate(held)


def _colour(tone: ToneCurve, codes: Samples, upsampler: GuidedUpsampler, top: int) -> Light:
    """Linear light (3, rows, W) of some rows of the scan."""
    lightness = tone.lightness_of(codes)
    linear = linear_in_gamut(lightness, upsampler.rows(lightness, top))
    return hold_light(linear, tone.light_of(codes))


def hold_light(linear: Light, light: Light) -> Light:
    """Give colours a luminance under D50, at their hue, and inside the gamut.

    Args:
        linear: R, G, B in linear light, (3, rows, W), in [0, 1]; may be overwritten.
        light: The luminance that each pixel must have, (rows, W), in [0, 1]; where it is float64,
            so is the result: float32 would lose what deep samples hold.

    Returns:
        *linear*, each pixel scaled to *light*; where that would leave 1, moved towards neutral.
    """
    linear = linear.astype(light.dtype, copy=False)
    luminance = np.tensordot(_LUMINANCES.astype(light.dtype), linear, axes=1)
    linear *= light / np.maximum(luminance, np.float32(1e-12))
    largest = linear.max(axis=0)
    if largest.max(initial=0) > 1:
        room = (1 - light) / np.maximum(largest - light, np.float32(1e-12))
        linear -= light
        linear *= np.minimum(room, 1)
        linear += light
    return linear

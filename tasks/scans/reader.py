"""A scan, opened: its tone, a small picture of its lightness, its codes at full size in strips."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from tasks.scans.code_range import CodeRange, find_range
from tasks.scans.decode import Samples, decode_strips, verify_data
from tasks.scans.formats.source import ByteSource
from tasks.scans.formats.structure import Structure
from tasks.scans.header import ReadLimits, ScanHeader, header_of, read_structure
from tasks.scans.lcms import lab_of_pixels, lightness_of
from tasks.scans.metadata.read import read_metadata
from tasks.scans.orient import TurnedStrips, orient
from tasks.scans.resample import StripReducer, look_size, resize
from tasks.scans.tone import (
    Codes,
    Floats,
    ToneCurve,
    ToneSource,
    light_from_lightness,
    tone_curve,
)
from tasks.scans.tone_rule import tone_rule
from tasks.scans.toning import light_of_lab

Array = NDArray[Any]
Floats32 = NDArray[np.float32]
Levels = NDArray[np.floating[Any]]

PROOF_PX = 1536  # long side of the reduced picture that one pass leaves behind
_STRIP_PIXELS = 1 << 21  # a pass for ourselves takes strips of about this size
_SAMPLE_PX = 768  # long side, about, of the grid of single pixels that a pass keeps


@dataclass(frozen=True)
class Survey:
    """What one pass over a scan leaves behind, upright.

    Attributes:
        lightness: L*, reduced by area means, float32 (h, w), to `look_size` of `PROOF_PX`.
        colours: Mean codes of red, green and blue, float32 (3, h, w); None where all three are
            equal in every pixel, or there is one channel.
        sample: Grey codes of single pixels on a regular grid, uint8 or uint16: unlike means, they
            tell print in two tones from a photograph.
    """

    lightness: Floats32
    colours: Floats32 | None
    sample: Codes
    screen: Floats32 | None = None  #: L* as `lightness`, of another size, where that was asked for


class Scan:
    """One page of a file, read in passes of bounded memory. Opening it decodes nothing."""

    def __init__(
        self, path: Path, structure: Structure, *, page: int, scratch: Path | None
    ) -> None:
        self.path = path
        self.metadata = read_metadata(structure)
        self.header: ScanHeader = header_of(structure, self.metadata, page=page)
        self._rule = tone_rule(structure)
        self.tone: ToneCurve = self._rule.grey
        self._structure = structure
        self._scratch = scratch
        self._is_verified = False
        self._screen_px = 0

    def strips(self, rows: int = 256) -> Iterator[tuple[int, Codes]]:
        """Decode at full size, from top to bottom, orientation applied.

        Args:
            rows: Rows of a strip; the last, and those of a turned scan's, may have fewer.

        Yields:
            The first row's number, and min-is-black grey codes, uint8 or uint16 (rows, W). Of a
            colour or toned scan they are the codes of its lightness.

        Raises:
            UnreadableScan: The data is damaged; strips that came before are void.
            OSError: The scratch disk is full.
        """
        return self._upright((self._grey(samples) for samples in self._samples(rows)), rows)

    def level_strips(self, rows: int = 256) -> Iterator[tuple[int, Levels]]:
        """Decode a scan whose lightness is finer than its codes, as `strips` does.

        So it is where samples are deeper than codes; and in colour, where a lightness between two
        codes would be rounded before the colour is rounded once more.

        Yields:
            The first row's number, and where its grey lies between black, 0, and white, 1, float32
            or float64 (rows, W).

        Raises:
            UnreadableScan: The data is damaged, or holds what is no number.
            OSError: The scratch disk is full.
        """
        return self._upright((self._level(samples) for samples in self._decoded(rows)), rows)

    def _upright(self, grey: Iterator[Array], rows: int) -> Iterator[tuple[int, Array]]:
        return TurnedStrips(grey, self.header.orientation).upright(rows, self._scratch)

    def colour_strips(self, rows: int = 256) -> Iterator[tuple[int, Floats32]]:
        """Decode a scan of three channels at full size in its own colours, from top to bottom.

        Each channel is decoded and turned for itself: three passes.

        Yields:
            The first row's number, and red, green and blue light with sRGB's primaries under D50,
            float32 (rows, W, 3); what sRGB cannot show lies outside [0, 1].

        Raises:
            UnreadableScan: The data is damaged.
            OSError: The scratch disk is full.
        """
        turned = [
            TurnedStrips(self._channel(channel, rows), self.header.orientation)
            for channel in range(3)
        ]
        channels = (one.upright(rows, self._scratch) for one in turned)
        for parts in zip(*channels, strict=True):
            yield parts[0][0], self._own_light(np.stack([codes for _, codes in parts], axis=2))

    def screen_strips(self, rows: int = 256) -> Iterator[Codes]:
        """Decode a scan of three channels once, in its own colours, for a screen.

        Yields:
            Red, green and blue, uint8 or uint16 (rows, W, 3), as stored: not turned. Codes of
            sRGB, or of the scan's profile where `profile` has one.

        Raises:
            UnreadableScan: The data is damaged.
        """
        shown = tone_curve(None, bits=8)
        tables = None if self.profile else shown.encode(self._rule.colour.channels)
        for samples in self._samples(rows):
            codes = self.code_range.spread(samples[..., :3])
            if tables is None:
                yield codes
            else:
                yield np.stack([tables[one].take(codes[..., one]) for one in range(3)], axis=2)

    @property
    def profile(self) -> bytes | None:
        """The ICC profile of its colours, where it has one that can be used."""
        return self._structure.icc if self.tone.source == ToneSource.PROFILE else None

    def _channel(self, channel: int, rows: int) -> Iterator[Codes]:
        for samples in self._samples(rows):
            yield self.code_range.spread(np.ascontiguousarray(samples[..., channel]))

    def _own_light(self, codes: Codes) -> Floats32:
        icc = self._structure.icc
        lab = lab_of_pixels(codes, icc) if icc and self.tone.source == ToneSource.PROFILE else None
        if lab is not None:
            return light_of_lab(lab)
        tables = self._rule.colour.channels
        return np.stack([tables[one][codes[..., one]] for one in range(3)], axis=2)

    def thumbnail(self, height: int, width: int) -> Floats32:
        """Give L* at exactly this size, antialiased: float32 (height, width), in [0, 100]."""
        lightness = self.survey.lightness
        if self.survey.screen is not None and max(height, width) > max(lightness.shape):
            lightness = self.survey.screen
        if min(lightness.shape[0] / height, lightness.shape[1] / width) < 1:
            is_whole = lightness.shape == (self.header.height, self.header.width)
            if not is_whole:
                lightness = self._look(max(height, width)).lightness
        return np.clip(resize(lightness, height, width), 0, 100)

    def keep_screen(self, long_side: int) -> None:
        """Have the first pass keep L* at that size, too: `thumbnail` needs no pass of its own then.

        To be called before anything is decoded.
        """
        self._screen_px = long_side

    def colour_light(self, long_side: int) -> Floats32 | None:
        """Give the linear light of red, green and blue, reduced, float32 (3, h, w), in [0, 1].

        None where the scan has one channel, or three that are equal in every pixel.
        """
        colours = self.survey.colours
        if colours is None:
            return None
        height, width = look_size(colours.shape[1:], long_side)
        codes = [np.rint(resize(plane, height, width)).astype(np.int64) for plane in colours]
        pairs = zip(self._rule.colour.channels, codes, strict=True)
        return np.stack([light[plane] for light, plane in pairs])

    @cached_property
    def survey(self) -> Survey:
        """What one pass finds; made once.

        Raises:
            UnreadableScan: The data is damaged.
        """
        return self._look(PROOF_PX, screen_px=self._screen_px)

    @cached_property
    def code_range(self) -> CodeRange:
        """Which decoded codes are black and white; where nothing states it, the picture is asked.

        Raises:
            UnreadableScan: The data is damaged.
        """
        return find_range(self._structure, self._rule, lambda: self._decoded(self._rows))

    @contextmanager
    def clean(self) -> Iterator[BinaryIO]:
        """Open the file as decoders are given it: what decides about the pixels alone."""
        with self.path.open("rb") as file:
            yield ByteSource(file).assembled(self._structure.parts)

    @property
    def directory(self) -> int:
        """Number of the page's directory in a TIFF; 0 of other formats."""
        return self._structure.directory

    @property
    def tone_notes(self) -> tuple[str, ...]:
        """What was passed over, assumed or guessed of the tone, a sentence each."""
        return (*self._rule.notes, *filter(None, [self.code_range.note]))

    @property
    def tone_doubt(self) -> str:
        """Why a person should look at the tone; empty where it is sure."""
        return self._rule.doubt or self.code_range.doubt

    @property
    def _rows(self) -> int:
        return max(1, _STRIP_PIXELS // self._structure.width)

    def _samples(self, rows: int) -> Iterator[Samples]:
        """Decode codes; of levels the nearest."""
        for samples in self._decoded(rows):
            is_deep = self._structure.is_deep
            yield _nearest(self.code_range.spread(samples)) if is_deep else samples

    def _decoded(self, rows: int) -> Iterator[Samples]:
        if not self._is_verified:
            verify_data(self.path, self._structure)
            self._is_verified = True
        return decode_strips(self.path, self._structure, rows=rows)

    def _grey(self, samples: Samples) -> Array:
        """Turn decoded samples, (rows, W, channels), into grey codes or levels, (rows, W)."""
        if samples.shape[2] == 1 or _is_neutral(samples):
            return self.code_range.spread(samples[..., 0])
        block = max(1, _STRIP_PIXELS // samples.shape[1])
        tops = range(0, len(samples), block)
        return np.concatenate([self._grey_of(samples[top : top + block]) for top in tops])

    def _level(self, samples: Samples) -> Levels:
        """Turn decoded samples into grey levels, (rows, W)."""
        if samples.dtype.kind == "f":
            return self._grey(samples)
        if samples.shape[2] == 1 or _is_neutral(samples):
            codes = self._grey(samples)
            return codes / np.float32(np.iinfo(codes.dtype).max)
        light = self._light_of(self.code_range.spread(samples))
        return self.tone.levels(light).astype(np.float32)

    def _grey_of(self, samples: Samples) -> Array:
        """Turn RGB, (rows, W, 3), into codes or levels of its lightness."""
        samples = self.code_range.spread(samples)
        light = self._light_of(samples)
        if samples.dtype.kind == "f":
            return self.tone.levels(light).astype(samples.dtype, copy=False)
        return self.tone.encode(light)

    def _light_of(self, samples: Samples) -> Floats:
        """Light of RGB, (rows, W, 3)."""
        rule = self._rule.colour
        lightness = lightness_of(samples, rule.icc) if rule.icc is not None else None
        if lightness is not None:
            return light_from_lightness(lightness)
        return rule.light_of(samples)

    def _look(self, long_side: int, *, screen_px: int = 0) -> Survey:
        """Pass once over the scan as stored, and turn what is left of it upright."""
        height, width = self._structure.height, self._structure.width
        small, screen = self._reducer(long_side), self._reducer(screen_px or 1)
        colours = [self._reducer(long_side) for _ in range(3 * (self._structure.channels == 3))]
        every = max(1, height // look_size((height, width), _SAMPLE_PX)[0])
        # Made whole at once: small arrays kept between strips would tear holes into the heap, and
        # memory would grow with the scan.
        shape = -(-height // every), -(-width // every)
        sample = np.empty(shape, dtype=np.uint8 if self.header.bits == 8 else np.uint16)
        is_neutral, top = True, 0
        for samples in self._samples(self._rows):
            codes = self._grey(samples)
            lightness = self.tone.lightness_of(codes)
            small.add(top, lightness)
            if screen_px:
                screen.add(top, lightness)
            kept = codes[-top % every :: every, ::every]
            sample[-(-top // every) :][: len(kept)] = kept
            if samples.shape[2] == 3:
                is_neutral = is_neutral and _is_neutral(samples)
                spread = self.code_range.spread(samples)
                for channel, reducer in enumerate(colours):
                    reducer.add(top, spread[..., channel])
            top += len(samples)
        turn = self.header.orientation
        return Survey(
            lightness=np.ascontiguousarray(orient(small.picture(), turn)),
            colours=None
            if is_neutral
            else np.stack([orient(one.picture(), turn) for one in colours]),
            sample=orient(sample, turn),
            screen=np.ascontiguousarray(orient(screen.picture(), turn)) if screen_px else None,
        )

    def _reducer(self, long_side: int) -> StripReducer:
        height, width = self._structure.height, self._structure.width
        small = look_size((height, width), long_side)
        return StripReducer(height, width, small_height=small[0], small_width=small[1])


def _nearest(levels: Levels) -> Codes:
    codes: Codes = np.rint(levels * 65535).astype(np.uint16)
    return codes


def _is_neutral(samples: Samples) -> bool:
    first = samples[..., 0]
    return bool(np.array_equal(first, samples[..., 1]) and np.array_equal(first, samples[..., 2]))


def open_scan(
    path: Path, *, page: int = 0, limits: ReadLimits | None = None, scratch: Path | None = None
) -> Scan:
    """Open one page of a file; the errors are those of `read_header`.

    Args:
        path: The file; its name plays no part.
        page: The page, from 0.
        limits: What the file may ask for.
        scratch: Folder for the scratch file that a turned scan needs; by default the system's.
    """
    structure = read_structure(path, page=page, limits=limits or ReadLimits())
    return Scan(path, structure, page=page, scratch=scratch)

"""Whether a film is grey, toned, tinted or in colour, by a few of its frames."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace
from numpy.typing import NDArray

from colormodel.srgb import to_linear
from tasks.errors import AlreadyColour, BlankScan, Reason
from tasks.films.luma import LUMA_SHARES, luma_of, picture_format, planes_of
from tasks.scans.blank import BlankRule, measure_spread
from tasks.scans.findings import Doubt
from tasks.scans.hue import Hue, HueRule, judge_hue, measure_chroma
from tasks.scans.resample import resize

_LOOK_PX = 256
#: A film shows what it is many times over, and is less faded and stained than prints are: of 42
#: toned ones none has as much that lightness and place do not explain. Nor do colour targets lie in
#: it.
_RULE = HueRule(colour_rest=3.0, colour_breadth=1.25, plain_places=1.01)
#: Share of the frames that show something, from which the film is in colour, as these are. A title
#: in colour does not make a film one.
_MOST = 0.5
#: `HueWatch` looks as often, in seconds: a title in colour is shown for longer.
_EVERY_S = 0.5


def judge_films_hue(frames: Sequence[VideoFrame]) -> tuple[Doubt, ...]:
    """Say what a person should know of a film's colours; nothing of a grey one.

    Each frame is judged as a scan is: tinted film has one colour for each lightness, and is grey.

    Raises:
        AlreadyColour: It is in colour.
        BlankScan: It shows nothing.
    """
    lights = [_light_of(frame) for frame in frames]
    spread = BlankRule().spread
    shown = [light for light in lights if measure_spread(_lightness(light)) >= spread]
    if not shown:
        raise BlankScan(f"none of {len(frames)} frames of the film shows anything; nothing to do")
    if all(picture_format(frame.format.name).is_grey for frame in frames):
        return ()
    hues = [judge_hue(measure_chroma(light, _RULE), _RULE) for light in shown]
    share = {hue: hues.count(hue) / len(hues) for hue in Hue}
    of = f"of {len(hues)} frames that were looked at"
    if share[Hue.COLOUR] >= _MOST:
        raise AlreadyColour(f"the film is in colour: {share[Hue.COLOUR]:.0%} {of}; nothing to do")
    if share[Hue.COLOUR] + share[Hue.NEARLY_COLOUR] > 0:
        found = share[Hue.COLOUR] + share[Hue.NEARLY_COLOUR]
        words = f"Parts of the film may be in colour: {found:.0%} {of}."
        return (Doubt(Reason.NEARLY_COLOUR, words),)
    if share[Hue.TONED]:
        return (Doubt(Reason.TONED, f"The film is toned or tinted: {share[Hue.TONED]:.0%} {of}."),)
    return ()


class HueWatch:
    """Finds frames in colour in a film that is grey as a whole, while all of it is decoded."""

    def __init__(self, rate: Fraction) -> None:
        """Prepare for a film of so many frames a second."""
        self._every = max(1, round(rate * _EVERY_S))
        self._number, self._looked_at = 0, 0
        self._coloured: list[int] = []

    def add(self, frame: VideoFrame) -> None:
        """Take the next frame."""
        number, self._number = self._number, self._number + 1
        if number % self._every or picture_format(frame.format.name).is_grey:
            return
        self._looked_at += 1
        light = _light_of(frame)
        is_shown = measure_spread(_lightness(light)) >= BlankRule().spread
        if is_shown and judge_hue(measure_chroma(light, _RULE), _RULE) is Hue.COLOUR:
            self._coloured.append(number)

    def doubts(self) -> tuple[Doubt, ...]:
        """What a person should know of it."""
        if not self._coloured:
            return ()
        words = (
            f"Parts of the film are in colour, the first at frame {self._coloured[0]} "
            f"({len(self._coloured)} of {self._looked_at} frames that were looked at): their own "
            "colours are not in the master."
        )
        return (Doubt(Reason.NEARLY_COLOUR, words),)


def _light_of(frame: VideoFrame) -> NDArray[np.float32]:
    """Linear light of a frame, reduced, (3, h, w)."""
    stored = picture_format(frame.format.name)
    most = (1 << stored.bits) - 1
    if stored.is_grey:
        planes = [luma_of(frame)] * 3
    else:
        # Of matrices that FFmpeg cannot undo the usual one is near enough for what is nearly grey.
        known = None if frame.colorspace in LUMA_SHARES or stored.is_rgb else Colorspace.ITU601
        green, blue, red = planes_of(frame.reformat(format="gbrp", src_colorspace=known), 3)
        planes, most = [red, green, blue], 255
    height, width = planes[0].shape
    scale = min(1.0, _LOOK_PX / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    codes = np.stack([resize(plane.astype(np.float32) / most, *size) for plane in planes])
    codes = np.clip(codes, 0, 1)
    return to_linear(codes).astype(np.float32)


def _lightness(light: NDArray[np.float32]) -> NDArray[np.float32]:
    y = np.tensordot(np.array([0.2126, 0.7152, 0.0722], np.float32), light, axes=1)
    lightness: NDArray[np.float32] = np.where(
        y > 216 / 24389, 116 * np.cbrt(y) - 16, y * 24389 / 27
    )
    return lightness.astype(np.float32)

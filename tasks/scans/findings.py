"""What a scan is: a photograph to be coloured, or something that must not be."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.errors import AlreadyColour, Bilevel, BlankScan, Reason
from tasks.scans.blank import BlankRule, has_structure, lies_on_sheet, measure_spread
from tasks.scans.frame import Box, FrameRule, find_frame, surroundings
from tasks.scans.hue import Hue, HueRule, judge_hue, measure_chroma
from tasks.scans.islands import Island, IslandRule, find_islands
from tasks.scans.mount import colour_of_mount, find_mount, mounted_picture
from tasks.scans.negative import NegativeDoubt, NegativeRule, doubt_about
from tasks.scans.page import PageRule, picture_share
from tasks.scans.reader import Scan
from tasks.scans.resample import look_size, resize
from tasks.scans.toning import lab_of, unexplained
from tasks.scans.twotone import TwoToneRule, is_print, measure_tones
from tasks.scans.wedge import WedgeRule, find_wedges

Floats32 = NDArray[np.float32]
Bools = NDArray[np.bool_]

_CHROMA_PX = 384  # long side on which chroma is measured: JPEG's blocks and grain are averaged away
_ISLANDS_PX = 768  # the same for islands of own colour: strokes of a pen are still there
_WHOLE = Box(0.0, 0.0, 1.0, 1.0)
_NAMED_ISLANDS = 5  # islands that are described one by one


@dataclass(frozen=True)
class Thresholds:
    """Where each judgement turns; each rule says what its numbers mean.

    `tests.bench.judgements` measures how often each is wrong; docs/formats.md has the figures.
    """

    frame: FrameRule = field(default_factory=FrameRule)
    hue: HueRule = field(default_factory=HueRule)
    island: IslandRule = field(default_factory=IslandRule)
    two_tone: TwoToneRule = field(default_factory=TwoToneRule)
    page: PageRule = field(default_factory=PageRule)
    blank: BlankRule = field(default_factory=BlankRule)
    negative: NegativeRule = field(default_factory=NegativeRule)
    wedge: WedgeRule = field(default_factory=WedgeRule)


class Doubt(NamedTuple):
    """Why a person has to look at what was coloured, and the words for it."""

    reason: Reason
    words: str


@dataclass(frozen=True)
class Findings:
    """What was seen on a scan that is to be coloured.

    Attributes:
        doubts: Why a person has to look, the weightiest first; none where nothing is in the way.
        negative_doubt: What the network needs to tell whether the scan is a negative that was never
            inverted; None where its border or its tones clear it.
        picture: Where the picture lies within film border, margin or mount.
        neutral: Parts that must stay neutral: borders, margins, mounts, step wedges.
        islands: Stamps, ink, tints and targets in a colour of their own.
        own_colour: Where these are, bool (h, w) of any size; None where there are none.
    """

    doubts: tuple[Doubt, ...]
    negative_doubt: NegativeDoubt | None
    picture: Box
    neutral: tuple[Box, ...]
    islands: tuple[Island, ...] = ()
    own_colour: Bools | None = field(default=None, compare=False)

    @property
    def reason(self) -> Reason | None:
        """The weightiest doubt."""
        return self.doubts[0].reason if self.doubts else None

    @property
    def notes(self) -> tuple[str, ...]:
        """All doubts, a sentence each."""
        return tuple(doubt.words for doubt in self.doubts)

    def keep_neutral(self, height: int, width: int) -> NDArray[np.bool_]:
        """Mark where no colour may be put, bool (height, width)."""
        mask = np.zeros((height, width), dtype=np.bool_)
        for box in self.neutral:
            mask[box.slices(height, width)] = True
        return mask


def examine(scan: Scan, *, thresholds: Thresholds | None = None) -> Findings:
    """Look at a scan as a whole, by what one pass over it left behind.

    Raises:
        AlreadyColour: It surely is in colour.
        Bilevel: It surely is text or line art in two tones.
        BlankScan: It surely holds no picture.
        UnreadableScan: Its data is damaged.
    """
    rules = thresholds or Thresholds()
    lightness = scan.survey.lightness
    frame = find_frame(lightness, rules.frame)
    inner = frame.picture.inset(rules.blank.inset)
    doubts = [
        _doubt_blank(scan, frame.picture, rules.blank),
        _doubt_print(scan, inner, rules),
    ]
    light = scan.colour_light(_ISLANDS_PX)
    islands: tuple[Island, ...] = ()
    own_colour: Bools | None = None
    picture = frame.picture
    if light is not None:
        hue_doubt = _doubt_colour(light, frame.picture, rules.hue)
        islands, own_colour, mounted = _own_colour(light, frame.picture, rules.island)
        is_doubtful = hue_doubt is not None and hue_doubt.reason is Reason.NEARLY_COLOUR
        island_doubt = None if is_doubtful else _doubt_islands(islands, own_colour)
        doubts[:0] = [island_doubt, hue_doubt]
        if is_doubtful or not islands:
            islands, own_colour = (), None
        picture = frame.picture.within(mounted)
    return Findings(
        doubts=tuple(doubt for doubt in doubts if doubt),
        negative_doubt=doubt_about(lightness, frame, rules.negative),
        picture=picture,
        neutral=(*surroundings(picture), *find_wedges(lightness, rules.wedge)),
        islands=islands,
        own_colour=own_colour,
    )


def _doubt_blank(scan: Scan, picture: Box, rule: BlankRule) -> Doubt | None:
    """Refuse an empty sheet; doubt a picture that is only faint, or of fine texture alone."""
    lightness, sample = scan.survey.lightness, scan.survey.sample
    inner, whole = (
        (lightness[part.slices(*lightness.shape)], part)
        for part in (picture.inset(rule.inset), _WHOLE.inset(rule.inset))
    )
    spread = min(measure_spread(inner[0]), measure_spread(whole[0]))
    if spread >= rule.spread:
        return None
    # A border as light as the picture is none: snow would be cut away, or what lies in a corner.
    around = np.ones(lightness.shape, np.bool_)
    around[picture.slices(*lightness.shape)] = False
    level = np.median(lightness[around]) if around.any() else np.median(lightness)
    is_border = abs(level - np.median(inner[0])) >= rule.spread
    looked_at, box = inner if is_border else whole
    seen = f"its lightness spreads by {spread:.2f} L* (a picture: {rule.spread:g} or more)"
    single = scan.tone.lightness[sample[box.slices(*sample.shape)]]
    low, high = np.percentile(single, [2, 98])
    if high - low < rule.grain and not (
        has_structure(looked_at, rule) or (not is_border and lies_on_sheet(lightness, rule))
    ):
        raise BlankScan(f"the scan is blank: {seen}, with no structure in it; nothing to do")
    return Doubt(Reason.NEARLY_BLANK, f"The scan is nearly blank: {seen}, yet it has structure.")


def _doubt_print(scan: Scan, inner: Box, rules: Thresholds) -> Doubt | None:
    """Refuse text and line art; doubt a page that shows a picture, too."""
    if scan.header.stored_bits == 1:
        raise Bilevel("the scan has one bit a pixel: text or line art; nothing to do")
    sample, lightness = scan.survey.sample, scan.survey.lightness
    tones = measure_tones(sample[inner.slices(*sample.shape)], scan.tone.lightness)
    if not is_print(tones, rules.two_tone):
        return None
    seen = (
        f"two tones, {tones.contrast:.0f} L* apart, with {tones.between:.1%} of its pixels "
        "between them"
    )
    share = picture_share(lightness[inner.slices(*lightness.shape)], rules.page)
    if share < rules.page.picture:
        raise Bilevel(f"the scan is in {seen}: text or line art; nothing to do")
    words = f"The scan is in {seen}, as print is, but {share:.0%} of it may be a picture."
    return Doubt(Reason.PRINT_SUSPECTED, words)


def _doubt_colour(light: Floats32, picture: Box, rule: HueRule) -> Doubt | None:
    """Refuse colour; doubt what is toned, or nearly colour."""
    height, width = look_size(light.shape[1:], _CHROMA_PX)
    rows, columns = picture.slices(height, width)
    small = np.stack([resize(plane, height, width) for plane in light])
    chroma = measure_chroma(small[:, rows, columns], rule)
    hue = judge_hue(chroma, rule)
    if hue == Hue.GREY:
        return None
    seen = (
        f"chroma {chroma.mean:.1f} on average, {chroma.rest:.1f} of it explained neither by "
        f"lightness nor by place (toned prints: up to {rule.toned_rest:g}; colour: from "
        f"{rule.colour_rest:g})"
    )
    if hue == Hue.COLOUR:
        raise AlreadyColour(f"the scan has colour of its own: {seen}; nothing to do")
    if hue == Hue.TONED:
        return Doubt(Reason.TONED, f"The print is toned: {seen}.")
    return Doubt(Reason.NEARLY_COLOUR, f"The scan may have colour of its own: {seen}.")


def _own_colour(
    light: Floats32, picture: Box, rule: IslandRule
) -> tuple[tuple[Island, ...], Bools, Box]:
    """Find islands of own colour, where they are, and the picture on its mount."""
    lab = lab_of(light)
    mount = find_mount(lab)
    mounted = mounted_picture(mount)
    counted = ~mount
    inside = np.zeros_like(counted)
    inside[picture.within(mounted).slices(*counted.shape)] = True
    if (counted & inside).any():
        counted &= inside
    around = colour_of_mount(lab, mount, mounted)
    rest = unexplained(lab, counted, places=rule.places)
    islands, cover = find_islands(lab, rest, around, rule)
    return tuple(islands), cover, mounted


def _doubt_islands(islands: tuple[Island, ...], cover: Bools) -> Doubt | None:
    """Say where islands are; doubt a picture too much of which would be some."""
    if not islands:
        if not cover.any():
            return None
        words = f"{cover.mean():.0%} of the scan differs in colour from the rest: too much to keep."
        return Doubt(Reason.NEARLY_COLOUR, words)
    named = "; ".join(str(island) for island in islands[:_NAMED_ISLANDS])
    more = f"; and {len(islands) - _NAMED_ISLANDS} more" if len(islands) > _NAMED_ISLANDS else ""
    return Doubt(Reason.OWN_COLOUR, f"Parts have a colour of their own: {named}{more}.")

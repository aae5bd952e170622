"""What a scan is: a photograph to be coloured, or something that must not be."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tasks.errors import AlreadyColour, Bilevel, BlankScan
from tasks.scans.frame import Box, FrameRule, find_frame, surroundings
from tasks.scans.hue import Hue, HueRule, judge_hue, measure_chroma
from tasks.scans.negative import NegativeDoubt, NegativeRule, doubt_about
from tasks.scans.reader import Scan
from tasks.scans.resample import resize
from tasks.scans.tone import Codes
from tasks.scans.twotone import TwoToneRule, is_print, measure_tones
from tasks.scans.wedge import WedgeRule, find_wedges

Floats32 = NDArray[np.float32]

_BLANK_PX = 96  # long side on which a picture is looked at for being blank
_CHROMA_PX = 384  # long side on which chroma is measured: JPEG's blocks and grain are averaged away


@dataclass(frozen=True)
class BlankRule:
    """When a picture holds nothing.

    Attributes:
        spread: L* between its 2nd and 98th percentile, once grain and dust are averaged away, below
            which it is blank.
        inset: Share of the picture left out at each side, for what lies along its edges.
    """

    spread: float = 3.0
    inset: float = 0.06


@dataclass(frozen=True)
class Thresholds:
    """Where each judgement turns; each rule says what its numbers mean.

    Measured with the values given here, on 22 November 2026, by `tests.bench.judgements`, with the
    bundled network. Of 76 archive scans none was refused, one sepia seen, none suspected to be
    negative. Of 500 colour photographs 10 were taken for toned (fog, a sky, one true sepia), of 74
    period ones 5 (haze). Of the 500 made grey none was refused, and 9 were suspected. Of the made
    pictures, 40 of a kind, all text pages, blank sheets, sepia prints and cyanotypes were seen, and
    no photograph was refused. Negatives were found: 58 of the archive scans inverted whole, 49 of
    them cut out of their film (none suspected as they are), 313 of the 500 photographs. In a white
    margin, 22 of the 500 were suspected as they are, and 421 in clear film as negatives.
    """

    frame: FrameRule = field(default_factory=FrameRule)
    hue: HueRule = field(default_factory=HueRule)
    two_tone: TwoToneRule = field(default_factory=TwoToneRule)
    blank: BlankRule = field(default_factory=BlankRule)
    negative: NegativeRule = field(default_factory=NegativeRule)
    wedge: WedgeRule = field(default_factory=WedgeRule)


@dataclass(frozen=True)
class Findings:
    """What was seen on a scan that is to be coloured.

    Attributes:
        toned: The print is sepia, cyanotype or the like; its lightness alone is used.
        negative_doubt: What the network needs to tell whether the scan is a negative that was never
            inverted; None where its border or its tones clear it.
        picture: Where the picture lies within film border or margin.
        neutral: Parts that must stay neutral: borders, margins, step wedges.
    """

    toned: bool
    negative_doubt: NegativeDoubt | None
    picture: Box
    neutral: tuple[Box, ...]

    def keep_neutral(self, height: int, width: int) -> NDArray[np.bool_]:
        """Mark where no colour may be put, bool (height, width)."""
        mask = np.zeros((height, width), dtype=np.bool_)
        for box in self.neutral:
            mask[box.slices(height, width)] = True
        return mask


def examine(scan: Scan, *, thresholds: Thresholds | None = None) -> Findings:
    """Look at a scan as a whole, by what one pass over it left behind.

    Raises:
        AlreadyColour: It holds colour of its own.
        Bilevel: It is text or line art in two tones.
        BlankScan: It holds no picture.
        UnreadableScan: Its data is damaged.
    """
    rules = thresholds or Thresholds()
    lightness = scan.survey.lightness
    frame = find_frame(lightness, rules.frame)
    inner = frame.picture.inset(rules.blank.inset)
    _refuse_blank(lightness[inner.slices(*lightness.shape)], rules.blank)
    sample = scan.survey.sample
    _refuse_print(scan, sample[inner.slices(*sample.shape)], rules.two_tone)
    toned = _refuse_colour(scan, frame.picture, rules.hue)
    return Findings(
        toned=toned,
        negative_doubt=doubt_about(lightness, frame, rules.negative),
        picture=frame.picture,
        neutral=(*surroundings(frame.picture), *find_wedges(lightness, rules.wedge)),
    )


def _refuse_blank(lightness: Floats32, rule: BlankRule) -> None:
    scale = min(1.0, _BLANK_PX / max(lightness.shape))
    small = resize(lightness, *(max(1, round(side * scale)) for side in lightness.shape))
    low, high = np.percentile(small, [2, 98])
    spread = float(high - low)
    if spread < rule.spread:
        raise BlankScan(
            f"the scan is blank: its lightness spreads by {spread:.2f} L* (a picture: "
            f"{rule.spread:g} or more); nothing to do"
        )


def _refuse_print(scan: Scan, sample: Codes, rule: TwoToneRule) -> None:
    if scan.header.stored_bits == 1:
        raise Bilevel("the scan has one bit a pixel: text or line art; nothing to do")
    tones = measure_tones(sample, scan.tone.lightness)
    if is_print(tones, rule):
        raise Bilevel(
            f"the scan is in two tones, {tones.contrast:.0f} L* apart, with {tones.between:.1%} of "
            "its pixels between them: text or line art; nothing to do"
        )


def _refuse_colour(scan: Scan, picture: Box, rule: HueRule) -> bool:
    """Refuse colour; tell whether the picture is toned."""
    light = scan.colour_light(_CHROMA_PX)
    if light is None:
        return False
    rows, columns = picture.slices(*light.shape[1:])
    chroma = measure_chroma(light[:, rows, columns], rule)
    hue = judge_hue(chroma, rule)
    if hue == Hue.COLOUR:
        raise AlreadyColour(
            f"the scan has colour of its own: chroma {chroma.mean:.1f} on average, and "
            f"{chroma.rest:.1f} that its lightness does not explain (toned prints: up to "
            f"{rule.toned_rest:g}); nothing to do"
        )
    return hue == Hue.TONED

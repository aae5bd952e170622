"""Telling print in two tones (text, line art, one-bit scans) from photographs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats32 = NDArray[np.float32]

_BINS = 200


@dataclass(frozen=True)
class TwoToneRule:
    """When a picture counts as print.

    Attributes:
        pure_between: Share of pixels between ink and paper, below which there are two tones only.
        pure_spread: L* between the quartiles of ink and of paper, below which each is one tone.
        text_between: The same share for scanned text, whose strokes have soft edges.
        text_paper_spread: L* between the quartiles of the paper.
        text_ink: Largest share of ink on a page.
        text_contrast: Smallest L* between ink and paper.
        text_scatter: How often a row changes from paper to ink, against its pixels of ink: strokes
            are a few pixels wide, things are not.
    """

    pure_between: float = 0.01
    pure_spread: float = 1.0
    text_between: float = 0.2
    text_paper_spread: float = 9.0
    text_ink: float = 0.36
    text_contrast: float = 18.0
    text_scatter: float = 0.2


@dataclass(frozen=True)
class Tones:
    """A picture's two tones, split where the variance between them is largest (Otsu 1979)."""

    between: float
    ink: float
    contrast: float
    paper_spread: float
    ink_spread: float
    scatter: float


def measure_tones(lightness: Floats32) -> Tones:
    """Measure single pixels' L*, (h, w), as two tones: the darker is called ink."""
    is_ink = lightness <= _threshold(lightness)
    dark, light = lightness[is_ink], lightness[~is_ink]
    if not dark.size or not light.size:
        return Tones(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    ink, paper = (np.percentile(part, [25, 50, 75]) for part in (dark, light))
    contrast = float(paper[1] - ink[1])
    middle = lightness[(lightness > ink[1] + contrast / 4) & (lightness < paper[1] - contrast / 4)]
    changes = np.count_nonzero(is_ink[:, 1:] != is_ink[:, :-1])
    return Tones(
        between=middle.size / lightness.size,
        ink=dark.size / lightness.size,
        contrast=contrast,
        paper_spread=float(paper[2] - paper[0]),
        ink_spread=float(ink[2] - ink[0]),
        scatter=changes / (2 * dark.size),
    )


def is_print(tones: Tones, rule: TwoToneRule) -> bool:
    """Whether a picture of these tones is print rather than a photograph."""
    is_pure = (
        tones.contrast >= rule.text_contrast
        and tones.between <= rule.pure_between
        and max(tones.paper_spread, tones.ink_spread) <= rule.pure_spread
    )
    is_text = (
        tones.contrast >= rule.text_contrast
        and tones.between <= rule.text_between
        and tones.paper_spread <= rule.text_paper_spread
        and tones.ink <= rule.text_ink
        and tones.scatter >= rule.text_scatter
    )
    return is_pure or is_text


def _threshold(lightness: Floats32) -> float:
    """Otsu's threshold over [0, 100]."""
    counts, edges = np.histogram(lightness, bins=_BINS, range=(0, 100))
    share, centres = counts / max(1, counts.sum()), (edges[:-1] + edges[1:]) / 2
    below, mean = np.cumsum(share), np.cumsum(share * centres)
    variance = (mean[-1] * below - mean) ** 2 / np.maximum(below * (1 - below), 1e-9)
    return float(edges[1:][variance[:-1].argmax()])

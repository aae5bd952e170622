"""Telling print in two tones (text, line art, one-bit scans) from photographs."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.scans.tone import Codes

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


def measure_tones(codes: Codes, lightness_of: Floats32) -> Tones:
    """Measure single pixels as two tones: the darker is called ink.

    Args:
        codes: Grey codes, (h, w).
        lightness_of: L* of each code, rising.
    """
    size = lightness_of.size
    # float32 counts to 2^24, more than there are pixels in a sample; a third of `bincount`'s time.
    counts = cv2.calcHist([codes], [0], None, [size], [0, size]).reshape(-1).astype(np.intp)
    first = int(np.searchsorted(lightness_of, _threshold(counts, lightness_of), side="right"))
    dark, light = int(counts[:first].sum()), int(counts[first:].sum())
    if not dark or not light:
        return Tones(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    ink = _quartiles(counts[:first], lightness_of[:first])
    paper = _quartiles(counts[first:], lightness_of[first:])
    contrast = paper[1] - ink[1]
    is_between = (lightness_of > ink[1] + contrast / 4) & (lightness_of < paper[1] - contrast / 4)
    is_ink = codes < first
    changes = np.count_nonzero(is_ink[:, 1:] != is_ink[:, :-1])
    return Tones(
        between=int(counts[is_between].sum()) / codes.size,
        ink=dark / codes.size,
        contrast=contrast,
        paper_spread=paper[2] - paper[0],
        ink_spread=ink[2] - ink[0],
        scatter=changes / (2 * dark),
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


def _quartiles(counts: NDArray[np.intp], lightness_of: Floats32) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile of L*, of pixels counted by code."""
    ranks = np.cumsum(counts)
    places = (ranks[-1] - 1) * np.array([0.25, 0.5, 0.75])
    below, above = (
        lightness_of[np.searchsorted(ranks, whole, side="right")].astype(np.float64)
        for whole in (np.floor(places), np.ceil(places))
    )
    low, middle, high = (below + (places % 1) * (above - below)).tolist()
    return low, middle, high


def _threshold(pixels: NDArray[np.intp], lightness_of: Floats32) -> np.float32:
    """Otsu's threshold over [0, 100]."""
    edges = np.linspace(0, 100, _BINS + 1)
    bins = np.minimum(lightness_of * (_BINS / 100), _BINS - 1).astype(np.intp)
    counts = np.bincount(bins, pixels, minlength=_BINS)
    share, centres = counts / max(1, counts.sum()), (edges[:-1] + edges[1:]) / 2
    below, mean = np.cumsum(share), np.cumsum(share * centres)
    variance = (mean[-1] * below - mean) ** 2 / np.maximum(below * (1 - below), 1e-9)
    return np.float32(edges[1:][variance[:-1].argmax()])

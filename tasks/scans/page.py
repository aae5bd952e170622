"""Telling a page of text alone from one that also shows a picture: a halftone, an engraving."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

Floats32 = NDArray[np.float32]

_INK, _PAPER = 2, 90  # percentiles of L*
_BLUR_PX = 3  # in which a halftone's dots melt into a tone, and lines of text do not


@dataclass(frozen=True)
class PageRule:
    """When a part of a page is a picture.

    Attributes:
        window: Share of the longer side, over which ink is averaged: a few lines of text.
        dark: Share of ink in such a window, above which it is no text.
        toned: Share of ink from which an even window is a tone rather than paper.
        even: Variance of such a window, against that of ink and paper alone.
        picture: Share of the page that such windows cover, from which it shows a picture.
    """

    window: float = 0.035
    dark: float = 0.45
    toned: float = 0.15
    even: float = 0.12
    picture: float = 0.008


def picture_share(lightness: Floats32, rule: PageRule) -> float:
    """Share of a page, L*, (h, w), that is no text: too dark for lines, or too even."""
    ink, paper = np.percentile(lightness, [_INK, _PAPER])
    cover = np.clip((paper - lightness) / max(paper - ink, 1.0), 0, 1)
    window = max(9, round(rule.window * max(lightness.shape)))
    share = uniform_filter(cover, window)
    melted = uniform_filter(cover, _BLUR_PX)
    variance = uniform_filter(melted * melted, window) - uniform_filter(melted, window) ** 2
    is_even = (share > rule.toned) & (variance < rule.even * share * (1 - share))
    return float(((share > rule.dark) | is_even).mean())

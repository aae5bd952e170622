"""What the measurements say together: the table, and what confidence is worth."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from colormodel.evaluate.measure import TRUE_FEATURES, Evidence, Key, Measurement
from colormodel.metrics import (
    PairedDifference,
    ReliabilityBin,
    kid,
    paired_bootstrap,
    reliability,
    spearman,
)

Features = dict[Key, list[Tensor]]
Values = NDArray[np.float64]

#: The share of scans that the review threshold is to find: those with the largest error.
WORST_SHARE = 0.25


@dataclass(frozen=True)
class TableRow:
    """Means over photographs; nothing where a metric was not taken.

    Attributes:
        row: The contestant.
        input: "plain" or "film".
        photographs: How many.
        ciede2000: Mean over photographs of each one's mean ΔE₀₀.
        psnr: In decibels.
        colourfulness: Hasler and Süsstrunk's M3.
        colourfulness_difference: Colourfulness less the truth's; below 0 is washed out.
        colourfulness_ratio: Mean colourfulness over the truth's.
        edge_band: Mean a*b* error where true colours meet.
        ms_ssim: Structural likeness of a* and b* to the truth's; 1 is the truth.
        green_ground: Share of road-like ground that is painted green.
        blotches: How much chroma varies where lightness does not, over the truth's.
        dark_warmth: How much yellower dark places are than the truth, in b*.
        lpips: Perceptual distance, SqueezeNet.
        kid: Kernel distance to the true photographs on MobileNetV2's features.
        recognised: Share that MobileNetV2 classifies as it does the original.
    """

    row: str
    input: str
    photographs: int
    ciede2000: float
    psnr: float
    colourfulness: float
    colourfulness_difference: float
    colourfulness_ratio: float
    edge_band: float | None
    ms_ssim: float
    green_ground: float | None
    blotches: float | None
    dark_warmth: float | None
    lpips: float | None
    kid: float | None
    recognised: float | None


@dataclass(frozen=True)
class Confidence:
    """What a network's confidence is worth.

    Attributes:
        row: The contestant.
        input: "plain" or "film".
        scan_correlation: Rank correlation of 1 - score with a scan's ΔE₀₀.
        pixel_correlation: Rank correlation of 1 - confidence with a pixel's a*b* error.
        scans: Mean ΔE₀₀ by score, in ten bins of equal count.
        pixels: Mean a*b* error by confidence, in ten bins of equal count.
    """

    row: str
    input: str
    scan_correlation: float
    pixel_correlation: float
    scans: list[ReliabilityBin]
    pixels: list[ReliabilityBin]


@dataclass(frozen=True)
class ReviewThreshold:
    """A score below which a scan should go to a curator.

    Attributes:
        row: The contestant whose scores these are.
        input: "plain" or "film".
        threshold: Of the score, in [0, 1].
        sent: Share of all scans below it.
        found: Share of the worst scans below it.
    """

    row: str
    input: str
    threshold: float
    sent: float
    found: float


@dataclass(frozen=True)
class Gain:
    """How much smaller a row's ΔE₀₀ is than another's on the same photographs (below 0: better)."""

    row: str
    than: str
    input: str
    difference: PairedDifference


@dataclass(frozen=True)
class Summary:
    """The evaluation of one set of photographs."""

    title: str
    table: list[TableRow]
    by_source: dict[str, list[TableRow]]
    gains: list[Gain]
    confidence: list[Confidence]
    thresholds: list[ReviewThreshold]


def summarise(title: str, evidence: Evidence) -> Summary:
    """Sum up what was measured on one set of photographs."""
    everything = evidence.measurements
    sources = sorted({measurement.source for measurement in everything})
    groups = {source: [m for m in everything if m.source == source] for source in sources}
    telling = [key for key in evidence.pixels if np.ptp(_scores(key, everything)[0]) > 0]
    return Summary(
        title,
        _table(everything, evidence.features),
        {source: _table(group, {}) for source, group in groups.items()} if len(groups) > 1 else {},
        _gains(everything),
        [_confidence(key, evidence) for key in telling],
        [_review_threshold(key, everything) for key in telling],
    )


def _table(measurements: Sequence[Measurement], features: Features) -> list[TableRow]:
    keys = dict.fromkeys((m.row, m.input) for m in measurements)
    return [
        _table_row(key, [m for m in measurements if (m.row, m.input) == key], features)
        for key in keys
    ]


def _table_row(key: Key, measurements: Sequence[Measurement], features: Features) -> TableRow:
    figures = {
        metric: np.array([m.figures[metric] for m in measurements])
        for metric in measurements[0].figures
    }
    vivid, truly = figures["colourfulness"].mean(), figures["true_colourfulness"].mean()
    unevenness, true_unevenness = (_known(figures[m]) for m in ("blotches", "true_blotches"))
    return TableRow(
        row=key[0],
        input=key[1],
        photographs=len(measurements),
        ciede2000=float(figures["ciede2000"].mean()),
        psnr=float(figures["psnr"].mean()),
        colourfulness=float(vivid),
        colourfulness_difference=float(vivid - truly),
        colourfulness_ratio=float(vivid / truly) if truly else 0.0,
        edge_band=_known(figures["edge_band"]),
        ms_ssim=float(figures["ms_ssim"].mean()),
        green_ground=_known(figures["green_ground"]),
        blotches=unevenness / true_unevenness if unevenness and true_unevenness else unevenness,
        dark_warmth=_known(figures["dark_warmth"]),
        lpips=float(figures["lpips"].mean()) if "lpips" in figures else None,
        kid=_kid(key, features),
        recognised=float(figures["recognised"].mean()) if "recognised" in figures else None,
    )


def _known(values: Values) -> float | None:
    """Mean over the photographs that a metric says something of."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None


def _kid(key: Key, features: Features) -> float | None:
    """KID against the truth; it needs at least two photographs."""
    if len(features.get(key, [])) < 2:
        return None
    return kid(torch.stack(features[key]), torch.stack(features[TRUE_FEATURES]), paired=True)


def _gains(measurements: Sequence[Measurement]) -> list[Gain]:
    """Every row against the one above it, from each input."""
    errors: dict[Key, list[float]] = {}
    for m in measurements:
        errors.setdefault((m.row, m.input), []).append(m.figures["ciede2000"])
    gains = []
    for name in dict.fromkeys(m.input for m in measurements):
        rows = [row for row, of in errors if of == name]
        for than, row in itertools.pairwise(rows):
            difference = paired_bootstrap(errors[than, name], errors[row, name])
            gains.append(Gain(row, than, name, difference))
    return gains


def _confidence(key: Key, evidence: Evidence) -> Confidence:
    scores, errors = _scores(key, evidence.measurements)
    pixels = np.concatenate(evidence.pixels[key])
    return Confidence(
        row=key[0],
        input=key[1],
        scan_correlation=spearman(1 - scores, errors),
        pixel_correlation=spearman(1 - pixels[:, 0], pixels[:, 1]),
        scans=reliability(scores, errors),
        pixels=reliability(pixels[:, 0], pixels[:, 1]),
    )


def _review_threshold(key: Key, measurements: Sequence[Measurement]) -> ReviewThreshold:
    """The score that best parts the worst quarter from the rest.

    Worst are the scans of the largest ΔE₀₀. Of all scores, the one is taken at which the share of
    the worst below it exceeds the share of the others below it by most (Youden's index).
    """
    scores, errors = _scores(key, measurements)
    worst = errors >= np.quantile(errors, 1 - WORST_SHARE)
    candidates = np.unique(scores)
    found = np.array([(scores[worst] < at).mean() for at in candidates])
    disturbed = np.array(
        [(scores[~worst] < at).mean() if (~worst).any() else 0 for at in candidates]
    )
    best = int(np.argmax(found - disturbed))
    threshold = float(candidates[best])
    return ReviewThreshold(
        key[0], key[1], threshold, float((scores < threshold).mean()), float(found[best])
    )


def _scores(key: Key, measurements: Sequence[Measurement]) -> tuple[Values, Values]:
    """Score and ΔE₀₀ of each scan of a row."""
    pairs = [(m.score, m.figures["ciede2000"]) for m in measurements if (m.row, m.input) == key]
    scores, errors = np.array(pairs, np.float64).T
    return scores, errors

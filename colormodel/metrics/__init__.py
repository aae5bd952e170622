"""What a colourized picture is measured by."""

from colormodel.metrics.colour import (
    ciede2000,
    colourfulness,
    edge_band,
    edge_band_error,
    psnr,
)
from colormodel.metrics.perceptual import Lpips, Recognition, Recognizer, WeightsError, kid
from colormodel.metrics.statistics import (
    PairedDifference,
    ReliabilityBin,
    paired_bootstrap,
    reliability,
    spearman,
)

__all__ = [
    "Lpips",
    "PairedDifference",
    "Recognition",
    "Recognizer",
    "ReliabilityBin",
    "WeightsError",
    "ciede2000",
    "colourfulness",
    "edge_band",
    "edge_band_error",
    "kid",
    "paired_bootstrap",
    "psnr",
    "reliability",
    "spearman",
]

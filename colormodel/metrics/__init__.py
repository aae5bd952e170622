"""What a colourized picture is measured by."""

from colormodel.metrics.colour import (
    ciede2000,
    colourfulness,
    edge_band,
    edge_band_error,
    psnr,
)
from colormodel.metrics.faults import blotches, dark_warmth, green_ground
from colormodel.metrics.perceptual import Lpips, Recognition, Recognizer, WeightsError, kid
from colormodel.metrics.statistics import (
    PairedDifference,
    ReliabilityBin,
    paired_bootstrap,
    reliability,
    spearman,
)
from colormodel.metrics.structure import chroma_ms_ssim

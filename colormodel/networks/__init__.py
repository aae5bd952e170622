"""The networks, which share one contract."""

from colormodel.networks.base import (
    ColorNetwork,
    Every,
    Heads,
    NetworkConfig,
    NetworkFault,
    Prediction,
    Prepared,
)
from colormodel.networks.build import build_network
from colormodel.networks.fold import cast_convolutions, fold_batch_norm

__all__ = [
    "ColorNetwork",
    "Every",
    "Heads",
    "NetworkConfig",
    "NetworkFault",
    "Prediction",
    "Prepared",
    "build_network",
    "cast_convolutions",
    "fold_batch_norm",
]

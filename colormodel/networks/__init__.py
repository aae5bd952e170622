"""The networks, which share one contract."""

from colormodel.networks.base import ColorNetwork, Heads, NetworkConfig, Prediction
from colormodel.networks.build import build_network
from colormodel.networks.fold import cast_convolutions, fold_batch_norm

__all__ = [
    "ColorNetwork",
    "Heads",
    "NetworkConfig",
    "Prediction",
    "build_network",
    "cast_convolutions",
    "fold_batch_norm",
]

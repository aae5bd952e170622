"""The networks, which share one contract."""

from colormodel.networks.base import ColorNetwork, Heads, NetworkConfig, Prediction
from colormodel.networks.build import build_network

__all__ = ["ColorNetwork", "Heads", "NetworkConfig", "Prediction", "build_network"]

"""The networks, which share one contract."""

from colormodel.networks.base import (
    ColorNetwork,
    Encoding,
    Heads,
    Lattice,
    NetworkConfig,
    NetworkFault,
    Prediction,
)
from colormodel.networks.build import build_network
from colormodel.networks.fold import cast_convolutions, fold_batch_norm

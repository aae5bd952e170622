"""From a configuration to a network."""

from colormodel.networks.article import ArticleNetwork
from colormodel.networks.base import ColorNetwork, NetworkConfig
from colormodel.networks.unet import UNet

_NETWORKS: dict[str, type[ColorNetwork]] = {"article": ArticleNetwork, "unet": UNet}


def build_network(config: NetworkConfig) -> ColorNetwork:
    """Make the network that a configuration names, with random weights.

    Raises:
        ValueError: No network has that name.
    """
    if config.name not in _NETWORKS:
        raise ValueError(f"no network is called {config.name!r}; there are {sorted(_NETWORKS)}")
    return _NETWORKS[config.name](config)

"""Making a trained network cheaper to run, and nothing else of it."""

import itertools
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from colormodel.networks.efficientnet import ScaledConv

Network = TypeVar("Network", bound=nn.Module)


def fold_batch_norm(network: Network) -> Network:
    """Put each batch normalization, and each scale, into the weights of the convolution before it.

    What comes out is the same but for rounding (of chroma, about 1e-5). A normalization is a pass
    over memory that adds nothing once its statistics are fixed; folding also keeps the network
    from being trained any further.

    Args:
        network: Evaluating; changed in place. Only sequences are looked at: elsewhere the order of
            modules is not known.

    Returns:
        The same network.
    """
    for module in network.modules():
        if isinstance(module, ScaledConv):
            module.fold()
    for sequence in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for (_, first), (name, second) in itertools.pairwise(sequence.named_children()):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                _fold(first, second)
                setattr(sequence, name, nn.Identity())
    return network


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise ValueError("a normalization that keeps no statistics cannot be folded")
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, mean, variance, norm.eps, norm.weight, norm.bias
    )


def cast_convolutions(network: Network, dtype: torch.dtype) -> Network:
    """Hold the convolutions' weights as autocast to *dtype* would make them, with each pass anew.

    Under autocast the network gives what it gave before, to the last bit; without it, it no longer
    runs. It is changed in place.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.to(dtype)
    return network

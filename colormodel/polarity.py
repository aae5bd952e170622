"""Telling negatives from positives by what the encoder makes of a picture and of its inverse.

Faces, trees and shading look wrong in a negative, to the encoder as to us. A picture is summed up
as it is and inverted; the difference, which changes its sign when the two are exchanged, is
weighed by logistic regression. The weights are fitted to the bundled checkpoint and serve its
descendants, too: fine-tuning moves the encoder's middle stages little.
"""

from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from colormodel.networks import ColorNetwork

DEFAULT_POLARITY = Path(__file__).parent / "polarity.safetensors"


def negativity(network: ColorNetwork, lightness: Tensor, weights: Tensor) -> Tensor | None:
    """How much pictures look like negatives, as log odds; inverses have the opposite.

    Args:
        network: Evaluating.
        lightness: L* in [0, 100], (N, 1, H, W), the shorter side `planes.POLARITY_PX`.
        weights: Those of `load_weights`, where the network is.

    Returns:
        (N,), positive for negatives; None where the network has nothing to tell by.
    """
    difference = difference_from_inverse(network, lightness)
    if difference is None or difference.shape[1] != len(weights):
        return None  # fitted to an encoder of another kind
    return difference @ weights


def load_weights(path: Path = DEFAULT_POLARITY) -> Tensor:
    """Load fitted weights, (F,)."""
    with safe_open(path, framework="pt") as file:
        weights: Tensor = file.get_tensor("weights")
    return weights


@torch.inference_mode()
def difference_from_inverse(network: ColorNetwork, lightness: Tensor) -> Tensor | None:
    """What the network sees in pictures, less what it sees in their inverses, (N, F)."""
    both = network.summary(torch.cat((lightness, 100 - lightness)))
    return None if both is None else both[: len(lightness)] - both[len(lightness) :]

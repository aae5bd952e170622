"""Fitting what tells negatives from positives; see `colormodel.polarity`."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional

from colormodel.film_stock import film_lightness, plain_lightness
from colormodel.networks import ColorNetwork
from colormodel.photos import Pixels
from colormodel.planes import POLARITY_PX, network_size
from colormodel.polarity import difference_from_inverse

_STEPS = 12  # Newton's; it has long converged
_TOGETHER = 16


def save_weights(path: Path, weights: Tensor, *, fitted: dict[str, str | int]) -> None:
    """Write weights, and what they were fitted to."""
    path.write_bytes(save({"weights": weights}, {"fitted": json.dumps(fitted)}))


def fit_weights(
    network: ColorNetwork, pictures: Sequence[Pixels], *, decay: float = 100.0, seed: int = 1907
) -> Tensor:
    """Fit the weights to photographs and their inverses, plain and degraded as on old film.

    Args:
        network: Evaluating, with a `summary`.
        pictures: Positive photographs, sRGB uint8, (h, w, 3) each.
        decay: Penalty on weights, in units of each difference's deviation.
        seed: Of the degradation.

    Raises:
        ValueError: The network has no summary.
    """
    generator = torch.Generator().manual_seed(seed)
    found: list[Tensor] = []
    for srgb in _minibatches(pictures):
        # What ages is also a negative: dust and grain on one are no sign of a positive.
        degraded = film_lightness(srgb, generator), film_lightness(1 - srgb, generator)
        for lightness, sign in ((plain_lightness(srgb), -1), *zip(degraded, (-1, 1), strict=True)):
            difference = difference_from_inverse(network, lightness)
            if difference is None:
                raise ValueError(f"network {network.config.name} has nothing to tell negatives by")
            found.append(sign * difference)
    return _regression(torch.cat(found).double(), decay=decay).float()


def _minibatches(pictures: Sequence[Pixels]) -> Iterator[Tensor]:
    """Pictures as sRGB in [0, 1], (N, 3, H, W), at the size for judging, equal shapes together."""
    groups: dict[tuple[int, int], list[Pixels]] = {}
    for pixels in pictures:
        size = network_size(*pixels.shape[:2], network_px=POLARITY_PX)
        groups.setdefault(size, []).append(pixels)
    for size, group in groups.items():
        for start in range(0, len(group), _TOGETHER):
            together = group[start : start + _TOGETHER]
            yield torch.cat([_resized(pixels, size) for pixels in together])


def _resized(pixels: Pixels, size: tuple[int, int]) -> Tensor:
    srgb = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    return functional.interpolate(srgb, size=size, mode="bilinear", antialias=True)


def _regression(examples: Tensor, *, decay: float) -> Tensor:
    """Weights under which examples, (M, F), are positive: logistic regression by Newton."""
    scale = examples.std(0) + 1e-9
    examples = examples / scale
    weights = examples.new_zeros(examples.shape[1])
    for _ in range(_STEPS):
        wrong = torch.sigmoid(-(examples @ weights))
        slope = examples.T @ wrong - decay * weights
        bend = (examples * (wrong * (1 - wrong))[:, None]).T @ examples
        bend += decay * torch.eye(len(weights), dtype=examples.dtype)
        weights = weights + torch.linalg.solve(bend, slope)
    return weights / scale

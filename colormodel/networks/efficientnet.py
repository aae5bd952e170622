"""EfficientNet-Lite0 as an encoder: its norms are fixed, and so they cost nothing."""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from colormodel.networks.encoder import Encoder, exact_conv2d

# Layer 0 is the stem, layer n + 1 is TensorFlow's block n.
_ENDS = (4, 6, 12, 17)
_CHANNELS = (24, 40, 112, 320)
_STEM = 32
_EPSILON = 1e-3  # of the norms, as TensorFlow trained them
#: Of each sequence of blocks: how far the first layer widens, outputs, blocks, stride of the
#: first, size of the filters (Tan and Le 2019, table 1; Lite0 has no squeezing, and ReLU6).
_BLOCKS = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)


class EfficientNetEncoder(Encoder):
    """Four stages of EfficientNet-Lite0, whose norms keep ImageNet's statistics."""

    def __init__(self) -> None:
        super().__init__(_layers(), _ENDS, _CHANNELS)

    def frozen(self) -> list[nn.Module]:
        """The filters that see each channel by itself: good as ImageNet has made them.

        Their gradients took a third of a training step on a CPU, and are as slow on a GPU.
        """
        return [m for m in self.deep.modules() if isinstance(m, ScaledConv) and m.groups > 1]

    def load_imagenet(self, path: Path) -> None:
        """Start from weights trained on ImageNet, in TensorFlow's names (`_blocks.0._bn1.weight`).

        The stem's three colour filters are added up, since grey has equal RGB.
        """
        weights = load_file(path)
        weights["_conv_stem.weight"] = weights["_conv_stem.weight"].sum(1, keepdim=True)
        layers = [layer for part in (self.shallow, *self.deep) for layer in part]
        for number, layer in enumerate(layers):
            if isinstance(layer, _InvertedResidual):
                layer.load(weights, f"_blocks.{number - 1}.")
            elif isinstance(layer, _Stem):
                layer.load(weights, "_conv_stem", "_bn0")


class ScaledConv(nn.Conv2d):
    """A convolution whose outputs are scaled by fixed factors: what a fixed norm comes down to.

    The norm's scale is kept apart from the weights, or an optimiser's steps, which are of one
    length for all, would mean ever other things to each channel; it multiplies the weights, which
    are few, and not the planes. Padded as TensorFlow pads: at stride 2 right and bottom first.
    """

    scale: Tensor | None

    def __init__(
        self, inputs: int, outputs: int, *, size: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(inputs, outputs, size, stride=stride, groups=groups)
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]  # there is one
        self.register_buffer("scale", torch.ones(outputs))
        spare = size - stride  # rows by which the windows overlap the plane's border
        self._before, self._after = spare // 2, math.ceil(spare / 2)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 — the name that nn.Conv2d gives it
        """(N, inputs, h, w) to (N, outputs, h / stride, w / stride)."""
        weight = self.weight if self.scale is None else self.weight * self.scale.view(-1, 1, 1, 1)
        before, after = self._before, self._after
        if before == after:
            return functional.conv2d(input, weight, self.bias, 1, before, 1, self.groups)
        padded = functional.pad(input, (before, after, before, after))
        if self.groups == 1 or padded.is_cuda or not padded.requires_grad:
            return functional.conv2d(padded, weight, self.bias, 2, 0, 1, self.groups)
        return exact_conv2d(padded, weight, self.bias, stride=2)

    def fold(self) -> None:
        """Put the scale into the weights, which ends all training."""
        if self.scale is not None:
            self.weight = nn.Parameter(
                self.weight * self.scale.view(-1, 1, 1, 1), requires_grad=False
            )
            self.scale = None

    def load(self, weights: Mapping[str, Tensor], conv: str, norm: str) -> None:
        """Take up a convolution and the norm after it, by their names."""
        mean, variance, gain, shift = (
            weights[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        scale = gain * (variance + _EPSILON).rsqrt()
        self.load_state_dict(
            {
                "weight": weights[f"{conv}.weight"],
                "bias": shift - mean * scale,
                "scale": scale,
            }
        )


class _InvertedResidual(nn.Module):
    """An inverted residual: widen, filter each channel by itself, narrow; add what came in."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int, size: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.widen = ScaledConv(inputs, wide, size=1) if expansion > 1 else None
        self.filter = ScaledConv(wide, wide, size=size, stride=stride, groups=wide)
        self.narrow = ScaledConv(wide, outputs, size=1)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) to (N, outputs, h / stride, w / stride)."""
        y: Tensor = x if self.widen is None else _bounded(self.widen(x))
        y = self.narrow(_bounded(self.filter(y)))
        return x + y if self.adds else y

    def load(self, weights: Mapping[str, Tensor], prefix: str) -> None:
        """Take up TensorFlow's block of that prefix."""
        if self.widen is not None:
            self.widen.load(weights, f"{prefix}_expand_conv", f"{prefix}_bn0")
        self.filter.load(weights, f"{prefix}_depthwise_conv", f"{prefix}_bn1")
        self.narrow.load(weights, f"{prefix}_project_conv", f"{prefix}_bn2")


class _Stem(ScaledConv):
    """The first layer, activated."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 — the name that nn.Conv2d gives it
        """(N, 1, h, w) to (N, outputs, h / 2, w / 2)."""
        return _bounded(super().forward(input))


def _bounded(x: Tensor) -> Tensor:
    """ReLU6, in place."""
    bounded: Tensor = functional.relu6(x, inplace=True)
    return bounded


def _layers() -> nn.Sequential:
    """The stem and the blocks, for one channel."""
    layers: list[nn.Module] = [_Stem(1, _STEM, size=3, stride=2)]
    inputs = _STEM
    for expansion, outputs, repeats, stride, size in _BLOCKS:
        for number in range(repeats):
            layers.append(
                _InvertedResidual(inputs, outputs, expansion, 1 if number else stride, size)
            )
            inputs = outputs
    return nn.Sequential(*layers)

"""The default network: a U-Net with a distribution, a regression and hints."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from colormodel.gamut import ColorBins
from colormodel.modes import Modes
from colormodel.networks.base import (
    EVERYWHERE,
    ColorNetwork,
    Encoding,
    Heads,
    Lattice,
    NetworkConfig,
    Prediction,
    require_multiple_of_32,
)
from colormodel.networks.efficientnet import EfficientNetEncoder
from colormodel.networks.encoder import Encoder
from colormodel.networks.hints import HintAttention, pool_hints
from colormodel.networks.mobilenet import MobileNetEncoder

_CHROMA_SCALE = 100.0  # hints and regression pass through the network in units of this
COARSE_PX = 4  # the heads work at a quarter of the input's size
_ENCODERS: dict[str, Callable[[], Encoder]] = {
    "mobilenet_v2": MobileNetEncoder,
    "efficientnet_lite0": EfficientNetEncoder,
}


class UNet(ColorNetwork):
    """Colours as a distribution over bins and as a regression, both at a quarter of the size.

    A coarse plane becomes a fine one by learned convex weights over 3 × 3 neighbours, which follow
    the edges of the lightness (after Teed and Deng, "RAFT", 2020).
    """

    takes_hints = True

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        width = config.width
        if config.encoder not in _ENCODERS:
            raise ValueError(
                f"no encoder is called {config.encoder!r}; there are {sorted(_ENCODERS)}"
            )
        self.bins = ColorBins(config.bin_spacing)
        self.encoder = _ENCODERS[config.encoder]()
        c4, c8, c16, c32 = self.encoder.channels
        self.up16 = UpBlock(c32, c16 + 3, 3 * width)
        self.up8 = UpBlock(3 * width, c8 + 3, 2 * width)
        self.attention = HintAttention(2 * width)
        self.up4 = UpBlock(2 * width + self.attention.outputs, c4 + 3, width)
        self.distribution = nn.Conv2d(width, len(self.bins), 1)
        self.regression = nn.Conv2d(width, 2, 1)
        self.kernel = nn.Sequential(
            nn.Conv2d(width + COARSE_PX**2, width, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, 9 * COARSE_PX**2, 1),
        )

    def heads(
        self, lightness: Tensor, hints: Tensor | None = None, *, every: Lattice = EVERYWHERE
    ) -> Heads:
        """Give distribution, regression and upsampling kernel."""
        coarse = self._coarse(self.prepare(lightness), hints, every)
        return Heads(
            regression=upsample(coarse.regression, coarse.kernel),  # (N, 2, H, W)
            logits=coarse.logits,  # (N, bins, H/4, W/4), or every so many of them
            every=every,
        )

    def forward(self, lightness: Tensor, hints: Tensor | None = None) -> Prediction:
        """Colour lightness planes; see `ColorNetwork.forward`."""
        return self.colour(self.prepare(lightness), hints)

    def prepare(self, lightness: Tensor) -> Encoding:
        """Look at the planes as far as hints have no part in it: the encoder's largest."""
        require_multiple_of_32(lightness)
        return Encoding(lightness, self.encoder.shallow(lightness / 50 - 1))

    def colour(self, prepared: Encoding, hints: Tensor | None = None) -> Prediction:
        """Colour planes that were prepared."""
        config, (regression, logits, kernel) = self.config, self._coarse(prepared, hints)
        # Under autocast a product is in half precision, whatever went into it.
        mode = self.bins.annealed_mean(logits, temperature=config.temperature).float()
        chroma = torch.lerp(mode, regression, config.regression_share) * config.chroma_gain
        confidence = torch.exp(-self._doubt(logits) / config.confidence_scale)
        # Upsampling is linear: the blend's is the blend of the upsampled, and costs a third.
        fine = upsample(torch.cat((chroma, confidence), 1), kernel)  # (N, 3, H, W)
        return Prediction(self.clamp(fine[:, :2]), fine[:, 2:].clamp(0, 1), logits)

    def _coarse(
        self, prepared: Encoding, hints: Tensor | None, every: Lattice = EVERYWHERE
    ) -> "_CoarseFeatures":
        lightness, features = prepared
        if features is None:
            raise ValueError("these planes were not prepared by a network of this kind")
        tone = lightness / 50 - 1
        scaled = None if hints is None else _scaled(hints)  # (N, 3, H, W)
        x4, x8, x16, x32 = self.encoder.stages(features, scaled)
        hints4, hints8, hints16 = (_cells(lightness, scaled, size) for size in (4, 8, 16))
        x = self.up16(x32, torch.cat((x16, hints16), 1))  # (N, 3 width, H/16, W/16)
        x = self.up8(x, torch.cat((x8, hints8), 1))  # (N, 2 width, H/8, W/8)
        known = self.attention.nothing(x) if hints is None else self.attention(x, hints8)
        x = torch.cat((x, known), 1)
        x = self.up4(x, torch.cat((x4, hints4), 1))  # (N, width, H/4, W/4)
        edges = functional.pixel_unshuffle(tone, COARSE_PX)  # (N, 16, H/4, W/4)
        kernel = self.kernel(torch.cat((x, edges), 1))  # (N, 144, H/4, W/4)
        kernel = kernel.unflatten(1, (9, COARSE_PX**2)).float().softmax(1)  # (N, 9, 16, H/4, W/4)
        regression = self.regression(x).float() * _CHROMA_SCALE  # (N, 2, H/4, W/4)
        return _CoarseFeatures(regression, self.distribution(every.of(x)), kernel)

    def _doubt(self, logits: Tensor) -> Tensor:
        """How undecided each distribution is, (N, 1, H/4, W/4)."""
        if bias := self.config.confidence_bias:
            logits = logits + _constant(bias, logits.dtype, logits.device)[:, None, None]
        measure = (
            self.bins.entropy if self.config.confidence_from == "entropy" else self.bins.spread
        )
        return measure(logits)

    def summary(self, lightness: Tensor) -> Tensor:
        """Sum pictures up in the encoder's mean features, (N, F)."""
        require_multiple_of_32(lightness)
        return self.encoder.summary(lightness / 50 - 1)

    def modes(self) -> Modes:
        """What tells the likely colours of its distributions."""
        return Modes(self.bins, self.config.confidence_bias)

    def frozen(self) -> list[nn.Module]:
        """Give what ImageNet has taught well enough: the encoder's shallow part above all."""
        shallow = [self.encoder.shallow] if self.config.freeze_shallow else []
        return [*shallow, *self.encoder.frozen()]

    def load_imagenet(self, path: Path) -> None:
        """Start the encoder from ImageNet's weights."""
        self.encoder.load_imagenet(path)


class _CoarseFeatures(NamedTuple):
    """All that is known at a quarter of the size, and how to make it finer."""

    regression: Tensor  # a*, b*; (N, 2, h, w)
    logits: Tensor  # (N, bins, h, w)
    kernel: Tensor  # (N, 9, 16, h, w)


class UpBlock(nn.Module):
    """Double the size of coarse features and join them with fine ones."""

    def __init__(self, coarse: int, fine: int, outputs: int) -> None:
        super().__init__()
        self.narrow = nn.Sequential(
            nn.Conv2d(coarse, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )
        self.join = nn.Sequential(
            nn.Conv2d(outputs + fine, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Join (N, coarse, h, w) and (N, fine, 2h, 2w) into (N, outputs, 2h, 2w)."""
        x = self.narrow(coarse)  # (N, outputs, h, w)
        x = functional.interpolate(x, scale_factor=2.0, mode="nearest")  # (N, outputs, 2h, 2w)
        joined: Tensor = self.join(torch.cat((x, fine.to(x)), 1))
        return joined


def _scaled(hints: Tensor) -> Tensor:
    """Bring a* and b* into units of the network, zero where there is no hint."""
    mask = hints[:, 2:]
    return torch.cat((hints[:, :2] * mask / _CHROMA_SCALE, mask), 1)


@functools.lru_cache(maxsize=4)
def _constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Bring numbers to a device once, not with each pass."""
    return torch.tensor(values, dtype=dtype, device=device)


def _cells(lightness: Tensor, hints: Tensor | None, size: int) -> Tensor:
    if hints is None:
        n, _, height, width = lightness.shape
        return lightness.new_zeros(n, 3, height // size, width // size)
    return pool_hints(hints, size)


def upsample(coarse: Tensor, kernel: Tensor) -> Tensor:
    """Make a fine plane of a coarse one by convex weights over 3 × 3 neighbours.

    Args:
        coarse: (N, C, h, w).
        kernel: Weights of the neighbours for each of the 4 × 4 fine places, (N, 9, 16, h, w);
            they sum to one over the neighbours.

    Returns:
        (N, C, 4h, 4w).
    """
    n, channels, h, w = coarse.shape
    padded = functional.pad(coarse, (1, 1, 1, 1), mode="replicate")[:, :, None]
    fine = coarse.new_zeros(n, channels, kernel.shape[2], h, w)
    # Unbound at once: nine selections would fill nine planes of the kernel's size going back.
    for neighbour, weights in enumerate(kernel[:, None].unbind(2)):
        y, x = divmod(neighbour, 3)
        fine = fine.addcmul(padded[..., y : y + h, x : x + w], weights)
    return functional.pixel_shuffle(fine.flatten(1, 2), COARSE_PX)

"""The default network: a U-Net on MobileNetV2 with a distribution, a regression and hints."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from colormodel.gamut import ColorBins
from colormodel.networks.base import (
    ColorNetwork,
    Heads,
    NetworkConfig,
    Prediction,
    require_multiple_of_32,
)
from colormodel.networks.encoder import STAGE_CHANNELS, MobileNetEncoder
from colormodel.networks.hints import HintAttention, pool_hints

_CHROMA_SCALE = 100.0  # hints and regression pass through the network in units of this
_FINEST = 4  # the heads work at a quarter of the input's size


class UNet(ColorNetwork):
    """Colours as a distribution over bins and as a regression, both at a quarter of the size.

    A coarse plane becomes a fine one by learned convex weights over 3 × 3 neighbours, which follow
    the edges of the lightness (after Teed and Deng, "RAFT", 2020).
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        width = config.width
        _, c4, c8, c16, c32 = STAGE_CHANNELS
        self.bins = ColorBins(config.bin_spacing)
        self.encoder = MobileNetEncoder()
        self.up16 = Fuse(c32, c16 + 3, 3 * width)
        self.up8 = Fuse(3 * width, c8 + 3, 2 * width)
        self.attention = HintAttention(2 * width)
        self.up4 = Fuse(2 * width + self.attention.outputs, c4 + 3, width)
        self.distribution = nn.Conv2d(width, len(self.bins), 1)
        self.regression = nn.Conv2d(width, 2, 1)
        self.error = nn.Sequential(
            nn.Conv2d(width, width // 2, 1), nn.ReLU(inplace=True), nn.Conv2d(width // 2, 1, 1)
        )
        self.kernel = nn.Sequential(
            nn.Conv2d(width + _FINEST**2, width, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, 9 * _FINEST**2, 1),
        )

    def heads(self, lightness: Tensor, hints: Tensor | None = None) -> Heads:
        """Give distribution, regression, expected error and upsampling kernel."""
        require_multiple_of_32(lightness)
        if hints is None:
            hints = torch.cat((lightness, lightness, lightness), 1) * 0  # (N, 3, H, W)
        tone = lightness / 50 - 1
        seen = hints[:, :2] * hints[:, 2:] / _CHROMA_SCALE
        stages = self.encoder(torch.cat((tone, seen, hints[:, 2:]), 1))
        _, x4, x8, x16, x32 = stages
        x = self.up16(x32, torch.cat((x16, pool_hints(hints, 16)), 1))  # (N, 3 width, H/16, W/16)
        hints8 = pool_hints(hints, 8)
        x = self.up8(x, torch.cat((x8, hints8), 1))  # (N, 2 width, H/8, W/8)
        x = torch.cat((x, self.attention(x, hints8)), 1)
        x = self.up4(x, torch.cat((x4, pool_hints(hints, 4)), 1))  # (N, width, H/4, W/4)
        edges = functional.pixel_unshuffle(tone, _FINEST)  # (N, 16, H/4, W/4)
        kernel = self.kernel(torch.cat((x, edges), 1))  # (N, 144, H/4, W/4)
        kernel = kernel.unflatten(1, (9, _FINEST, _FINEST)).float().softmax(1)  # (N, 9, 4, 4, …)
        coarse = self.regression(x).float() * _CHROMA_SCALE  # (N, 2, H/4, W/4)
        return Heads(
            regression=upsample(coarse, kernel),  # (N, 2, H, W)
            logits=self.distribution(x),  # (N, bins, H/4, W/4)
            # Detached: knowing one's errors must not change what one answers.
            log_error=self.error(x.detach()).float(),  # (N, 1, H/4, W/4)
            kernel=kernel,
        )

    def forward(self, lightness: Tensor, hints: Tensor | None = None) -> Prediction:
        """Colour lightness planes; see `ColorNetwork.forward`."""
        config, heads = self.config, self.heads(lightness, hints)
        assert heads.logits is not None  # noqa: S101 — narrows types; this network has all heads
        assert heads.kernel is not None  # noqa: S101
        assert heads.log_error is not None  # noqa: S101
        mode = self.bins.annealed_mean(heads.logits, temperature=config.temperature)
        mode = upsample(mode, heads.kernel)  # (N, 2, H, W)
        chroma = torch.lerp(mode, heads.regression, config.regression_share) * config.chroma_gain
        confidence = torch.exp(-heads.log_error.exp() / config.confidence_scale)  # (N, 1, H/4, …)
        return Prediction(
            self.clamp(chroma), upsample(confidence, heads.kernel).clamp(0, 1), heads.logits
        )


class Fuse(nn.Module):
    """Double the size of coarse features and join them with fine ones."""

    def __init__(self, coarse: int, fine: int, outputs: int) -> None:
        super().__init__()
        self.narrow = nn.Sequential(
            nn.Conv2d(coarse, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
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
        return self.join(torch.cat((x, fine.to(x)), 1))


def upsample(coarse: Tensor, kernel: Tensor) -> Tensor:
    """Make a fine plane of a coarse one by convex weights over 3 × 3 neighbours.

    Args:
        coarse: (N, C, h, w).
        kernel: Weights that sum to one over the first axis of (N, 9, 4, 4, h, w).

    Returns:
        (N, C, 4h, 4w).
    """
    n, channels, h, w = coarse.shape
    padded = functional.pad(coarse, (1, 1, 1, 1), mode="replicate")
    near = functional.unfold(padded, 3).view(n, channels, 9, h, w)
    fine = torch.einsum("nckhw,nkijhw->nchiwj", near, kernel)  # (N, C, h, 4, w, 4)
    return fine.reshape(n, channels, 4 * h, 4 * w)

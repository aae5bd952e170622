"""The network of the article that this project starts from: the baseline of every table."""

import torch
from torch import Tensor, nn

from colormodel.networks.base import (
    EVERYWHERE,
    ColorNetwork,
    Heads,
    Lattice,
    NetworkConfig,
    Prediction,
    require_multiple_of_32,
)

_CHROMA_SCALE = 100.0  # the network answers in units of this
_CANNOT_TELL = 0.5


class ArticleNetwork(ColorNetwork):
    """ResNet-18 cut after its second stage, then convolutions and nearest-neighbour upsampling.

    It knows neither hints nor its own errors: hints are refused, confidence is 0.5 everywhere.
    """

    takes_hints = False

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False),  # (N, 64, H/2, W/2)
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),  # (N, 64, H/4, W/4)
            nn.Sequential(_Residual(64, 64), _Residual(64, 64)),
            nn.Sequential(_Residual(64, 128, stride=2), _Residual(128, 128)),  # (N, 128, H/8, W/8)
        )
        for module in self.encoder.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.decoder = nn.Sequential(
            *_convolve(128, 128),  # (N, 128, H/8, W/8)
            nn.Upsample(scale_factor=2),  # (N, 128, H/4, W/4)
            *_convolve(128, 64),  # (N, 64, H/4, W/4)
            *_convolve(64, 64),
            nn.Upsample(scale_factor=2),  # (N, 64, H/2, W/2)
            *_convolve(64, 32),  # (N, 32, H/2, W/2)
            nn.Conv2d(32, 2, 3, padding=1),  # (N, 2, H/2, W/2)
            nn.Upsample(scale_factor=2),  # (N, 2, H, W)
        )

    def heads(
        self, lightness: Tensor, hints: Tensor | None = None, *, every: Lattice = EVERYWHERE
    ) -> Heads:
        """Give the regression, the only head there is."""
        del every  # of the distribution's places
        if hints is not None and bool(hints[:, 2].any()):
            raise ValueError("the article's network takes no hints; use a checkpoint of the U-Net")
        require_multiple_of_32(lightness)
        features = self.encoder(lightness / 50 - 1)  # (N, 128, H/8, W/8)
        return Heads(self.decoder(features).float() * _CHROMA_SCALE)  # (N, 2, H, W)

    def forward(self, lightness: Tensor, hints: Tensor | None = None) -> Prediction:
        """Colour lightness planes; see `ColorNetwork.forward`."""
        chroma = self.clamp(self.heads(lightness, hints).regression)
        return Prediction(chroma, torch.full_like(chroma[:, :1], _CANNOT_TELL), None)


class _Residual(nn.Module):
    """ResNet's basic block (He et al. 2016), its parts named as torchvision names them."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) to (N, outputs, h / stride, w / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        sum_: Tensor = self.bn2(self.conv2(y)) + self.downsample(x)
        return torch.relu(sum_)


def _convolve(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )

"""The network of the article that this project starts from: the baseline of every table."""

import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from colormodel.networks.base import (
    ColorNetwork,
    Heads,
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
        resnet = resnet18(weights=None)
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False),  # (N, 64, H/2, W/2)
            *(resnet.bn1, resnet.relu, resnet.maxpool),  # (N, 64, H/4, W/4)
            *(resnet.layer1, resnet.layer2),  # (N, 128, H/8, W/8)
        )
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

    def heads(self, lightness: Tensor, hints: Tensor | None = None) -> Heads:
        """Give the regression, the only head there is."""
        if hints is not None and bool(hints[:, 2].any()):
            raise ValueError("the article's network takes no hints; use a checkpoint of the U-Net")
        require_multiple_of_32(lightness)
        features = self.encoder(lightness / 50 - 1)  # (N, 128, H/8, W/8)
        return Heads(self.decoder(features).float() * _CHROMA_SCALE)  # (N, 2, H, W)

    def forward(self, lightness: Tensor, hints: Tensor | None = None) -> Prediction:
        """Colour lightness planes; see `ColorNetwork.forward`."""
        chroma = self.clamp(self.heads(lightness, hints).regression)
        return Prediction(chroma, torch.full_like(chroma[:, :1], _CANNOT_TELL), None)


def _convolve(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )

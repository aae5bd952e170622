"""MobileNetV2 as an encoder that also takes hints."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import mobilenet_v2

_STAGES = (2, 4, 7, 14, 18)  # features[:2] is at half size, [2:4] at a quarter, … [14:18] at 1/32
STAGE_CHANNELS = (16, 24, 32, 96, 320)


class _ShiftedConv(nn.Conv2d):
    """A stride-2 convolution padded right and bottom only, as the ImageNet weights were trained."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 — the name that nn.Conv2d gives it
        return super().forward(functional.pad(input, (0, 1, 0, 1)))


class MobileNetEncoder(nn.Module):
    """Five stages of MobileNetV2 over four channels: lightness, hinted a* and b*, hint mask."""

    def __init__(self) -> None:
        super().__init__()
        self.features = mobilenet_v2(weights=None).features[: _STAGES[-1]]
        for block in self.features.modules():
            for name, child in list(block.named_children()):
                if isinstance(child, nn.Conv2d) and child.stride == (2, 2):
                    setattr(block, name, _shifted(child, extra_inputs=child.in_channels == 3))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Give the stages, finest first.

        Args:
            x: Lightness in [-1, 1], hinted a* and b* over 100, mask; (N, 4, H, W).

        Returns:
            (N, 16, H/2, W/2), (N, 24, H/4, W/4), (N, 32, H/8, W/8), (N, 96, H/16, W/16),
            (N, 320, H/32, W/32).
        """
        stages = []
        for begin, end in zip((0, *_STAGES[:-1]), _STAGES, strict=True):
            x = self.features[begin:end](x)
            stages.append(x)
        return stages

    def load_imagenet(self, path: Path) -> None:
        """Start from weights trained on ImageNet, in torchvision's names.

        The stem's three colour filters are added up, since grey has equal RGB; hints start unseen.
        """
        weights = load_file(path)
        colour = weights["features.0.0.weight"]  # (32, 3, 3, 3)
        stem = torch.zeros(colour.shape[0], 4, 3, 3)
        stem[:, 0] = colour.sum(1)
        # Hints start near zero, not at zero, so that they have a gradient from the first step.
        stem[:, 1:] = 0.1 * colour.std() * torch.randn(stem[:, 1:].shape)
        weights["features.0.0.weight"] = stem
        own = self.state_dict()
        own.update({name: tensor for name, tensor in weights.items() if name in own})
        self.load_state_dict(own)


def _shifted(conv: nn.Conv2d, *, extra_inputs: bool) -> _ShiftedConv:
    return _ShiftedConv(
        4 if extra_inputs else conv.in_channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]  # always a pair here
        stride=2,
        groups=conv.groups,
        bias=False,
    )

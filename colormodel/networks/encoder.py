"""MobileNetV2 as an encoder that also takes hints."""

import itertools
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

STAGE_CHANNELS = (24, 32, 96, 320)
_SHALLOW = 4  # features[:4] come down to a quarter of the size
_DEEP = (4, 7, 14, 18)  # [4:7] are at an eighth, [7:14] at a sixteenth, [14:18] at 1/32
_HINT_CELL = 4

_STEM = 32
#: Of each sequence of blocks: how far the first layer widens, outputs, blocks, stride of the first.
_BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class MobileNetEncoder(nn.Module):
    """Four stages of MobileNetV2 over lightness; hints join, pixel by pixel, at a quarter.

    Attributes:
        shallow: Edges and textures, which ImageNet has taught well enough for grey: training may
            leave them as they are, which saves half of its time, since they are the largest planes.
        hints: Brings hints to the first stage; no hints bring nothing.
        deep: The three coarser stages.
    """

    def __init__(self) -> None:
        super().__init__()
        features = _features()
        self.shallow = features[:_SHALLOW]
        self.hints = nn.Conv2d(3 * _HINT_CELL**2, STAGE_CHANNELS[0], 1, bias=False)
        self.deep = nn.ModuleList(features[begin:end] for begin, end in itertools.pairwise(_DEEP))

    def forward(self, tone: Tensor, hints: Tensor | None) -> list[Tensor]:
        """Give the stages, finest first.

        Args:
            tone: Lightness in [-1, 1], (N, 1, H, W).
            hints: a* and b* over 100, zero where not hinted, and the mask; (N, 3, H, W).

        Returns:
            (N, 24, H/4, W/4), (N, 32, H/8, W/8), (N, 96, H/16, W/16), (N, 320, H/32, W/32).
        """
        x = self.shallow(tone)  # (N, 24, H/4, W/4)
        if hints is not None:
            cells = functional.pixel_unshuffle(hints, _HINT_CELL)  # (N, 48, H/4, W/4)
            x = x + self.hints(cells)
        stages = [x]
        for stage in self.deep:
            stages.append(stage(stages[-1]))
        return stages

    def summary(self, tone: Tensor) -> Tensor:
        """Mean of each feature at an eighth and at a sixteenth of the size, (N, 128).

        These two know textures, shading and parts of things: enough to see that light is wrong.
        """
        eighth = self.deep[0](self.shallow(tone))  # (N, 32, H/8, W/8)
        sixteenth = self.deep[1](eighth)  # (N, 96, H/16, W/16)
        return torch.cat((eighth.mean((2, 3)), sixteenth.mean((2, 3))), 1)

    def load_imagenet(self, path: Path) -> None:
        """Start from weights trained on ImageNet, in torchvision's names.

        The stem's three colour filters are added up, since grey has equal RGB.
        """
        weights = load_file(path)
        weights["features.0.0.weight"] = weights["features.0.0.weight"].sum(1, keepdim=True)
        for part in (self.shallow, *self.deep):
            # Slices of torchvision's features keep its numbers.
            part.load_state_dict(
                {
                    name: weights.get(f"features.{name}", own)
                    for name, own in part.state_dict().items()
                }
            )


class _ShiftedConv(nn.Conv2d):
    """A stride-2 convolution padded right and bottom only, as the ImageNet weights were trained."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 — the name that nn.Conv2d gives it
        return super().forward(functional.pad(input, (0, 1, 0, 1)))


def _features() -> nn.Sequential:
    """MobileNetV2's layers up to its last stage, for one channel (Sandler et al. 2018, table 2).

    Built here, and named as torchvision names them: importing its models costs a process 1.7 s.
    """
    layers: list[nn.Module] = [_convolve(1, _STEM, stride=2)]
    inputs = _STEM
    for expansion, outputs, repeats, stride in _BLOCKS:
        for number in range(repeats):
            layers.append(_Inverted(inputs, outputs, expansion, stride if number == 0 else 1))
            inputs = outputs
    features = nn.Sequential(*layers)
    for module in features.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
    return features


class _Inverted(nn.Module):
    """An inverted residual: widen, filter each channel by itself, narrow; add what came in."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.conv = nn.Sequential(
            *([_convolve(inputs, wide, size=1)] if expansion > 1 else []),
            _convolve(wide, wide, stride=stride, groups=wide),
            nn.Conv2d(wide, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) to (N, outputs, h / stride, w / stride)."""
        y: Tensor = self.conv(x)
        return x + y if self.adds else y


def _convolve(
    inputs: int, outputs: int, *, size: int = 3, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    conv: nn.Module
    if stride == 2:
        conv = _ShiftedConv(inputs, outputs, size, stride=2, groups=groups, bias=False)
    else:
        conv = nn.Conv2d(inputs, outputs, size, padding=size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6(inplace=True))

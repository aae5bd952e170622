"""MobileNetV2 as an encoder."""

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from colormodel.networks.encoder import Encoder, exact_conv2d

# features[:4] come down to a quarter of the size, [4:7] are at an eighth, [7:14] at a sixteenth,
# [14:18] at 1/32.
_ENDS = (4, 7, 14, 18)
_CHANNELS = (24, 32, 96, 320)
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


class MobileNetEncoder(Encoder):
    """The encoder of the first default, whose descendants archives may still have in service."""

    def __init__(self) -> None:
        super().__init__(_features(), _ENDS, _CHANNELS)

    def frozen(self) -> list[nn.Module]:
        """What sees each channel by itself: filters, and norms, whose statistics cost much."""
        return [
            module
            for module in self.deep.modules()
            if isinstance(module, nn.BatchNorm2d)
            or (isinstance(module, nn.Conv2d) and module.groups > 1)
        ]

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
        """(N, inputs, h, w) to (N, outputs, h / 2, w / 2)."""
        padded = functional.pad(input, (0, 1, 0, 1))
        if self.groups == 1 or padded.is_cuda or not padded.requires_grad:
            return super().forward(padded)
        return exact_conv2d(padded, self.weight, self.bias, stride=2)


def _features() -> nn.Sequential:
    """MobileNetV2's layers up to its last stage, for one channel (Sandler et al. 2018, table 2).

    Built here, and named as torchvision names them: importing its models costs a process 1.7 s.
    """
    layers: list[nn.Module] = [_convolve(1, _STEM, stride=2)]
    inputs = _STEM
    for expansion, outputs, repeats, stride in _BLOCKS:
        for number in range(repeats):
            layers.append(
                _InvertedResidual(inputs, outputs, expansion, stride if number == 0 else 1)
            )
            inputs = outputs
    features = nn.Sequential(*layers)
    for module in features.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
    return features


class _InvertedResidual(nn.Module):
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

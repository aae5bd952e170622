"""What an encoder is: four stages over lightness, which hints join at the first."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

_HINT_CELL = 4


class Encoder(nn.Module):
    """Four stages of an ImageNet network over lightness; hints join, pixel by pixel, at a quarter.

    Attributes:
        channels: Of the stages, finest first.
        shallow: Edges and textures, which ImageNet has taught well enough for grey: training may
            leave them as they are, which saves half of its time, since they are the largest planes.
        hints: Brings hints to the first stage; no hints bring nothing.
        deep: The three coarser stages.
    """

    def __init__(self, layers: nn.Sequential, ends: Sequence[int], channels: Sequence[int]) -> None:
        """Cut layers into stages.

        Args:
            layers: Of the ImageNet network, for one channel.
            ends: Of the stages, as numbers of layers: at 1/4, 1/8, 1/16 and 1/32 of the size.
            channels: That leave each stage.
        """
        super().__init__()
        self.channels = tuple(channels)
        self.shallow = layers[: ends[0]]
        self.hints = nn.Conv2d(3 * _HINT_CELL**2, channels[0], 1, bias=False)
        self.deep = nn.ModuleList(layers[begin:end] for begin, end in itertools.pairwise(ends))

    def stages(self, x: Tensor, hints: Tensor | None) -> list[Tensor]:
        """Give the stages, finest first.

        Args:
            x: What `shallow` gives of lightness in [-1, 1], (N, channels[0], H/4, W/4).
            hints: a* and b* over 100, zero where not hinted, and the mask; (N, 3, H, W).

        Returns:
            (N, channels, H/4, W/4), then at 1/8, 1/16 and 1/32.
        """
        if hints is not None:
            cells = functional.pixel_unshuffle(hints, _HINT_CELL)  # (N, 48, H/4, W/4)
            x = x + self.hints(cells)
        stages = [x]
        for stage in self.deep:
            stages.append(stage(stages[-1]))
        return stages

    def summary(self, tone: Tensor) -> Tensor:
        """Mean of each feature at an eighth and at a sixteenth of the size, (N, F).

        These two know textures, shading and parts of things: enough to see that light is wrong.
        """
        eighth = self.deep[0](self.shallow(tone))  # (N, channels[1], H/8, W/8)
        sixteenth = self.deep[1](eighth)  # (N, channels[2], H/16, W/16)
        return torch.cat((eighth.mean((2, 3)), sixteenth.mean((2, 3))), 1)

    def frozen(self) -> list[nn.Module]:
        """Give the modules beyond the shallow ones that training leaves as ImageNet taught them."""
        return []

    def load_imagenet(self, path: Path) -> None:
        """Start from weights trained on ImageNet, for which each encoder knows the names."""
        raise NotImplementedError


def exact_conv2d(x: Tensor, filters: Tensor, bias: Tensor | None, *, stride: int) -> Tensor:
    """Filter each channel by itself, in float32 also under autocast.

    A CPU takes 130 times as long for the gradients of such filters at stride 2 in bfloat16.
    """
    with torch.autocast(x.device.type, enabled=False):
        bias = None if bias is None else bias.float()
        return functional.conv2d(x.float(), filters.float(), bias, stride, groups=filters.shape[0])

"""Small networks in ONNX with the signatures of those that archives fetch, made as theirs are."""

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
_STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
#: sRGB of what the RGB networks make of white: a warm one.
TINT = (1.0, 0.88, 0.7)


class SmallDDColor(nn.Module):
    """Grey RGB in [0, 1] to a*, b*; ImageNet's normalization is inside, as DDColor's is.

    a* is 40 (g - 0.5), b* 30 - 20 g: a picture's colours are known by its tones.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, h, w) to (N, 2, h, w)."""
        normal = (x - _MEAN) / _STD
        grey = (normal * _STD + _MEAN).mean(1, keepdim=True)
        return torch.cat((40 * (grey - 0.5), 30 - 20 * grey), 1)


class SmallDeOldify(nn.Module):
    """Normalized RGB to normalized RGB, from -3 to 3 like SigmoidRange: grey, tinted."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, h, w) to (N, 3, h, w)."""
        tinted = (x * _STD + _MEAN) * torch.tensor(TINT).view(3, 1, 1)
        return ((tinted - _MEAN) / _STD).clamp(-3, 3)


class ScaledDeOldify(SmallDeOldify):
    """The same with codes from 0 to 255 on both sides, as its author proposed for exports."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, h, w) to (N, 3, h, w)."""
        coloured = super().forward((x / 255 - _MEAN) / _STD)
        return (coloured * _STD + _MEAN).clamp(0, 1) * 255


class SmallZhang(nn.Module):
    """L* from 0 to 100 to a*, b*, with the centring inside."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, h, w) to (N, 2, h, w)."""
        centred = (x - 50) / 100
        return torch.cat((centred * 40, 20 - centred * 20), 1)


class Broken(nn.Module):
    """DDColor's signature, and something wrong with what it gives."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, h, w) to what is wrong."""
        a_b = 60 * (x[:, :2] - 0.4)
        return _FAULTS[self.fault](a_b, x)


_FAULTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "not a number": lambda a_b, x: a_b / (x[:, :2] * 0),
    "one colour": lambda a_b, _: a_b * 0 + 12,
    "no colour": lambda a_b, _: a_b / 1000,
    "far out": lambda a_b, _: a_b * 50,
    "three channels": lambda a_b, _: torch.cat((a_b, a_b[:, :1]), 1),
    "turned": lambda a_b, _: a_b.transpose(2, 3)[:, :, ::2],
    "looks aside": lambda a_b, x: a_b + 20 * x.mean((0, 1, 2, 3), keepdim=True),
    "by chance": lambda a_b, _: a_b + torch.randn_like(a_b),
}


def export(
    network: nn.Module,
    path: Path,
    *,
    channels: int = 3,
    side: int = 64,
    minibatch: int = 1,
    is_open: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Export as DDColor's script does: opset 12, names "input" and "output".

    Args:
        network: What is exported.
        path: The ONNX file.
        channels: Of the input.
        side: Of the square input.
        minibatch: Which the graph is fixed to.
        is_open: Minibatch and sides are left open instead.
        dtype: Of input and output.
    """
    example = torch.rand(minibatch, channels, side, side, dtype=dtype)
    axes = {0: "batch", 2: "height", 3: "width"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the exporter's age, which is what others used
        torch.onnx.export(
            network.eval().to(dtype),
            (example,),
            str(path),
            input_names=["input"],
            output_names=["output"],
            dynamic_axes={"input": axes, "output": axes} if is_open else None,
            opset_version=12,
            dynamo=False,
        )
    return path

"""What networks trained on photographs see in a picture: LPIPS, KID, recognised content."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

#: Files expected in the weights folder.
SQUEEZENET_FILE = "squeezenet1_1_features.safetensors"
LPIPS_FILE = "lpips_v0.1_squeeze_linear.safetensors"
MOBILENET_FILE = "mobilenet_v2_imagenet.safetensors"

#: Last layer of each of LPIPS's seven slices of SqueezeNet's features.
_SLICE_ENDS = (1, 4, 7, 9, 10, 11, 12)
#: SqueezeNet's weights come from Caffe: BGR, 0 to 255, less these means.
_CAFFE_MEANS = (104.0, 117.0, 123.0)
_CROP_PX, _SHORT_SIDE_PX = 224, 256


class WeightsError(Exception):
    """Weights that a metric needs are not there or are of another network."""


class Lpips(nn.Module):
    """Learned perceptual distance (Zhang et al. 2018), v0.1 on SqueezeNet 1.1.

    Figures differ a little from the lpips package's, whose SqueezeNet came through torchvision.
    """

    def __init__(self, weights: Path) -> None:
        """Load from a folder with SqueezeNet's features and LPIPS's linear weights."""
        super().__init__()
        from torchvision.models import squeezenet1_1  # noqa: PLC0415 - seconds, only where used

        self.features = squeezenet1_1(weights=None).features
        state = _load(weights / SQUEEZENET_FILE)
        self.features.load_state_dict(
            {name.removeprefix("features."): state[name] for name in state}
        )
        linear = _load(weights / LPIPS_FILE)
        self.linear = [linear[f"lin{index}.model.1.weight"] for index in range(len(_SLICE_ENDS))]
        _freeze(self)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Distance of sRGB pictures in [0, 1], (N, 3, H, W) with sides from 32 px: (N,)."""
        return self.compare(self.describe(first), self.describe(second))

    def describe(self, srgb: Tensor) -> list[Tensor]:
        """The seven slices, each of unit length at every position, (N, C, h, w)."""
        x = srgb.flip(1) * 255 - srgb.new_tensor(_CAFFE_MEANS).view(1, 3, 1, 1)
        slices = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in _SLICE_ENDS:
                slices.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return slices

    def compare(self, first: list[Tensor], second: list[Tensor]) -> Tensor:
        """Distance of pictures already described: (N,)."""
        distance = first[0].new_zeros(first[0].shape[0])
        for one, other, linear in zip(first, second, self.linear, strict=True):
            weighted = functional.conv2d((one - other).square(), linear)  # (N, 1, h, w)
            distance = distance + weighted.mean(dim=(1, 2, 3))
        return distance


@dataclass(frozen=True)
class Recognition:
    """What MobileNetV2 makes of pictures.

    Attributes:
        features: Pooled, (N, 1280).
        label: Most likely of ImageNet's thousand classes, (N,).
    """

    features: Tensor
    label: Tensor


class Recognizer(nn.Module):
    """MobileNetV2 trained on ImageNet, padded as its weights were trained (right and bottom)."""

    def __init__(self, weights: Path) -> None:
        """Load from a folder with MobileNetV2's weights."""
        super().__init__()
        from torchvision.models import mobilenet_v2  # noqa: PLC0415 - seconds, only where used

        self.network = mobilenet_v2(weights=None)
        missing, unexpected = self.network.load_state_dict(
            _load(weights / MOBILENET_FILE), strict=False
        )
        if unexpected or any(not name.endswith("num_batches_tracked") for name in missing):
            raise WeightsError(
                f"{weights / MOBILENET_FILE} is not MobileNetV2 in torchvision's names"
            )
        for layer in self.network.modules():
            if isinstance(layer, nn.Conv2d) and layer.stride == (2, 2):
                layer.padding = (0, 0)
                layer.register_forward_pre_hook(_pad_right_and_bottom)
        _freeze(self)

    def forward(self, srgb: Tensor) -> Recognition:
        """Look at the centre of sRGB pictures in [0, 1], (N, 3, H, W)."""
        x = self.network.features(_centre(srgb) * 2 - 1).mean(dim=(2, 3))
        return Recognition(x, self.network.classifier(x).argmax(1))


def kid(first: Tensor, second: Tensor, *, paired: bool = False) -> float:
    """Kernel distance of two sets of features: unbiased MMD² under (x·y/d + 1)³ (Bińkowski 2018).

    Args:
        first: (M, d), at least two rows.
        second: (N, d).
        paired: Row i of both shows the same scene. Such pairs are left out, as each row's pair
            with itself is: they are alike for another reason than the sets are, and would make
            the distance too small.

    Returns:
        About 0 for two samples of one distribution; may be slightly negative.
    """
    x, y = first.double(), second.double()
    within = _mean(_kernel(x, x), diagonal=False) + _mean(_kernel(y, y), diagonal=False)
    return within - 2 * _mean(_kernel(x, y), diagonal=not paired)


def _freeze(network: nn.Module) -> None:
    network.to(memory_format=torch.channels_last)
    network.requires_grad_(requires_grad=False).eval()


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _mean(kernel: Tensor, *, diagonal: bool) -> float:
    if diagonal:
        return float(kernel.mean())
    return float((kernel.sum() - kernel.trace()) / (kernel.numel() - len(kernel)))


def _centre(srgb: Tensor) -> Tensor:
    """Short side to 256 px, and of that the middle 224 × 224; (N, 3, 224, 224)."""
    height, width = srgb.shape[-2:]
    scale = _SHORT_SIDE_PX / min(height, width)
    size = (round(height * scale), round(width * scale))
    if size != (height, width):
        srgb = functional.interpolate(srgb, size, mode="bilinear", antialias=True)
    top, left = (size[0] - _CROP_PX) // 2, (size[1] - _CROP_PX) // 2
    return srgb[..., top : top + _CROP_PX, left : left + _CROP_PX]


def _pad_right_and_bottom(_: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    return functional.pad(inputs[0], (0, 1, 0, 1))


def _load(path: Path) -> dict[str, Tensor]:
    """Read weights.

    Raises:
        WeightsError: There is no such file.
    """
    if not path.is_file():
        raise WeightsError(f"{path} is not there; name the folder that holds it with --weights")
    return load_file(path)

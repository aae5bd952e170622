"""What every network takes and gives."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from colormodel.modes import Modes


class NetworkFault(ArithmeticError):
    """What the network gave for a picture is no colour: not a number, infinite, or nothing."""


@dataclass(frozen=True)
class NetworkConfig:
    """All that, with the weights, decides what a network gives.

    Attributes:
        name: "article" or "unet".
        encoder: Of the U-Net: "mobilenet_v2", which headers that name none mean, or
            "efficientnet_lite0".
        network_px: The shorter side at which the network looks at a picture: about the size at
            which it was trained.
        width: Channels of the decoder's finest stage; the coarser ones follow from it.
        freeze_shallow: Whether training leaves the encoder's shallow part as ImageNet taught it.
        bin_spacing: Edge of an a*b* bin; only where the network has a distribution.
        temperature: Of the annealed mean, in (0, 1]: 1 is the mean, near 0 the mode.
        regression_share: How much of the chroma comes from the regression head, in [0, 1].
        chroma_gain: Factor on the blended chroma: makes up for what averaging washes out.
        gamut: Least a*, greatest a*, least b*, greatest b* that the network may answer.
        confidence_from: What of the distribution tells doubt: its "entropy", in nats, or its
            "spread", in a*b* units.
        confidence_bias: Added to the logits before confidence is taken of them, a value for each
            bin: what training by rarity has pulled towards rare colours is pulled back. None: 0.
        confidence_scale: The entropy, or the spread, at which confidence is 1/e.
    """

    name: str
    encoder: str = "mobilenet_v2"
    network_px: int = 160
    width: int = 64
    freeze_shallow: bool = True
    bin_spacing: float = 10.0
    temperature: float = 0.38
    regression_share: float = 0.5
    chroma_gain: float = 1.0
    gamut: tuple[float, float, float, float] = (-86.0, 98.0, -107.0, 94.0)
    confidence_from: Literal["entropy", "spread"] = "spread"
    confidence_bias: tuple[float, ...] = ()
    confidence_scale: float = 20.0


class Lattice(NamedTuple):
    """Places of a plane: every so many rows and columns, from some on.

    Neighbours have nearly the same colours: a loss over 261 bins learns as much from a quarter of
    the places, if each has its turn, and takes a quarter of the time.
    """

    step: int = 1
    row: int = 0
    column: int = 0

    def of(self, plane: Tensor) -> Tensor:
        """(N, C, h, w) to (N, C, h / step, w / step)."""
        return plane[..., self.row :: self.step, self.column :: self.step]


EVERYWHERE = Lattice()


class Heads(NamedTuple):
    """What training sees: the heads before they are blended, clamped or upsampled further."""

    regression: Tensor  # a*, b*; (N, 2, H, W), unclamped
    logits: Tensor | None = None  # (N, bins, h, w)
    every: Lattice = EVERYWHERE  # the places of the coarse plane that the logits are of


class Prediction(NamedTuple):
    """What inference sees."""

    chroma: Tensor  # a*, b*; (N, 2, H, W) at the input's size, inside the trained gamut
    confidence: Tensor  # (N, 1, H, W) in [0, 1]
    logits: Tensor | None  # (N, bins, h, w) when the network has a distribution, else None


class Encoding(NamedTuple):
    """Lightness planes, and what the network makes of them before it looks at hints."""

    lightness: Tensor  # (N, 1, H, W)
    features: Tensor | None = None


class ColorNetwork(nn.Module, ABC):
    """Lightness in, chroma and confidence out.

    Without hints, a forward pass neither reads a tensor nor, but for the first, makes one of
    numbers that the host holds: either would wait until the device has done all it was given.

    Attributes:
        takes_hints: Whether it can be told colours.
    """

    takes_hints: ClassVar[bool]

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def heads(
        self, lightness: Tensor, hints: Tensor | None = None, *, every: Lattice = EVERYWHERE
    ) -> Heads:
        """Give what the losses are taken of; arguments as for `forward`.

        Args:
            lightness: As for `forward`.
            hints: As for `forward`.
            every: Where a distribution is wanted; regressions are given everywhere.
        """

    @abstractmethod
    def forward(self, lightness: Tensor, hints: Tensor | None = None) -> Prediction:
        """Colour lightness planes.

        Args:
            lightness: L* in [0, 100], (N, 1, H, W), H and W multiples of 32.
            hints: a*, b* and a mask of 0 or 1, (N, 3, H, W); a*, b* count where the mask is 1.
        """

    def prepare(self, lightness: Tensor) -> Encoding:
        """Do once what no hint changes; `colour` then answers for any hints.

        Args:
            lightness: As for `forward`.
        """
        return Encoding(lightness)

    def colour(self, prepared: Encoding, hints: Tensor | None = None) -> Prediction:
        """Give what `forward` gives for the same planes and hints."""
        prediction: Prediction = self(prepared.lightness, hints)
        return prediction

    def summary(self, lightness: Tensor) -> Tensor | None:
        """Sum a picture up in a few numbers of the encoder, (N, F); None where there is no such.

        Args:
            lightness: As for `forward`.
        """
        del lightness
        return None

    def modes(self) -> Modes | None:
        """What tells the likely colours of its distributions; None where it has none."""
        return None

    def frozen(self) -> list[nn.Module]:
        """Give the modules that training leaves as they are, statistics included."""
        return []

    def load_imagenet(self, path: Path) -> None:
        """Start the encoder from ImageNet weights, where the network can.

        Raises:
            ValueError: It cannot.
        """
        raise ValueError(
            f"{self.config.name} starts from random weights; drop {path} from the recipe"
        )

    def clamp(self, chroma: Tensor) -> Tensor:
        """Keep chroma, (N, 2, H, W), inside the gamut of the configuration."""
        a_low, a_high, b_low, b_high = self.config.gamut
        a, b = chroma[:, :1], chroma[:, 1:]
        return torch.cat((a.clamp(a_low, a_high), b.clamp(b_low, b_high)), 1)


def require_multiple_of_32(lightness: Tensor) -> None:
    """Refuse planes whose halves would not fit together again.

    Raises:
        ValueError: A side is not a multiple of 32.
    """
    height, width = lightness.shape[-2:]
    if height % 32 or width % 32 or not height or not width:
        raise ValueError(f"sides must be multiples of 32, got {height} × {width}; resize first")

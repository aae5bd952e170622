"""How far the colours of one picture are from another's, measured pixel by pixel."""

import math

import torch
from torch import Tensor
from torch.nn import functional

#: A chroma edge: a*b* changes by at least this over one pixel (a visible, rather sharp border).
EDGE_STEP = 6.0
#: The edge band reaches this far to each side of a chroma edge.
EDGE_REACH_PX = 3


def ciede2000(first: Tensor, second: Tensor) -> Tensor:
    """CIEDE2000 colour difference (CIE 142:2001, in the steps of Sharma, Wu and Dalal 2005).

    Args:
        first: L*, a*, b*, shape (*, 3, H, W).
        second: The same; the measure is symmetric.

    Returns:
        ΔE₀₀, shape (*, H, W).
    """
    lightness_1, chroma_1, hue_1 = _corrected(first, second)
    lightness_2, chroma_2, hue_2 = _corrected(second, first)
    has_hue = chroma_1 * chroma_2 != 0
    turn = torch.where(has_hue, hue_2 - hue_1, 0)
    turn = turn - 2 * math.pi * torch.round(turn / (2 * math.pi))  # into [-π, π]
    delta_hue = 2 * (chroma_1 * chroma_2).sqrt() * torch.sin(turn / 2)
    lightness, chroma = (lightness_1 + lightness_2) / 2, (chroma_1 + chroma_2) / 2
    hue = torch.where(has_hue, hue_1 + turn / 2, hue_1 + hue_2)
    scale_l, scale_c, scale_h = _scales(lightness, chroma, hue)
    term_l = (lightness_2 - lightness_1) / scale_l
    term_c = (chroma_2 - chroma_1) / scale_c
    term_h = delta_hue / scale_h
    square = term_l**2 + term_c**2 + term_h**2 + _rotation(chroma, hue) * term_c * term_h
    return square.clamp(min=0).sqrt()


def psnr(first: Tensor, second: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of sRGB pictures.

    Args:
        first: sRGB in [0, 1], shape (*, 3, H, W).
        second: The same shape.

    Returns:
        Decibels, shape (*,); 100 at most, so that equal pictures do not spoil a mean.
    """
    error = (first - second).square().mean(dim=(-3, -2, -1))
    return -10 * error.clamp(min=1e-10).log10()


def colourfulness(srgb: Tensor) -> Tensor:
    """Colourfulness M3 of Hasler and Süsstrunk (2003).

    Args:
        srgb: sRGB in [0, 1], shape (*, 3, H, W).

    Returns:
        0 for grey, about 15 slightly, 45 averagely, 82 highly colourful; shape (*,).
    """
    red, green, blue = (srgb * 255).unbind(-3)
    opponents = torch.stack((red - green, (red + green) / 2 - blue), dim=-3).flatten(-2)
    spread = opponents.var(dim=-1, correction=0).sum(-1).sqrt()
    return spread + 0.3 * opponents.mean(dim=-1).square().sum(-1).sqrt()


def edge_band(chroma: Tensor) -> Tensor:
    """Where colours meet: the pixels near a step of the true chroma.

    Args:
        chroma: a*, b* of the truth, shape (N, 2, H, W).

    Returns:
        Bool, shape (N, H, W).
    """
    down = functional.pad(chroma.diff(dim=-2), (0, 0, 0, 1)).square().sum(1)
    right = functional.pad(chroma.diff(dim=-1), (0, 1, 0, 0)).square().sum(1)
    edges = (down + right >= EDGE_STEP**2).to(chroma.dtype)[:, None]
    near = functional.max_pool2d(edges, 2 * EDGE_REACH_PX + 1, stride=1, padding=EDGE_REACH_PX)
    return near[:, 0] > 0


def edge_band_error(chroma: Tensor, truth: Tensor) -> Tensor:
    """Mean a*b* distance from the truth where true colours meet.

    Args:
        chroma: a*, b*, shape (N, 2, H, W).
        truth: The same shape, or (1, 2, H, W); the band is taken from it.

    Returns:
        Shape (N,); not a number for pictures without a chroma edge.
    """
    band = edge_band(truth)
    distance = (chroma - truth).square().sum(1).sqrt()
    return (distance * band).sum(dim=(-2, -1)) / band.sum(dim=(-2, -1))


def _corrected(lab: Tensor, other: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """L*, C′ and h′ in radians [0, 2π): a* stretched where the mean chroma is small."""
    mean = (
        lab[..., 1:, :, :].square().sum(-3).sqrt() + other[..., 1:, :, :].square().sum(-3).sqrt()
    ) / 2
    seventh = mean**7
    stretch = 1.5 - 0.5 * (seventh / (seventh + 25.0**7)).sqrt()
    a, b = lab[..., 1, :, :] * stretch, lab[..., 2, :, :]
    return lab[..., 0, :, :], torch.hypot(a, b), torch.atan2(b, a) % (2 * math.pi)


def _scales(lightness: Tensor, chroma: Tensor, hue: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The weighting functions of lightness, chroma and hue."""
    degrees = math.pi / 180
    tint = (
        1
        - 0.17 * torch.cos(hue - 30 * degrees)
        + 0.24 * torch.cos(2 * hue)
        + 0.32 * torch.cos(3 * hue + 6 * degrees)
        - 0.20 * torch.cos(4 * hue - 63 * degrees)
    )
    middle = (lightness - 50).square()
    return 1 + 0.015 * middle / (20 + middle).sqrt(), 1 + 0.045 * chroma, 1 + 0.015 * chroma * tint


def _rotation(chroma: Tensor, hue: Tensor) -> Tensor:
    """The interaction of chroma and hue in the blues."""
    degrees = math.pi / 180
    off_blue = (hue % (2 * math.pi) - 275 * degrees) / (25 * degrees)
    angle = 60 * degrees * torch.exp(-off_blue.square())
    seventh = chroma**7
    return -2 * (seventh / (seventh + 25.0**7)).sqrt() * torch.sin(angle)

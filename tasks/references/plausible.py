"""Whether the colours of many references can be those of photographs: none exchanged, none turned.

One picture tells little: what the network expects is often wrong, and old films have casts. So a
cast is taken off first, and many pictures are asked together: where the expected colours vary
within a picture, do the true ones vary the same way? If they would fit better with channels
exchanged or hues turned, or fit no way at all, something has happened to the files.

Over the 74 period photographs of the tests, the correlation is 0.29 as they are; the best of the
exchanged and turned ones that are not nearly the same comes to 0.18, and colours that were drawn
by lot over the pictures to 0.05.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from colormodel.color import srgb_to_lab
from colormodel.infer import Colorizer
from colormodel.metrics import paired_bootstrap
from colormodel.pictures import predict_map

Codes = NDArray[np.uint8]

#: From so many pictures on, a genuine set is told from a poisoned one nearly always: of 2,000
#: random sixteens of the 74, 2.5 % would be suspected, of twenties 0.7 %, of 37 none.
LEAST_PICTURES = 16

#: Mean correlation below which pictures have nothing in common with what is expected of them: of
#: 2,000 random sixteens with colours drawn by lot, 99.8 % are below.
LEAST_AGREEMENT = 0.12

_MARGIN = 0.05  # of a picture left out at each side: borders, colour targets
_TURNS = (60, 90, 120, 150, 180, 210, 240, 270, 300)  # degrees; less looks like a cast
_EXCHANGES = {
    "red and blue exchanged": (2, 1, 0),
    "red and green exchanged": (1, 0, 2),
    "green and blue exchanged": (0, 2, 1),
    "channels passed round": (1, 2, 0),
    "channels passed round the other way": (2, 0, 1),
}


@dataclass(frozen=True)
class Plausibility:
    """What the colours of some pictures look like.

    Attributes:
        agreement: Mean correlation of expected and true colours within a picture.
        low: Lower end of its 95 % interval.
        suspicion: What seems to have happened to them; empty where nothing does.
    """

    agreement: float
    low: float
    suspicion: str


#: How the expected colours of a picture correlate with its own: as they are (""), and with each
#: change that may have happened to them taken back.
Agreement = Mapping[str, float]


def judge_colours(pictures: Sequence[Codes], colorizer: Colorizer) -> Plausibility | None:
    """Ask what the colours of *pictures* look like; None where they are too few to tell.

    Args:
        pictures: sRGB, uint8 (h, w, 3).
        colorizer: Holds the network that knows what to expect.
    """
    if len(pictures) < LEAST_PICTURES:
        return None
    return judge_agreements([agreement_of(picture, colorizer) for picture in pictures])


def judge_agreements(agreements: Sequence[Agreement]) -> Plausibility | None:
    """The same of pictures that have been compared with what is expected already."""
    if len(agreements) < LEAST_PICTURES:
        return None
    by_change = {name: np.array([one[name] for one in agreements]) for name in agreements[0]}
    as_it_is = by_change.pop("")
    interval = paired_bootstrap(np.zeros_like(as_it_is), as_it_is)
    likeliest = max(by_change, key=lambda name: by_change[name].mean())
    suspicion = ""
    if by_change[likeliest].mean() > as_it_is.mean():
        suspicion = f"they fit what is to be expected better when changed: {likeliest}"
    elif as_it_is.mean() < LEAST_AGREEMENT:
        suspicion = "they have nothing in common with what is to be expected"
    return Plausibility(float(as_it_is.mean()), interval.low, suspicion)


def agreement_of(picture: Codes, colorizer: Colorizer) -> Agreement:
    """Compare the colours of one picture with what the network expects of its lightness."""
    down, across = (int(_MARGIN * size) for size in picture.shape[:2])
    inner = picture[down : picture.shape[0] - down, across : picture.shape[1] - across]
    srgb = torch.from_numpy(np.ascontiguousarray(inner)).permute(2, 0, 1)[None].float() / 255
    lightness = srgb_to_lab(srgb)[0, 0].clamp(0, 100).numpy()
    guess = predict_map(colorizer, lightness)
    expected = torch.from_numpy(guess.chroma)[None]
    small = functional.interpolate(srgb, guess.lightness.shape, mode="bilinear", antialias=True)
    chroma = srgb_to_lab(small)[:, 1:]
    changed = {"": chroma}
    changed |= {f"hues turned by {360 - turn}°": _turned(chroma, turn) for turn in _TURNS}
    changed |= {
        name: srgb_to_lab(small[:, list(order)])[:, 1:] for name, order in _EXCHANGES.items()
    }
    return {name: _correlation(expected, plane) for name, plane in changed.items()}


def _turned(chroma: Tensor, degrees: float) -> Tensor:
    angle = np.deg2rad(degrees)
    cosine, sine = float(np.cos(angle)), float(np.sin(angle))
    a, b = chroma.unbind(1)
    return torch.stack((cosine * a - sine * b, sine * a + cosine * b), 1)


def _correlation(one: Tensor, other: Tensor) -> float:
    one, other = (plane - plane.mean(dim=(2, 3), keepdim=True) for plane in (one, other))
    return float((one * other).sum() / (one.norm() * other.norm()).clamp(min=1e-6))

"""Make a checkpoint of a network that was made elsewhere, if it colours photographs."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from skimage import data
from torch import Tensor
from torch.nn import functional

from colormodel.checkpoint import (
    DEFAULT_CHECKPOINT,
    Card,
    Checkpoint,
    header_of,
    read_checkpoint,
    write_tensors,
)
from colormodel.color import srgb_to_lab
from colormodel.networks import NetworkFault
from colormodel.networks.foreign import (
    MODEL_TENSOR,
    REFERENCE_PREFIX,
    ForeignConfig,
    ForeignError,
    ForeignNetwork,
    Profile,
    check_onnx,
    graph_sides,
    load_foreign,
    read_onnx,
)
from colormodel.networks.foreign.session import Session
from colormodel.pictures import resize_lightness
from colormodel.planes import Plane, network_size

#: A first pass that takes longer is ended: a graph may hold a loop without an end.
FIRST_PASS_S = 120.0
#: Pictures in one minibatch, to see that none changes another.
TOGETHER = 8
#: Most that a*, b* may differ between two passes, or alone and in a minibatch: float32, float16.
TOLERANCE = (0.01, 0.5)

#: Of a* and b* a share may lie beyond ±128, of sRGB codes beyond [-0.25, 1.25].
_BEYOND_AB, _BEYOND_RGB, _SHARE_BEYOND = 128.0, 0.25, 0.01
#: Least mean chroma of the pictures, in a*b* units; sepia has about 10, ours 12.
_LEAST_CHROMA, _GREATEST_CHROMA = 1.0, 80.0
#: Least standard deviation of a* and b* over a picture.
_LEAST_SPREAD = 0.25
#: Likeness to our own network below which channels or signs are probably not in their order: people
#: are not blue, nor is coffee. Some networks may mean it so; whoever adds one is told.
OPPOSITE = -0.2
#: Most that L* of RGB may be off on average, and least of the photograph's contrast in it: networks
#: learn to leave the tone as it is.
_MOST_LIGHTNESS_OFF, _LEAST_CONTRAST = 15.0, 0.6


@dataclass(frozen=True)
class Origin:
    """What a person says of a network that was made elsewhere.

    Attributes:
        terms: Whose the weights are.
        licence: Under which licence they may be used.
        name: Of the model; empty: the profile's title.
        version: Of the model; empty: the beginning of the digest of its bytes.
        description: For the card.
    """

    terms: str
    licence: str
    name: str = ""
    version: str = ""
    description: str = ""


class Figures(NamedTuple):
    """What a network made of the photographs that it was tried on.

    Attributes:
        chroma: Mean distance from grey, in a*b* units.
        confidence: Mean score.
        passes_differ: Most that a*, b* differed alone and in a minibatch.
        likeness: Cosine between its a*, b* and those of our own network, over all of them.
    """

    chroma: float
    confidence: float
    passes_differ: float
    likeness: float


def import_onnx(
    path: Path, profile: Profile, origin: Origin, *, out: Path
) -> tuple[Checkpoint, Figures]:
    """Try a model on photographs, and write it as a checkpoint: wholly, or not at all.

    The same file, profile and origin give the same checkpoint.

    Args:
        path: ONNX file; weights beside it are taken in.
        profile: What it takes and gives.
        origin: For the card.
        out: The checkpoint's file.

    Raises:
        ForeignError: It may not be run, does not have the signature of the profile, or what it
            makes of photographs is no colour.
    """
    if not origin.terms.strip() or not origin.licence.strip():
        raise ForeignError("say whose the weights are, and under which licence")
    model = read_onnx(path)
    ours = read_checkpoint(DEFAULT_CHECKPOINT)
    digest = hashlib.sha256(model).hexdigest()
    config = ForeignConfig(_with_sides(model, profile, name=path), ours.trainable, digest)
    tensors = {MODEL_TENSOR: torch.frombuffer(bytearray(model), dtype=torch.uint8)}
    del model
    tensors |= {REFERENCE_PREFIX + key: value for key, value in load_file(ours.path).items()}
    network = load_foreign(config, tensors, device=torch.device("cpu"), name=path).eval()
    try:
        figures = _try(network)
    except NetworkFault as fault:
        raise ForeignError(f"{fault}; name another profile, or export it anew") from fault
    write_tensors(out, tensors, header_of(config, _card(profile, origin, digest)))
    return read_checkpoint(out), figures


def photographs() -> list[Plane]:
    """Give the lightness of the photographs that networks are tried on: L*, (H, W)."""
    planes = []
    for picture in (data.astronaut(), data.coffee(), data.chelsea()):
        srgb = torch.from_numpy(picture.astype(np.float32)).permute(2, 0, 1) / 255
        planes.append(srgb_to_lab(srgb)[0].clamp(0, 100).numpy())
    return planes


def _with_sides(model: bytes, profile: Profile, *, name: Path) -> Profile:
    """The profile with the graph's own size, where that is fixed."""
    check_onnx(model, name=name)
    session = Session(model, device=torch.device("cpu"), name=name)
    if profile.input.fit == "free":
        return profile
    px = min(graph_sides(session, profile, name=name))
    return replace(profile, input=replace(profile.input, px=px))


def _card(profile: Profile, origin: Origin, digest: str) -> Card:
    return Card(
        name=origin.name or profile.title,
        version=origin.version or digest[:12],
        description=origin.description or f"{profile.title}, made elsewhere and taken in as ONNX.",
        training="elsewhere",
        limitations=(
            "What it was trained on, and how, is not known here.",
            "Its colours are guesses; they prove nothing about the things shown.",
        ),
        terms=f"{origin.terms.strip()}; {origin.licence.strip()}",
    )


@torch.inference_mode()
def _try(network: ForeignNetwork) -> Figures:
    """Colour photographs, and refuse what cannot be meant as colours."""
    px = network.config.network_px
    pictures = photographs()
    sized = [_tensor(plane, network_size(*plane.shape, network_px=px)) for plane in pictures]
    raws = [network.outputs(one, limit_s=FIRST_PASS_S)[0] for one in sized]
    _check_range(network, raws, sized)
    predictions = [network(one) for one in sized]
    chroma = [one.chroma for one in predictions]
    _check_colours(chroma)
    return Figures(
        float(np.mean([_strength(one) for one in chroma])),
        float(np.mean([float(one.confidence.mean()) for one in predictions])),
        _differ(network, sized, chroma),
        _likeness(network, pictures, chroma),
    )


def _tensor(plane: Plane, size: tuple[int, int]) -> Tensor:
    return torch.from_numpy(resize_lightness(plane, size))[None, None]


def _check_range(network: ForeignNetwork, raws: Sequence[Tensor], sized: Sequence[Tensor]) -> None:
    values = torch.cat([raw.flatten() for raw in raws])
    if not values.isfinite().all():
        raise ForeignError("what it gives for photographs is not a number, or infinite")
    is_ab = network.profile.output.colours == "ab"
    beyond = values.abs() - _BEYOND_AB if is_ab else (values - 0.5).abs() - 0.5 - _BEYOND_RGB
    if (beyond > 0).float().mean() > _SHARE_BEYOND:
        meant = "a* and b*, from -128 to 128" if is_ab else "sRGB, from 0 to 1 after its scaling"
        raise ForeignError(
            f"what it gives reaches from {values.min():.3g} to {values.max():.3g}, which is no "
            f"{meant}; name another profile, or mend its [output]"
        )
    if not is_ab:
        for raw, seen in zip(raws, sized, strict=True):
            shown, there = _lightness_of(raw, seen)
            off, contrast = float((shown - there).abs().mean()), float(shown.std() / there.std())
            if off > _MOST_LIGHTNESS_OFF or not _LEAST_CONTRAST < contrast < 1 / _LEAST_CONTRAST:
                raise ForeignError(
                    "the RGB that it gives does not show the photograph it was given (L* is off by "
                    f"{off:.0f}, its contrast {contrast:.2f} of the photograph's); name another "
                    "profile"
                )


def _lightness_of(raw: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """L* of the RGB that came out and of what went in, at the size of the former."""
    shown = srgb_to_lab(raw.clamp(0, 1))[:, :1]
    return shown, functional.interpolate(seen, shown.shape[-2:], mode="area")


def _check_colours(chroma: Sequence[Tensor]) -> None:
    strength = float(np.mean([_strength(one) for one in chroma]))
    if not _LEAST_CHROMA <= strength <= _GREATEST_CHROMA:
        raise ForeignError(
            f"its colours are {strength:.2g} a*b* units from grey on average, where those of "
            "photographs are 5 to 30; name another profile, or mend its [output]"
        )
    spread = max(float(one.std(dim=(2, 3)).max()) for one in chroma)
    if spread < _LEAST_SPREAD:
        raise ForeignError("it gives one and the same colour everywhere; that is no colour network")


def _likeness(
    network: ForeignNetwork, pictures: Sequence[Plane], chroma: Sequence[Tensor]
) -> float:
    px = network.reference.config.network_px
    pairs: list[Tensor] = []
    for plane, theirs in zip(pictures, chroma, strict=True):
        ours = network.reference(_tensor(plane, network_size(*plane.shape, network_px=px))).chroma
        resized = functional.interpolate(ours, theirs.shape[-2:], mode="area")
        pairs.append(torch.stack((theirs.flatten(), resized.flatten())))
    theirs, ours = torch.cat(pairs, 1).double()
    return float(functional.cosine_similarity(theirs, ours, dim=0))


def _strength(chroma: Tensor) -> float:
    return float(torch.linalg.vector_norm(chroma, dim=1).mean())


def _differ(network: ForeignNetwork, sized: Sequence[Tensor], chroma: Sequence[Tensor]) -> float:
    """Colour one picture again, among others of its size; how far its a*, b* are from before."""
    first = sized[0]
    others = [(first * share).clamp(0, 100) for share in torch.linspace(0.3, 0.9, TOGETHER - 1)]
    together = network.colours(torch.cat((*others, first)))[0]
    again = together[-1:]
    difference = float((again - chroma[0]).abs().max())
    tolerance = TOLERANCE[network.session.signature.dtype is np.float16]
    if float((together - again).abs().max()) <= tolerance:
        raise ForeignError("it gives the same whatever picture it is given; export it anew")
    if difference > tolerance:
        raise ForeignError(
            f"the same picture gets other colours beside others (a*, b* differ by {difference:.3g})"
            "; export it for inference: no dropout, norms with fixed statistics, nothing random"
        )
    return difference

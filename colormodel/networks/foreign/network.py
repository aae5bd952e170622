"""A network that was made elsewhere, behind the contract of our own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from colormodel.color import lightness_to_grey, srgb_to_lab
from colormodel.networks.base import (
    EVERYWHERE,
    ColorNetwork,
    Heads,
    Lattice,
    NetworkConfig,
    NetworkFault,
    Prediction,
)
from colormodel.networks.build import build_network
from colormodel.networks.foreign.errors import ForeignError
from colormodel.networks.foreign.graph import check_onnx
from colormodel.networks.foreign.profile import (
    LARGEST_PX,
    InputProfile,
    OutputProfile,
    Profile,
)
from colormodel.networks.foreign.session import Session
from colormodel.planes import network_size

#: Names of tensors in a checkpoint: the model's bytes, and our own network's weights.
MODEL_TENSOR = "onnx"
REFERENCE_PREFIX = "reference."


@dataclass(frozen=True)
class ForeignConfig:
    """All that, with the model and our own network's weights, decides what it gives.

    Attributes:
        profile: What it takes and gives; `px` is that of the graph.
        reference: Our own network, which is held beside it: it tells negatives, and how far their
            colours agree.
        onnx_sha256: Of the model's bytes.
        name: "onnx".
    """

    profile: Profile
    reference: NetworkConfig
    onnx_sha256: str
    name: Literal["onnx"] = field(default="onnx")

    @property
    def network_px(self) -> int:
        """The shorter side at which a picture is given to the network."""
        return self.profile.input.px


class _Fit(NamedTuple):
    """Where a picture of height × width lies in what the network sees."""

    height: int
    width: int
    inner_height: int
    inner_width: int


class ForeignNetwork(ColorNetwork):
    """An ONNX model by its profile: grey in, a* and b* out; it takes no hints.

    A pass waits for its end, and copies through the host's memory.
    """

    takes_hints = False

    def __init__(
        self, config: ForeignConfig, model: bytes, *, device: torch.device, name: object
    ) -> None:
        """Check and load a model; our own network's weights are random until they are loaded.

        Args:
            config: What the checkpoint's header says.
            model: The ONNX file.
            device: Where it runs.
            name: What messages call the model.

        Raises:
            ForeignError: It may not be run, or does not have the signature of the profile.
        """
        super().__init__(NetworkConfig(name=config.name, network_px=config.network_px))
        check_onnx(model, name=name)
        self.session = Session(model, device=device, name=name)
        self.profile = config.profile
        self.reference = build_network(config.reference)
        self._name = name
        self._sides = graph_sides(self.session, config.profile, name=name)
        self._outputs = _outputs(self.session, config.profile, name=name)

    def heads(
        self, lightness: Tensor, hints: Tensor | None = None, *, every: Lattice = EVERYWHERE
    ) -> Heads:
        """There are none: what was made elsewhere is not trained here."""
        del lightness, hints, every
        raise ValueError(f"{self._name} was made elsewhere and is not trained here")

    def forward(self, lightness: Tensor, hints: Tensor | None = None) -> Prediction:
        """Colour lightness planes; see `ColorNetwork.forward`.

        Raises:
            NetworkFault: The runtime failed, or gave arrays of another shape than the profile's.
        """
        if hints is not None:
            raise ValueError(f"{self._name} takes no hints; use another network")
        chroma, confidence = self.colours(lightness)
        if confidence is None:
            is_compared = self.profile.confidence.source == "agreement"
            confidence = (
                self._agreement(lightness, chroma)
                if is_compared
                else torch.zeros_like(chroma[:, :1])
            )
        return Prediction(chroma, confidence, None)

    def colours(self, lightness: Tensor) -> tuple[Tensor, Tensor | None]:
        """Give a* and b*, (N, 2, h, w), and confidence, (N, 1, h, w), where the graph gives it.

        Args:
            lightness: L* in [0, 100], (N, 1, h, w).

        Raises:
            NetworkFault: The runtime failed, or gave arrays of another shape than the profile's.
        """
        size = lightness.shape[-2:]
        # Half precision is for the convolutions of ours: colours would be rounded by it.
        with torch.autocast(lightness.device.type, enabled=False):
            raw, confidence = self.outputs(lightness)
            chroma = _resize(self.clamp(self._chroma(_no_infinity(raw))), size)
            return chroma, None if confidence is None else _resize(confidence, size).clamp(0, 1)

    def summary(self, lightness: Tensor) -> Tensor | None:
        """Sum pictures up in our own network's encoder: negatives are told by it."""
        return self.reference.summary(lightness)

    def outputs(self, lightness: Tensor, *, limit_s: float = 0.0) -> tuple[Tensor, Tensor | None]:
        """Give what the graph gives, by the profile's scale, of the part that shows the picture.

        Args:
            lightness: L* in [0, 100], (N, 1, h, w).
            limit_s: The run is ended after so long; 0: never.

        Returns:
            a* and b*, (N, 2, h', w'), or sRGB codes, (N, 3, h', w'), neither clamped; and
            confidence, (N, 1, h', w'), where the graph gives it.

        Raises:
            NetworkFault: The runtime failed, or gave arrays of another shape than the profile's.
        """
        into, out = self.profile.input, self.profile.output
        planes = lightness.float()
        fit = self._fit(*planes.shape[-2:])
        inner = _resize(planes, (fit.inner_height, fit.inner_width)).clamp(0, 100)
        margin = (0, fit.width - fit.inner_width, 0, fit.height - fit.inner_height)
        numbers = _numbers(functional.pad(inner, margin, mode="replicate"), into)
        if into.layout == "NHWC":
            numbers = numbers.permute(0, 2, 3, 1)
        given = self.session.run(numbers.cpu().numpy(), self._outputs, limit_s=limit_s)
        arrays = [torch.from_numpy(array).to(planes.device) for array in given]
        raw = self._shown(_first_channels(arrays[0], out), out.channels, fit)
        raw = (raw * _per_channel(out.std, raw) + _per_channel(out.mean, raw)) / out.white
        if len(arrays) == 1:
            return raw, None
        sure = arrays[1] if arrays[1].ndim == 4 else arrays[1][:, None]
        return raw, self._shown(sure, 1, fit)

    def _fit(self, height: int, width: int) -> _Fit:
        into = self.profile.input
        if into.fit == "free":
            height, width = (_whole(side, into.multiple) for side in (height, width))
            return _Fit(height, width, height, width)
        outer_height, outer_width = self._sides
        if into.fit == "stretch":
            return _Fit(outer_height, outer_width, outer_height, outer_width)
        scale = min(outer_height / height, outer_width / width)
        inner = (max(1, round(height * scale)), max(1, round(width * scale)))
        return _Fit(outer_height, outer_width, *inner)

    def _shown(self, array: Tensor, channels: int, fit: _Fit) -> Tensor:
        """Cut off what was filled; outputs may be smaller than inputs, in both directions alike."""
        height, width = array.shape[-2:] if array.ndim == 4 else (0, 0)
        if array.ndim != 4 or array.shape[1] != channels or not height or not width:
            raise NetworkFault(
                f"{self._name}: gives {list(array.shape)}; by its profile, {channels} channels in "
                f"{self.profile.output.layout} are meant"
            )
        if height > max(LARGEST_PX, fit.height) or width > max(LARGEST_PX, fit.width):
            raise NetworkFault(
                f"{self._name}: gives {height} × {width} for {fit.height} × {fit.width}; sides up "
                f"to {LARGEST_PX} are taken"
            )
        if abs(height * fit.width - width * fit.height) > max(fit.height, fit.width):
            raise NetworkFault(
                f"{self._name}: gives {height} × {width} for {fit.height} × {fit.width}"
            )
        rows = max(1, round(height * fit.inner_height / fit.height))
        columns = max(1, round(width * fit.inner_width / fit.width))
        return array[..., :rows, :columns]

    def _chroma(self, raw: Tensor) -> Tensor:
        if self.profile.output.colours == "ab":
            return raw
        return srgb_to_lab(raw.clamp(0, 1))[:, 1:]

    def _agreement(self, lightness: Tensor, chroma: Tensor) -> Tensor:
        """How sure our own network is, less where its colours are others, (N, 1, h, w).

        Confidence is ours · exp(-d / scale), with d the distance of the two colours in a*b*.
        """
        height, width = lightness.shape[-2:]
        size = network_size(height, width, network_px=self.reference.config.network_px)
        ours = self.reference(_resize(lightness.float(), size).clamp(0, 100))
        distance = torch.linalg.vector_norm(
            _resize(chroma, size) - ours.chroma, dim=1, keepdim=True
        )
        agreement = ours.confidence * torch.exp(-distance / self.profile.confidence.scale_ab)
        return _resize(agreement.float(), (height, width)).clamp(0, 1)


def load_foreign(
    config: ForeignConfig, tensors: Mapping[str, Tensor], *, device: torch.device, name: object
) -> ForeignNetwork:
    """Build the network of a checkpoint's configuration and tensors.

    Raises:
        ForeignError: The model may not be run, or does not have the signature of the profile.
        RuntimeError: Our own network's weights do not fit.
    """
    model = tensors.get(MODEL_TENSOR)
    if model is None or model.dtype != torch.uint8 or model.ndim != 1:
        raise ForeignError(f"{name}: there is no ONNX model in it")
    network = ForeignNetwork(config, model.numpy().tobytes(), device=device, name=name)
    network.reference.load_state_dict(
        {
            key.removeprefix(REFERENCE_PREFIX): tensor
            for key, tensor in tensors.items()
            if key.startswith(REFERENCE_PREFIX)
        }
    )
    return network


def graph_sides(session: Session, profile: Profile, *, name: object) -> tuple[int, int]:
    """Height and width that the graph is fixed to, or the profile's square where it is open.

    Raises:
        ForeignError: Channels, or sides, are not the profile's.
    """
    shape, into = session.signature.shape, profile.input
    channels, sides = (shape[1], shape[2:]) if into.layout == "NCHW" else (shape[3], shape[1:3])
    if channels not in {None, into.channels}:
        raise ForeignError(
            f"{name}: takes {channels} channels, the profile's {into.colours} has {into.channels}; "
            "name another profile"
        )
    if into.fit == "free" and sides != (None, None):
        fixed = " × ".join(str(side or "any") for side in sides)
        raise ForeignError(
            f"{name}: is fixed to {fixed}; export it for open sides, or say "
            'fit = "stretch" or "pad" in the profile'
        )
    height, width = (side or into.px for side in sides)
    if not 32 <= min(height, width) <= max(height, width) <= LARGEST_PX:
        raise ForeignError(
            f"{name}: takes {height} × {width}; sides from 32 to {LARGEST_PX} are taken"
        )
    return height, width


def _outputs(session: Session, profile: Profile, *, name: object) -> list[str]:
    there = session.signature.outputs
    wanted = [profile.output.name or there[0]]
    if profile.confidence.source == "output":
        wanted.append(profile.confidence.output)
    if missing := [one for one in wanted if one not in there]:
        raise ForeignError(
            f"{name}: has no output {missing[0]!r}, but {', '.join(there)}; name one in the profile"
        )
    return wanted


def _numbers(lightness: Tensor, into: InputProfile) -> Tensor:
    shown = lightness / 100 if into.colours == "lightness" else lightness_to_grey(lightness)
    shown = shown.expand(-1, into.channels, -1, -1) * into.white
    return (shown - _per_channel(into.mean, shown)) / _per_channel(into.std, shown)


def _first_channels(array: Tensor, out: OutputProfile) -> Tensor:
    return array.permute(0, 3, 1, 2) if out.layout == "NHWC" and array.ndim == 4 else array


def _per_channel(values: tuple[float, ...], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None, None]


def _no_infinity(values: Tensor) -> Tensor:
    """Infinity as not a number: clamped, it would pass for a colour."""
    return torch.where(values.isfinite(), values, torch.nan)


def _resize(planes: Tensor, size: tuple[int, ...]) -> Tensor:
    if planes.shape[-2:] == torch.Size(size):
        return planes
    return functional.interpolate(planes, size, mode="bilinear", antialias=True)


def _whole(side: int, multiple: int) -> int:
    """The multiple nearest to *side*, but not 0."""
    return max(1, round(side / multiple)) * multiple

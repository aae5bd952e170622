"""Checkpoints: weights, configuration and card in one safetensors file, named by its digest."""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from colormodel.networks import ColorNetwork, NetworkConfig, build_network
from colormodel.networks.foreign import MODEL_TENSOR as ONNX_TENSOR
from colormodel.networks.foreign import ForeignConfig, ForeignError, load_foreign, profile_of

DEFAULT_CHECKPOINT = Path(__file__).parent / "checkpoints" / "default.safetensors"
FORMAT = "autochrome/1"
_KEY = "autochrome"


class CheckpointError(Exception):
    """A file is not a checkpoint that this version can use; the message says what to do."""


@dataclass(frozen=True)
class TrainingData:
    """Photographs of one source that a network was trained on."""

    source: str
    licence: str
    photographs: int


@dataclass(frozen=True)
class Card:
    """What a person should know before publishing what the network makes.

    Attributes:
        name: Of the model, as it stands in provenance.
        version: Of the model, as it stands in provenance.
        description: One paragraph: what it is and what it was made for.
        data: What it was trained on, a source each, with terms.
        recipe: What it was trained by, as the recipe's file says.
        training: Steps, hours and hardware.
        metrics: Measured on photographs that it was not trained on.
        limitations: Known failures and what the colours do not prove.
        terms: Whose the weights are, and under which licence, where they were made elsewhere.
    """

    name: str
    version: str
    description: str = ""
    data: tuple[TrainingData, ...] = ()
    recipe: str = ""
    training: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    limitations: tuple[str, ...] = ()
    terms: str = ""


@dataclass(frozen=True)
class Checkpoint:
    """What the header of a checkpoint says, and the digest of the whole file.

    Attributes:
        path: Where it is.
        digest: sha256 of the file, hexadecimal.
        config: Of the network.
        card: For people.
    """

    path: Path
    digest: str
    config: NetworkConfig | ForeignConfig
    card: Card

    @property
    def network_px(self) -> int:
        """The shorter side at which the network looks at a picture."""
        return self.config.network_px

    @property
    def trainable(self) -> NetworkConfig:
        """The network's configuration, where it is one of ours.

        Raises:
            CheckpointError: It was made elsewhere.
        """
        if isinstance(self.config, ForeignConfig):
            raise CheckpointError(
                f"{self.path}: {self.card.name} was made elsewhere and is not trained here; "
                "name a checkpoint of ours"
            )
        return self.config

    @property
    def tells_confidence(self) -> bool:
        """Whether it says how sure it is; if not, its score is 0, whatever it gives."""
        config = self.config
        return not (
            isinstance(config, ForeignConfig) and config.profile.confidence.source == "none"
        )


def save_checkpoint(path: Path, network: ColorNetwork, *, card: Card) -> Checkpoint:
    """Write a checkpoint: wholly, or not at all.

    Floating-point weights are stored as float16, which halves the file; `load_network` gives
    float32 again.
    """
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).cpu().contiguous()
        for name, tensor in network.state_dict().items()
    }
    write_tensors(path, tensors, header_of(network.config, card))
    return read_checkpoint(path)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read the header and take the digest; the weights stay where they are.

    Raises:
        CheckpointError: The file is missing, damaged or of another format.
    """
    header = _read_header(path)
    if header.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: format {header.get('format')!r} instead of {FORMAT!r}; "
            "name a file that `python -m colormodel train` of this version wrote"
        )
    try:
        config = _config(header["network"])
        card = _card(header["card"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: the header does not describe a network ({error}); "
            "use the version of Autochrome that wrote it, or train again"
        ) from error
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Checkpoint(path, digest, config, card)


def with_metrics(checkpoint: Checkpoint, metrics: Mapping[str, float]) -> Checkpoint:
    """Write measured figures into the card of a checkpoint, in place.

    The weights stay as they are; the digest, which is of the whole file, changes.
    """
    card = replace(checkpoint.card, metrics={**checkpoint.card.metrics, **dict(metrics)})
    return with_description(checkpoint, config=checkpoint.config, card=card)


def with_description(
    checkpoint: Checkpoint, *, config: NetworkConfig | ForeignConfig, card: Card
) -> Checkpoint:
    """Write another configuration and card above the same weights, in place.

    The configuration may differ in how the heads are blended, not in the network's build.
    """
    write_tensors(checkpoint.path, load_file(checkpoint.path), header_of(config, card))
    return read_checkpoint(checkpoint.path)


def load_network(checkpoint: Checkpoint, *, device: str = "cpu") -> ColorNetwork:
    """Build the network of a checkpoint, ready to colour: float32, channels-last, evaluating.

    Raises:
        CheckpointError: The weights do not fit the configuration, or are no finite numbers; or it
            is of another kind, for which something is not installed.
    """
    config = checkpoint.config
    network: ColorNetwork
    try:
        tensors = load_file(checkpoint.path)
        if isinstance(config, ForeignConfig):
            where = torch.device(device)
            network = load_foreign(config, tensors, device=where, name=checkpoint.path)
        else:
            network = build_network(config)
            network.load_state_dict(tensors)
    except ForeignError as error:
        raise CheckpointError(str(error)) from error
    except (RuntimeError, ValueError, SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{checkpoint.path}: the weights do not fit the network "
            f"({str(error).splitlines()[0]}); use the version of Autochrome that wrote it"
        ) from error
    broken = [
        name
        for name, tensor in tensors.items()
        if name != ONNX_TENSOR and not tensor.isfinite().all()
    ]
    if broken:
        raise CheckpointError(
            f"{checkpoint.path}: {len(broken)} of {len(tensors)} tensors hold values that are no "
            f"finite numbers ({broken[0]} first); use another checkpoint, or train again"
        )
    network.requires_grad_(requires_grad=False)
    network = network.to(device).to(memory_format=torch.channels_last)
    return network.eval()


def write_tensors(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file beside its place, flush it to disk and move it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(descriptor)
    beside = Path(name)
    try:
        save_file(tensors, beside, metadata=metadata)
        beside.chmod(0o644)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def header_of(config: NetworkConfig | ForeignConfig, card: Card) -> dict[str, str]:
    """Describe a network, as the metadata of a safetensors file."""
    # One key: safetensors writes several in any order, and the digest is of every byte.
    header = {"format": FORMAT, "network": asdict(config), "card": asdict(card)}
    return {_KEY: json.dumps(header, ensure_ascii=False)}


def _read_header(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; name one with --checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(_KEY, "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not a whole safetensors file ({error}); copy it again "
            "(pickled checkpoints, .pt and .pth, are never loaded)"
        ) from error
    return header if isinstance(header, dict) else {}


def _config(fields: dict[str, Any]) -> NetworkConfig | ForeignConfig:
    if fields["name"] == "onnx":
        reference = _config(fields["reference"])
        if isinstance(reference, ForeignConfig):
            raise ValueError("the network beside one that was made elsewhere is not ours")
        return ForeignConfig(profile_of(fields["profile"]), reference, str(fields["onnx_sha256"]))
    lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    return NetworkConfig(**{**fields, **lists})


def _card(fields: dict[str, Any]) -> Card:
    return Card(
        **{
            **fields,
            "data": tuple(TrainingData(**entry) for entry in fields["data"]),
            "limitations": tuple(fields["limitations"]),
        }
    )

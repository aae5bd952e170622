"""Write a checkpoint's network as ONNX, with its profile beside it."""

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from colormodel.checkpoint import Checkpoint, load_network
from colormodel.networks import ColorNetwork, fold_batch_norm
from colormodel.networks.foreign import (
    MODEL_TENSOR,
    ConfidenceProfile,
    ForeignConfig,
    ForeignError,
    InputProfile,
    MissingRuntime,
    OutputProfile,
    Profile,
    to_toml,
)
from colormodel.networks.foreign.session import Session
from colormodel.planes import NETWORK_STEP_PX

#: What the runtime gives and what we give: a*, b* differ by no more than this, and confidence by a
#: hundredth of it. Both are float32; the sums of convolutions are added up in another order.
EXPORT_TOLERANCE = 0.01
#: Sides of the planes on which the two are compared: neither those of the export.
_COMPARED = ((1, 64, 96), (3, 160, 128))
#: Longest side that a graph is made for, in steps of 32.
_MOST_STEPS = 256


def export_onnx(checkpoint: Checkpoint, out: Path) -> Path:
    """Write *out*, and the profile by which it can be taken in again, as TOML beside it.

    The graph takes L* ("lightness", (N, 1, H, W), sides multiples of 32) and gives a* and b*
    ("chroma", (N, 2, H, W)) and "confidence", (N, 1, H, W), for any N, H and W; it takes no hints.
    A network that was made elsewhere is written as it was taken in.

    Returns:
        The profile's file.

    Raises:
        CheckpointError: The network cannot be loaded.
        ForeignError: What was written gives other colours.
        MissingRuntime: The extra is not installed.
    """
    beside = out.with_suffix(".toml")
    if beside == out:
        raise ForeignError(f"{out}: the profile goes there; name the model .onnx")
    config = checkpoint.config
    if isinstance(config, ForeignConfig):
        with safe_open(checkpoint.path, framework="pt") as file:
            model = file.get_tensor(MODEL_TENSOR).numpy().tobytes()
        profile = config.profile
    else:
        network = fold_batch_norm(load_network(checkpoint))
        model = _exported(network)
        _compare(network, model, name=out)
        profile = Profile(
            checkpoint.card.name,
            InputProfile(
                colours="lightness",
                white=100.0,
                px=checkpoint.network_px,
                fit="free",
                multiple=NETWORK_STEP_PX,
            ),
            OutputProfile(colours="ab", name="chroma"),
            ConfidenceProfile(source="output", output="confidence"),
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    _write(beside, to_toml(profile).encode())
    _write(out, model)
    return beside


class _OnnxModule(nn.Module):
    """A network's colours and confidence, without hints."""

    def __init__(self, network: ColorNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, lightness: Tensor) -> tuple[Tensor, Tensor]:
        prediction = self.network(lightness)
        return prediction.chroma, prediction.confidence


def _exported(network: ColorNetwork) -> bytes:
    for module in ("onnx", "onnxscript"):
        try:
            __import__(module)
        except ImportError as error:
            raise MissingRuntime(module) from error
    steps = {
        axis: NETWORK_STEP_PX * torch.export.Dim(name, min=1, max=_MOST_STEPS)
        for axis, name in ((2, "rows"), (3, "columns"))
    }
    sizes = {"lightness": {0: torch.export.Dim("minibatch", min=1, max=1024), **steps}}
    example = torch.rand(2, 1, 96, 128) * 100
    coloured = _OnnxModule(network).eval()
    with torch.no_grad(), _quiet():
        # Once for real: what a network makes in its first pass and keeps must be of real numbers,
        # not of those that stand for numbers while it is traced.
        coloured(example)
        traced = torch.export.export(coloured, (example,), dynamic_shapes=sizes)
        program = torch.onnx.export(
            traced,
            (),
            input_names=["lightness"],
            output_names=["chroma", "confidence"],
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise ForeignError("torch.onnx.export gave nothing; report this as a defect")
    return bytes(program.model_proto.SerializeToString())


@torch.inference_mode()
def _compare(network: ColorNetwork, model: bytes, *, name: Path) -> None:
    """Refuse a model that colours otherwise than we do."""
    session = Session(model, device=torch.device("cpu"), name=name)
    draw = torch.Generator().manual_seed(1907)
    for count, height, width in _COMPARED:
        coarse = torch.rand(count, 1, height // 16, width // 16, generator=draw) * 100
        plane = nn.functional.interpolate(coarse, (height, width), mode="bilinear")
        ours = network(plane)
        chroma, confidence = session.run(plane.numpy(), ["chroma", "confidence"])
        apart = float((torch.from_numpy(chroma) - ours.chroma).abs().max())
        unsure = float((torch.from_numpy(confidence) - ours.confidence).abs().max())
        if not (apart <= EXPORT_TOLERANCE and unsure <= EXPORT_TOLERANCE / 100):
            raise ForeignError(
                f"{name}: would give a*, b* {apart:.3g} from ours, and confidence {unsure:.3g}; "
                "nothing was written: report this as a defect"
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress, and its warnings about itself, from the terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _write(path: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(
        dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as file:
        file.write(content)
    beside = Path(file.name)
    beside.chmod(0o644)
    beside.replace(path)

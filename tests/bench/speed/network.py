"""The network alone, in the ways that this machine can run it."""

import copy
import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from colormodel.checkpoint import DEFAULT_CHECKPOINT, load_network, read_checkpoint
from colormodel.infer import CPU_PASS_PX, Colorizer
from colormodel.networks import fold_batch_norm
from colormodel.onnx_export import export_onnx
from tests.bench.speed.rows import Row, in_turn

MINIBATCH = 16
HEIGHT, WIDTH = 160, 192  # of a 640 × 500 scan
ROUNDS = 5

Way = Callable[[Tensor], Tensor]


class ChromaAndConfidence(nn.Module):
    """The network as exporters like it: one tensor in, one out."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, lightness: Tensor) -> Tensor:
        """L* (N, 1, H, W) to chroma and confidence, (N, 3, H, W)."""
        chroma, confidence, _ = self.network(lightness)
        return torch.cat((chroma, confidence), 1)


def as_inferred(device: torch.device) -> nn.Module:
    """The network as `Colorizer` has it on a device; (N, 1, H, W) to (N, 3, H, W)."""
    colorizer = Colorizer(read_checkpoint(DEFAULT_CHECKPOINT), device=str(device))
    network = ChromaAndConfidence(colorizer._network).eval()
    return InHalf(network) if colorizer._in_bfloat16 else network


class InHalf(nn.Module):
    """A network that computes in half precision where PyTorch holds that safe."""

    def __init__(self, network: nn.Module, dtype: torch.dtype = torch.bfloat16) -> None:
        super().__init__()
        self.network = network
        self.dtype = dtype

    def forward(self, lightness: Tensor) -> Tensor:
        """As the network does."""
        # CUDA graphs need the cache of cast weights off; it is not used anyway without gradients.
        with torch.autocast(lightness.device.type, self.dtype, cache_enabled=False):
            result: Tensor = self.network(lightness)
        return result


def measure(folder: Path) -> list[Row]:
    """A row for each way, with how far its colours are from eager float32's."""
    network = ChromaAndConfidence(load_network(read_checkpoint(DEFAULT_CHECKPOINT))).eval()
    lightness = torch.rand(MINIBATCH, 1, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    lightness *= 100
    ways = _ways(network, lightness, folder)
    with torch.inference_mode():
        return rows_of(ways, lightness, where="network")


def rows_of(ways: dict[str, Way], lightness: Tensor, *, where: str, passes: int = 1) -> list[Row]:
    """A row for each way, against the first: how fast, and how far its colours are from there."""
    chroma = {name: way(lightness)[:, :2].float() for name, way in ways.items()}

    def run(way: Way) -> None:
        for _ in range(passes):
            way(lightness)
        if lightness.is_cuda:
            torch.cuda.synchronize()

    taken = in_turn(*(functools.partial(run, way) for way in ways.values()), rounds=ROUNDS)
    first = next(iter(ways))
    rows = []
    for name, seconds in zip(ways, taken, strict=True):
        apart = float((chroma[name] - chroma[first]).abs().max())
        rate = passes * len(lightness) / seconds
        detail = f"{rate:,.1f} pictures/s of {HEIGHT} × {WIDTH}, max |Δab| {apart:.2g}"
        rows.append(Row(f"{where}, {name}", taken[0] / seconds, "×", detail=detail))
    return rows


def _ways(network: nn.Module, lightness: Tensor, folder: Path) -> dict[str, Way]:
    ways: dict[str, Way] = {"eager float32": network}
    folded = fold_batch_norm(copy.deepcopy(network))
    at_once = CPU_PASS_PX // (HEIGHT * WIDTH)
    ways["folded"] = folded
    ways[f"folded, {at_once} at once (the default on a CPU)"] = lambda x: torch.cat(
        [folded(part) for part in x.split(at_once)]
    )

    def bfloat16(x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return torch.cat([folded(part) for part in x.split(at_once)])

    ways["folded, bfloat16"] = bfloat16
    ways["inductor float32"] = torch.compile(folded)
    if all(importlib.util.find_spec(name) for name in ("onnxruntime", "onnx", "onnxscript")):
        ways["ONNX Runtime float32"] = _onnx(folder / "network.onnx")
    if importlib.util.find_spec("openvino"):
        ways["OpenVINO float32"] = _openvino(network, lightness)
    return ways


def _onnx(path: Path) -> Way:
    """As `autochrome models export` writes it."""
    import onnxruntime  # noqa: PLC0415 -- optional

    export_onnx(read_checkpoint(DEFAULT_CHECKPOINT), path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(
        np.concatenate(session.run(["chroma", "confidence"], {"lightness": x.numpy()}), axis=1)
    )


def _openvino(network: nn.Module, lightness: Tensor) -> Way:
    import openvino  # noqa: PLC0415 -- optional

    model = openvino.convert_model(network, example_input=lightness)
    threads = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.compile_model(model, "CPU", threads)
    return lambda x: torch.from_numpy(next(iter(compiled(x.numpy()).values())).copy())

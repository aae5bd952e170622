"""What the network could do here at most: its arithmetic and its memory traffic beside the peaks.

A picture takes at least its floating-point operations over the device's peak, and at least its
bytes over the memory's bandwidth; the longer of the two is the bound.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from colormodel.device import resolve_device
from colormodel.infer import CPU_PASS_PX
from tests.bench.speed.network import HEIGHT, MINIBATCH, WIDTH, as_inferred
from tests.bench.speed.rows import Row, in_turn

ROUNDS = 3


@dataclass(frozen=True)
class Peaks:
    """What a device does at most."""

    flops_s: float  #: floating-point operations a second, in the precision that the network has
    bytes_s: float  #: of memory, read and written together
    source: str


@dataclass(frozen=True)
class Needs:
    """What one picture asks for.

    Attributes:
        flops: Of convolutions and matrix products; what else there is does little arithmetic.
        least_bytes: The picture in and the result out, and its share of the weights: as if no
            plane between them ever left the caches.
        layer_bytes: What convolutions read and write, weights included, when each begins and ends
            in memory. Nothing else is counted, so that it, too, is less than what is moved.
    """

    flops: float
    least_bytes: float
    layer_bytes: float

    def bound(self, peaks: Peaks, *, by_layer: bool) -> float:
        """Pictures a second at most."""
        moved = self.layer_bytes if by_layer else self.least_bytes
        return 1 / max(self.flops / peaks.flops_s, moved / peaks.bytes_s)


#: Dense bfloat16 operations and bytes a second, by the driver's name of the device; NVIDIA's data
#: sheets of H100 (2023), H200 (2024), A100 (2021), L4 and L40S (2023). These give some figures for
#: sparse matrices, which are twice these.
DATA_SHEETS = {
    "NVIDIA H100 80GB HBM3": (989.4e12, 3.35e12),
    "NVIDIA H100 PCIe": (756e12, 2.0e12),
    "NVIDIA H200": (989.4e12, 4.8e12),
    "NVIDIA A100-SXM4-40GB": (312e12, 1.555e12),
    "NVIDIA A100-PCIE-40GB": (312e12, 1.555e12),
    "NVIDIA A100-SXM4-80GB": (312e12, 2.039e12),
    "NVIDIA A100 80GB PCIe": (312e12, 1.935e12),
    "NVIDIA L4": (121e12, 0.3e12),
    "NVIDIA L40S": (362e12, 0.864e12),
}


def measure(folder: Path) -> list[Row]:
    """A row for each kind of device that is here."""
    del folder
    devices = {torch.device("cpu"), resolve_device("auto")}
    return [_row(device) for device in sorted(devices, key=str)]


def _row(device: torch.device) -> Row:
    at_once = CPU_PASS_PX // (HEIGHT * WIDTH) if device.type == "cpu" else MINIBATCH
    network = as_inferred(device)
    lightness = 100 * torch.rand(at_once, 1, HEIGHT, WIDTH, device=device)
    needs = needs_of(network, lightness)
    peaks = peaks_of(device)
    rate = at_once / seconds_on(device, lambda: network(lightness), passes=_passes(device))
    bound = needs.bound(peaks, by_layer=True)
    detail = (
        f"{rate:,.0f} pictures/s of {HEIGHT} × {WIDTH}, {at_once} at once; at most {bound:,.0f} if "
        f"each convolution begins and ends in memory, {needs.bound(peaks, by_layer=False):,.0f} if "
        f"none does: a picture is {needs.flops / 1e9:.2f} GFLOP and {needs.layer_bytes / 1e6:.1f} "
        f"or {needs.least_bytes / 1e6:.2f} MB; {peaks.flops_s / 1e12:.3g} TFLOP/s and "
        f"{peaks.bytes_s / 1e9:.3g} GB/s ({peaks.source})"
    )
    return Row(f"network on {device.type}, of its roofline", rate / bound, "×", detail=detail)


@torch.inference_mode()
def needs_of(network: nn.Module, lightness: Tensor) -> Needs:
    """Count what a minibatch asks for, by running it; for one picture of it.

    Args:
        network: Gives (N, 3, H, W).
        lightness: The minibatch, (N, 1, H, W).
    """
    moved = 0

    def count(module: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> None:
        nonlocal moved
        # In the precision of the weights: what comes in wider is cast, and read once more.
        planes = sum(plane.numel() for plane in (*given, result))
        (size,) = {weight.element_size() for weight in module.parameters()}
        moved += size * (planes + sum(weight.numel() for weight in module.parameters()))

    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    hooks = [module.register_forward_hook(count) for module in convolutions]
    with FlopCounterMode(display=False) as counter:
        result = network(lightness)
    for hook in hooks:
        hook.remove()
    weights = sum(weight.nbytes for weight in network.parameters())
    pictures = len(lightness)
    return Needs(
        flops=counter.get_total_flops() / pictures,
        least_bytes=(lightness.nbytes + result.nbytes + weights) / pictures,
        layer_bytes=moved / pictures,
    )


def peaks_of(device: torch.device) -> Peaks:
    """Of the data sheet, where it is known here; else measured, by a matrix product and a copy."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    if name in DATA_SHEETS:
        return Peaks(*DATA_SHEETS[name], f"{name}, data sheet")
    return measured_peaks(device)


def measured_peaks(device: torch.device) -> Peaks:
    """What a large matrix product and a large copy reach."""
    is_cuda = device.type == "cuda"
    side, dtype = (8192, torch.bfloat16) if is_cuda else (1024, torch.float32)
    left, right = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    product_s = seconds_on(device, lambda: left @ right, passes=_passes(device))
    source = torch.rand((1 << 28) if is_cuda else (1 << 24), device=device)
    target = torch.empty_like(source)
    copy_s = seconds_on(device, lambda: target.copy_(source), passes=_passes(device))
    return Peaks(2 * side**3 / product_s, 2 * source.nbytes / copy_s, "measured")


def _passes(device: torch.device) -> int:
    return 10 if device.type == "cuda" else 1  # one of a GPU is too short to be timed alone


@torch.inference_mode()
def seconds_on(device: torch.device, work: Callable[[], object], *, passes: int) -> float:
    """Median seconds of one call, all that it started on the device included."""

    def run() -> None:
        for _ in range(passes):
            work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    run()  # kernels are loaded, pages touched
    (seconds,) = in_turn(run, rounds=ROUNDS)
    return seconds / passes

"""The roofline's arithmetic, and that every part of the GPU's benchmark runs where it can."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from colormodel.checkpoint import DEFAULT_CHECKPOINT, load_network, read_checkpoint
from tests.bench.speed import gpu, roofline
from tests.bench.speed.network import ChromaAndConfidence, InHalf, as_inferred, rows_of
from tests.bench.speed.roofline import Needs, Peaks, needs_of

CPU = torch.device("cpu")


class Two(nn.Module):
    """Two convolutions whose cost is counted by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.second = nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) to (N, 3, H, W)."""
        return self.second(self.first(x).relu())


@pytest.mark.parametrize(("dtype", "size"), [(torch.float32, 4), (torch.bfloat16, 2)])
def test_needs_are_those_counted_by_hand(dtype: torch.dtype, size: int) -> None:
    """Two operations a multiplication; planes and weights once for each convolution."""
    pictures, pixels = 4, 16 * 24
    needs = needs_of(Two().to(dtype), torch.rand(pictures, 1, 16, 24, dtype=dtype))
    weights = 8 * 9 + 3 * 8 + 3
    assert needs.flops == 2 * pixels * (8 * 9 + 3 * 8)
    assert needs.least_bytes == size * (pixels * (1 + 3) + weights / pictures)
    assert needs.layer_bytes == size * (pixels * (1 + 8 + 8 + 3) + weights / pictures)


def test_the_bound_is_the_longer_of_the_two_times() -> None:
    """Of arithmetic here, of memory there."""
    needs = Needs(flops=1e9, least_bytes=1e6, layer_bytes=1e8)
    peaks = Peaks(flops_s=1e12, bytes_s=1e10, source="made up")
    assert needs.bound(peaks, by_layer=False) == pytest.approx(1000)
    assert needs.bound(peaks, by_layer=True) == pytest.approx(100)


def test_the_network_needs_what_grows_with_its_picture() -> None:
    """Twice the pixels are twice the operations; a larger minibatch shares the weights."""
    network = ChromaAndConfidence(load_network(read_checkpoint(DEFAULT_CHECKPOINT))).eval()
    small, large, pair = (
        needs_of(network, torch.rand(n, 1, 64, width)) for n, width in ((1, 64), (1, 128), (2, 64))
    )
    assert large.flops == pytest.approx(2 * small.flops)
    assert pair.flops == pytest.approx(small.flops)
    assert pair.layer_bytes < small.layer_bytes < large.layer_bytes
    assert small.least_bytes < small.layer_bytes


def test_ways_are_told_beside_the_first() -> None:
    """The network as it infers here, and in bfloat16: near one another, of the same shape."""
    network = as_inferred(CPU)
    lightness = 100 * torch.rand(1, 1, 32, 32)
    with torch.inference_mode():
        assert network(lightness).shape == (1, 3, 32, 32)
        ways = {"one": network, "other": InHalf(network)}
        first, second = rows_of(ways, lightness, where="here")
    assert first.value == 1
    assert "max |Δab| 0" in first.detail
    assert second.claim == "here, other"


@pytest.mark.slow
def test_a_cpu_has_a_roofline() -> None:
    """Measured, since no data sheet of it is known."""
    peaks = roofline.peaks_of(CPU)
    assert peaks.source == "measured"
    assert peaks.flops_s > peaks.bytes_s > 1e8


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_its_rows_say_so(tmp_path: Path) -> None:
    """One row, with no figure."""
    (row,) = gpu.measure(tmp_path)
    assert row.detail == "no CUDA device here"


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_every_row_of_the_gpu_is_measured(tmp_path: Path) -> None:
    """Ways, minibatches, copies and the roofline have figures, and the ways agree."""
    rows = gpu.measure(tmp_path) + roofline.measure(tmp_path)
    assert all(row.value > 0 for row in rows)

"""Lanes: minibatches begun ahead of one another, and no result read before it is there."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from colormodel.checkpoint import Card, Checkpoint, save_checkpoint
from colormodel.infer import MINIBATCH_TOLERANCE, Colorizer
from colormodel.lanes import Arrival, Lanes, in_flight
from colormodel.networks import NetworkConfig, build_network
from colormodel.planes import ChromaMap
from tests.colormodel.photographs import make_planes

pytestmark = pytest.mark.usefixtures("one_thread")

needs_cuda = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A small U-Net with random weights, whose colours are anything but weak."""
    torch.manual_seed(0)
    network = build_network(NetworkConfig("unet", network_px=64, width=16, chroma_gain=3))
    path = tmp_path_factory.mktemp("checkpoints") / "unet.safetensors"
    return save_checkpoint(path, network, card=Card(name="unet", version="0"))


def chroma_of(results: Sequence[ChromaMap | MemoryError]) -> NDArray[np.float32]:
    """All of it, when there is no error among them."""
    assert all(isinstance(result, ChromaMap) for result in results)
    return np.stack([result.chroma for result in results if isinstance(result, ChromaMap)])


class LateArrival(Arrival):
    """Planes that hold nothing of use until someone has waited for them."""

    def __init__(self, planes: Sequence[Tensor], on_wait: Callable[[], None]) -> None:
        super().__init__([torch.full_like(plane, torch.nan) for plane in planes])
        self._truth = [plane.clone() for plane in planes]
        self._on_wait = on_wait

    def wait(self) -> list[NDArray[np.float32]]:
        """Let them arrive."""
        self._on_wait()
        for plane, truth in zip(self._planes, self._truth, strict=True):
            plane.numpy()[:] = truth.numpy()
        return super().wait()


class LateLanes(Lanes):
    """A CPU as asynchronous as a GPU: what is brought out is there when it has been waited for."""

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))
        self.at_once = 2
        self.story: list[str] = []

    def bring_in(self, planes: Sequence[NDArray[np.float32]]) -> Tensor:
        """Note it."""
        self.story.append(f"in {len(planes)}")
        return super().bring_in(planes)

    def bring_out(self, *planes: Tensor) -> Arrival:
        """Note it, and let it take its time."""
        count = len(planes[0])
        self.story.append(f"out {count}")
        on_its_way = [plane.float().clone() for plane in planes]
        return LateArrival(on_its_way, lambda: self.story.append(f"waited {count}"))


def test_works_are_begun_ahead_in_order_and_not_too_many() -> None:
    """Of five, two are begun before the first is given, and never more than two are open."""
    story: list[str] = []

    def begin(work: int) -> str:
        story.append(f"begin {work}")
        return f"of {work}"

    for work, begun in in_flight(range(5), begin, most=2):
        assert begun == f"of {work}"
        story.append(f"end {work}")
    assert " ".join(story) == (
        "begin 0 begin 1 end 0 begin 2 end 1 begin 3 end 2 begin 4 end 3 end 4"
    )
    assert list(in_flight([], begin, most=2)) == []


def test_one_at_a_time_is_one_at_a_time() -> None:
    """As on a CPU."""
    story: list[str] = []
    for work, _ in in_flight("ab", lambda work: story.append(f"begin {work}"), most=1):
        story.append(f"end {work}")
    assert story == ["begin a", "end a", "begin b", "end b"]


def test_what_found_no_memory_comes_when_nothing_else_is_open() -> None:
    """All before it are given first, and nothing after it is begun."""
    story: list[str] = []

    def begin(work: int) -> MemoryError | None:
        story.append(f"begin {work}")
        return MemoryError() if work == 2 else None

    for work, _ in in_flight(range(5), begin, most=3):
        story.append(f"end {work}")
    assert " ".join(story) == (
        "begin 0 begin 1 begin 2 end 0 end 1 end 2 begin 3 begin 4 end 3 end 4"
    )


def test_planes_come_and_go_on_a_cpu() -> None:
    """Stacked as float32 on the way in, as they are on the way out."""
    lanes = Lanes(torch.device("cpu"))
    planes = make_planes(3)
    with lanes.turn():
        stacked = lanes.bring_in(planes)
        arrival = lanes.bring_out(stacked.double(), stacked[:, 0])
    first, second = arrival.wait()
    np.testing.assert_array_equal(first, np.stack(planes))
    np.testing.assert_array_equal(second, np.stack(planes)[:, 0])
    assert first.dtype == np.float32
    assert lanes.at_once == 1


def test_no_map_is_made_before_its_planes_are_there(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three minibatches, each computed before the one before it is waited for."""
    colorizer = Colorizer(checkpoint, device="cpu", minibatch=4, precision="float32")
    planes = make_planes(10)
    expected = chroma_of(colorizer.predict(planes))
    monkeypatch.setattr(colorizer, "_lanes", late := LateLanes())
    np.testing.assert_array_equal(chroma_of(colorizer.predict(planes)), expected)
    assert " ".join(late.story) == ("in 4 out 4 in 4 out 4 waited 4 in 2 out 2 waited 4 waited 2")


def test_memory_that_fails_with_two_in_flight_is_tried_again_alone(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other minibatch has its maps first; then this one's halves, one after the other."""
    colorizer = Colorizer(checkpoint, device="cpu", minibatch=4, precision="float32")
    planes = make_planes(10)
    expected = chroma_of(colorizer.predict(planes))
    monkeypatch.setattr(colorizer, "_lanes", late := LateLanes())
    network, passes = colorizer._network, iter(range(100))

    def run(lightness: Tensor, hints: Tensor | None = None) -> object:
        if next(passes) == 1:
            raise torch.OutOfMemoryError("out of memory")
        return network(lightness, hints)

    monkeypatch.setattr(colorizer, "_network", run)
    chroma = chroma_of(colorizer.predict(planes))
    np.testing.assert_allclose(chroma, expected, atol=MINIBATCH_TOLERANCE)
    assert " ".join(late.story) == (
        "in 4 out 4 in 4 waited 4 in 2 out 2 waited 2 in 2 out 2 waited 2 in 2 out 2 waited 2"
    )


@pytest.fixture
def on_cuda(checkpoint: Checkpoint) -> Colorizer:
    """The same network on a GPU, busy for long before each pass: what is early would show."""
    colorizer = Colorizer(checkpoint, device="cuda", minibatch=4)
    network, ballast = colorizer._network, torch.rand(4096, 4096, device="cuda")

    def late(lightness: Tensor, hints: Tensor | None = None) -> object:
        for _ in range(10):
            ballast @ ballast
        return network(lightness, hints)

    torch.cuda.synchronize()
    colorizer._network = late  # type: ignore[assignment]  # a network with a delay
    return colorizer


class TestOnCuda:
    """What only a GPU can show: `pytest -m gpu`."""

    pytestmark = needs_cuda

    def test_many_in_flight_are_as_if_alone(self, on_cuda: Colorizer) -> None:
        """Each picture keeps its own colours; those of another are units away."""
        planes = make_planes(30)
        alone = [chroma_of(on_cuda.predict(planes[n : n + 4])) for n in range(0, 30, 4)]
        for _ in range(3):
            together = chroma_of(on_cuda.predict(planes))
            assert np.abs(together - np.concatenate(alone)).max() < 1

    def test_threads_do_not_disturb_each_other(self, on_cuda: Colorizer) -> None:
        """As many as may call at once, each with pictures of its own."""
        assert on_cuda.at_once == 2
        planes = make_planes(24)
        alone = [chroma_of(on_cuda.predict(planes[n : n + 4])) for n in range(0, 24, 4)]
        with ThreadPoolExecutor(on_cuda.at_once) as threads:
            parts = [planes[n : n + 4] for n in range(0, 24, 4)]
            results = [chroma_of(done) for done in threads.map(on_cuda.predict, parts)]
        assert np.abs(np.stack(results) - np.stack(alone)).max() < 1

    def test_a_minibatch_is_begun_without_waiting(self, checkpoint: Checkpoint) -> None:
        """PyTorch raises where something synchronizes; the first pass may."""
        colorizer = Colorizer(checkpoint, device="cuda", minibatch=4)
        planes = make_planes(8)
        colorizer.predict(planes)
        begin = colorizer._begin
        begun: list[Arrival | MemoryError] = []

        def strictly(group: list[object]) -> Arrival | MemoryError:
            torch.cuda.set_sync_debug_mode("error")
            try:
                begun.append(begin(group))  # type: ignore[arg-type]
            finally:
                torch.cuda.set_sync_debug_mode("default")
            return begun[-1]

        colorizer._begin = strictly  # type: ignore[assignment, method-assign]
        chroma_of(colorizer.predict(planes))
        assert len(begun) == 2

    def test_results_arrive_in_pinned_memory(self, on_cuda: Colorizer) -> None:
        """Or the copies would not be asynchronous."""
        lanes = on_cuda._lanes
        with lanes.turn():
            arrival = lanes.bring_out(lanes.bring_in(make_planes(2)))
        assert all(plane.is_pinned() for plane in arrival._planes)
        np.testing.assert_array_equal(arrival.wait()[0], np.stack(make_planes(2)))

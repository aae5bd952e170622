"""The Colorizer: same picture, same colours, whatever stands beside it and whatever happens."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from colormodel.checkpoint import Card, Checkpoint, CheckpointError, save_checkpoint
from colormodel.hints import Hint, HintError
from colormodel.infer import (
    BFLOAT16_TOLERANCE,
    MINIBATCH_TOLERANCE,
    Colorizer,
    DeviceError,
    resolve_device,
)
from colormodel.networks import NetworkConfig, NetworkFault, build_network
from colormodel.neutral import neutral_mask
from colormodel.planes import ChromaMap
from tests.colormodel.photographs import make_planes

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", params=["article", "unet"])
def checkpoint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Checkpoint:
    """A network of each kind with random weights, whose colours are anything but weak."""
    torch.manual_seed(0)
    config = NetworkConfig(name=request.param, network_px=64, chroma_gain=3)
    network = build_network(config)
    path = tmp_path_factory.mktemp("checkpoints") / f"{request.param}.safetensors"
    return save_checkpoint(path, network, card=Card(name=request.param, version="0"))


@pytest.fixture(scope="module")
def colorizer(checkpoint: Checkpoint) -> Colorizer:
    """Of that network, on the CPU, as it is on every machine."""
    return Colorizer(checkpoint, device="cpu", minibatch=4, precision="float32")


def maps(results: list[ChromaMap | Exception]) -> list[ChromaMap]:
    """The maps, when there is no error among them."""
    assert all(isinstance(result, ChromaMap) for result in results)
    return [result for result in results if isinstance(result, ChromaMap)]


def test_alone_or_in_any_minibatch(colorizer: Colorizer) -> None:
    """Seven pictures in minibatches of four and three, among other shapes, or one by one."""
    planes = make_planes(7)
    mixed = [*planes[:3], *make_planes(2, shape=(96, 64)), *planes[3:]]
    together = maps(colorizer.predict(mixed))
    together = [*together[:3], *together[5:]]
    for plane, beside in zip(planes, together, strict=True):
        (alone,) = maps(colorizer.predict([plane]))
        assert np.abs(alone.chroma).max() > 1
        np.testing.assert_allclose(beside.chroma, alone.chroma, atol=MINIBATCH_TOLERANCE)
        np.testing.assert_allclose(beside.confidence, alone.confidence, atol=1e-4)
        assert beside.score == pytest.approx(alone.score, abs=1e-4)
        np.testing.assert_array_equal(beside.lightness, plane)


def test_twice_the_same_is_the_same_to_the_last_bit(colorizer: Colorizer) -> None:
    """Nothing is drawn at random."""
    planes = make_planes(3)
    for one, other in zip(
        maps(colorizer.predict(planes)), maps(colorizer.predict(planes)), strict=True
    ):
        np.testing.assert_array_equal(one.chroma, other.chroma)


@pytest.mark.parametrize("kind", ["black", "white", "grey", "noise", "line", "ramp"])
@pytest.mark.parametrize("shape", [(32, 32), (64, 96), (32, 512)])
def test_hostile_pictures_give_finite_chroma_in_the_trained_gamut(
    colorizer: Colorizer, kind: str, shape: tuple[int, int]
) -> None:
    """Whatever the input, the map is finite, in range and of the input's size."""
    height, width = shape
    plane = {
        "black": np.zeros(shape),
        "white": np.full(shape, 100),
        "grey": np.full(shape, 50),
        "noise": np.random.default_rng(0).choice([0, 100], shape),
        "line": np.eye(height, width) * 100,
        "ramp": np.broadcast_to(np.linspace(0, 100, width), shape),
    }[kind].astype(np.float32)
    (result,) = maps(colorizer.predict([plane]))
    a_low, a_high, b_low, b_high = colorizer.checkpoint.config.gamut
    assert result.chroma.shape == (2, *shape)
    assert result.chroma.dtype == result.confidence.dtype == np.float32
    assert np.isfinite(result.chroma).all()
    assert a_low <= result.chroma[0].min() <= result.chroma[0].max() <= a_high
    assert b_low <= result.chroma[1].min() <= result.chroma[1].max() <= b_high
    assert result.confidence.min() >= 0
    assert result.confidence.max() <= 1
    assert 0 <= result.score <= 1


def test_borders_and_wedges_stay_neutral(colorizer: Colorizer) -> None:
    """A network that colours anything leaves a black border and a step wedge grey."""
    (bordered,) = make_planes(1, shape=(96, 128))
    bordered[:12] = 2
    wedge = np.broadcast_to(np.linspace(0, 100, 8).repeat(16), (96, 128)).astype(np.float32)
    first, second = maps(colorizer.predict([bordered, wedge]))
    assert (first.chroma[:, :12] == 0).all()
    assert np.abs(first.chroma[:, 16:]).max() > 1
    assert (second.chroma == 0).all()


def test_masks_that_are_known_are_not_sought(colorizer: Colorizer) -> None:
    """What they cover stays neutral; without them it is found, and is the same."""
    planes = make_planes(2)
    planes[0][:12] = 2
    known = [neutral_mask(plane) for plane in planes]
    sought, told = maps(colorizer.predict(planes)), maps(colorizer.predict(planes, neutral=known))
    for one, other in zip(sought, told, strict=True):
        np.testing.assert_array_equal(one.chroma, other.chroma)
    known[1] = np.eye(*planes[1].shape, dtype=np.bool_)
    (_, covered) = maps(colorizer.predict(planes, neutral=known))
    assert (covered.chroma[:, known[1]] == 0).all()
    assert np.abs(covered.chroma).max() > 1


def test_the_minibatch_halves_until_it_fits(
    colorizer: Colorizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that holds one picture at a time gives the same maps as one that holds four."""
    planes = make_planes(4)
    expected = maps(colorizer.predict(planes))
    sizes: list[int] = []
    _limit_memory(colorizer, monkeypatch, sizes, fits=lambda lightness: len(lightness) <= 1)
    for result, wanted in zip(maps(colorizer.predict(planes)), expected, strict=True):
        np.testing.assert_allclose(result.chroma, wanted.chroma, atol=MINIBATCH_TOLERANCE)
    assert sizes == [4, 2, 1, 1, 2, 1, 1]


def test_a_picture_that_does_not_fit_alone_fails_alone(
    colorizer: Colorizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its error stands in its place, the others have their maps."""
    planes = make_planes(4)
    planes[2][0, 0] = 99.5  # the mark of the one that is too much
    _limit_memory(
        colorizer, monkeypatch, [], fits=lambda lightness: not (lightness[:, 0, 0, 0] == 99.5).any()
    )
    results = colorizer.predict(planes)
    assert [isinstance(result, MemoryError) for result in results] == [False, False, True, False]
    assert "64 × 96 does not fit cpu: out of memory" in str(results[2])


def _limit_memory(
    colorizer: Colorizer, monkeypatch: pytest.MonkeyPatch, sizes: list[int], *, fits: object
) -> None:
    """Let the real network run only where *fits* says so, as a device with less memory would."""
    network = colorizer._network

    def run(lightness: Tensor, hints: Tensor | None = None) -> object:
        sizes.append(len(lightness))
        if not fits(lightness):
            raise torch.OutOfMemoryError("out of memory")
        return network(lightness, hints)

    monkeypatch.setattr(colorizer, "_network", run)


def test_hints_change_their_picture_alone(colorizer: Colorizer) -> None:
    """In a minibatch of pictures with and without hints; or they are refused by name."""
    planes = make_planes(3)
    hints = [[], [Hint(0.5, 0.5, (255, 0, 0)), Hint(0.1, 0.9, (0, 0, 255))], []]
    if not colorizer.takes_hints:
        with pytest.raises(HintError, match="takes no hints"):
            colorizer.predict(planes, hints)
        return
    without, hinted = maps(colorizer.predict(planes)), maps(colorizer.predict(planes, hints))
    for index in (0, 2):
        np.testing.assert_allclose(
            hinted[index].chroma, without[index].chroma, atol=MINIBATCH_TOLERANCE
        )
    assert np.abs(hinted[1].chroma - without[1].chroma).max() > 1


def test_nothing_in_nothing_out(colorizer: Colorizer) -> None:
    """An empty list is no mistake."""
    assert colorizer.predict([]) == []


def test_sides_must_be_multiples_of_32(colorizer: Colorizer) -> None:
    """The network's own message comes through."""
    with pytest.raises(ValueError, match="multiples of 32"):
        colorizer.predict([np.zeros((64, 100), np.float32)])
    with pytest.raises(ValueError, match="zip"):
        colorizer.predict(make_planes(2), [[]])


def test_network_size_is_that_of_the_checkpoint(colorizer: Colorizer) -> None:
    """Its shorter side is the one that the network was trained at."""
    assert colorizer.network_size(3000, 4500) == (64, 96)


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:", "cpu:1", ""])
def test_a_device_of_no_such_name_is_refused(name: str) -> None:
    """With the names that there are."""
    with pytest.raises(DeviceError, match="give auto, cpu, cuda or cuda:0"):
        resolve_device(name)


def test_a_device_that_is_not_there_is_refused() -> None:
    """With the remedy; auto always finds one."""
    with pytest.raises(DeviceError, match=r"cuda:99 is not there \(\d+ CUDA .* give auto or cpu"):
        resolve_device("cuda:99")
    assert resolve_device("auto").type in {"cpu", "cuda"}
    assert resolve_device("cpu") == torch.device("cpu")


def test_weights_of_another_network_are_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """A Colorizer is never half loaded."""
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(checkpoint.path.read_bytes()[:-100])
    with pytest.raises(CheckpointError):
        Colorizer(Checkpoint(damaged, "0" * 64, checkpoint.config, checkpoint.card), device="cpu")


def test_colours_fade_where_the_network_doubts(
    checkpoint: Checkpoint, colorizer: Colorizer
) -> None:
    """Chroma is multiplied by confidence to the power asked for; confidence itself stays."""
    planes = make_planes(2)
    faded = Colorizer(checkpoint, device="cpu", minibatch=4, precision="float32", fade=2.0)
    for less, full in zip(
        maps(faded.predict(planes)), maps(colorizer.predict(planes)), strict=True
    ):
        np.testing.assert_allclose(less.chroma, full.chroma * full.confidence**2, atol=1e-3)
        np.testing.assert_array_equal(less.confidence, full.confidence)
        assert np.abs(less.chroma).sum() < np.abs(full.chroma).sum()


def test_in_bfloat16_colours_are_those_of_float32(
    checkpoint: Checkpoint, colorizer: Colorizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the stated tolerance, among other pictures as alone; emulated where it must be."""
    monkeypatch.setattr("colormodel.infer.has_bfloat16", lambda _: True)
    planes = make_planes(5)
    quick = Colorizer(checkpoint, device="cpu", minibatch=4)
    assert quick.tolerance == BFLOAT16_TOLERANCE
    results = maps(quick.predict(planes))
    for plane, result, wanted in zip(planes, results, maps(colorizer.predict(planes)), strict=True):
        assert np.abs(result.chroma - wanted.chroma).max() < BFLOAT16_TOLERANCE
        assert np.abs(result.confidence - wanted.confidence).max() < 0.02
        (alone,) = maps(quick.predict([plane]))
        assert np.abs(result.chroma - alone.chroma).max() < BFLOAT16_TOLERANCE


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_cuda_colours_are_those_of_the_cpu(checkpoint: Checkpoint, colorizer: Colorizer) -> None:
    """bfloat16 keeps chroma within two units, and minibatches within one."""
    planes = make_planes(5)
    on_cuda = Colorizer(checkpoint, device="cuda", minibatch=4)
    results = maps(on_cuda.predict(planes))
    for plane, result, wanted in zip(planes, results, maps(colorizer.predict(planes)), strict=True):
        assert np.abs(result.chroma - wanted.chroma).mean() < 2
        (alone,) = maps(on_cuda.predict([plane]))
        assert np.abs(result.chroma - alone.chroma).mean() < 1


def test_a_picture_without_finite_colours_is_told_and_its_neighbours_are_coloured(
    colorizer: Colorizer,
) -> None:
    """One picture that brings NaN with it, between two that do not."""
    planes = make_planes(3)
    planes[1] = np.full_like(planes[1], np.nan)
    nothing = np.zeros(planes[0].shape, dtype=np.bool_)
    first, second, third = colorizer.predict(planes, neutral=[nothing] * 3)
    assert isinstance(second, NetworkFault)
    assert len(maps([first, third])) == 2
    assert colorizer.is_sound()


def test_a_network_that_overflows_is_not_sound(tmp_path: Path) -> None:
    """Its weights are finite, and what comes of them is not."""
    torch.manual_seed(0)
    network = build_network(NetworkConfig(name="unet", network_px=64, temperature=0.0))
    saved = save_checkpoint(tmp_path / "x.safetensors", network, card=Card("x", "0"))
    colorizer = Colorizer(saved, device="cpu")
    (found,) = colorizer.predict(make_planes(1))
    assert isinstance(found, NetworkFault)
    assert "x.safetensors" in str(found)
    assert not colorizer.is_sound()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    """Such a file is named before a scan is touched."""
    network = build_network(NetworkConfig(name="article", network_px=64))
    with torch.no_grad():
        next(iter(network.parameters())).view(-1)[0] = value
    saved = save_checkpoint(tmp_path / "broken.safetensors", network, card=Card("x", "0"))
    with pytest.raises(CheckpointError, match=r"broken\.safetensors: 1 of .* finite"):
        Colorizer(saved, device="cpu")

"""The contract that every network keeps."""

import copy
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision import models

from colormodel.networks import (
    ColorNetwork,
    Lattice,
    NetworkConfig,
    build_network,
    cast_convolutions,
    fold_batch_norm,
)
from colormodel.networks.efficientnet import EfficientNetEncoder, ScaledConv
from colormodel.networks.hints import HintAttention, pool_hints
from colormodel.networks.mobilenet import MobileNetEncoder
from colormodel.networks.unet import upsample

WEIGHTS = Path(__file__).parents[3] / "shared/data/weights/efficientnet_lite0_imagenet.safetensors"


@pytest.fixture(scope="module", params=["article", "unet", "unet on EfficientNet"])
def network(request: pytest.FixtureRequest) -> ColorNetwork:
    """Each network, small, with random weights."""
    torch.manual_seed(3)
    name, _, other = request.param.partition(" on ")
    encoder = "efficientnet_lite0" if other else "mobilenet_v2"
    return build_network(NetworkConfig(name, encoder=encoder, width=16)).eval()


@pytest.fixture(scope="module")
def unet() -> ColorNetwork:
    """The default network, small, with random weights."""
    torch.manual_seed(4)
    return build_network(NetworkConfig("unet", width=16)).eval()


@torch.no_grad()
@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 96), (160, 32), (32, 320)])
def test_any_multiple_of_32(network: ColorNetwork, height: int, width: int) -> None:
    """Chroma and confidence have the input's size, are finite and in range."""
    lightness = torch.rand(2, 1, height, width) * 100
    chroma, confidence, logits = network(lightness)
    assert chroma.shape == (2, 2, height, width)
    assert confidence.shape == (2, 1, height, width)
    assert torch.isfinite(chroma).all()
    assert confidence.min() >= 0
    assert confidence.max() <= 1
    assert (logits is None) == (network.config.name == "article")


@torch.no_grad()
@pytest.mark.parametrize("level", [0.0, 100.0])
def test_black_and_white_are_finite(network: ColorNetwork, level: float) -> None:
    """A plane of one tone is coloured like any other."""
    prediction = network(torch.full((1, 1, 64, 64), level))
    assert torch.isfinite(prediction.chroma).all()


class _Waits(TorchDispatchMode):
    """Notes what would wait for a device: numbers read from it, or brought there."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        del types
        if func.overloadpacket in (
            torch.ops.aten._local_scalar_dense,
            torch.ops.aten.lift_fresh,
            torch.ops.aten.nonzero,
        ):
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def test_a_pass_waits_for_nothing() -> None:
    """On a GPU that would leave it idle: also with a bias of the confidence, once it is known."""
    for config in (
        NetworkConfig("article"),
        NetworkConfig("unet", width=16, confidence_bias=(0.5,) * 261),
    ):
        network = build_network(config).eval()
        lightness = torch.rand(1, 1, 32, 32) * 100
        network(lightness)
        with _Waits() as waits:
            network(lightness)
        assert waits.found == []


@torch.no_grad()
def test_what_would_wait_is_noticed(unet: ColorNetwork) -> None:
    """Hints are counted where they are: the guard above sees that."""
    with _Waits() as waits:
        unet(torch.rand(1, 1, 32, 32) * 100, torch.zeros(1, 3, 32, 32))
        torch.tensor([1.0, 2.0])
    assert waits.found == ["aten._local_scalar_dense.default", "aten.lift_fresh.default"]


def test_other_sizes_are_refused(network: ColorNetwork) -> None:
    """A side that is no multiple of 32 would not fit together again."""
    with pytest.raises(ValueError, match="multiples of 32"):
        network(torch.zeros(1, 1, 64, 65))


@torch.no_grad()
def test_chroma_stays_in_the_gamut() -> None:
    """Whatever the weights say, the configured gamut holds."""
    gamut = (-1.0, 2.0, -3.0, 4.0)
    for name in ("article", "unet"):
        network = build_network(NetworkConfig(name, width=16, gamut=gamut)).eval()
        for parameter in network.parameters():
            parameter.mul_(3)
        a, b = network(torch.rand(1, 1, 64, 64) * 100).chroma.unbind(1)
        assert a.min() >= -1
        assert a.max() <= 2
        assert b.min() >= -3
        assert b.max() <= 4


@torch.no_grad()
def test_alone_or_among_others(network: ColorNetwork) -> None:
    """A picture's colours do not depend on the pictures beside it (float32 sums reorder: 1e-3)."""
    lightness = torch.rand(5, 1, 64, 96) * 100
    together = network(lightness).chroma
    alone = torch.cat([network(plane[None]).chroma for plane in lightness])
    torch.testing.assert_close(together, alone, atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_an_empty_mask_is_no_hint(network: ColorNetwork) -> None:
    """Values under a mask of zero count for nothing."""
    lightness = torch.rand(1, 1, 64, 64) * 100
    hints = torch.cat((torch.full((1, 2, 64, 64), 80.0), torch.zeros(1, 1, 64, 64)), 1)
    torch.testing.assert_close(
        network(lightness, hints).chroma, network(lightness).chroma, atol=1e-4, rtol=1e-4
    )


def test_the_article_takes_no_hints() -> None:
    """It says so rather than ignoring a curator."""
    with pytest.raises(ValueError, match="takes no hints"):
        build_network(NetworkConfig("article"))(torch.zeros(1, 1, 32, 32), torch.ones(1, 3, 32, 32))


@torch.no_grad()
def test_a_hint_changes_colours(unet: ColorNetwork) -> None:
    """A hinted picture differs from an unhinted one; its neighbour in the minibatch does not."""
    lightness = torch.rand(2, 1, 64, 64) * 100
    hints = torch.zeros(2, 3, 64, 64)
    hints[0, :, 20, 30] = torch.tensor([60.0, 40.0, 1.0])
    plain, hinted = unet(lightness).chroma, unet(lightness, hints).chroma
    assert (plain[0] - hinted[0]).abs().max() > 1e-3
    torch.testing.assert_close(plain[1], hinted[1], atol=1e-4, rtol=1e-4)


def test_an_unknown_name_is_refused() -> None:
    """The message lists what there is."""
    with pytest.raises(ValueError, match=r"article.*unet"):
        build_network(NetworkConfig("pix2pix"))


@torch.no_grad()
@pytest.mark.parametrize("told_by", ["entropy", "spread"])
def test_confidence_falls_with_doubt(told_by: Literal["entropy", "spread"]) -> None:
    """Sharper distributions are surer ones."""
    config = NetworkConfig("unet", width=16, confidence_from=told_by)
    unet = build_network(config).eval()
    lightness = torch.rand(1, 1, 64, 64) * 100
    before = unet(lightness).confidence.mean()
    unet.get_parameter("distribution.weight").mul_(1e6)
    assert unet(lightness).confidence.mean() > before


@torch.no_grad()
def test_hints_spread_by_likeness_and_sum_to_less_than_one() -> None:
    """Each head gives a convex mix of the hints and of nothing."""
    torch.manual_seed(5)
    attention = HintAttention(8, heads=2).eval()
    hints = torch.zeros(2, 3, 6, 8)
    hints[0, :, 2, 3] = torch.tensor([0.5, -0.25, 1.0])
    out = attention(torch.randn(2, 8, 6, 8), hints).view(2, 2, 3, 6, 8)
    share = out[0, :, 2]
    assert share.min() > 0
    assert share.max() < 1
    torch.testing.assert_close(out[0, :, 0], share * 0.5)
    torch.testing.assert_close(out[0, :, 1], share * -0.25)
    assert out[1].abs().max() == 0


def test_hints_are_averaged_over_hinted_pixels_alone() -> None:
    """One red pixel in a cell of sixteen makes a red cell, not a pink one."""
    hints = torch.zeros(1, 3, 8, 8)
    hints[0, :, 1, 2] = torch.tensor([0.6, 0.2, 1.0])
    pooled = pool_hints(hints, 4)
    torch.testing.assert_close(pooled[0, :, 0, 0], torch.tensor([0.6, 0.2, 1.0]))
    assert pooled[0, :, 1, 1].abs().max() == 0


def test_upsampling_is_convex_and_keeps_places() -> None:
    """With all weight on the middle neighbour each coarse value fills its own 4 × 4 block."""
    coarse = torch.randn(1, 2, 3, 5)
    kernel = torch.zeros(1, 9, 16, 3, 5)
    kernel[:, 4] = 1
    expected = nn.functional.interpolate(coarse, scale_factor=4, mode="nearest")
    torch.testing.assert_close(upsample(coarse, kernel), expected)
    mixed = upsample(coarse, torch.rand(1, 9, 16, 3, 5).softmax(1))
    assert mixed.max() <= coarse.max()
    assert mixed.min() >= coarse.min()


@torch.no_grad()
def test_folding_changes_nothing_but_the_time(network: ColorNetwork) -> None:
    """Statistics that a training has left are in the convolutions' weights; the rest is dropped."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 2.0)
    lightness = torch.rand(2, 1, 64, 96) * 100
    folded = fold_batch_norm(copy.deepcopy(network))
    for one, other in zip(network(lightness), folded(lightness), strict=True):
        assert one is other is None or torch.allclose(one, other, atol=1e-3)
    left = [module for module in folded.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(left) < sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@torch.no_grad()
def test_half_precision_gives_nearly_the_same(network: ColorNetwork) -> None:
    """As on CUDA: chroma within two units, and in float32."""
    lightness = torch.rand(2, 1, 64, 96) * 100
    with torch.autocast("cpu", torch.bfloat16):
        half = network(lightness)
    assert half.chroma.dtype == half.confidence.dtype == torch.float32
    assert (half.chroma - network(lightness).chroma).abs().max() < 2


def test_the_encoders_are_those_that_imagenet_weights_are_for() -> None:
    """Names and shapes are torchvision's, but for one channel of lightness in place of three."""
    theirs = models.mobilenet_v2(weights=None).features.state_dict()
    encoder = MobileNetEncoder()
    ours = {}
    for part in (encoder.shallow, *encoder.deep):
        ours |= part.state_dict()
    assert {name: tensor.shape for name, tensor in ours.items() if name != "0.0.weight"} == {
        name: tensor.shape
        for name, tensor in theirs.items()
        if not name.startswith("18.") and name != "0.0.weight"
    }


@pytest.mark.skipif(not WEIGHTS.is_file(), reason=f"{WEIGHTS} is not there")
@torch.no_grad()
def test_fixed_norms_are_those_of_the_imagenet_weights() -> None:
    """Scaled convolutions give what convolution and normalization give one after the other."""
    weights = load_file(WEIGHTS)
    encoder = EfficientNetEncoder().eval()
    encoder.load_imagenet(WEIGHTS)
    widen, x = encoder.deep[1][0].widen, torch.randn(2, 40, 8, 8)
    norm = nn.BatchNorm2d(240, eps=1e-3).eval()
    for part in ("weight", "bias", "running_mean", "running_var"):
        getattr(norm, part).copy_(weights[f"_blocks.5._bn0.{part}"])
    expected = norm(nn.functional.conv2d(x, weights["_blocks.5._expand_conv.weight"].float()))
    torch.testing.assert_close(widen(x), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("size", "stride"), [(3, 1), (5, 1), (3, 2), (5, 2)])
@torch.no_grad()
def test_filters_are_padded_as_tensorflow_pads(size: int, stride: int) -> None:
    """Of even planes, at stride 2 the row that does not fit is at the bottom and at the right."""
    conv = ScaledConv(4, 4, size=size, stride=stride, groups=4)
    conv.weight.zero_()
    conv.weight[:, :, 0, 0] = 1  # each output is the first pixel that its filter sees
    plane = torch.arange(64.0).view(1, 1, 8, 8).expand(1, 4, 8, 8)
    before = max(8 // stride * stride - stride + size - 8, 0) // 2  # as TensorFlow's SAME
    padded = nn.functional.pad(plane, (before, size, before, size))
    out = conv(plane)
    torch.testing.assert_close(out, padded[..., :8:stride, :8:stride])


def test_training_leaves_what_imagenet_taught_well_enough() -> None:
    """Shallow layers and all filters that see one channel; what mixes channels learns."""
    for encoder in ("mobilenet_v2", "efficientnet_lite0"):
        network = build_network(NetworkConfig("unet", encoder=encoder, width=16))
        still = {id(p) for module in network.frozen() for p in module.parameters()}
        learnt = [p for p in network.encoder.deep.parameters() if id(p) not in still]
        assert all(p.shape[1:] != (1, 3, 3) for p in learnt)
        assert any(p.ndim == 4 for p in learnt)


def test_logits_at_some_places_are_those_of_all_places() -> None:
    """What training asks of a quarter of the places is what it would get there anyway."""
    torch.manual_seed(2)
    network = build_network(NetworkConfig("unet", width=16)).eval()
    lightness, every = torch.rand(1, 1, 64, 64) * 100, Lattice(2, 1, 0)
    with torch.no_grad():
        some, everything = network.heads(lightness, every=every), network.heads(lightness)
    assert some.logits is not None
    assert everything.logits is not None
    torch.testing.assert_close(some.logits, everything.logits[:, :, 1::2, ::2])
    torch.testing.assert_close(some.regression, everything.regression)


def test_an_unknown_encoder_is_named() -> None:
    """With those that there are."""
    with pytest.raises(ValueError, match=r"'vgg'.*efficientnet_lite0"):
        build_network(NetworkConfig("unet", encoder="vgg"))


def test_colourizing_imports_no_torchvision() -> None:
    """Its models take a process 1.7 s to import."""
    code = "import sys; import colormodel.infer; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@torch.no_grad()
def test_the_residual_stages_are_resnets() -> None:
    """With its weights, ours give what torchvision's give."""
    theirs = models.resnet18(weights=None).eval()
    ours = build_network(NetworkConfig("article")).eval().encoder
    for mine, their in ((ours[4], theirs.layer1), (ours[5], theirs.layer2)):
        mine.load_state_dict(their.state_dict())
    x = torch.rand(1, 64, 24, 32)
    assert torch.equal(ours[5](ours[4](x)), theirs.layer2(theirs.layer1(x)))


@torch.no_grad()
def test_convolutions_that_are_cast_once_change_nothing_under_autocast(
    network: ColorNetwork,
) -> None:
    """To the last bit: autocast makes the same weights of them with each pass."""
    folded = fold_batch_norm(copy.deepcopy(network))
    cast = cast_convolutions(copy.deepcopy(folded), torch.bfloat16)
    lightness = torch.rand(2, 1, 64, 96) * 100
    with torch.autocast("cpu", torch.bfloat16):
        wanted, got = folded(lightness), cast(lightness)
    assert torch.equal(got.chroma, wanted.chroma)
    assert torch.equal(got.confidence, wanted.confidence)
    sizes = {module.weight.dtype for module in cast.modules() if isinstance(module, nn.Conv2d)}
    assert sizes == {torch.bfloat16}

"""Negatives told from positives, by the bundled network and by one that cannot."""

from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch

from colormodel.checkpoint import DEFAULT_CHECKPOINT, Card, read_checkpoint, save_checkpoint
from colormodel.infer import Colorizer
from colormodel.networks import NetworkConfig, build_network
from colormodel.pictures import resize_lightness
from colormodel.planes import POLARITY_PX, Plane, network_size
from colormodel.polarity import load_weights, negativity
from colormodel.polarity_fit import fit_weights, save_weights
from tests.colormodel.photographs import make_scene


@pytest.fixture(scope="module")
def colorizer() -> Colorizer:
    """Of the bundled default, on the CPU."""
    return Colorizer(read_checkpoint(DEFAULT_CHECKPOINT), device="cpu", minibatch=4)


def views() -> list[Plane]:
    """Photographs that scikit-image carries, as L* (nearly) at the size for judging."""
    found = []
    for name in ("camera", "astronaut", "chelsea", "coffee", "rocket"):
        codes = getattr(skimage.data, name)()
        grey = codes if codes.ndim == 2 else codes.mean(axis=2)
        size = network_size(*grey.shape, network_px=POLARITY_PX)
        found.append(resize_lightness((grey / 2.55).astype(np.float32), size))
    return found


def test_photographs_look_positive_and_their_inverses_negative(colorizer: Colorizer) -> None:
    """By the same score with the other sign, whatever stands beside a picture."""
    pictures = views()
    scores = colorizer.negativity(pictures)
    assert sum(score < 0 for score in scores) >= 4
    inverse = colorizer.negativity([100 - picture for picture in pictures])
    assert inverse == pytest.approx([-score for score in scores], abs=1e-3)
    alone = [colorizer.negativity([picture])[0] for picture in pictures]
    assert alone == pytest.approx(scores, abs=1e-3)
    assert colorizer.negativity([]) == []


def test_a_network_without_such_an_encoder_is_undecided(tmp_path: Path) -> None:
    """The baseline gives 0: neither the one nor the other."""
    network = build_network(NetworkConfig(name="article", network_px=64, width=16))
    path = tmp_path / "article.safetensors"
    checkpoint = save_checkpoint(path, network, card=Card(name="article", version="0"))
    assert Colorizer(checkpoint, device="cpu").negativity(views()[:2]) == [0.0, 0.0]
    with pytest.raises(ValueError, match="nothing to tell negatives by"):
        fit_weights(network, [make_scene(0)])


def test_weights_of_another_encoder_tell_nothing() -> None:
    """They are of other features: such a network is undecided until weights are fitted to it."""
    network = build_network(NetworkConfig("unet", encoder="mobilenet_v2", width=16)).eval()
    assert negativity(network, torch.rand(2, 1, 96, 96) * 100, load_weights()) is None


def test_weights_are_fitted_and_kept(tmp_path: Path) -> None:
    """Scenes with a bright sky above: enough for a network that has seen nothing else."""
    torch.manual_seed(0)
    network = build_network(NetworkConfig(name="unet")).eval()
    scenes = [make_scene(seed) for seed in range(24)]
    weights = fit_weights(network, scenes, decay=1.0)
    save_weights(tmp_path / "w.safetensors", weights, fitted={"photographs": 24})
    kept = load_weights(tmp_path / "w.safetensors")
    assert torch.equal(kept, weights)
    others = np.stack([make_scene(seed) for seed in range(100, 116)])
    lightness = torch.from_numpy(others[:, :64].mean(axis=3, dtype=np.float32))[:, None] / 2.55
    scores = negativity(network, lightness, kept)
    assert scores is not None
    assert float((scores < 0).float().mean()) > 0.8

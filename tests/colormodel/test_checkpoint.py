"""Checkpoints: round trip, digest, atomicity, and every wrong file refused with a remedy."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from colormodel import checkpoint as checkpoint_module
from colormodel.checkpoint import (
    DEFAULT_CHECKPOINT,
    FORMAT,
    Card,
    CheckpointError,
    TrainingData,
    load_network,
    read_checkpoint,
    save_checkpoint,
    with_metrics,
)
from colormodel.networks import ColorNetwork, NetworkConfig, build_network

CARD = Card(
    name="test",
    version="3",
    description="Naïve — with “quotes”.",
    data=(TrainingData("here", "CC0", 12),),
    metrics={"ciede2000": 10.5},
    limitations=("guesses",),
)


@pytest.fixture(scope="module")
def network() -> ColorNetwork:
    """A small U-Net with random weights."""
    torch.manual_seed(8)
    return build_network(NetworkConfig("unet", network_px=64, width=16, temperature=0.5)).eval()


@torch.no_grad()
def test_round_trip(tmp_path: Path, network: ColorNetwork) -> None:
    """Configuration, card and colours come back; float16 weights cost less than 0.3 in a*, b*."""
    saved = save_checkpoint(tmp_path / "a.safetensors", network, card=CARD)
    read = read_checkpoint(tmp_path / "a.safetensors")
    assert read == saved
    assert read.config == network.config
    assert read.card == CARD
    assert read.network_px == 64
    assert read.digest == hashlib.sha256(read.path.read_bytes()).hexdigest()
    loaded = load_network(read)
    assert not loaded.training
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    lightness = torch.rand(2, 1, 64, 64) * 100
    torch.testing.assert_close(
        loaded(lightness).chroma, network(lightness).chroma, atol=0.3, rtol=0
    )


def test_loaded_and_saved_again_is_the_same_file(tmp_path: Path, network: ColorNetwork) -> None:
    """Nothing is lost on the second way, so the digest names the weights."""
    first = save_checkpoint(tmp_path / "a.safetensors", network, card=CARD)
    second = save_checkpoint(tmp_path / "b.safetensors", load_network(first), card=CARD)
    assert first.digest == second.digest


def test_metrics_are_added_without_touching_the_weights(
    tmp_path: Path, network: ColorNetwork
) -> None:
    """The card grows; the tensors stay."""
    before = save_checkpoint(tmp_path / "a.safetensors", network, card=CARD)
    weights = load_file(before.path)
    after = with_metrics(before, {"lpips": 0.2})
    assert after.card.metrics == {"ciede2000": 10.5, "lpips": 0.2}
    assert after.digest != before.digest
    for name, tensor in load_file(after.path).items():
        assert torch.equal(tensor, weights[name])


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, network: ColorNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk in the middle of writing costs nothing and leaves nothing behind."""
    path = tmp_path / "a.safetensors"
    old = save_checkpoint(path, network, card=CARD)

    def write_half(tensors: object, file: Path, metadata: object) -> None:
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_module, "save_file", write_half)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(path, network, card=Card("other", "1"))
    assert read_checkpoint(path) == old
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_wrong_files_are_refused_with_a_remedy(tmp_path: Path, network: ColorNetwork) -> None:
    """Missing, truncated, pickled, of another format or version: each says what to do."""
    good = save_checkpoint(tmp_path / "good.safetensors", network, card=CARD)
    with pytest.raises(CheckpointError, match="no such checkpoint; name one"):
        read_checkpoint(tmp_path / "missing.safetensors")
    truncated = tmp_path / "truncated.safetensors"
    truncated.write_bytes(good.path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="copy it again"):
        read_checkpoint(truncated)
    pickled = tmp_path / "weights.pth"
    torch.save(network.state_dict(), pickled)
    with pytest.raises(CheckpointError, match=r"pickled checkpoints.* never loaded"):
        read_checkpoint(pickled)
    other = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, other, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="format None instead of"):
        read_checkpoint(other)
    newer = tmp_path / "newer.safetensors"
    header = {"format": FORMAT, "network": {"name": "unet", "gamut": [0, 1], "new": 1}, "card": {}}
    save_file({"x": torch.zeros(1)}, newer, metadata={"autochrome": json.dumps(header)})
    with pytest.raises(CheckpointError, match="does not describe a network"):
        read_checkpoint(newer)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path, network: ColorNetwork) -> None:
    """A header that promises another network than the file holds."""
    good = save_checkpoint(tmp_path / "good.safetensors", network, card=CARD)
    save_file(
        {"encoder.x": torch.zeros(1)},
        tmp_path / "bad.safetensors",
        metadata={
            "autochrome": json.dumps(
                {
                    "format": FORMAT,
                    "network": {"name": "unet", "width": 16, "gamut": [0, 1, 0, 1]},
                    "card": {"name": "x", "version": "1", "data": [], "limitations": []},
                }
            )
        },
    )
    assert load_network(good) is not None
    with pytest.raises(CheckpointError, match="do not fit"):
        load_network(read_checkpoint(tmp_path / "bad.safetensors"))


def test_the_bundle_can_be_used() -> None:
    """Both bundled checkpoints load; together they are at most 20 MB; their cards speak up."""
    folder = DEFAULT_CHECKPOINT.parent
    files = sorted(folder.glob("*.safetensors"))
    assert [f.name for f in files] == ["article.safetensors", "default.safetensors"]
    assert sum(f.stat().st_size for f in files) <= 20_000_000
    for file in files:
        bundled = read_checkpoint(file)
        assert bundled.card.limitations
        assert {entry.source for entry in bundled.card.data} >= {"sun_cmu", "pacs_photo"}
        assert all(entry.licence for entry in bundled.card.data)
        prediction = load_network(bundled)(torch.full((1, 1, 64, 64), 50.0))
        assert torch.isfinite(prediction.chroma).all()

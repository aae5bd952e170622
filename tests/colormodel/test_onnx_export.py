"""Our networks as ONNX: equal to ours, for any runtime, and the same colours taken in again."""

import logging
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from colormodel import onnx_export
from colormodel.checkpoint import (
    DEFAULT_CHECKPOINT,
    Card,
    Checkpoint,
    load_network,
    read_checkpoint,
    save_checkpoint,
)
from colormodel.infer import MINIBATCH_TOLERANCE, Colorizer
from colormodel.networks import NetworkConfig, build_network
from colormodel.networks.foreign import ForeignError, load_profile
from colormodel.onnx_export import EXPORT_TOLERANCE, export_onnx
from colormodel.onnx_import import Origin, import_onnx, photographs
from colormodel.pictures import resize_lightness
from colormodel.planes import ChromaMap, Plane
from tests.onnxfiles import SmallDDColor, export

pytestmark = pytest.mark.usefixtures("one_thread")


def fresh(folder: Path, config: NetworkConfig) -> Checkpoint:
    """A checkpoint with random weights, vivid enough to compare."""
    torch.manual_seed(6)
    network = build_network(config)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    return save_checkpoint(
        folder / "fresh.safetensors", network.eval(), card=Card(name="fresh", version="1")
    )


def planes_for(checkpoint: Checkpoint) -> list[Plane]:
    """Photographs as a network sees them, of three shapes."""
    colorizer = Colorizer(checkpoint, device="cpu", precision="float32")
    return [
        resize_lightness(
            plane[: 400 - 60 * i], colorizer.network_size(*plane[: 400 - 60 * i].shape)
        )
        for i, plane in enumerate(photographs())
    ]


def maps_of(checkpoint: Checkpoint, planes: list[Plane]) -> list[ChromaMap]:
    """Colour planes."""
    found = Colorizer(checkpoint, device="cpu", precision="float32").predict(planes)
    return [one for one in found if isinstance(one, ChromaMap)]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "kind",
    [
        "article",
        pytest.param("bundled", marks=pytest.mark.slow),
        pytest.param("efficientnet", marks=pytest.mark.slow),
    ],
)
def test_equal_to_ours_and_back_again(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Any minibatch and size, by the runtime alone; taken in again, the same colours and scores.

    All in one process: tracing must leave nothing of itself in what our networks keep.
    """
    if kind == "efficientnet":
        config = NetworkConfig("unet", encoder="efficientnet_lite0", network_px=96, width=16)
        checkpoint = fresh(tmp_path, config)
    else:
        name = "default" if kind == "bundled" else "article"
        checkpoint = read_checkpoint(DEFAULT_CHECKPOINT.parent / f"{name}.safetensors")
    out = tmp_path / "ours.onnx"
    with caplog.at_level(logging.WARNING):
        beside = export_onnx(checkpoint, out)
    assert not caplog.records
    assert beside == tmp_path / "ours.toml"
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    network = load_network(checkpoint)
    for shape in ((1, 1, 32, 32), (8, 1, 64, 96), (2, 1, 224, 160)):
        lightness = torch.rand(shape) * 100
        chroma, confidence = session.run(["chroma", "confidence"], {"lightness": lightness.numpy()})
        with torch.inference_mode():
            ours = network(lightness)
        np.testing.assert_allclose(chroma, ours.chroma, atol=EXPORT_TOLERANCE, rtol=0)
        np.testing.assert_allclose(confidence, ours.confidence, atol=1e-4, rtol=0)
    origin = Origin(terms="ours", licence="Apache-2.0")
    back, _ = import_onnx(out, load_profile(str(beside)), origin, out=tmp_path / "back.safetensors")
    assert back.network_px == checkpoint.network_px
    planes = planes_for(checkpoint)
    for mine, again in zip(maps_of(checkpoint, planes), maps_of(back, planes), strict=True):
        np.testing.assert_allclose(
            again.chroma, mine.chroma, atol=EXPORT_TOLERANCE + MINIBATCH_TOLERANCE, rtol=0
        )
        assert again.score == pytest.approx(mine.score, abs=1e-3)
    # What was taken in is written out as it came.
    export_onnx(back, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == out.read_bytes()
    assert load_profile(str(tmp_path / "again.toml")) == load_profile(str(beside))


def test_what_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph that colours otherwise is refused, and leaves no file."""
    checkpoint = fresh(tmp_path, NetworkConfig("article", network_px=64, width=16))
    other = export(SmallDDColor(), tmp_path / "other.onnx").read_bytes()
    monkeypatch.setattr(onnx_export, "_exported", lambda _: other)
    with pytest.raises(Exception, match="ONNX Runtime failed"):
        export_onnx(checkpoint, tmp_path / "out.onnx")
    real = onnx_export.Session.run
    monkeypatch.undo()
    monkeypatch.setattr(
        onnx_export.Session,
        "run",
        lambda self, *given: [array + 0.1 for array in real(self, *given)],
    )
    with pytest.raises(ForeignError, match="would give"):
        export_onnx(checkpoint, tmp_path / "out.onnx")
    assert not list(tmp_path.glob("out.*"))
    with pytest.raises(ForeignError, match="the profile goes there"):
        export_onnx(checkpoint, tmp_path / "out.toml")

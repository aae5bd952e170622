"""Networks made elsewhere: by their profiles they colour as they are meant to, or are refused."""

import copy
import hashlib
import os
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from typer.testing import CliRunner

from colormodel import onnx_import
from colormodel.__main__ import app
from colormodel.checkpoint import (
    DEFAULT_CHECKPOINT,
    Checkpoint,
    CheckpointError,
    header_of,
    load_network,
    read_checkpoint,
    with_metrics,
    write_tensors,
)
from colormodel.color import lightness_to_grey, srgb_to_lab
from colormodel.hints import Hint, HintError
from colormodel.infer import MINIBATCH_TOLERANCE, Colorizer
from colormodel.networks import NetworkConfig, NetworkFault
from colormodel.networks.foreign import (
    ForeignError,
    MissingRuntime,
    Profile,
    ProfileError,
    known_profiles,
    load_profile,
    to_toml,
)
from colormodel.networks.foreign import network as network_module
from colormodel.networks.foreign import session as session_module
from colormodel.onnx_import import OPPOSITE, Origin, import_onnx
from colormodel.planes import ChromaMap, Plane
from colormodel.recipe import TrainRecipe
from colormodel.train import Trainer
from tests.colormodel.photographs import make_photos, make_planes
from tests.onnxfiles import (
    TINT,
    Broken,
    ScaledDeOldify,
    SmallDDColor,
    SmallDeOldify,
    SmallZhang,
    export,
)

ORIGIN = Origin(terms="the authors of small networks", licence="CC0-1.0")

pytestmark = pytest.mark.usefixtures("one_thread")


def take_in(path: Path, profile: str | Profile, **changes: str) -> Checkpoint:
    """Import a model under a profile."""
    read = load_profile(profile) if isinstance(profile, str) else profile
    out = path.with_suffix(".safetensors")
    checkpoint, _ = import_onnx(path, read, replace(ORIGIN, **changes), out=out)
    return checkpoint


def chroma_of(checkpoint: Checkpoint, planes: list[Plane], *, minibatch: int = 8) -> list[Plane]:
    """Colour planes, none of it kept neutral."""
    colorizer = Colorizer(checkpoint, device="cpu", minibatch=minibatch)
    none = [np.zeros(plane.shape, np.bool_) for plane in planes]
    maps = colorizer.predict(planes, neutral=none)
    assert all(isinstance(one, ChromaMap) for one in maps)
    return [one.chroma for one in maps if isinstance(one, ChromaMap)]


def ramps(count: int, *, height: int = 64, width: int = 64) -> list[Plane]:
    """Smooth planes, each another: what resizing hardly changes."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return [
        (10 + 80 * (x / width + (i + 1) * y / height) / (i + 2)).astype(np.float32)
        for i in range(count)
    ]


def expected(plane: Plane, kind: str) -> torch.Tensor:
    """What the small networks make of a plane, (2, h, w)."""
    lightness = torch.from_numpy(plane)
    grey = lightness_to_grey(lightness)
    if kind == "ddcolor":
        return torch.stack((40 * (grey - 0.5), 30 - 20 * grey))
    if kind == "zhang":
        centred = (lightness - 50) / 100
        return torch.stack((centred * 40, 20 - centred * 20))
    return srgb_to_lab(grey * torch.tensor(TINT).view(3, 1, 1))[1:]


@pytest.mark.parametrize("fixed_to", [1, 8, None])
@pytest.mark.parametrize(
    ("profile", "network", "channels"),
    [
        ("ddcolor", SmallDDColor, 3),
        ("deoldify", SmallDeOldify, 3),
        ("deoldify-255", ScaledDeOldify, 3),
        ("zhang", SmallZhang, 1),
    ],
)
def test_each_signature(
    tmp_path: Path,
    profile: str,
    network: type[nn.Module],
    channels: int,
    fixed_to: int | None,
) -> None:
    """Fixed and open sides, fixed to minibatches of 1 and 8: the colours follow from the tones."""
    read = load_profile(profile)
    if fixed_to is None:  # a small square, or a test would take seconds
        read = replace(read, input=replace(read.input, px=64))
    path = export(
        network(),
        tmp_path / "net.onnx",
        channels=channels,
        minibatch=fixed_to or 1,
        is_open=fixed_to is None,
    )
    checkpoint = take_in(path, read)
    assert checkpoint.network_px == 64
    planes = [*ramps(3), *ramps(2, height=64, width=96)]
    together, alone = (chroma_of(checkpoint, planes, minibatch=size) for size in (8, 1))
    for plane, one, other in zip(planes, together, alone, strict=True):
        assert one.shape == (2, *plane.shape)
        np.testing.assert_allclose(one, other, atol=MINIBATCH_TOLERANCE)
        inner = np.s_[:, 4:-4, 4:-4]  # borders: a resized plane knows nothing beyond itself
        np.testing.assert_allclose(
            one[inner], expected(plane, profile).numpy()[inner], atol=0.6, err_msg=profile
        )


def test_the_checkpoint_is_one_like_any_other(tmp_path: Path) -> None:
    """Same file, profile and origin, same digest; the card says whose it is, and its name."""
    path = export(SmallDDColor(), tmp_path / "net.onnx")
    first = take_in(path, "ddcolor")
    content = first.path.read_bytes()
    assert take_in(path, "ddcolor").digest == first.digest
    assert read_checkpoint(first.path) == first
    assert first.card.name == "DDColor"
    assert first.card.terms == "the authors of small networks; CC0-1.0"
    assert first.card.version == hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    measured = with_metrics(read_checkpoint(first.path), {"ciede2000": 9.5})
    assert (measured.config, measured.card.metrics) == (first.config, {"ciede2000": 9.5})
    named = take_in(path, "ddcolor", name="DDColor tiny", version="1.2")
    assert (named.card.name, named.card.version) == ("DDColor tiny", "1.2")
    assert named.digest != first.digest
    assert path.read_bytes() in content
    with pytest.raises(ForeignError, match="whose the weights are"):
        take_in(path, "ddcolor", terms=" ")
    with pytest.raises(ForeignError, match="licence"):
        take_in(path, "ddcolor", licence="")


def test_aspect_ratios(tmp_path: Path) -> None:
    """Padded and free networks see a picture undistorted; colours lie where they belong."""
    plane = ramps(1, height=64, width=128)[0]
    read = load_profile("ddcolor")
    fixed = export(SmallDDColor(), tmp_path / "fixed.onnx")
    padded = take_in(fixed, replace(read, input=replace(read.input, fit="pad")))
    (chroma,) = chroma_of(padded, [plane])
    np.testing.assert_allclose(
        chroma[:, 4:-4, 4:-4], expected(plane, "ddcolor")[:, 4:-4, 4:-4], atol=1.0
    )
    free = replace(read, input=replace(read.input, fit="free", px=64, multiple=16))
    with pytest.raises(ForeignError, match="fixed to 64 × 64"):
        take_in(fixed, free)
    open_one = export(SmallDDColor(), tmp_path / "open.onnx", is_open=True)
    (chroma,) = chroma_of(take_in(open_one, free), [plane])
    np.testing.assert_allclose(chroma, expected(plane, "ddcolor"), atol=1e-3)


class _Lasts(nn.Module):
    """Channels last, at half the size, with a confidence of its own, from -1 to 1."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        a_b = (x[:, ::2, ::2] - 50) / 50
        return a_b.expand(-1, -1, -1, 2), 1 - x[:, ::2, ::2, 0] / 200


def test_other_layouts_scales_and_confidence(tmp_path: Path) -> None:
    """NHWC, L*, a smaller output, another scale and the graph's own confidence are data, too."""
    path = tmp_path / "last.onnx"
    example = torch.rand(1, 64, 64, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the exporter's age
        torch.onnx.export(
            _Lasts(),
            (example,),
            str(path),
            input_names=["l"],
            output_names=["ab", "sure"],
            dynamo=False,
            opset_version=12,
        )
    toml = tmp_path / "last.toml"
    toml.write_text(
        'title = "Last"\n[input]\ncolours = "lightness"\nwhite = 100.0\nlayout = "NHWC"\n'
        '[output]\ncolours = "ab"\nstd = [40.0]\nmean = [5.0]\nlayout = "NHWC"\n'
        '[confidence]\nsource = "output"\noutput = "sure"\n',
        encoding="utf-8",
    )
    checkpoint = take_in(path, load_profile(str(toml)))
    plane = ramps(1)[0]
    (found,) = Colorizer(checkpoint, device="cpu").predict([plane], neutral=[plane < 0])
    assert isinstance(found, ChromaMap)
    inner = np.s_[4:-4, 4:-4]
    np.testing.assert_allclose(found.chroma[0][inner], (plane * 0.8 - 35)[inner], atol=1.0)
    np.testing.assert_allclose(found.confidence[inner], (1 - plane / 200)[inner], atol=0.02)


def test_float16(tmp_path: Path) -> None:
    """A half-precision graph is fed half precision."""
    path = export(Broken("no colour"), tmp_path / "half.onnx", dtype=torch.float16)
    read = load_profile("ddcolor")
    checkpoint = take_in(path, replace(read, output=replace(read.output, std=(1000.0,))))
    plane = ramps(1)[0]
    grey = lightness_to_grey(torch.from_numpy(plane))
    (chroma,) = chroma_of(checkpoint, [plane])
    np.testing.assert_allclose(chroma[0], 60 * (grey - 0.4), atol=0.6)


def test_agreement_with_ours(tmp_path: Path) -> None:
    """Confidence is ours where the colours are ours, and falls by their distance."""
    bundled = read_checkpoint(DEFAULT_CHECKPOINT)
    side = bundled.network_px  # of both: neither's plane is resized
    path = export(SmallDDColor(), tmp_path / "net.onnx", side=side)
    checkpoint = take_in(path, "ddcolor")
    loaded = load_network(checkpoint)
    network = copy.deepcopy(loaded)  # as for half precision: the model itself is shared
    assert isinstance(network, network_module.ForeignNetwork)
    assert isinstance(loaded, network_module.ForeignNetwork)
    assert network.session is loaded.session
    ours = load_network(bundled)
    plane = torch.from_numpy(np.stack(make_planes(2, shape=(side, side))))[:, None]
    with torch.inference_mode():
        found, reference = network(plane), ours(plane)
        distance = torch.linalg.vector_norm(found.chroma - reference.chroma, dim=1, keepdim=True)
        torch.testing.assert_close(
            found.confidence,
            reference.confidence * torch.exp(-distance / 60),
            atol=1e-4,
            rtol=0,
        )
        assert network.summary(plane).equal(ours.summary(plane))
    assert (found.confidence < reference.confidence).all()


def test_no_confidence(tmp_path: Path) -> None:
    """A profile may do without: the score is 0, and the checkpoint says that it tells nothing."""
    path = export(SmallDDColor(), tmp_path / "net.onnx")
    read = load_profile("ddcolor")
    none = replace(read, confidence=replace(read.confidence, source="none"))
    checkpoint = take_in(path, none)
    assert not checkpoint.tells_confidence
    assert read_checkpoint(DEFAULT_CHECKPOINT).tells_confidence
    (found,) = Colorizer(checkpoint, device="cpu", fade=1.0).predict(ramps(1))
    assert isinstance(found, ChromaMap)
    assert found.score == 0
    assert found.chroma.std() > 1  # and nothing fades by a doubt that nobody stated


def test_negatives_are_told_by_our_own_network(tmp_path: Path) -> None:
    """What is held beside it tells negatives as it does alone."""
    checkpoint = take_in(export(SmallDDColor(), tmp_path / "net.onnx"), "ddcolor")
    planes = make_planes(2, shape=(96, 128))
    ours = Colorizer(read_checkpoint(DEFAULT_CHECKPOINT), device="cpu").negativity(planes)
    assert Colorizer(checkpoint, device="cpu").negativity(planes) == pytest.approx(ours, abs=1e-3)
    assert any(ours)


def test_it_takes_no_hints_and_is_not_trained(tmp_path: Path) -> None:
    """Both are said clearly."""
    checkpoint = take_in(export(SmallDDColor(), tmp_path / "net.onnx"), "ddcolor")
    colorizer = Colorizer(checkpoint, device="cpu")
    assert not colorizer.takes_hints
    with pytest.raises(HintError, match="takes no hints"):
        colorizer.predict(ramps(1), [[Hint(0.5, 0.5, (200, 90, 40))]])
    with pytest.raises(CheckpointError, match="made elsewhere and is not trained here"):
        _ = checkpoint.trainable
    recipe = TrainRecipe("x", "1", NetworkConfig("unet"), start_from=str(checkpoint.path))
    with pytest.raises(CheckpointError, match="made elsewhere and is not trained here"):
        Trainer(recipe, make_photos(4), device="cpu")


def test_it_colours_files(tmp_path: Path) -> None:
    """`python -m colormodel colorize --checkpoint` takes it, and `card` tells its terms."""
    checkpoint = take_in(export(SmallDDColor(), tmp_path / "net.onnx"), "ddcolor")
    picture = tmp_path / "grey.png"
    Image.fromarray((ramps(1)[0] * 2.5).astype(np.uint8)).save(picture)
    out = tmp_path / "out"
    result = CliRunner().invoke(
        app,
        ["colorize", str(picture), "--out", str(out), "--checkpoint", str(checkpoint.path)],
    )
    assert result.exit_code == 0, result.output
    coloured = np.asarray(Image.open(out / "grey.png")).astype(int)
    assert np.ptp(coloured, axis=2).mean() > 5
    card = CliRunner().invoke(app, ["card", "--checkpoint", str(checkpoint.path)])
    assert "the authors of small networks; CC0-1.0" in card.output


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("not a number", "not a number"),
        ("one colour", "one and the same colour"),
        ("no colour", "units from grey on average"),
        ("far out", "which is no"),
        ("three channels", "2 channels in NCHW are meant"),
        ("turned", "gives 32 × 64 for 64 × 64"),
        ("looks aside", "other colours beside others"),
        ("by chance", "other colours beside others"),
    ],
)
def test_what_is_no_colour_network_is_refused(tmp_path: Path, fault: str, said: str) -> None:
    """Shape, range, constancy and dependence on neighbours are tried on photographs."""
    path = export(Broken(fault), tmp_path / "net.onnx", is_open=fault == "looks aside")
    read = load_profile("ddcolor")
    with pytest.raises(ForeignError, match=said):
        take_in(path, replace(read, input=replace(read.input, px=64)))
    assert not path.with_suffix(".safetensors").exists()


@pytest.mark.parametrize(
    ("network", "profile", "said"),
    [
        (SmallDeOldify, "deoldify-255", "does not show the photograph"),
        (ScaledDeOldify, "deoldify", "does not show the photograph"),
        (SmallDeOldify, "ddcolor", "2 channels in NCHW are meant"),
        (SmallDDColor, "zhang", "takes 3 channels, the profile's lightness has 1"),
    ],
)
def test_a_wrong_profile_is_refused(
    tmp_path: Path, network: type[nn.Module], profile: str, said: str
) -> None:
    """The files of two kinds of DeOldify are told apart by what they make of photographs."""
    path = export(network(), tmp_path / "net.onnx")
    with pytest.raises(ForeignError, match=said):
        take_in(path, profile)


class _BlueFirst(ScaledDeOldify):
    """The same network, from a program that has blue before green before red."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).flip(1)


class _TurnedSigns(SmallDDColor):
    """What is red is green, and what is yellow blue."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -super().forward(x)


@pytest.mark.parametrize(
    ("network", "profile"), [(_BlueFirst, "deoldify-255"), (_TurnedSigns, "ddcolor")]
)
def test_channels_in_another_order_are_told_of(
    tmp_path: Path, network: type[nn.Module], profile: str
) -> None:
    """Their shape and range are right, and nobody would see it before the first night is done."""
    path = export(network(), tmp_path / "net.onnx")
    out = tmp_path / "net.safetensors"
    _, figures = import_onnx(path, load_profile(profile), ORIGIN, out=out)
    assert figures.likeness < OPPOSITE


def _model(nodes: list[onnx.NodeProto], **graph: list[TensorProto]) -> onnx.ModelProto:
    into = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 64, 64])
    out = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 2, 64, 64])
    made = helper.make_graph(nodes, "g", [into], [out], **graph)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_model(made, opset_imports=opsets, ir_version=9)


def test_operators_that_are_not_the_standards(tmp_path: Path) -> None:
    """They are refused by name, also deep in a branch, and in a function of a vendor's name."""
    path = tmp_path / "net.onnx"
    own = helper.make_node("Paint", ["input"], ["output"], domain="own")
    onnx.save(_model([own]), path)
    with pytest.raises(ForeignError, match="own::Paint"):
        take_in(path, "ddcolor")
    deep = helper.make_graph([own], "deep", [], [helper.make_empty_tensor_value_info("output")])
    condition = numpy_helper.from_array(np.array(True), "yes")
    branch = helper.make_node("If", ["yes"], ["output"], then_branch=deep, else_branch=deep)
    onnx.save(_model([branch], initializer=[condition]), path)
    with pytest.raises(ForeignError, match="own::Paint"):
        take_in(path, "ddcolor")
    context = helper.make_node("EPContext", ["input"], ["output"], domain="com.microsoft")
    model = _model([context])
    body = helper.make_node("Identity", ["input"], ["output"])
    model.functions.append(
        helper.make_function(
            "com.microsoft",
            "EPContext",
            ["input"],
            ["output"],
            [body],
            [helper.make_opsetid("", 17)],
        )
    )
    onnx.save(model, path)
    with pytest.raises(ForeignError, match=r"com\.microsoft::EPContext"):
        take_in(path, "ddcolor")


def test_weights_beside_the_file(tmp_path: Path) -> None:
    """They are taken in from the same folder, and from nowhere else."""
    weights = np.zeros((2, 3, 1, 1), np.float32)
    weights[0, 0], weights[1, 1] = 40, -30
    tensor = numpy_helper.from_array(weights, "w")
    conv = helper.make_node("Conv", ["input", "w"], ["output"])
    whole, apart = tmp_path / "whole.onnx", tmp_path / "apart.onnx"
    onnx.save(_model([conv], initializer=[tensor]), whole)
    onnx.save(
        _model([conv], initializer=[tensor]),
        apart,
        save_as_external_data=True,
        location="apart.data",
        size_threshold=0,
    )
    assert (tmp_path / "apart.data").is_file()
    plane = ramps(1)
    np.testing.assert_array_equal(
        chroma_of(take_in(apart, "ddcolor"), plane), chroma_of(take_in(whole, "ddcolor"), plane)
    )
    secret = tmp_path.parent / f"{tmp_path.name}.secret"
    secret.write_bytes(weights.tobytes())
    (tmp_path / "link.data").symlink_to(secret)
    for location in (f"../{secret.name}", str(secret), "link.data", "missing.data"):
        model = onnx.load(apart, load_external_data=False)
        (stated,) = [
            one for one in model.graph.initializer[0].external_data if one.key == "location"
        ]
        stated.value = location
        apart.write_bytes(model.SerializeToString())
        with pytest.raises(ForeignError, match="into the same folder"):
            take_in(apart, "ddcolor")
    (tmp_path / "apart.data").write_bytes(b"short")
    stated.value = "apart.data"
    apart.write_bytes(model.SerializeToString())
    with pytest.raises(ForeignError, match="into the same folder"):
        take_in(apart, "ddcolor")


def test_a_checkpoint_that_names_other_files_is_not_loaded(tmp_path: Path) -> None:
    """The model in a checkpoint is checked again: somebody may have written it by hand."""
    checkpoint = take_in(export(SmallDDColor(), tmp_path / "net.onnx"), "ddcolor")
    tensors = load_file(checkpoint.path)
    tensor = numpy_helper.from_array(np.ones((2, 3, 1, 1), np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret")
    model = _model([helper.make_node("Conv", ["input", "w"], ["output"])], initializer=[tensor])
    raw = bytearray(model.SerializeToString())
    tensors["onnx"] = torch.frombuffer(raw, dtype=torch.uint8)
    bad = tmp_path / "bad.safetensors"
    write_tensors(bad, tensors, header_of(checkpoint.config, checkpoint.card))
    with pytest.raises(CheckpointError, match="its weights lie in another file"):
        load_network(read_checkpoint(bad))
    del tensors["onnx"]
    write_tensors(bad, tensors, header_of(checkpoint.config, checkpoint.card))
    with pytest.raises(CheckpointError, match="there is no ONNX model in it"):
        load_network(read_checkpoint(bad))


def test_files_that_are_no_models(tmp_path: Path) -> None:
    """Missing, empty, something else, of two inputs, and too large: one line each."""
    path = tmp_path / "net.onnx"
    with pytest.raises(ForeignError, match="no such file"):
        take_in(path, "ddcolor")
    for content in (b"", b"\x80\x04pickled", b"\x0a\xff\xff\xff\xff"):
        path.write_bytes(content)
        with pytest.raises(ForeignError, match="not an ONNX model"):
            take_in(path, "ddcolor")
    os.truncate(path, 3 << 30)  # holds nothing on disk
    with pytest.raises(ForeignError, match="larger than 2 GiB"):
        take_in(path, "ddcolor")
    path.unlink()
    model = _model([helper.make_node("Add", ["input", "mask"], ["output"])])
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1]))
    onnx.save(model, path)
    with pytest.raises(ForeignError, match="takes input, mask"):
        take_in(path, "ddcolor")
    model = _model([helper.make_node("Slice", ["input", "zero", "two", "one"], ["output"])])
    for name, value in (("zero", 0), ("two", 2), ("one", 1)):
        model.graph.initializer.append(numpy_helper.from_array(np.array([value]), name))
    for sides, said in (
        ([1, 3, 65536, 65536], "sides from 32 to 2048 are taken"),
        ([999, 3, 64, 64], "fixed to 999 pictures at once"),
        ([1, 3, 64], "takes 3 axes"),
    ):
        del model.graph.input[0].type.tensor_type.shape.dim[:]
        for side in sides:
            model.graph.input[0].type.tensor_type.shape.dim.add(dim_value=side)
        model.graph.output[0].type.tensor_type.ClearField("shape")
        onnx.save(model, path)
        with pytest.raises(ForeignError, match=said):
            take_in(path, "ddcolor")


@pytest.mark.parametrize(
    ("outputs", "nodes", "said"),
    [
        ([], [helper.make_node("Relu", ["input"], ["output"])], "gives nothing"),
        (
            [helper.make_tensor_value_info("output", TensorProto.STRING, None)],
            [helper.make_node("Cast", ["input"], ["output"], to=TensorProto.STRING)],
            "gives no numbers",
        ),
        (
            [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
            [
                helper.make_node("Resize", ["input", "", "scales"], ["large"]),
                helper.make_node("Slice", ["large", "first", "last", "axis"], ["output"]),
            ],
            "gives 64 × 2560 for 64 × 64; sides up to 2048",
        ),
        (
            [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
            [helper.make_node("Identity", ["constant"], ["output"])],
            "the same whatever picture",
        ),
    ],
    ids=["nothing", "words", "large", "constant"],
)
def test_what_gives_no_picture_of_what_it_was_given(
    tmp_path: Path, outputs: list[onnx.ValueInfoProto], nodes: list[onnx.NodeProto], said: str
) -> None:
    """No output, one of words, one far too large, and one that looks at nothing: a line each."""
    noise = np.random.default_rng(0).normal(0, 20, (1, 2, 64, 64)).astype(np.float32)
    numbers = {
        "scales": np.array([1, 1, 1, 40], np.float32),
        "first": np.array([0]),
        "last": np.array([2]),
        "axis": np.array([1]),
        "constant": noise,
    }
    used = {name for node in nodes for name in node.input}
    model = _model(
        nodes,
        initializer=[numpy_helper.from_array(v, k) for k, v in numbers.items() if k in used],
    )
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    with pytest.raises(ForeignError, match=said):
        take_in(path, "ddcolor")


def test_a_loop_without_an_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first pass has a limit; the file is refused, the process goes on."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Identity", ["x"], ["y"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 64, 64]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 64, 64]),
        ],
    )
    nodes = [
        helper.make_node("Slice", ["input", "zero", "two", "one"], ["start"]),
        helper.make_node("Loop", ["most", "yes", "start"], ["output"], body=body),
    ]
    constants = {
        "zero": np.array([0]),
        "two": np.array([2]),
        "one": np.array([1]),
        "yes": np.array(True),
        "most": np.array(2**62),
    }
    made = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    path = tmp_path / "net.onnx"
    onnx.save(_model(nodes, initializer=made), path)
    monkeypatch.setattr(onnx_import, "FIRST_PASS_S", 0.5)
    with pytest.raises(ForeignError, match="ONNX Runtime failed"):
        take_in(path, "ddcolor")


def test_without_the_extra_the_remedy_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither adding nor loading ends in an ImportError."""
    path = export(SmallDDColor(), tmp_path / "net.onnx")
    checkpoint = take_in(path, "ddcolor")
    for module in ("onnxruntime", "onnx"):
        with monkeypatch.context() as without:
            without.setitem(sys.modules, module, None)
            with pytest.raises(MissingRuntime, match=r"pip install 'autochrome\[onnx\]'"):
                take_in(path, "ddcolor")
            with pytest.raises(CheckpointError, match=r"pip install 'autochrome\[onnx\]'"):
                load_network(checkpoint)


def test_a_failing_runtime_costs_one_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass that fails is tried in halves; the picture at fault gets its fault."""
    path = export(SmallDDColor(), tmp_path / "net.onnx", is_open=True)
    read = load_profile("ddcolor")
    checkpoint = take_in(path, replace(read, input=replace(read.input, px=64)))
    real = session_module.Session.run

    def run(
        self: session_module.Session, numbers: np.ndarray, *args: object, **kw: object
    ) -> object:
        if (numbers > 0.99).all(axis=(1, 2, 3)).any():
            raise NetworkFault("no room")
        return real(self, numbers, *args, **kw)  # type: ignore[arg-type]

    monkeypatch.setattr(session_module.Session, "run", run)
    planes = [*ramps(3), np.full((64, 64), 100, np.float32)]
    found = Colorizer(checkpoint, device="cpu", minibatch=4).predict(planes)
    assert [isinstance(one, ChromaMap) for one in found] == [True, True, True, False]
    assert isinstance(found[3], NetworkFault)


def test_infinity_is_no_colour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clamped, it would be a vivid green: it is a fault."""
    checkpoint = take_in(export(SmallDDColor(), tmp_path / "net.onnx"), "ddcolor")
    network = load_network(checkpoint)
    assert isinstance(network, network_module.ForeignNetwork)
    given = network.outputs
    monkeypatch.setattr(network, "outputs", lambda plane: (given(plane)[0] * torch.inf, None))
    assert network(torch.full((1, 1, 64, 64), 30.0)).chroma.isnan().all()


def test_profiles(tmp_path: Path) -> None:
    """Those that come with us are read and written alike; a wrong one is named with its fault."""
    assert known_profiles() == ["ddcolor", "deoldify", "deoldify-255", "zhang"]
    mine = tmp_path / "mine.toml"
    for name in known_profiles():
        read = load_profile(name)
        mine.write_text(to_toml(replace(read, title='A "so\tcalled" one \\')), encoding="utf-8")
        assert load_profile(str(mine)) == replace(read, title='A "so\tcalled" one \\')
    with pytest.raises(ProfileError, match="there are ddcolor, deoldify, deoldify-255, zhang"):
        load_profile("deoldfy")
    start = 'title = "x"\n[input]\ncolours = "rgb"\n'
    for text, said in (
        ("title = 3 4", "not a profile"),
        ("[input]\n", "title"),
        (start, "output"),
        (start + '[output]\ncolours = "hsv"', "hsv"),
        (start + 'px = 9000\n[output]\ncolours = "ab"', "9000"),
        (start + 'mean = [1.0, 2.0]\n[output]\ncolours = "ab"', "2 numbers for 3 channels"),
        (start + 'std = [0.0]\n[output]\ncolours = "ab"', "must not be 0"),
        (start + 'colour = 3\n[output]\ncolours = "ab"', "colour"),
        (start + '[output]\ncolours = "ab"\n[confidence]\nsource = "luck"', "luck"),
        (start + '[output]\ncolours = "ab"\n[other]\n', "other"),
    ):
        mine.write_text(text, encoding="utf-8")
        with pytest.raises(ProfileError, match=said):
            load_profile(str(mine))

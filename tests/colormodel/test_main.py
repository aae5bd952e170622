"""``python -m colormodel``, as a person calls it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pyvips
import tifffile
import torch
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from colormodel.__main__ import app
from colormodel.checkpoint import DEFAULT_CHECKPOINT, Card, read_checkpoint, save_checkpoint
from colormodel.networks import NetworkConfig, build_network
from colormodel.peers import TOGETHER_EVERY_STEPS
from tests.colormodel.photographs import make_scene, write_photos


def call(*arguments: object, code: int = 0) -> Result:
    """Run the command in this process, where torch is loaded already, and check its exit code."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == code, done.output
    return done


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a small U-Net with random weights."""
    torch.manual_seed(0)
    config = NetworkConfig(name="unet", network_px=64, width=16, chroma_gain=5)
    path = tmp_path_factory.mktemp("checkpoint") / "unet.safetensors"
    return save_checkpoint(path, build_network(config), card=Card("unet", "0")).path


@pytest.fixture
def scans(tmp_path: Path) -> list[Path]:
    """A JPEG of 8 bits and a TIFF of 16."""
    grey = make_scene(0, height=96, width=130).mean(axis=2)
    Image.fromarray(grey.astype(np.uint8)).save(tmp_path / "one.jpg")
    tifffile.imwrite(tmp_path / "two.tif", (grey * 257).astype(np.uint16))
    return [tmp_path / "one.jpg", tmp_path / "two.tif"]


def test_help_does_not_load_torch() -> None:
    """The list of commands appears at once."""
    script = (
        "import runpy, sys\n"
        "sys.argv = ['colormodel', '--help']\n"
        "try: runpy.run_module('colormodel', run_name='__main__')\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 False"
    for command in ("colorize", "train", "evaluate", "strip"):
        assert command in done.stdout


def test_colorize_keeps_size_name_and_depth(tmp_path: Path, unet: Path, scans: list[Path]) -> None:
    """PNG of 8 and 16 bits, in colour; their paths and confidence on stdout, nothing else."""
    done = call("colorize", *scans, "--out", tmp_path / "out", "--checkpoint", unet)
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [Path(path).name for path, _ in lines] == ["one.png", "two.png"]
    assert all(0 <= float(score) <= 1 for _, score in lines)
    for (path, _), kind in zip(lines, (np.uint8, np.uint16), strict=True):
        codes = pyvips.Image.new_from_file(path).numpy()
        assert codes.shape == (96, 130, 3)
        assert codes.dtype == kind
        assert np.ptp(codes.astype(float), axis=2).max() > np.iinfo(kind).max / 50


def test_hints_change_the_colours(tmp_path: Path, unet: Path, scans: list[Path]) -> None:
    """A file of hints is read and counts; a malformed one is one line and exit code 2."""
    hints = tmp_path / "hints.json"
    hints.write_text(json.dumps([{"x": 0.5, "y": 0.5, "rgb": [255, 0, 0]}]))
    call("colorize", scans[0], "--out", tmp_path / "plain", "--checkpoint", unet)
    call("colorize", scans[0], "--out", tmp_path / "hinted", "--checkpoint", unet, "--hints", hints)
    assert (tmp_path / "plain/one.png").read_bytes() != (tmp_path / "hinted/one.png").read_bytes()
    hints.write_text('[{"x": 2, "y": 0.5, "rgb": [255, 0, 0]}]')
    arguments = ("colorize", scans[0], "--out", tmp_path, "--checkpoint", unet, "--hints", hints)
    done = call(*arguments, code=2)
    assert "hint 1" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_file_that_cannot_be_read_does_not_stop_the_others(
    tmp_path: Path, unet: Path, scans: list[Path]
) -> None:
    """It is named on stderr, the rest is done, and the exit code is 1."""
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    out = tmp_path / "out"
    done = call("colorize", broken, *scans, "--out", out, "--checkpoint", unet, code=1)
    assert done.stderr.startswith(f"error: {broken}: not read")
    assert sorted(path.name for path in out.iterdir()) == ["one.png", "two.png"]


def test_two_files_of_one_name_are_refused(tmp_path: Path, unet: Path, scans: list[Path]) -> None:
    """Neither would silently cover the other."""
    twin = tmp_path / "one.png"
    twin.write_bytes(scans[0].read_bytes())
    out = tmp_path / "out"
    done = call("colorize", scans[0], twin, "--out", out, "--checkpoint", unet, code=2)
    assert "would both become one.png" in done.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("colorize", "x.jpg", "--out", "o", "--checkpoint", "none.safetensors"), "no such"),
        (("colorize", "x.jpg", "--out", "o", "--device", "cuda:99"), "cuda:99 is not there"),
        (("strip", "x.jpg", "--out", "o.jpg", "--checkpoint", "none.safetensors"), "no such"),
        (("evaluate", "--photos", "nowhere"), "nowhere: no photographs"),
        (("train", "none.toml", "--out", "o"), "no such recipe"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_code_2(
    tmp_path: Path, unet: Path, arguments: tuple[str, ...], message: str
) -> None:
    """What, and what to do; never a traceback."""
    if arguments[0] == "evaluate" or "--device" in arguments:
        arguments = (*arguments, "--checkpoint", str(unet))
    done = call(*arguments, code=2)
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


def test_evaluate_writes_table_figures_and_plot(tmp_path: Path, unet: Path) -> None:
    """Markdown, JSON and SVG from one command; the table goes to stdout when no file is named."""
    write_photos(tmp_path / "photos", 4, split="val")
    written = {kind: tmp_path / f"table.{kind}" for kind in ("json", "markdown", "plot")}
    options = [part for kind, path in written.items() for part in (f"--{kind}", path)]
    common = ("evaluate", "--photos", tmp_path / "photos", "--checkpoint", unet, "--hints", 3)
    done = call(*common, "--film", *options)
    assert done.stdout == ""
    (summary,) = json.loads(written["json"].read_text())
    rows = {(row["row"], row["input"]) for row in summary["table"]}
    names = ("left grey", "unet", "unet with 3 hints")
    assert rows == {(name, kind) for name in names for kind in ("plain", "film")}
    assert "| film | unet with 3 hints |" in written["markdown"].read_text()
    assert written["plot"].read_text().startswith("<svg")
    done = call(*common, "--limit", 2)
    assert "| plain | unet |" in done.stdout


def test_strip_lays_out_pairs_and_keeps_to_its_size(
    tmp_path: Path, unet: Path, scans: list[Path]
) -> None:
    """Two pairs a row, grey on the left of colour, the JPEG no larger than allowed."""
    out = tmp_path / "strip.jpg"
    done = call(
        "strip", *scans, scans[0], "--out", out, "--checkpoint", unet, "--scans", 2, "--most-kb", 60
    )
    assert done.stdout.strip() == str(out)
    assert out.stat().st_size <= 60_000
    sheet = np.asarray(Image.open(out).convert("RGB")).astype(int)
    assert sheet.shape[1] == 1200
    saturation = np.ptp(sheet, axis=2)
    top = slice(20, sheet.shape[0] // 2 - 20)
    quarters = [saturation[top, left + 20 : left + 260].mean() for left in (0, 300, 600, 900)]
    assert max(quarters[0], quarters[2]) < 2
    assert min(quarters[1], quarters[3]) > 5


def test_strip_lays_networks_side_by_side(tmp_path: Path, unet: Path, scans: list[Path]) -> None:
    """Grey, then a column for each network in the order that was asked for."""
    out = tmp_path / "strip.png"
    networks = ("--checkpoint", unet, "--checkpoint", DEFAULT_CHECKPOINT)
    call("strip", scans[0], "--out", out, *networks, "--scans", 1, "--width", 900)
    sheet = np.asarray(Image.open(out).convert("RGB")).astype(int)
    grey, first, second = (sheet[:, left + 10 : left + 280] for left in (0, 300, 600))
    assert np.ptp(grey, axis=2).mean() < 2
    assert min(np.ptp(first, axis=2).mean(), np.ptp(second, axis=2).mean()) > 2
    assert np.abs(first - second).mean() > 1


def test_train_stops_resumes_and_can_be_looked_at(tmp_path: Path, scans: list[Path]) -> None:
    """A few steps of a tiny recipe, overridden from the command line, then a few more."""
    write_photos(tmp_path / "photos", 4)
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(
        f'name = "tiny"\nversion = "1"\nphotos = "{tmp_path / "photos"}"\nsteps = 500\n'
        '[network]\nname = "article"\nnetwork_px = 64\n[data]\ncrop_px = 32\nminibatch = 2\n'
    )
    out = tmp_path / "out"
    common = ("train", recipe, "--out", out, "--set", "data.minibatch=4", "--look", scans[0])
    done = call(*common, "--set", "steps=3")
    assert done.stdout.strip() == str(out / "checkpoint.safetensors")
    assert Image.open(out / "look.jpg").width == 1200
    assert len((out / "progress.csv").read_text().splitlines()) == 2  # heading, and the end
    assert not (out / "metrics.md").exists()  # nothing is kept aside
    write_photos(tmp_path / "photos", 4, split="val", first=50)
    call(*common, "--set", "steps=3")
    assert "| tiny |" in (out / "metrics.md").read_text(encoding="utf-8")
    done = call("train", recipe, "--out", tmp_path / "none", "--look", tmp_path / "no.jpg", code=2)
    assert "no such file" in done.stderr
    assert not (tmp_path / "none").exists()  # before anything is trained
    done = call("train", recipe, "--out", out, "--set", "data.bach=4", code=2)
    assert "--set data.bach=4" in done.stderr
    done = call("train", recipe, "--out", out, "--set", "steps=3", code=2)
    assert "another recipe" in done.stderr


def test_processes_train_one_network_by_the_clock(tmp_path: Path) -> None:
    """Two meet, take means, end together after the minutes, and leave one checkpoint."""
    write_photos(tmp_path / "photos", 4)
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(
        f'name = "tiny"\nversion = "1"\nphotos = "{tmp_path / "photos"}"\nsteps = 3\n'
        'save_every_s = 0.5\n[network]\nname = "article"\nnetwork_px = 64\n'
        "[data]\ncrop_px = 32\nminibatch = 2\n"
    )
    out = tmp_path / "out"
    command = ["train", recipe, "--out", out, "--processes", "2", "--minutes", "0.05"]
    done = subprocess.run(
        [sys.executable, "-m", "colormodel", *map(str, command)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(out / "checkpoint.safetensors")
    training = read_checkpoint(out / "checkpoint.safetensors").card.training
    steps, squares = int(training.split()[0]), int(training.split()[3])
    assert steps > 3
    assert steps % TOGETHER_EVERY_STEPS == 0
    assert squares == 4  # of both
    assert not list(out.glob(".meet-*"))
    lines = (out / "progress.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "step,share,loss,rate,pictures_per_s"
    assert len(lines) > 1

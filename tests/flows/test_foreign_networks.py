"""A network made elsewhere in service: added, promoted, a night under it, rolled back, written."""

import json
from pathlib import Path

import numpy as np
import pytest
import pyvips
from typer.testing import CliRunner

from colormodel.checkpoint import DEFAULT_CHECKPOINT
from colormodel.networks.foreign import load_profile, to_toml
from flows.cli.app import app, main
from tasks.ledger.opening import open_ledger
from tasks.settings import Settings
from tests.onnxfiles import Broken, SmallDDColor, SmallDeOldify, export
from tests.workers import items_of

TERMS = ("--terms", "the small authors", "--licence", "CC0-1.0")


@pytest.fixture
def place(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Where commands work, on one thread."""
    monkeypatch.setenv("AUTOCHROME_DEVICE", "cpu")
    monkeypatch.setenv("AUTOCHROME_THREADS", "1")
    return ("--out", str(tmp_path / "colour"), "--db", sqlite_url)


def run_cli(*arguments: object) -> str:
    """Run a command that must go well; what it prints."""
    result = CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def add(file: Path, place: tuple[str, ...], *words: str) -> dict[str, object]:
    """Add a network; the row that was registered."""
    row: dict[str, object] = json.loads(
        run_cli("models", "add", file, *TERMS, *place, "--json", *words)
    )
    return row


def test_a_night_under_a_network_made_elsewhere(
    archive: Path,
    tmp_path: Path,
    sqlite_url: str,
    place: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is a champion like any other: recipe, provenance, tone gate, rolled back."""
    run_cli("promote", DEFAULT_CHECKPOINT, "--why", "came first", *place)
    before = json.loads(run_cli("models", "--db", sqlite_url, "--json"))
    file = export(SmallDDColor(), tmp_path / "net.onnx")
    words = ("--profile", "ddcolor", "--name", "Small DDColor", "--version", "7")
    row = add(file, place, *words)
    assert row["name"] == "Small DDColor"
    assert row["card"]["terms"] == "the small authors; CC0-1.0"  # type: ignore[index]
    assert add(file, place, *words)["id"] == row["id"]
    digest = str(row["digest"])
    assert (tmp_path / "colour" / "checkpoints" / f"{digest}.safetensors").is_file()
    run_cli("promote", digest[:12], "--why", "tried on our scans", *place)
    monkeypatch.setenv("AUTOCHROME_PUBLISH_DIRECTLY", "true")
    monkeypatch.setenv("AUTOCHROME_REVIEW_BELOW_CONFIDENCE", "0.05")
    run_cli("run", archive, *place)
    with open_ledger(Settings(database_url=sqlite_url)) as ledger:
        items = items_of(ledger).values()
    assert {item.status for item in items} == {"published"}
    assert len(items) == 6
    masters = list((tmp_path / "colour").glob("*/master/**/*.*"))
    assert len(masters) == 6
    for path in masters:
        content = path.read_bytes()
        assert b"Autochrome, network Small DDColor 7" in content
        assert f"checkpoint sha256:{digest}".encode() in content
        picture = pyvips.Image.new_from_file(str(path)).colourspace("lab").numpy()
        # Its b* is 30 - 20 grey: everything is yellow, most of all the darks that can be.
        assert picture[..., 2].mean() > 8
    run_cli("rollback", "--why", "too yellow", "--db", sqlite_url)
    after = json.loads(run_cli("models", "--db", sqlite_url, "--json"))
    assert after["champion"] == before["champion"] != digest
    recipes = {one["digest"]: one["recipes"] for one in after["checkpoints"]}
    assert len(recipes[digest]) == 1


def test_without_confidence_all_is_reviewed(
    archive: Path,
    tmp_path: Path,
    sqlite_url: str,
    place: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the settings would publish."""
    mine = tmp_path / "mine.toml"
    mine.write_text(
        to_toml(load_profile("deoldify")).replace('source = "agreement"', 'source = "none"'),
        encoding="utf-8",
    )
    file = export(SmallDeOldify(), tmp_path / "net.onnx", minibatch=8)
    digest = str(add(file, place, "--profile", str(mine))["digest"])
    run_cli("promote", digest, "--why", "tried", *place)
    monkeypatch.setenv("AUTOCHROME_PUBLISH_DIRECTLY", "true")
    monkeypatch.setenv("AUTOCHROME_REVIEW_BELOW_CONFIDENCE", "0")
    run_cli("run", archive, *place)
    with open_ledger(Settings(database_url=sqlite_url)) as ledger:
        found = {(item.status, item.reason) for item in items_of(ledger).values()}
    assert found == {("review", "low_confidence")}
    # The weekly training has nothing to train, and says so.
    told = CliRunner().invoke(app, ["finetune", *place])
    assert told.exit_code == 0
    assert "was made elsewhere and is not trained here" in " ".join(told.output.split())


def test_what_is_written_is_what_was_taken_in(
    tmp_path: Path, sqlite_url: str, place: tuple[str, ...]
) -> None:
    """By digest, as champion, from a file; a profile beside it is found without being named."""
    file = export(SmallDDColor(), tmp_path / "net.onnx")
    digest = str(add(file, place, "--profile", "ddcolor")["digest"])
    run_cli("promote", digest, "--why", "tried", *place)
    stored = tmp_path / "colour" / "checkpoints" / f"{digest}.safetensors"
    for number, named in enumerate((digest[:8], "champion", stored)):
        out = tmp_path / f"out{number}.onnx"
        assert run_cli("models", "export", named, out, *place).split() == [
            str(out),
            str(out.with_suffix(".toml")),
        ]
        assert out.read_bytes() == file.read_bytes()
    again = add(tmp_path / "out0.onnx", place)
    assert again["digest"] == digest


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("models", "add", "{wrong}", "--profile", "ddcolor", *TERMS), "name another profile"),
        (("models", "add", "{wrong}", *TERMS), "there are ddcolor, deoldify"),
        (("models", "add", "{missing}", "--profile", "ddcolor", *TERMS), "no such file"),
        (
            ("models", "add", "{wrong}", "--profile", "ddcolor", "--terms", " ", "--licence", "x"),
            "whose the weights are",
        ),
        (("models", "export", "c0ffee", "{out}"), "no registered checkpoint begins"),
        (("models", "export", "{wrong}.safetensors", "{out}"), "no such checkpoint"),
    ],
)
def test_what_cannot_be_is_one_line(
    tmp_path: Path,
    place: tuple[str, ...],
    words: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A remedy, an exit code, nothing registered and nothing stored."""
    paths = {
        "wrong": export(Broken("no colour"), tmp_path / "wrong.onnx"),
        "missing": tmp_path / "missing.onnx",
        "out": tmp_path / "out.onnx",
    }
    filled = [word.format(**paths) for word in words]
    monkeypatch.setattr("sys.argv", ["autochrome", *filled, *place])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in {1, 2}
    told = capsys.readouterr()
    assert said in " ".join(told.err.split())
    assert "Traceback" not in told.err
    assert not list((tmp_path / "colour").rglob("*.safetensors"))
    assert not paths["out"].exists()


def test_terms_are_asked_for(tmp_path: Path, place: tuple[str, ...]) -> None:
    """Whose the weights are, and under which licence, is no detail."""
    result = CliRunner().invoke(app, ["models", "add", "x.onnx", "--profile", "ddcolor", *place])
    assert result.exit_code == 2
    assert "--terms" in result.stderr or "--licence" in result.stderr


def test_same_scan_same_colours_in_any_batch(
    archive: Path, tmp_path: Path, place: tuple[str, ...]
) -> None:
    """A copy of a scan, coloured among others of its size, is coloured alike."""
    for copy in range(3):
        (archive / f"copy {copy}.jpg").write_bytes((archive / "0.jpg").read_bytes())
    file = export(SmallDDColor(), tmp_path / "net.onnx", minibatch=8)
    digest = str(add(file, place, "--profile", "ddcolor")["digest"])
    run_cli("promote", digest, "--why", "tried", *place)
    run_cli("run", archive, *place)
    pictures = [
        pyvips.Image.new_from_file(str(path)).numpy()
        for path in (tmp_path / "colour").glob("*/master/**/copy*.jp*g")
    ]
    assert len(pictures) == 3
    for other in pictures[1:]:
        np.testing.assert_allclose(pictures[0].astype(int), other.astype(int), atol=1)

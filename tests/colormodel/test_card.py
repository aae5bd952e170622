"""``python -m colormodel card``: the terms and limits of a checkpoint, for people and programs."""

import json
from pathlib import Path

from typer.testing import CliRunner

from colormodel.__main__ import app
from colormodel.checkpoint import DEFAULT_CHECKPOINT, read_checkpoint


def test_the_bundled_card_names_data_terms_and_limits() -> None:
    """Whoever publishes with it can know what it was trained on."""
    result = CliRunner().invoke(app, ["card"])
    checkpoint = read_checkpoint(DEFAULT_CHECKPOINT)
    assert result.exit_code == 0
    for data in checkpoint.card.data:
        assert data.source in result.stdout
        assert data.licence in result.stdout
    assert checkpoint.card.data
    assert checkpoint.card.limitations
    assert checkpoint.digest in result.stdout


def test_the_card_as_json() -> None:
    """The same for programs."""
    result = CliRunner().invoke(app, ["card", "--json"])
    assert json.loads(result.stdout)["digest"] == read_checkpoint(DEFAULT_CHECKPOINT).digest


def test_a_file_without_card_is_one_line(tmp_path: Path) -> None:
    """No traceback."""
    path = tmp_path / "x.safetensors"
    path.write_text("no")
    result = CliRunner().invoke(app, ["card", "--checkpoint", str(path)])
    assert result.exit_code == 2
    assert "x.safetensors" in result.stderr

"""`autochrome doctor`: lines, JSON, exit codes; Prefect's server."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from tests.workers import MakeSettings


def doctor(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("PREFECT_API")}
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", "doctor", *words],
        check=False,
        capture_output=True,
        text=True,
        env=kept | variables,
    )


def doctor_here(*words: str) -> tuple[int, str]:
    """Run it in this process: exit code, stdout."""
    result = CliRunner().invoke(app, ["doctor", *words])
    return result.exit_code, result.stdout


def test_lines_and_exit_codes(make_settings: MakeSettings, tmp_path: Path) -> None:
    """0 where all is well, 3 where something should be looked at, 1 where a run would stop."""
    settings = make_settings()
    url = settings.database_url.get_secret_value()
    stores = (settings.sources[0], "--out", settings.output, "--device", "cpu")
    well = doctor(*stores, "--db", url)
    assert (well.returncode, well.stderr) == (0, "")
    assert {line.split()[0] for line in well.stdout.splitlines()} == {"ok"}
    code, told = doctor_here(*stores, "--db", f"sqlite:///{tmp_path / 'new.db'}")
    assert code == 3
    assert "\nwarning  database " in told
    sick = (str(tmp_path / "no"), "--out", settings.output, "--db", url, "--json")
    code, told = doctor_here(*sick)
    assert code == 1
    states = {one["subject"]: one["state"] for one in json.loads(told)}
    assert (states["source"], states["database"]) == ("problem", "ok")


def test_settings_that_cannot_be_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Are a line like others."""
    monkeypatch.setenv("AUTOCHROME_LEASE_S", "soon")
    code, told = doctor_here()
    assert code == 1
    assert told.startswith("problem  settings   setting lease_s")


@pytest.mark.timeout(400)
def test_prefects_server(prefect_api: None) -> None:
    """One that answers without deployments, and one that does not answer."""
    (found,) = [one for one in json.loads(doctor_here("--json")[1]) if one["subject"] == "prefect"]
    assert found["state"] == "warning"
    assert "autochrome deploy" in found["detail"]
    away = doctor("--json", PREFECT_API_URL="http://127.0.0.1:1/api")
    (found,) = [one for one in json.loads(away.stdout) if one["subject"] == "prefect"]
    assert found["state"] == "problem"
    assert "does not answer" in found["detail"]

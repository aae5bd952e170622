"""`autochrome doctor`: lines, JSON, exit codes; Prefect's server."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_lines_and_exit_codes(make_settings: MakeSettings, tmp_path: Path) -> None:
    """0 where all is well, 3 where something should be looked at, 1 where a run would stop."""
    settings = make_settings()
    url = settings.database_url.get_secret_value()
    stores = (settings.sources[0], "--out", settings.output, "--device", "cpu")
    well = doctor(*stores, "--db", url)
    assert (well.returncode, well.stderr) == (0, "")
    assert {line.split()[0] for line in well.stdout.splitlines()} == {"ok"}
    new = doctor(*stores, "--db", f"sqlite:///{tmp_path / 'new.db'}")
    assert new.returncode == 3
    assert "\nwarning  database " in new.stdout
    sick = doctor(str(tmp_path / "no"), "--out", settings.output, "--db", url, "--json")
    assert sick.returncode == 1
    states = {one["subject"]: one["state"] for one in json.loads(sick.stdout)}
    assert (states["source"], states["database"]) == ("problem", "ok")


def test_settings_that_cannot_be_meant() -> None:
    """Are a line like others."""
    done = doctor(AUTOCHROME_LEASE_S="soon")
    assert done.returncode == 1
    assert done.stdout.startswith("problem  settings   setting lease_s")


@pytest.mark.timeout(400)
def test_prefects_server(prefect_api: None) -> None:
    """One that answers without deployments, one behind a password, one that does not answer."""
    url = os.environ.get("PREFECT_API_URL") or _current_url()
    there = doctor("--json", PREFECT_API_URL=url)
    (found,) = [one for one in json.loads(there.stdout) if one["subject"] == "prefect"]
    assert found["state"] == "warning"
    assert "autochrome deploy" in found["detail"]
    away = doctor("--json", PREFECT_API_URL="http://127.0.0.1:1/api")
    (found,) = [one for one in json.loads(away.stdout) if one["subject"] == "prefect"]
    assert found["state"] == "problem"
    assert "does not answer" in found["detail"]


def _current_url() -> str:
    from prefect.settings import get_current_settings  # noqa: PLC0415  2 s, only where asked

    return str(get_current_settings().api.url)

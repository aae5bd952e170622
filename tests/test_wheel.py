"""The built wheel works where the repository is not."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.scanfiles import codes_of, photograph, write_jpeg

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_wheel_colourizes_from_an_empty_folder(tmp_path: Path) -> None:
    """Migrations, page templates and the bundled checkpoint are in it."""
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--no-deps",
            "--wheel-dir",
            str(tmp_path),
            str(ROOT),
        ],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("autochrome-*.whl")
    site, work = tmp_path / "site", tmp_path / "work"
    zipfile.ZipFile(wheel).extractall(site)
    (work / "scans").mkdir(parents=True)
    write_jpeg(work / "scans" / "a.jpg", codes_of(photograph()))
    environment = os.environ | {"PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"}
    told = subprocess.run(
        [sys.executable, "-m", "flows.cli", "run", "scans", "--out", "colour", "--json"],
        cwd=work,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert json.loads(told.stdout)["items"] == {"review": 1}
    where = subprocess.run(
        [sys.executable, "-c", "import tasks; print(tasks.__file__)"],
        cwd=work,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert where.stdout.startswith(str(site))
    shown = subprocess.run(
        [
            sys.executable,
            "-c",
            (
                "from flows.desk.pages import environment; from flows.desk.static import asset; "
                "environment().get_template('review.html.j2'); print(asset('review.js'))"
            ),
        ],
        cwd=work,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert shown.stdout.startswith("/static/")

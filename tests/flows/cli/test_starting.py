"""How a process starts: what a command does not need is not loaded, and nothing waits in line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scanfiles import codes_of, photograph, write_jpeg

ROOT = Path(__file__).parents[3]


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run *code* in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def run_python(code: str, *arguments: str) -> str:
    """Run *code*, which must end well; what it said on stderr."""
    done = python(code, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_asking_for_the_status_loads_nothing_large(sqlite_url: str) -> None:
    """Whoever asks how things stand does not wait for what colours pictures."""
    code = """
import sys
from flows.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
large = {"alembic", "boto3", "jinja2", "numpy", "pebble", "prefect", "psycopg", "scipy", "torch"}
unused = {"sqlalchemy.dialects.postgresql", "tasks.audit", "tasks.report", "tasks.review"}
print(*sorted((large | unused) & set(sys.modules)), file=sys.stderr)
"""
    assert run_python(code, "status", "--db", sqlite_url).split() == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["status", "--help"], "Count the items by status"),
        (["-v", "db", "current", "--help"], "Print the revision"),
        (["models", "--help"], "List the checkpoints"),  # in a group without a name
        (["references", "--help"], "withdraw"),
        (["--help"], "colourizes the scanned"),
        (["statsu"], "Did you mean 'status'?"),
    ],
)
def test_every_command_is_found(arguments: list[str], said: str) -> None:
    """In its group, or in none; a word that is none is told its neighbour."""
    done = python("from flows.cli import main; main()", *arguments)
    assert said.lower() in (done.stdout + done.stderr).lower()


def test_help_loads_no_ledger() -> None:
    """Whoever asks how a command is called waits for nothing that the command needs."""
    code = """
import sys
from flows.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(*sorted({"sqlalchemy", "pydantic", "numpy", "prefect"} & set(sys.modules)), file=sys.stderr)
"""
    assert run_python(code, "--help").split() == []


def test_pixel_processes_start_before_torch_is_loaded(tmp_path: Path) -> None:
    """They load their libraries at the same time as their parent loads its own."""
    (tmp_path / "archive").mkdir()
    write_jpeg(tmp_path / "archive" / "a.jpg", codes_of(photograph(96, 128)))
    code = """
import multiprocessing
import os
import sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print("children:", len(multiprocessing.active_children()), file=sys.stderr, flush=True)
            os._exit(0)  # what comes after is of no interest here; the children end with it
sys.meta_path.insert(0, Watch())
from flows.cli import main
main()
"""
    given = ("--out", str(tmp_path / "out"), "--db", f"sqlite:///{tmp_path / 'a.db'}")
    said = run_python(code, "run", str(tmp_path / "archive"), *given)
    children = next(line for line in said.splitlines() if line.startswith("children:"))
    assert int(children.split()[1]) >= 1


def test_a_server_of_a_command_lets_nobody_else_in(tmp_path: Path) -> None:
    """`demo` brings Prefect's server along: no neighbour and no page in a browser may use it."""
    code = """
import sys
from pathlib import Path
from flows.prefect_home import use_local_prefect
use_local_prefect(Path(sys.argv[1]))
import httpx
from prefect import flow
from prefect.server.api.server import SubprocessASGIServer

@flow
def ask():
    (server,) = [one for one in SubprocessASGIServer._instances.values() if one.running]
    url = f"{server.api_url}/flow_runs/count"
    assert httpx.post(url).status_code == 401
    asked = {"Origin": "http://evil.example.org", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in httpx.options(url, headers=asked).headers

ask()
"""
    run_python(code, str(tmp_path))

"""`autochrome run`: folders and S3, SQLite and PostgreSQL, killed and restarted, wrong input."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
import torch
from typer.main import get_group
from typer.testing import CliRunner

from colormodel.checkpoint import Card, read_checkpoint, save_checkpoint
from colormodel.networks import NetworkConfig, build_network
from flows.cli.app import app, main
from flows.cli.running import run_here
from flows.terminal import ExitCode
from tasks.batch.children import PixelPool
from tasks.ledger import Ledger
from tasks.schema import REVISION
from tasks.settings import Settings
from tests.s3server import S3Bucket, settings_for
from tests.scanfiles import codes_of, photograph, write_jpeg
from tests.workers import (
    MakeSettings,
    at_rest,
    attempts_of,
    colourfulness,
    files_under,
    items_of,
)

ROOT = Path(__file__).parents[3]


def run_cli(*arguments: str) -> tuple[int, str, str]:
    """Run a command in this process: exit code, stdout, stderr."""
    result = CliRunner().invoke(app, [*arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def mixed_archive(archive: Path) -> Path:
    """The archive with things in it that are not scans, or not whole."""
    (archive / "notes.pdf").write_text("no picture")
    whole = (archive / "0.jpg").read_bytes()
    (archive / "cut off.jpg").write_bytes(whole[: len(whole) // 2])
    (archive / "empty.tif").write_bytes(b"")
    return archive


def test_a_folder_is_coloured_and_accounted_for(
    mixed_archive: Path,
    make_settings: MakeSettings,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Found = sum over statuses; derivatives have the scan's size, and colour."""
    settings = make_settings()
    assert run_here(settings, as_json=True) is ExitCode.FINISHED_WITH_FAULTS
    data = json.loads(capsys.readouterr().out)
    assert data["scans"] == sum(data["items"].values()) == 9
    assert data["items"] == {"review": 6, "quarantined": 3}
    assert data["reasons"] == {"unsupported_format": 1, "truncated": 2}
    masters = list((tmp_path / "colour").glob("*/master/**/*.*"))
    assert len(masters) == 6
    for path in masters:
        scan = next(p for p in mixed_archive.rglob("*") if path.name.startswith(p.name))
        before, after = pyvips.Image.new_from_file(scan), pyvips.Image.new_from_file(path)
        assert (after.width, after.height, after.bands) == (before.width, before.height, 3)
        assert after.format == before.format
        assert colourfulness(after.colourspace("srgb").numpy()) > 0.5
    report = tmp_path / "colour" / "reports"
    assert {path.name for path in report.rglob("*.*")} == {
        "index.html",
        "report.csv",
        "report.json",
    }


def test_a_second_run_does_nothing_twice(
    make_settings: MakeSettings,
    tmp_path: Path,
    pixels: PixelPool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Derivatives stay as they were, down to their times; no attempt is added."""
    settings = make_settings()
    assert run_here(settings, as_json=True, pixels=pixels) is ExitCode.CLEAN
    written = {p: p.stat().st_mtime_ns for p in (tmp_path / "colour").glob("*/master/**/*.*")}
    assert run_here(settings, as_json=True, pixels=pixels) is ExitCode.CLEAN
    assert {p: p.stat().st_mtime_ns for p in written} == written
    with Ledger.open(settings.database_url.get_secret_value()) as ledger:
        assert {item.attempts for item in items_of(ledger).values()} == {1}
    capsys.readouterr()


def test_a_scan_that_changed_is_coloured_again_beside_the_old_one(
    archive: Path, make_settings: MakeSettings, tmp_path: Path, pixels: PixelPool
) -> None:
    """A new revision gets a derivative of its own; the other scans are left alone."""
    settings = make_settings()
    run_here(settings, as_json=True, pixels=pixels)
    time.sleep(0.01)
    write_jpeg(archive / "0.jpg", codes_of(photograph(96, 128, seed=99)))
    run_here(settings, as_json=True, pixels=pixels)
    masters = sorted(path.name for path in (tmp_path / "colour").glob("*/master/*.*"))
    assert masters == ["0.jpg", "0.jpg.rev-0002.jpg", "1.jpg", "2.jpg"]
    with Ledger.open(settings.database_url.get_secret_value()) as ledger:
        assert items_of(ledger)["0.jpg"].revision == 2


def test_from_s3_to_s3_with_postgresql(
    archive: Path,
    make_settings: MakeSettings,
    s3_bucket: S3Bucket,
    postgresql_url: str,
    pixels: PixelPool,
) -> None:
    """The same, over HTTP and with a server."""
    for name, data in files_under(archive).items():
        s3_bucket.client.put_object(Bucket=s3_bucket.name, Key=f"scans/{name}", Body=data)
    s3 = settings_for(s3_bucket.endpoint).model_dump(exclude_unset=True)
    settings = make_settings(
        **s3,
        sources=(f"{s3_bucket.url}/scans",),
        output=f"{s3_bucket.url}/colour",
        database_url=postgresql_url,
    )
    assert run_here(settings, as_json=True, pixels=pixels) is ExitCode.CLEAN
    listed = s3_bucket.client.list_objects_v2(Bucket=s3_bucket.name, Prefix="colour/")["Contents"]
    kinds = Counter(key.split("/")[2] for key in (o["Key"] for o in listed) if key.count("/") > 2)
    assert kinds["master"] == 6
    with Ledger.open(postgresql_url) as ledger:
        assert dict(ledger.counts().items) == {"review": 6}


@dataclass(frozen=True)
class Worker:
    """A run over many scans in a process of its own, slow enough to be interrupted."""

    archive: Path
    out: Path
    database: str
    checkpoint: Path

    def start(self) -> subprocess.Popen[bytes]:
        """Start it."""
        command = [
            sys.executable, "-m", "flows.cli", "run", str(self.archive), "--out", str(self.out),
            "--db", self.database, "--checkpoint", str(self.checkpoint), "--device", "cpu",
        ]  # fmt: skip
        environment = os.environ | {"AUTOCHROME_MINIBATCH": "2", "AUTOCHROME_THREADS": "1"}
        return subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE)

    def wait_until_written(self, number: int) -> None:
        """Wait until so many derivatives are stored.

        Raises:
            TimeoutError: They are not.
        """
        end = time.monotonic() + 120
        while len(list(self.out.glob("*/master/*.jpg"))) < number:
            if time.monotonic() > end:
                raise TimeoutError("the run does not get on")
            time.sleep(0.05)


@pytest.fixture
def worker(archive: Path, tmp_path: Path, quick_checkpoint: Path) -> Worker:
    """A worker over 40 scans."""
    for number in range(3, 37):
        write_jpeg(archive / f"{number}.jpg", codes_of(photograph(96, 128, seed=number)))
    return Worker(archive, tmp_path / "out", f"sqlite:///{tmp_path}/worker.db", quick_checkpoint)


@pytest.mark.timeout(240)
def test_a_killed_run_that_is_restarted_finishes_each_item_once(
    worker: Worker, make_settings: MakeSettings, pixels: PixelPool
) -> None:
    """SIGKILL amid the work; the next run takes over at once and nothing is lost or doubled."""
    with worker.start() as first:
        worker.wait_until_written(5)
        first.send_signal(signal.SIGKILL)
    with Ledger.open(worker.database) as ledger:
        assert ledger.counts().items.get("claimed", 0) > 0, "killed too late to prove anything"
    settings = make_settings(database_url=worker.database, output=str(worker.out))
    assert run_here(settings, as_json=True, pixels=pixels) is ExitCode.CLEAN
    with Ledger.open(worker.database) as ledger:
        items = items_of(ledger)
        assert Counter(item.status for item in items.values()) == {"review": 40}
        for item in items.values():
            attempts = ledger.get_story(item.uri).items[0].attempts
            assert [attempt.ending for attempt in attempts].count("finished") == 1
    names = Counter(path.stem for path in worker.out.glob("*/master/**/*.*"))
    assert len(names) == 40
    assert set(names.values()) == {1}


@pytest.mark.timeout(240)
def test_a_second_run_joins_in(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so, and does its part; both end when all is done, and nothing is done twice."""
    monkeypatch.setenv("AUTOCHROME_BATCH_ITEMS", "4")
    with worker.start() as first:
        worker.wait_until_written(1)
        with at_rest(first, worker.database):  # or it would be done before the other has begun
            second = worker.start()
            worker.wait_until_written(20)
        _, talk = second.communicate(timeout=200)
        _, other = first.communicate(timeout=200)
    assert (first.returncode, second.returncode) == (0, 0), (other + talk).decode()
    assert b"is in work: this process joins in" in talk
    with Ledger.open(worker.database) as ledger:
        assert dict(ledger.counts().items) == {"review": 40}
        attempts = attempts_of(ledger)
    assert len(attempts) == 40
    assert len({one.worker for one in attempts}) == 2


@pytest.mark.timeout(240)
def test_ctrl_c_gives_back_what_was_not_begun(worker: Worker) -> None:
    """Exit code 1, one line that says so, nothing left claimed."""
    with worker.start() as process:
        worker.wait_until_written(3)
        process.send_signal(signal.SIGINT)
        _, talk = process.communicate(timeout=120)
    assert process.returncode == 1, talk.decode()
    assert b"stopping" in talk
    with Ledger.open(worker.database) as ledger:
        counts = ledger.counts().items
        assert counts.get("claimed", 0) == 0
        assert counts["pending"] > 0
        assert counts["review"] >= 3


# --- wrong input ---------------------------------------------------------------------------------


def one_line(text: str) -> str:
    """The only line of *text*."""
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (["run", "{tmp}/nowhere", "--out", "{tmp}/out"], "nowhere", 2),
        (["run", "ftp://host/scans", "--out", "{tmp}/out"], "ftp", 2),
        (["run", "{tmp}", "--out", "{tmp}/inside"], "inside", 2),
        (["run", "{tmp}", "--out", "/proc/nowhere"], "/proc/nowhere", 1),
        (
            ["run", "{tmp}", "--out", "{out}", "--db", "postgresql://u:hunter2@127.0.0.1:1/x"],
            "127.0.0.1:1",
            1,
        ),
        (["run", "{tmp}", "--out", "{out}", "--db", "mysql://x/y"], "mysql", 2),
        (["run", "{tmp}", "--out", "{out}", "--checkpoint", "{tmp}/notes.txt"], "notes.txt", 1),
        (["run", "{tmp}", "--out", "{out}", "--device", "cuda:7"], "cuda:7", 1),
        (["status", "--db", "sqlite:///{tmp}/none.db"], "none.db", 1),
        (["retry", "--reason", "bad_luck", "--db", "sqlite:///{tmp}/none.db"], "bad_luck", 2),
        (["retry", "--status", "lost", "--db", "sqlite:///{tmp}/none.db"], "lost", 2),
        (["retry"], "which items", 2),
        (["restore", "{tmp}/none.jpg", "{tmp}/x.jpg"], "none.jpg", 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_input_is_one_line_with_a_remedy(
    arguments: list[str],
    words: str,
    code: int,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No traceback, the exit code says whose fault it is, no password shows."""
    (tmp_path / "notes.txt").write_text("not a checkpoint")
    out = tmp_path_factory.mktemp("out")
    given = [argument.format(tmp=tmp_path, out=out) for argument in arguments]
    if "--db" not in given and given[0] == "run":
        given += ["--db", f"sqlite:///{out}/ledger.db"]
    monkeypatch.setattr(sys, "argv", ["autochrome", *given])
    with pytest.raises(SystemExit) as ended:
        main()
    output = capsys.readouterr()
    (said,) = (line for line in output.err.splitlines() if line.startswith("autochrome: "))
    assert "Traceback" not in output.err
    assert words in said
    assert "hunter2" not in said
    assert ended.value.code == code
    assert not output.out


def test_an_unreachable_s3_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The endpoint is named."""
    monkeypatch.setenv("AUTOCHROME_S3_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AUTOCHROME_S3_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AUTOCHROME_S3_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AUTOCHROME_S3_MAX_ATTEMPTS", "1")
    process = subprocess.run(
        [sys.executable, "-m", "flows.cli", "run", "s3://scans", "--out", str(tmp_path / "out"),
         "--db", f"sqlite:///{tmp_path}/a.db"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "127.0.0.1:1" in one_line(process.stderr)
    assert process.returncode == 1


# --- commands that ask the ledger ----------------------------------------------------------------


@pytest.fixture
def done(coloured: Settings) -> tuple[str, str]:
    """A database of scans that were coloured, and the URI of one of them."""
    return coloured.database_url.get_secret_value(), Path(coloured.sources[0], "0.jpg").as_uri()


def test_status_tells_counts_as_json_and_for_people(done: tuple[str, str]) -> None:
    """The form that DESIGN promises."""
    database, _ = done
    code, out, _ = run_cli("status", "--db", database, "--json")
    assert code == 0
    assert json.loads(out) == {"scans": 6, "items": {"review": 6}, "reasons": {}}
    assert "review" in run_cli("status", "--db", database)[1]


def test_item_tells_the_whole_story(done: tuple[str, str]) -> None:
    """Attempts, derivatives and decisions."""
    database, uri = done
    assert run_cli("approve", uri, "--db", database, "--who", "me", "--why", "fine")[0] == 0
    code, out, _ = run_cli("item", uri, "--db", database)
    assert code == 0
    for words in ("published", "attempt 1", "luma splice", "luma identical", "approve by me"):
        assert words in out.replace("\n", " ")
    story = json.loads(run_cli("item", uri, "--db", database, "--json")[1])
    assert story["items"][0]["decisions"][0]["who"] == "me"
    premis = ET.fromstring(run_cli("item", uri, "--db", database, "--premis")[1])  # noqa: S314  our own
    assert premis.tag == "{http://www.loc.gov/premis/v3}premis"
    premis = ET.fromstring(run_cli("report", "--db", database, "--premis")[1])  # noqa: S314  our own
    names = {name.text for name in premis.iter("{http://www.loc.gov/premis/v3}originalName")}
    assert {"0.jpg", "1.jpg", "2.jpg", "box 1/deep.tif", "box 1/flat.tif"} <= names
    assert sum("/master/" in name for name in names) == 6


def test_decisions_move_items_and_a_dry_run_does_not(done: tuple[str, str]) -> None:
    """Review to published, review to rejected."""
    database, uri = done
    assert "6" in run_cli("approve", "--all", "--db", database, "--dry-run")[1]
    assert "6" in run_cli("status", "--db", database, "--json")[1]
    run_cli("reject", uri, "--db", database, "--who", "me", "--why", "green sky")
    run_cli("approve", "--all", "--db", database, "--who", "me")
    counts = json.loads(run_cli("status", "--db", database, "--json")[1])["items"]
    assert counts == {"published": 5, "rejected": 1}


def test_restore_gives_the_scan_back(coloured: Settings, tmp_path: Path) -> None:
    """Byte for byte, and never over a file that is there."""
    (derivative,) = Path(coloured.output).glob("*/master/0.jpg")
    target = tmp_path / "restored.jpg"
    assert run_cli("restore", str(derivative), str(target))[0] == 0
    assert target.read_bytes() == Path(coloured.sources[0], "0.jpg").read_bytes()
    again = CliRunner().invoke(app, ["restore", str(derivative), str(target)])
    assert "exists" in str(again.exception)


def test_report_names_the_last_page(
    coloured: Settings, pixels: PixelPool, capsys: pytest.CaptureFixture[str]
) -> None:
    """A link that can be opened, and JSON."""
    run_here(coloured, as_json=True, pixels=pixels)
    capsys.readouterr()
    out = ["--out", coloured.output, "--db", coloured.database_url.get_secret_value()]
    link = run_cli("report", *out)[1].strip()
    assert Path(link.removeprefix("file://")).is_file()
    assert json.loads(run_cli("report", *out, "--json")[1])["scans"] == 6


def commands_of(
    group: Any,  # noqa: ANN401  typer brings a click of its own
    *before: str,
) -> Iterator[tuple[str, ...]]:
    """The words of each command, those of groups too."""
    for name, command in group.commands.items():
        yield (*before, name)
        yield from commands_of(command, *before, name) if hasattr(command, "commands") else ()


@pytest.mark.parametrize("words", [*commands_of(get_group(app))], ids=" ".join)
def test_every_command_has_help(words: tuple[str, ...]) -> None:
    """With a sentence, and an exit code of 0."""
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0
    assert len(result.stdout) > 200


def test_help_shows_each_command_to_whom_it_serves() -> None:
    """In one of five panels; none is left over for a panel without a name."""
    said = CliRunner().invoke(app, ["--help"]).stdout
    panels = re.findall(r"╭─ (.+?) ─+╮", said)
    assert panels == [
        "Options",
        "To begin with",
        "For whoever runs it",
        "To see what became of scans",
        "For curators",
        "For the model",
    ]


def test_help_shows_defaults() -> None:
    """Those that settings have, too: brackets are not taken for markup."""
    said = CliRunner().invoke(app, ["status", "--help"]).stdout
    assert "[default: sqlite:///autochrome.db]" in " ".join(said.replace("│", " ").split())


def test_version_is_printed() -> None:
    """Alone, as every program does."""
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"autochrome {version('autochrome')}\n")


def test_database_commands(tmp_path: Path) -> None:
    """Upgrade, current, downgrade."""
    database = f"sqlite:///{tmp_path / 'new.db'}"
    assert run_cli("db", "upgrade", "--db", database)[0] == 0
    assert run_cli("db", "current", "--db", database)[1].strip() == REVISION
    assert run_cli("db", "downgrade", "base", "--db", database)[0] == 0
    assert "no ledger" in run_cli("db", "current", "--db", database)[1]


def test_pictures_are_the_same_in_every_run(
    make_settings: MakeSettings, tmp_path: Path, pixels: PixelPool
) -> None:
    """Same input, same output, whatever the batches around it."""
    for name, size in (("a", 1), ("b", 5)):
        settings = make_settings(
            output=str(tmp_path / name),
            minibatch=size,
            database_url=f"sqlite:///{tmp_path}/{name}.db",
        )
        run_here(settings, as_json=True, pixels=pixels)
    for path in (tmp_path / "a").glob("*/master/**/*.*"):
        twin = tmp_path / "b" / path.relative_to(tmp_path / "a")
        one, other = (pyvips.Image.new_from_file(p).numpy().astype(np.int64) for p in (path, twin))
        assert np.abs(one - other).max() <= (1 if one.max() < 256 else 64)


def test_a_promoted_checkpoint_colours_what_comes_next(
    archive: Path,
    make_settings: MakeSettings,
    quick_checkpoint: Path,
    tmp_path: Path,
    pixels: PixelPool,
) -> None:
    """From a file, for every worker; what is done stays as it is; and it can be rolled back."""
    settings = make_settings(checkpoint=None, output=str(tmp_path / "colour"))
    database, out = settings.database_url.get_secret_value(), str(tmp_path / "colour")
    run_here(make_settings(), as_json=True, pixels=pixels)
    promoted = ["promote", str(quick_checkpoint), "--why", "trial", "--who", "me"]
    assert run_cli(*promoted, "--db", database, "--out", out)[0] == 0
    write_jpeg(archive / "new.jpg", codes_of(photograph(96, 128, seed=50)))
    run_here(settings, as_json=True, pixels=pixels)
    told = json.loads(run_cli("models", "--db", database, "--json")[1])
    assert told["champion"] == read_checkpoint(quick_checkpoint).digest
    assert [move["why"] for move in told["history"]] == ["trial"]
    with Ledger.open(database) as ledger:
        items = items_of(ledger)
        assert len(items) == 7
        assert {item.attempts for item in items.values()} == {1}
    stored = Path(out, "checkpoints", f"{told['champion']}.safetensors")
    assert stored.read_bytes() == quick_checkpoint.read_bytes()
    result = CliRunner().invoke(app, ["rollback", "--why", "worse", "--db", database])
    assert "no champion came before" in str(result.exception)


def test_after_a_promotion_only_a_backfill_colours_again(
    make_settings: MakeSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pixels: PixelPool,
) -> None:
    """Beside what there was, which is superseded on publication; each one's recipe is known."""
    monkeypatch.chdir(tmp_path)
    settings = make_settings(checkpoint=None, output=str(tmp_path / "colour"))
    database, out = settings.database_url.get_secret_value(), settings.output
    first, second = (_network(tmp_path / f"{seed}.safetensors", seed=seed) for seed in (1, 2))
    assert run_cli("promote", str(first), "--why", "first", "--db", database, "--out", out)[0] == 0
    run_here(settings, as_json=True, pixels=pixels)
    before = files_under(tmp_path / "colour")
    assert run_cli("promote", str(second), "--why", "won", "--db", database, "--out", out)[0] == 0
    run_here(settings, as_json=True, pixels=pixels)
    with Ledger.open(database) as ledger:
        assert Counter(one.status for one in items_of(ledger).values()) == {"review": 6}

    again = ("backfill", "--all", "--changed-recipe", "--db", database)
    contradicting = CliRunner().invoke(app, [*again, "--mode", "failed"])
    assert "contradict each other" in str(contradicting.exception)
    assert run_cli(*again, "--here", "--out", out)[0] == 0
    known = json.loads(run_cli("models", "--db", database, "--json")[1])["checkpoints"]
    recipes = {one["digest"]: one["recipes"] for one in known}
    of_first, of_second = (recipes[read_checkpoint(path).digest] for path in (first, second))
    new = ("--all", "--recipe", of_second[0])
    assert run_cli("approve", *new, "--why", "better", "--db", database)[0] == 0
    with Ledger.open(database) as ledger:
        for uri in {one.uri for one in items_of(ledger).values()}:
            told = {one.recipe.digest: one.item.status for one in ledger.get_story(uri).items}
            assert told == {of_first[0]: "superseded", of_second[0]: "published"}
    after = files_under(tmp_path / "colour")
    masters = [name for name in before if "/master/" in name]
    assert len(masters) == 6
    assert all(after[name] == before[name] for name in masters)
    assert len([name for name in after if "/master/" in name]) == 12


def _network(path: Path, *, seed: int) -> Path:
    torch.manual_seed(seed)
    network = build_network(NetworkConfig(name="article", network_px=64, width=16))
    return save_checkpoint(path, network, card=Card("quick", str(seed))).path

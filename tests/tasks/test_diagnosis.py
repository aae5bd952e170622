"""What stands in the way of a run is found before it: each with a fault that is really there."""

import shutil
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch
from sqlalchemy import make_url

from tasks import diagnosis
from tasks.checkpoints import register_file
from tasks.diagnosis import Finding, State, diagnose
from tasks.ledger.checkpoints import promote
from tasks.ledger.opening import open_ledger
from tasks.settings import Settings
from tests.databases import Server, at_revision
from tests.s3server import S3Bucket, settings_for
from tests.tasks.storage.places import as_nobody
from tests.workers import MakeSettings


def findings(settings: Settings, subject: str) -> list[Finding]:
    """What is said of one thing."""
    return [one for one in diagnose(settings) if one.subject == subject]


def problem(settings: Settings, subject: str) -> str:
    """The one problem with it, in words."""
    (found,) = [one for one in findings(settings, subject) if one.state is not State.OK]
    assert found.state is State.PROBLEM
    return found.detail


def warning(settings: Settings, subject: str) -> str:
    """The one warning about it, in words."""
    (found,) = [one for one in findings(settings, subject) if one.state is not State.OK]
    assert found.state is State.WARNING
    return found.detail


def test_nothing_is_wrong(
    make_settings: MakeSettings, ledger_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On both databases; each thing is looked at, and no file made in the output.

    How much room the disk of whoever runs the tests has is none of its business.
    """
    monkeypatch.setattr(diagnosis, "_SCARCE_BYTES", 0)
    found = list(diagnose(make_settings(database_url=ledger_url)))
    assert [one for one in found if one.state is not State.OK] == []
    assert {one.subject for one in found} == {
        "versions", "database", "clock", "source", "output", "disk", "device", "processor",
        "checkpoint",
    }  # fmt: skip
    assert not (tmp_path / "colour").exists()


def test_the_database(make_settings: MakeSettings, sqlite_url: str, tmp_path: Path) -> None:
    """Missing, in a missing folder, of an older version, no database at all, out of reach."""
    assert "db upgrade" in warning(
        make_settings(database_url=f"sqlite:///{tmp_path / 'new.db'}"), "database"
    )
    assert not (tmp_path / "new.db").exists()
    nowhere = make_settings(database_url=f"sqlite:///{tmp_path / 'no' / 'new.db'}")
    assert "make the folder" in problem(nowhere, "database")
    for revision, remedy in (("0009", "name a new ledger"), ("9999", "db upgrade")):
        at_revision(sqlite_url, revision)
        said = problem(make_settings(), "database")
        assert f"at {revision}" in said
        assert remedy in said
    (tmp_path / "text.db").write_text("no database, but long enough to be taken for one" * 20)
    broken = make_settings(database_url=f"sqlite:///{tmp_path / 'text.db'}")
    assert "text.db" in problem(broken, "database")
    closed = make_settings(database_url="postgresql://me:secret@127.0.0.1:1/ledger")
    said = problem(closed, "database")
    assert "127.0.0.1:1" in said
    assert "secret" not in said


def test_a_database_that_may_not_be_written_to(
    make_settings: MakeSettings, postgresql_url: str, postgresql_server: Server
) -> None:
    """Its account may read, which a run finds out at its first claim."""
    postgresql_server.execute("CREATE ROLE reader LOGIN IN ROLE pg_read_all_data")
    try:
        address = make_url(postgresql_url).set(username="reader")
        url = address.render_as_string(hide_password=False)
        assert "permission denied" in problem(make_settings(database_url=url), "database")
    finally:
        postgresql_server.execute("DROP ROLE reader")


def test_an_empty_postgresql_database(
    make_settings: MakeSettings, postgresql_empty_url: str
) -> None:
    """Is told from one that is out of reach."""
    said = problem(make_settings(database_url=postgresql_empty_url), "database")
    assert "it holds no ledger" in said


def test_a_database_on_a_network_disk(
    make_settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's locks do not hold there. No network disk can be mounted here: its entry is made."""
    mounted = list(psutil.disk_partitions(all=True))
    entry = mounted[0]._replace(mountpoint=str(tmp_path), fstype="nfs4")
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: [*mounted, entry])
    assert "network disk (nfs4)" in warning(make_settings(), "database")


def test_sources(make_settings: MakeSettings, tmp_path: Path) -> None:
    """Missing, empty, and one that holds the output."""
    assert "no such folder" in problem(make_settings(sources=(str(tmp_path / "no"),)), "source")
    (tmp_path / "empty").mkdir()
    empty = make_settings(sources=(str(tmp_path / "empty"),))
    assert "mounted" in warning(empty, "source")
    around = make_settings(sources=(str(tmp_path),))
    assert "lies in the source" in problem(around, "source")


def test_a_source_that_may_be_listed_and_not_read(
    make_settings: MakeSettings, shared_path: Path
) -> None:
    """One scan is tried."""
    (shared_path / "a.jpg").write_bytes(b"scan")
    (shared_path / "a.jpg").chmod(0)
    settings = make_settings(sources=(str(shared_path),))
    with as_nobody():
        said = next(one for one in diagnose(settings) if one.subject == "source")
    assert said.state is State.PROBLEM
    assert "a.jpg" in said.detail


def test_an_output_that_cannot_be_written(
    make_settings: MakeSettings, shared_path: Path, tmp_path: Path
) -> None:
    """A read-only folder, whether it is there or is to be made; and a file."""
    locked = shared_path / "locked"
    (locked / "colour").mkdir(parents=True)
    for folder in (locked / "colour", locked):
        folder.chmod(0o555)

    def said(output: Path) -> str:
        settings = make_settings(output=str(output))
        with as_nobody():
            found = next(one for one in diagnose(settings) if one.subject == "output")
        assert found.state is State.PROBLEM
        return found.detail

    assert "cannot write into" in said(locked / "colour")
    assert "cannot be made in" in said(locked / "new")
    (tmp_path / "file").write_text("")
    assert "file" in problem(make_settings(output=str(tmp_path / "file" / "colour")), "output")


def test_buckets(make_settings: MakeSettings, s3_bucket: S3Bucket, archive: Path) -> None:
    """Right ones, missing ones, an endpoint that does not answer; deletions for good are told."""
    s3_bucket.client.put_object(Bucket=s3_bucket.name, Key="a/0.jpg", Body=b"scan")
    endpoint = {k: v for k, v in vars(settings_for(s3_bucket.endpoint)).items() if k[:3] == "s3_"}
    settings = make_settings(
        sources=(f"{s3_bucket.url}/a",), output=f"{s3_bucket.url}/b", **endpoint
    )
    assert [one.state for one in findings(settings, "source")] == [State.OK]
    assert "may delete" in warning(settings, "output")
    keys = [
        one["Key"] for one in s3_bucket.client.list_objects_v2(Bucket=s3_bucket.name)["Contents"]
    ]
    assert keys == ["a/0.jpg", "b/.autochrome"]
    s3_bucket.client.put_bucket_versioning(
        Bucket=s3_bucket.name, VersioningConfiguration={"Status": "Enabled"}
    )
    assert [one.state for one in findings(settings, "output")] == [State.OK]
    missing = make_settings(sources=("s3://nosuch",), output="s3://nosuch/b", **endpoint)
    assert "nosuch" in problem(missing, "output")
    closed = make_settings(
        sources=("s3://scans",),
        **(endpoint | {"s3_endpoint_url": "http://127.0.0.1:1", "s3_max_attempts": 1}),
    )
    assert "127.0.0.1:1" in problem(closed, "source")


def test_disks_without_room(make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """No disk can be filled here: what is scarce is set above what there is."""
    there = shutil.disk_usage("/").total
    monkeypatch.setattr(diagnosis, "_SCARCE_BYTES", there * 2)
    found = findings(make_settings(), "disk")
    assert {one.state for one in found} == {State.WARNING}
    monkeypatch.setattr(diagnosis, "_FULL_BYTES", there * 2)
    found = findings(make_settings(), "disk")
    assert {one.state for one in found} == {State.PROBLEM}
    assert all("free some" in one.detail for one in found)


def test_a_scratch_folder_that_is_missing(make_settings: MakeSettings, tmp_path: Path) -> None:
    """Runs would not begin."""
    assert "scratch" in problem(make_settings(scratch=tmp_path / "scratch"), "disk")


def test_devices(make_settings: MakeSettings) -> None:
    """One that is not there, and one that is none."""
    last = torch.cuda.device_count()
    assert f"cuda:{last} is not there" in problem(make_settings(device=f"cuda:{last}"), "device")
    assert "no device is called" in problem(make_settings(device="gpu"), "device")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_gpu_and_its_driver(make_settings: MakeSettings) -> None:
    """Are named."""
    (found,) = findings(make_settings(device="cuda"), "device")
    assert found.state is State.OK
    assert torch.cuda.get_device_name(0) in found.detail
    assert "CUDA" in found.detail


def damaged(path: Path) -> None:
    """A file of which the end is missing."""
    path.write_bytes(path.read_bytes()[:-4096])


@pytest.mark.parametrize("break_it", [Path.unlink, damaged])
def test_a_champion_whose_file_is_missing_or_damaged(
    make_settings: MakeSettings, quick_checkpoint: Path, break_it: Callable[[Path], None]
) -> None:
    """It is fetched, as a run would."""
    settings = make_settings(checkpoint=None)
    assert "comes with Autochrome" in findings(settings, "checkpoint")[0].detail
    with open_ledger(settings) as ledger:
        row = register_file(settings, ledger, quick_checkpoint, who="test")
        promote(ledger, row.digest, who="test", why="a test")
    assert "the champion" in findings(settings, "checkpoint")[0].detail
    break_it(Path(row.url.removeprefix("file://")))
    assert row.digest[:12] in problem(settings, "checkpoint")


def test_a_checkpoint_that_is_none(make_settings: MakeSettings, tmp_path: Path) -> None:
    """As the settings name it."""
    assert "no.safetensors" in problem(
        make_settings(checkpoint=tmp_path / "no.safetensors"), "checkpoint"
    )
    (tmp_path / "text.safetensors").write_text("none")
    assert "text.safetensors" in problem(
        make_settings(checkpoint=tmp_path / "text.safetensors"), "checkpoint"
    )


def test_a_clock_that_is_wrong() -> None:
    """Behind or ahead: a little is told, much is a problem. No clock can be set here."""
    assert diagnosis._clock("of the database", 0.4).state is State.OK
    slow = diagnosis._clock("of the database", 60.0)
    assert (slow.state, "60 s behind" in slow.detail) == (State.WARNING, True)
    fast = diagnosis._clock("of the output", -3600.0)
    assert (fast.state, "3,600 s ahead of" in fast.detail) == (State.PROBLEM, True)

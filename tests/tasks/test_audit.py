"""The audit: what is stored is read again, found damaged or whole, and recorded."""

import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from tasks import audit
from tasks.audit import AuditPlan, run_audit, verify
from tasks.errors import UsageError
from tasks.ledger import ItemFilter, Ledger, RunEnding
from tasks.ledger.records import FixitySubject, SourceRow
from tasks.ledger.uris import quoted, uri_of
from tasks.schema import DecisionKind, FixityOutcome, ItemStatus
from tasks.settings import Settings
from tasks.storage.keys import name_from_key
from tests.orders import work_off
from tests.tasks.ledger.building import checks, derivatives, sources
from tests.workers import MakeSettings, OpenWorker, items_of

DAY_S = 86_400.0


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    """For a small archive."""
    return make_settings()


@pytest.fixture
def ledger(settings: Settings, worker_for: OpenWorker) -> Ledger:
    """Of an archive whose six scans are coloured."""
    worker = worker_for(settings)
    work_off(worker)
    return worker.ledger


def stored(ledger: Ledger, tmp_path: Path, kind: str = "master") -> list[Path]:
    """The files of derivatives of a kind."""
    rows = [row for row in derivatives(ledger) if row.kind == kind]
    return [tmp_path / "colour" / row.key for row in rows]


def test_a_whole_archive_is_found_whole_and_not_read_again(
    settings: Settings, ledger: Ledger
) -> None:
    """Every derivative and every scan; the next audit has nothing to do before a month is over."""
    recorded = len(derivatives(ledger))
    summary = run_audit(settings, ledger, AuditPlan(older_than_s=30 * DAY_S), name="one")
    assert summary.outcomes == {FixityOutcome.MATCHED: recorded + 6}
    assert summary.is_clean
    assert summary.is_complete
    again = run_audit(settings, ledger, AuditPlan(older_than_s=30 * DAY_S), name="two")
    assert again.files == 0
    assert run_audit(settings, ledger, AuditPlan(), name="three").files == recorded + 6
    assert checks(ledger, FixitySubject.SOURCE) == {FixityOutcome.MATCHED: 6}
    assert {run.ending for run in ledger.list_runs(kind="audit")} == {RunEnding.COMPLETED}


def test_damage_is_found_told_with_a_remedy_and_mended(
    settings: Settings, ledger: Ledger, worker_for: OpenWorker, tmp_path: Path, archive: Path
) -> None:
    """One bit of a derivative, and one that is gone; a scan that was replaced is no damage."""
    flipped, removed, *_ = stored(ledger, tmp_path)
    data = bytearray(flipped.read_bytes())
    data[-3] ^= 1
    flipped.write_bytes(data)
    removed.unlink()
    scan = archive / "0.jpg"
    scan.write_bytes(scan.read_bytes()[:-3] + b"\0\xff\xd9")
    summary = run_audit(settings, ledger, AuditPlan(), name="one", redo_as="a curator")
    found = {(f.subject, f.outcome): f for f in summary.findings}
    assert set(found) == {
        (FixitySubject.DERIVATIVE, FixityOutcome.MISMATCHED),
        (FixitySubject.DERIVATIVE, FixityOutcome.MISSING),
    }
    assert found[FixitySubject.DERIVATIVE, FixityOutcome.MISMATCHED].uri == flipped.as_uri()
    assert all("autochrome redo" in one.remedy for one in found.values())
    assert summary.outcomes[FixityOutcome.CHANGED] == 1  # its time of change says so
    assert (summary.damaged, summary.redone) == (2, 2)
    pending = [i for i in items_of(ledger).values() if i.status is ItemStatus.PENDING]
    (decision,) = ledger.get_story(pending[0].uri).items[0].decisions
    assert (decision.kind, decision.who) == (DecisionKind.REDO, "a curator")
    work_off(worker_for(settings))
    mended = run_audit(settings, ledger, AuditPlan((FixitySubject.DERIVATIVE,)), name="two")
    assert mended.is_clean


def test_a_scan_that_changed_by_itself_is_damage(
    settings: Settings, ledger: Ledger, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same size, same time of change, other bytes: nobody did that on purpose."""
    scan = archive / "1.jpg"
    scan.write_bytes(scan.read_bytes()[:-3] + b"\0\xff\xd9")
    monkeypatch.setattr("tasks.storage.folder._etag", lambda _: "as it was")
    monkeypatch.setattr("tasks.audit._source_file", _as_it_was)
    summary = run_audit(settings, ledger, AuditPlan((FixitySubject.SOURCE,)), name="one")
    (finding,) = summary.findings
    assert (finding.uri, finding.outcome) == (scan.as_uri(), FixityOutcome.MISMATCHED)
    assert "fixity_mismatch" in finding.remedy


_real = audit._source_file


def _as_it_was(row: SourceRow) -> audit._File:
    return replace(_real(row), etag="as it was")


def test_an_audit_goes_on_where_it_stopped(settings: Settings, ledger: Ledger) -> None:
    """By its limit, again and again, until nothing is due."""
    plan = AuditPlan((FixitySubject.SOURCE,), limit=4, older_than_s=DAY_S)
    first = run_audit(settings, ledger, plan, name="one")
    second = run_audit(settings, ledger, plan, name="two")
    assert (first.files, first.is_complete) == (4, False)
    assert (second.files, second.is_complete) == (2, True)


def test_an_audit_that_is_stopped_ends_at_once(settings: Settings, ledger: Ledger) -> None:
    """What was not read stays due."""
    stop = threading.Event()
    stop.set()
    summary = run_audit(settings, ledger, AuditPlan(), name="one", stop=stop)
    assert (summary.files, summary.is_complete) == (0, False)
    assert ledger.list_runs(kind="audit")[0].ending is RunEnding.CANCELLED


def test_an_audit_reads_no_faster_than_it_may(settings: Settings, ledger: Ledger) -> None:
    """The files together are read in no less time than their bytes take at that rate."""
    size = sum(row.size_bytes for row in sources(ledger))
    largest = max(row.size_bytes for row in sources(ledger))
    plan = AuditPlan((FixitySubject.SOURCE,), bytes_per_s=size / 1.0)
    begin = time.monotonic()
    assert run_audit(settings, ledger, plan, name="slow").files == 6
    assert time.monotonic() - begin >= (size - largest) / size * 0.9


def test_a_derivative_that_is_written_anew_meanwhile_is_not_damaged(
    settings: Settings, ledger: Ledger, tmp_path: Path
) -> None:
    """Its item is being worked on: what was read says nothing."""
    path = stored(ledger, tmp_path)[0]
    path.write_bytes(b"new bytes, not on record yet")
    everyone = ItemFilter(statuses=(ItemStatus.REVIEW,))

    def begin_anew(_: object) -> None:
        ledger.redo(everyone, who="a curator", why="meanwhile")

    real = ledger.write
    calls = []

    def write(work):  # noqa: ANN001, ANN202 - of the database
        if not calls:
            calls.append(1)  # start_run
        elif len(calls) == 1:
            calls.append(1)
            begin_anew(None)
        return real(work)

    ledger.write = write  # type: ignore[method-assign]
    plan = AuditPlan((FixitySubject.DERIVATIVE,))
    assert run_audit(settings, ledger, plan, name="one").findings == []


def test_single_derivatives_are_verified(
    settings: Settings, ledger: Ledger, tmp_path: Path
) -> None:
    """By path, by URI, by key."""
    good, bad, *_ = stored(ledger, tmp_path)
    bad.write_bytes(b"something else")
    found = verify(settings, ledger, [str(good), bad.as_uri()])
    assert [one.is_match for one in found] == [True, False]
    assert "fixity_mismatch" in found[1].detail
    key = str(good.relative_to(tmp_path / "colour"))
    assert verify(settings, ledger, [key])[0].is_match
    with pytest.raises(UsageError, match="knows no such derivative"):
        verify(settings, ledger, ["nowhere.jpg"])


def test_a_derivative_is_named_however_its_key_is_copied(
    settings: Settings, archive: Path, worker_for: OpenWorker
) -> None:
    """From a shell, a URI, or the JSON of `item`; of two that it may mean, the likelier one."""
    for old, new in (("0.jpg", b"caf\xe9 1.jpg"), ("1.jpg", b"caf\xe9%201.jpg")):
        (archive / old).rename(archive / os.fsdecode(new))
    work_off(worker := worker_for(settings))
    rows = [row for row in derivatives(worker.ledger) if "caf" in row.key and row.kind == "master"]
    assert len(rows) == 2
    for row in rows:
        here, key = worker.output.url, row.key
        bytes_ = os.fsdecode(name_from_key(key))
        names = [bytes_, quoted(key), uri_of(here, key), key]
        if "%" not in key:  # else it would be an escape
            names += [f"{here}/{bytes_}", f"{here}/{key}"]
        for one in verify(settings, worker.ledger, names):
            assert (one.uri, one.is_match) == (uri_of(here, key), True)


def test_the_commands_tell_damage_by_their_exit_code(
    settings: Settings, ledger: Ledger, tmp_path: Path
) -> None:
    """0: whole. 3: not."""
    database = settings.database_url.get_secret_value()
    common = ["--db", database, "--out", str(tmp_path / "colour")]
    runner = CliRunner()
    path = stored(ledger, tmp_path)[0]
    assert runner.invoke(app, ["audit", *common]).exit_code == 0
    assert runner.invoke(app, ["verify", str(path), *common]).exit_code == 0
    path.write_bytes(b"something else")
    assert runner.invoke(app, ["audit", *common]).exit_code == 0  # read a moment ago
    found = runner.invoke(app, ["audit", "derivatives", "--older-than", "0", "--json", *common])
    assert found.exit_code == 3
    assert '"mismatched": 1' in found.stdout
    assert runner.invoke(app, ["verify", str(path), *common]).exit_code == 3
    redone = runner.invoke(app, ["redo", "--status", "review", "--dry-run", "--db", database])
    assert "would move 6 scans" in redone.stdout

"""The flows, run for real against Prefect's own API."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.artifacts import Artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, TaskRun

from flows.colorize import colorize
from flows.nightly import nightly
from flows.retry_failed import retry_failed
from tasks.errors import OutputFull, Reason, RunAborted, UsageError
from tasks.ledger import ItemFilter, Ledger, RunEnding
from tasks.ledger.opening import open_ledger
from tasks.orders.run import begin_run
from tasks.settings import settings_in_force
from tasks.storage import ObjectInfo
from tasks.storage.folder import FolderStore
from tests.workers import MakeSettings, items_of

pytestmark = pytest.mark.usefixtures("prefect_api")


def last_flow_run() -> tuple[FlowRun, list[TaskRun]]:
    """The newest flow run and its task runs, as the UI shows them."""
    with get_client(sync_client=True) as client:
        (run,) = client.read_flow_runs(limit=1, sort="EXPECTED_START_TIME_DESC")  # type: ignore[arg-type]
        task_runs = client.read_task_runs()
    return run, [task for task in task_runs if task.flow_run_id == run.id]


def test_a_night_is_watchable_in_the_ui(make_settings: MakeSettings) -> None:
    """Names that a person recognises; a task run a batch, none an item; artifacts."""
    settings = make_settings()
    with settings_in_force(settings):
        summary = nightly()
    assert summary.statuses == {"review": 6}
    run, tasks = last_flow_run()
    assert run.name.startswith("night 20")
    assert "nightly" in run.tags
    names = sorted(task.name for task in tasks)
    batches = [name for name in names if name == "night 1, share 1"]
    assert 1 <= len(batches) <= 2  # both were asked for before the first one found all
    assert {"discover", "plan", "report"} <= {name.split()[0].split("-")[0] for name in names}
    assert len(tasks) == 3 + len(batches)
    counts = Artifact.get("counts")
    assert counts is not None
    assert '"review"' in str(counts.data)
    progress = Artifact.get("night-1")
    assert progress is not None
    assert float(str(progress.data)) == 100.0
    report = Artifact.get("report")
    assert report is not None
    assert summary.report in str(report.data)


def test_a_second_night_finds_nothing_left_to_do(make_settings: MakeSettings) -> None:
    """No attempt is added."""
    with settings_in_force(make_settings()):
        nightly()
        assert nightly().statuses == {}
    with open_ledger(make_settings()) as ledger:
        assert {item.attempts for item in items_of(ledger).values()} == {1}
        assert [run.ending for run in ledger.list_runs()] == [RunEnding.COMPLETED] * 2


def test_a_night_without_sources_says_what_to_set(make_settings: MakeSettings) -> None:
    """The flow fails with a line that a person can act on."""
    with (
        settings_in_force(make_settings(sources=())),
        pytest.raises(UsageError, match="AUTOCHROME_SOURCES"),
    ):
        nightly()


@pytest.mark.slow
def test_a_listing_longer_than_the_night_leaves_half_of_it_for_colouring(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is listed so far is coloured, and the report says so."""
    real: Callable[..., Iterator[ObjectInfo]] = FolderStore.list_objects

    def crawl(self: FolderStore, *args: Any, **kwargs: Any) -> Iterator[ObjectInfo]:  # noqa: ANN401
        for number, found in enumerate(real(self, *args, **kwargs)):
            time.sleep(15 if number == 3 else 0)
            yield found

    monkeypatch.setattr(FolderStore, "list_objects", crawl)
    with settings_in_force(make_settings(deadline_hours=30 / 3600)):
        assert nightly().statuses == {"review": 3}
    (page,) = (tmp_path / "colour" / "reports").glob("*/index.html")
    assert "broken off after 3 files" in page.read_text()


def test_an_aborted_night_fails_and_still_reports(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A full disk gives everything back; the report says why."""
    real_put: Callable[..., Any] = FolderStore.put

    def put(self: FolderStore, key: str, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        if "/master/" in key:
            raise OutputFull("no room is left; free some")
        return real_put(self, key, *args, **kwargs)

    monkeypatch.setattr(FolderStore, "put", put)
    with settings_in_force(make_settings()), pytest.raises(RunAborted, match="free some"):
        nightly()
    (page,) = (tmp_path / "colour" / "reports").glob("*/index.html")
    assert "no room is left" in page.read_text()
    with open_ledger(make_settings()) as ledger:
        assert dict(ledger.counts().items) == {"pending": 6}
        assert ledger.list_runs()[0].ending is RunEnding.ABORTED


def test_colorize_takes_no_more_than_its_share(make_settings: MakeSettings) -> None:
    """A quota of four out of six."""
    settings = make_settings()
    with begin_run(settings, kind="test", name="x") as run:
        run.discover(settings.sources[0])
    with settings_in_force(settings):
        assert colorize("a share", max_items=4) == {"review": 4}
        assert colorize("nothing in time", deadline_s=0.0) == {}
    with open_ledger(settings) as ledger:
        assert dict(ledger.counts().items)["review"] == 4


def test_retry_failed_tries_what_failed_and_leaves_the_quarantined(
    archive: Path, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By reason, once the cause is mended."""
    (archive / "notes.pdf").write_text("no picture")
    settings = make_settings(max_attempts=1)
    real_digest = FolderStore.digest
    monkeypatch.setattr(FolderStore, "digest", lambda *_: "0" * 64)
    with settings_in_force(settings):
        nightly()
        monkeypatch.setattr(FolderStore, "digest", real_digest)
        assert retry_failed(reasons=(Reason.TIMEOUT,), older_than_hours=0) == {}
        assert retry_failed(reasons=(Reason.WRITE_UNVERIFIED,), older_than_hours=0) == {"review": 6}
    with Ledger.open(settings.database_url.get_secret_value()) as ledger:
        assert dict(ledger.counts().items) == {"review": 6, "quarantined": 1}
        assert len(ledger.list_items(ItemFilter(reasons=[Reason.UNSUPPORTED_FORMAT]), limit=9)) == 1

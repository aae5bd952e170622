"""Whatever a run depends on may go away and come back: nothing is lost, doubled or wrong."""

from pathlib import Path

import pytest

from tasks.ledger.migrate import upgrade
from tests.databases import running_server
from tests.durability.outages import ALL, Report, run, world_for

OF_DATABASE = {"database stopped", "connections cut"}
RIGHT = {"given back", "source_away", "storage_unavailable"}
SOME = ["database stopped", "other ETag", "scratch full"]  # one of each kind


def suffer(outages: list[str], folder: Path, *, scans: int, hold_s: float) -> Report:
    """Nights through all these, each with some new scans."""
    with running_server() as database:
        upgrade(database.url())
        with world_for(folder, database, database.url()) as world:
            return run(world, outages, scans=scans, hold_s=hold_s)


def check(report: Report, items: int) -> None:
    """All is done, once, and what was not done at first has the right reason."""
    assert report.verdict.wrong == []
    assert report.verdict.statuses == {"review": items}
    for outage, reasons in report.reasons.items():
        allowed = set() if outage in OF_DATABASE else RIGHT
        assert set(reasons) <= allowed, f"{outage}: {reasons}"
    assert report.reasons["other ETag"]["storage_unavailable"] > 0


@pytest.mark.timeout(300)
def test_a_run_outlives_what_it_depends_on(tmp_path: Path) -> None:
    """A few outages over a small archive; `python -m tests.durability.outages` makes more."""
    check(suffer(SOME, tmp_path, scans=8, hold_s=0.5), 8 * (1 + len(SOME)))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_run_outlives_every_outage_twice(tmp_path: Path) -> None:
    """Some hundred scans."""
    check(suffer([*ALL, *ALL], tmp_path, scans=30, hold_s=2.0), 30 * (1 + 2 * len(ALL)))

"""`autochrome demo`: a small archive, and the nightly flow over it."""

import time
from pathlib import Path

from flows.cli.talk import ExitCode, print_counts, say
from flows.prefect_home import use_local_prefect
from tasks.demo_archive import make_demo_archive
from tasks.ledger.opening import open_ledger
from tasks.settings import load_settings, settings_in_force


def demo(folder: Path) -> ExitCode:
    """Make the archive, run a night, print what became of every file and where to look."""
    folder = folder.absolute()
    files = make_demo_archive(folder / "archive")
    say(f"{files} files in {folder / 'archive'}; the nightly flow runs over them …")
    use_local_prefect(folder / "prefect")
    from flows.nightly import nightly  # noqa: PLC0415  Prefect reads its settings when imported

    settings = load_settings(
        database_url=f"sqlite:///{folder / 'autochrome.db'}",
        sources=(str(folder / "archive"),),
        output=str(folder / "colour"),
    )
    began = time.monotonic()
    with settings_in_force(settings):
        night = nightly()
    seconds = time.monotonic() - began
    with open_ledger(settings) as ledger:
        print_counts(ledger.counts())
    say(f"{sum(night.statuses.values())} items ended in {seconds:.0f} s, Prefect's start included.")
    say(f"Report: {night.report}")
    return ExitCode.CLEAN

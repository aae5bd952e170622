"""What Prefect costs: the nightly flow against the same run without it."""

import os
import time
from pathlib import Path

from flows.prefect_home import use_local_prefect
from tasks.settings import settings_in_force
from tests.bench.speed.material import small_scans
from tests.bench.speed.pipeline import colour_recorded, enqueued, settings_for
from tests.bench.speed.rows import Row, at_most, seconds_of


def measure(folder: Path, *, scans: int) -> list[Row]:
    """One row: the part of a nightly run that Prefect takes, its local server's start apart."""
    use_local_prefect(folder / "prefect")
    os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"
    from flows.nightly import nightly  # noqa: PLC0415 -- Prefect reads the variables when imported

    source, kind = small_scans(folder / "prefect-scans", scans)
    place = folder / "prefect-none"
    with settings_in_force(settings_for(place, str(folder / "nothing-to-do"), str(place / "out"))):
        (folder / "nothing-to-do").mkdir()
        nightly()  # the server starts
        empty_s = seconds_of(nightly)
    bare_place = folder / "prefect-bare"
    with enqueued(settings_for(bare_place, str(source), str(bare_place / "out"))) as workshop:
        bare_s = seconds_of(lambda: colour_recorded(workshop))
    with_place = folder / "prefect-with"
    with settings_in_force(settings_for(with_place, str(source), str(with_place / "out"))):
        started = time.process_time()
        flow_s = seconds_of(nightly)
        cpu_s = time.process_time() - started
    extra = flow_s - bare_s
    detail = (
        f"{scans} {kind}: nightly {flow_s:.1f} s, the same without Prefect {bare_s:.1f} s, "
        f"a nightly with nothing to do {empty_s:.1f} s; CPU of the process {cpu_s:.1f} s"
    )
    return [
        at_most("discovery, ledger, report and Prefect", 100 * extra / bare_s, 5, detail, unit="%")
    ]

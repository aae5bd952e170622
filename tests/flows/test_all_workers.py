"""A night on four process workers over PostgreSQL and S3: one is killed, and one joins late."""

import pytest

from flows.deploying.pools import GPU_POOL
from tasks.ledger import Ledger, orders
from tasks.ledger.orders import OrderState
from tasks.processes import pid_of
from tasks.schema import AttemptEnding
from tests.durability.checking import check_all
from tests.flows.test_archive_end_to_end import (
    Api,
    Archive,
    Host,
    _lose,
    api,
    archive,
    wait_for,
)
from tests.workers import attempts_of

__all__ = ["api", "archive"]  # fixtures

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

SCANS = 2000


def test_all_workers_take_part_in_a_night(archive: Archive, api: Api) -> None:
    """Every scan is done once, whoever comes and goes; one order, one report, one progress bar."""
    archive.deliver("tonight", SCANS)
    third, late = (Host(name, archive.folder, archive.settings) for name in ("host-3", "host-4"))
    third.start_worker(GPU_POOL, limit=1)
    pids: dict[str, set[int]] = {}

    def at_work(*hosts: Host) -> bool:
        with Ledger.open(archive.settings.database_url.get_secret_value()) as ledger:
            holders = {pid_of(worker) for worker in ledger.open_workers()}
        for host in hosts:
            pids.setdefault(host.name, set()).update(host.pids() & holders)
        return all(pids[host.name] for host in hosts)

    try:
        night = api.begin("nightly/nightly")
        wait_for(lambda: at_work(*archive.hosts, third), "three workers never work at once")
        with Ledger.open(archive.settings.database_url.get_secret_value()) as ledger:
            _, killed = _lose(archive.hosts[1], ledger, api)
        late.start_worker(GPU_POOL, limit=1)
        wait_for(lambda: at_work(late), "who comes late gets no work")
        ended = api.wait_for_end(night)
    finally:
        for host in (third, late):
            host.shut_down()
    assert ended["state_type"] == "COMPLETED", ended["state"]["message"]
    with Ledger.open(archive.settings.database_url.get_secret_value()) as ledger:
        (row,) = orders.list_latest(ledger)
        assert (row.state, row.figures) == (OrderState.COMPLETED, {"review": SCANS})
        assert len(ledger.list_runs(kind="nightly")) == 1
        attempts = attempts_of(ledger)
        finished = [pid_of(one.worker) for one in attempts if one.ending is AttemptEnding.FINISHED]
        assert len(finished) == SCANS
        expired = {pid_of(one.worker) for one in attempts if one.ending is AttemptEnding.EXPIRED}
        assert expired <= killed
        for host in (archive.hosts[0], third, late):
            assert pids[host.name] & set(finished), host.name
        verdict = check_all(ledger, archive.settings, items=SCANS)
        assert verdict.wrong == []

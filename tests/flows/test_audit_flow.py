"""The audit flow, run for real against Prefect's own API."""

from pathlib import Path

import pytest
from prefect.artifacts import Artifact

from flows.audit import audit
from tasks.errors import RunAborted
from tasks.settings import settings_in_force
from tests.orders import work_off
from tests.tasks.ledger.building import derivatives
from tests.workers import MakeSettings, OpenWorker

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_api")]


def test_damage_fails_the_run_and_is_listed(
    make_settings: MakeSettings, worker_for: OpenWorker, tmp_path: Path
) -> None:
    """A whole archive passes; a damaged file is told with its remedy."""
    settings = make_settings(audit_older_than_days=0.0)
    worker = worker_for(settings)
    work_off(worker)
    recorded = derivatives(worker.ledger)
    with settings_in_force(settings):
        assert audit() == {"matched": len(recorded) + 6}
        (tmp_path / "colour" / recorded[0].key).write_bytes(b"something else")
        with pytest.raises(RunAborted, match="1 mismatched"):
            audit()
    listed = Artifact.get("audit")
    assert listed is not None
    assert "autochrome redo" in str(listed.data)

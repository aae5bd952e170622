"""Nights whose process or machine went: what is left of their time is given to another run."""

from datetime import UTC, datetime

from prefect.client.orchestration import get_client
from prefect.deployments import arun_deployment

from flows.shares import nightly_waits
from tasks.ledger import Ledger, RunEnding

_NIGHTLY = "nightly/nightly"


async def take_up_lost_night(ledger: Ledger) -> bool:
    """Have the latest night's rest done, if it was lost and has time left; whether it is.

    Done again each minute until a run has begun: Prefect may turn one down as long as it believes
    that the lost one lives.

    Raises:
        UsageError: There is no such deployment.
    """
    ledger.end_lost_runs()
    for night in ledger.list_runs(kind="nightly", limit=1):
        until = night.figures.until
        if night.ending is not RunEnding.LOST or until is None or until <= datetime.now(UTC):
            return False
        async with get_client() as client:
            if await nightly_waits(client):
                return False
            await arun_deployment(
                _NIGHTLY,
                client=client,
                parameters={"resumes": night.id},
                tags=["nightly", "resumed"],
                timeout=0,
                as_subflow=False,
            )
        return True
    return False

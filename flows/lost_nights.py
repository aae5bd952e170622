"""Nights whose process or machine went: what is left of their time is given to another run."""

import logging
from datetime import UTC, datetime

from prefect.client.orchestration import PrefectClient, get_client
from prefect.deployments import arun_deployment
from prefect.exceptions import ObjectNotFound

from flows.shares import nightly_waits
from tasks.ledger import Ledger, RunEnding, RunRow

logger = logging.getLogger(__name__)

_NIGHTLY = "nightly/nightly"


async def take_up_lost_night(ledger: Ledger) -> bool:
    """Have the latest night's rest done, if it was lost and has time left; whether it is.

    Done again each minute until a run has begun: Prefect may turn one down as long as it believes
    that the lost one lives. Where there is no deployment of nights, a warning says so, and the
    rest is left to whatever run comes next: backfills have nothing to do with it.
    """
    ledger.end_lost_runs()
    for night in ledger.list_runs(kind="nightly", limit=1):
        until = night.figures.until
        if night.ending is not RunEnding.LOST or until is None or until <= datetime.now(UTC):
            return False
        async with get_client() as client:
            if await nightly_waits(client):
                return False
            return await _begin(client, night)
    return False


async def _begin(client: PrefectClient, night: RunRow) -> bool:
    try:
        await arun_deployment(
            _NIGHTLY,
            client=client,
            parameters={"resumes": night.id},
            tags=["nightly", "resumed"],
            timeout=0,
            as_subflow=False,
        )
    except ObjectNotFound:
        logger.warning(
            "night %s was lost, and nobody takes up its rest: there is no deployment %s; make it "
            "with `autochrome deploy`",
            night.name,
            _NIGHTLY,
        )
        return False
    return True

"""What a person sees of backfills in Prefect's UI: the plan, and one progress bar each."""

from prefect.artifacts import (
    Artifact,
    acreate_progress_artifact,
    aupdate_progress_artifact,
    create_markdown_artifact,
)

from tasks.backfill_words import forecast_in_words, progress_in_words
from tasks.forecast import Forecast
from tasks.ledger import Ledger
from tasks.ledger.backfills import BackfillRow, Order


def show_forecast(told: Forecast, order: Order) -> None:
    """Put what a backfill would do into the UI."""
    lines = "\n".join(f"- {line}" for line in forecast_in_words(told, order))
    create_markdown_artifact(f"## Backfill, {order.mode}\n\n{lines}", key="backfill-plan")


async def show_backfill(
    ledger: Ledger, row: BackfillRow, *, waits_for_nightly: bool = False
) -> None:
    """Move the backfill's progress bar: always the same one, whichever run moves it."""
    told = progress_in_words(ledger, row, waits_for_nightly=waits_for_nightly)
    key = f"backfill-{row.id}"
    shown = await Artifact.aget(key)
    if shown is None:
        await acreate_progress_artifact(told.percent, key=key, description=told.description)
    else:
        await aupdate_progress_artifact(shown.id, told.percent, description=told.description)

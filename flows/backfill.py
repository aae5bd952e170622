"""The flows of backfills: ordering one, steering it, and keeping all of them going.

Nothing waits here. `backfill` enqueues and ends; `keep_backfills_going` comes by every minute,
looks at the ledger, and creates as many runs of `colorize` as the window holds. Kill any of them at
any moment: the next one finds in the ledger what is to be done.
"""

import asyncio
import enum
from typing import Any

from prefect import flow, get_run_logger
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from flows.backfill_artifacts import show_backfill, show_forecast
from flows.lost_nights import take_up_lost_night
from flows.shares import create_runs, end_shares_without_runs, nightly_waits
from tasks.backfilling import forecast, keep_going, order_backfill, plan_backfill
from tasks.heartbeat import RUN_LOST_S
from tasks.ledger.backfills import BackfillMode, Backfills, Budget, Order, Scope
from tasks.ledger.opening import open_ledger
from tasks.scope import find_sources
from tasks.settings import current_settings

#: The end of a backfill is shown by whoever comes by within this time.
SHOWN_AFTER_END_S = 1800.0


class Steer(enum.StrEnum):
    """What can be done to a backfill."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


@flow(name="backfill", flow_run_name="backfill: {mode}")
def backfill(  # noqa: PLR0913 - a field of the form in Prefect's UI each
    mode: BackfillMode = BackfillMode.MISSING,
    *,
    sources: tuple[str, ...] = (),
    collections: tuple[str, ...] = (),
    low_confidence_below: float | None = None,
    priority: int = 0,
    max_items: int | None = None,
    max_bytes: int | None = None,
    max_hours: float | None = None,
    dry_run: bool = False,
    allow_large: bool = False,
) -> int | None:
    """Order a backfill and enqueue its scans; `keep_backfills_going` has them coloured.

    Args:
        mode: missing: what no recipe has dealt with. failed: what failed. changed-recipe: what
            another recipe has coloured. all: everything once more.
        sources: Only what lies there (s3://bucket/prefix, file:///folder); none means all.
        collections: Only these; none means all.
        low_confidence_below: Only derivatives in use that the network doubted by so much.
        priority: Higher goes first.
        max_items: At most so many scans.
        max_bytes: At most so many bytes of scans.
        max_hours: At most so many hours of workers' time, added up.
        dry_run: Only say what it would do: see the artifact `backfill-plan`.
        allow_large: More scans than AUTOCHROME_BACKFILL_LIMIT_ITEMS are meant.

    Returns:
        The backfill's number; None for a dry run.
    """
    settings = current_settings()
    with open_ledger(settings) as ledger:
        order = Order(
            mode=mode,
            scope=Scope(collections, find_sources(settings, ledger, sources), low_confidence_below),
            budget=Budget(max_items, max_bytes, max_hours and max_hours * 3600),
            priority=priority,
            who=f"flow run {flow_run.name}",
        )
        show_forecast(forecast(settings, ledger, order), order)
        if dry_run:
            return None
        row = order_backfill(
            settings, ledger, order, name=str(flow_run.name), allow_large=allow_large
        )
        row = plan_backfill(ledger, row.id)
        asyncio.run(show_backfill(ledger, row))
    get_run_logger().info("backfill %d: %d scans enqueued", row.id, row.items)
    return row.id


@flow(name="steer_backfill", flow_run_name="{action} backfill {number}")
def steer_backfill(
    number: int,
    action: Steer,
    why: str = "",
    *,
    max_items: int | None = None,
    max_hours: float | None = None,
) -> str:
    """Pause, resume or cancel a backfill.

    Args:
        number: Which; the artifacts `backfill-…` show them.
        action: What to do.
        why: For the record.
        max_items: When it is resumed: at most so many scans in all.
        max_hours: When it is resumed: at most so many hours of workers' time in all.

    Returns:
        Its state then.
    """
    who = f"flow run {flow_run.name}"
    with open_ledger(current_settings()) as ledger:
        backfills = Backfills(ledger)
        if action is Steer.PAUSE:
            backfills.pause(number, who=who, why=why)
        elif action is Steer.RESUME:
            budget = Budget(max_items=max_items, max_seconds=max_hours and max_hours * 3600)
            backfills.resume(number, budget, who=who, why=why)
            plan_backfill(ledger, number)
        else:
            withdrawn = backfills.cancel(number, who=who, why=why)
            get_run_logger().info("%d items are taken back", withdrawn.items)
        row = backfills.get(number)
        asyncio.run(show_backfill(ledger, row))
    return row.state.value


@flow(name="keep_backfills_going", flow_run_name="keep backfills going")
async def keep_backfills_going() -> dict[str, Any]:
    """Plan on, keep the window of `colorize` runs full, show how far it is: one turn, and ends.

    Returns:
        How many runs were created, and whether it waits for a nightly run.
    """
    settings = current_settings()
    with open_ledger(settings) as ledger:
        if await take_up_lost_night(ledger):
            get_run_logger().warning("the last night was lost; another run takes up its rest")
        backfills = Backfills(ledger)
        if not backfills.list_shown(ended_within_s=SHOWN_AFTER_END_S):
            return {"created": 0}
        async with get_client() as client:
            await end_shares_without_runs(client, backfills)
            nightly = backfills.is_nightly_running(seen_within_s=RUN_LOST_S)
            nightly = nightly or await nightly_waits(client)
            shares = await asyncio.to_thread(
                keep_going, settings, ledger, nightly_comes_first=nightly
            )
            created = await create_runs(client, settings, backfills, shares)
        for row in backfills.list_shown(ended_within_s=SHOWN_AFTER_END_S):
            await show_backfill(ledger, row, waits_for_nightly=nightly)
    return {"created": created, "waits_for_nightly": nightly}

"""What a person sees of a run in Prefect's UI while it works."""

import base64
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

from prefect.artifacts import (
    Artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import Artifact as StoredArtifact
from prefect.runtime import flow_run

from tasks.errors import Reason
from tasks.ledger import Counts, ItemStatus, Ledger
from tasks.ledger.orders import Order, OrderRow
from tasks.orders.planning import Forecast
from tasks.orders.words import forecast_in_words, progress_in_words
from tasks.report import Picture
from tasks.report.gathering import Samples
from tasks.report.preview import shrink
from tasks.report.reasons import REASON_HELP, STATUS_HELP, Help
from tasks.runs import name_of_run

#: Moving a bar costs 17 ms of CPU, and the server two writes: the artifact, and an event that is
#: kept for days. More often than this nobody looks.
UPDATE_EVERY_S = 10.0

#: Pictures before and after that a run shows in the UI; the report shows more.
SHOWN = 4

#: How high: two of them fit side by side, and the server's database keeps them.
SHOWN_PX = 220


def scheduled_name() -> str:
    """How people call the current run: by when it was to begin."""
    started = flow_run.scheduled_start_time or datetime.now(UTC)
    return name_of_run(started.astimezone())


def show_forecast(forecast: Forecast, order: Order) -> None:
    """Put what an order would do into the UI."""
    lines = "\n".join(f"- {line}" for line in forecast_in_words(forecast, order))
    create_markdown_artifact(f"## {order.kind}, {order.mode}\n\n{lines}", key="order-plan")


def show_order(ledger: Ledger, row: OrderRow) -> None:
    """Move the order's progress bar: always the same one, whichever run moves it."""
    bar = progress_in_words(ledger, row)
    key = f"{row.kind}-{row.id}"
    shown = cast(
        "StoredArtifact | None", Artifact.get(key)
    )  # a coroutine only in asynchronous callers
    if shown is None:
        create_progress_artifact(bar.percent, key=key, description=bar.description)
    else:
        update_progress_artifact(shown.id, bar.percent, description=bar.description)


def tag_run(*tags: str) -> None:
    """Let the current flow run be found in the UI by these tags, beside those that it has."""
    with get_client(sync_client=True) as client:
        client.update_flow_run(flow_run.id, tags={*flow_run.tags, *tags})


def show_counts(counts: Counts, samples: Samples) -> None:
    """Put the counts by status and reason into the UI as a table: what to do, and an example."""
    rows: list[dict[str, object]] = [
        _row(status.value, "", counts.items[status], STATUS_HELP[status], "")
        for status in ItemStatus
        if counts.items.get(status)
    ]
    examples = {reason: items[0].uri for (_, reason), items in samples.items() if items}
    rows += [
        _row("", reason.value, number, REASON_HELP[reason], examples.get(reason, ""))
        for reason, number in _most_first(counts.reasons)
    ]
    total = f"{counts.scans:,} scans known, {sum(counts.items.values()):,} items"
    create_table_artifact(rows, key="counts", description=total)


def _row(status: str, reason: str, items: int, help_: Help, example: str) -> dict[str, object]:
    return {
        "status": status,
        "reason": reason,
        "items": items,
        "what to do": help_.do,
        "for example": example,
    }


def show_pictures(pictures: Sequence[Picture]) -> None:
    """Put a few scans before and after into the UI.

    The pictures are part of the artifact: they show in any browser that reaches the UI, wherever
    the output is.
    """
    if not pictures:
        return
    lines = ["| before | after |", "|---|---|"]
    for picture in pictures[:SHOWN]:
        sure = "" if picture.confidence is None else f", confidence {picture.confidence:.2f}"
        name = re.sub(r"([|\\`*_\[\]<>])", r"\\\1", picture.title)
        before, after = (_inline(data) for data in (picture.before, picture.after))
        caption = f"{name}: {picture.status.value}{sure}"
        lines += [f"| {caption} | |", f"| ![before]({before}) | ![after]({after}) |"]
    lines.append("\nThe colours are a machine's guess.")
    create_markdown_artifact("\n".join(lines), key="before-after", description="Before and after")


def _inline(jpeg: bytes) -> str:
    small = base64.b64encode(shrink(jpeg, height_px=SHOWN_PX)).decode()
    return f"data:image/jpeg;base64,{small}"


def show_report(link: str, summary_line: str) -> None:
    """Put a link to the report into the UI."""
    opening = f"[Open the report]({link})" if link else "There is no report."
    create_markdown_artifact(f"{summary_line}\n\n{opening}", key="report")


def _most_first(reasons: Mapping[Reason, int]) -> list[tuple[Reason, int]]:
    return sorted(reasons.items(), key=lambda pair: -pair[1])

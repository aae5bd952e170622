"""What a person sees of a run in Prefect's UI while it works."""

import base64
import re
import time
from collections.abc import Mapping, Sequence
from typing import Self, cast
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from tasks.batch.batch import BatchSummary
from tasks.errors import Reason
from tasks.ledger import Counts, ItemStatus
from tasks.report import Picture
from tasks.report.gathering import Samples
from tasks.report.preview import shrink
from tasks.report.reasons import REASON_HELP, STATUS_HELP, Help

#: Moving the bar costs 17 ms of CPU, and the server two writes: the artifact, and an event that is
#: kept for days. More often than this nobody looks.
UPDATE_EVERY_S = 10.0

#: A line in the log, for those who read the story and not the bar.
TELL_EVERY_S = 300.0

#: Pictures before and after that a run shows in the UI; the report shows more.
SHOWN = 4

#: How high: two of them fit side by side, and the server's database keeps them.
SHOWN_PX = 220


class Progress:
    """A progress bar in the UI: items ended, of those that were waiting when the run began."""

    def __init__(self, artifact_id: UUID, waiting: int) -> None:
        self._artifact_id = artifact_id
        self._waiting = waiting
        self._began = time.monotonic()
        self._updated = 0.0
        self._told = self._began

    @classmethod
    def begin(cls, waiting: int, *, label: str) -> Self:
        """Show an empty bar for *waiting* items."""
        text = f"{label}: 0 of {waiting:,}"
        artifact_id = create_progress_artifact(0.0, key="progress", description=text)
        return cls(cast("UUID", artifact_id), waiting)  # a coroutine only in asynchronous callers

    def update(self, summary: BatchSummary) -> None:
        """Move the bar, unless it has just been moved."""
        if time.monotonic() - self._updated < UPDATE_EVERY_S:
            return
        self.finish(summary)
        self._updated = time.monotonic()

    def finish(self, summary: BatchSummary) -> None:
        """Move the bar to where it belongs now."""
        elapsed_s = max(time.monotonic() - self._began, 1e-3)
        pace = summary.items / elapsed_s
        left = max(self._waiting - summary.items, 0)
        eta = f", about {left / pace / 60:.0f} min left" if left and pace else ""
        words = f"{summary.items:,} of {self._waiting:,}, {pace:.1f} pictures/s{eta}"
        update_progress_artifact(
            self._artifact_id,
            100.0 * min(summary.items / self._waiting, 1.0) if self._waiting else 100.0,
            description=words,
        )
        if time.monotonic() - self._told > TELL_EVERY_S:
            self._told = time.monotonic()
            get_run_logger().info("%s", words)


def tag_run(*tags: str) -> None:
    """Let the current flow run be found in the UI by these tags, beside those that it has."""
    with get_client(sync_client=True) as client:
        client.update_flow_run(flow_run.id, tags={*flow_run.tags, *tags})


def show_counts(counts: Counts, samples: Samples, *, key: str) -> None:
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
    create_table_artifact(rows, key=key, description=total)


def _row(status: str, reason: str, items: int, told: Help, example: str) -> dict[str, object]:
    return {
        "status": status,
        "reason": reason,
        "items": items,
        "what to do": told.do,
        "for example": example,
    }


def show_pictures(pictures: Sequence[Picture], *, key: str) -> None:
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
        told = f"{name}: {picture.status.value}{sure}"
        lines += [f"| {told} | |", f"| ![before]({before}) | ![after]({after}) |"]
    lines.append("\nThe colours are a machine's guess.")
    create_markdown_artifact("\n".join(lines), key=key, description="Before and after")


def _inline(jpeg: bytes) -> str:
    small = base64.b64encode(shrink(jpeg, height_px=SHOWN_PX)).decode()
    return f"data:image/jpeg;base64,{small}"


def show_report(link: str, summary_line: str) -> None:
    """Put a link to the report into the UI."""
    opening = f"[Open the report]({link})" if link else "There is no report."
    create_markdown_artifact(f"{summary_line}\n\n{opening}", key="report")


def _most_first(reasons: Mapping[Reason, int]) -> list[tuple[Reason, int]]:
    return sorted(reasons.items(), key=lambda pair: -pair[1])

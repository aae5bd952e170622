"""What a person sees of a run in Prefect's UI while it works."""

import time
from collections.abc import Mapping
from typing import Self, cast
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from tasks.batch import BatchSummary
from tasks.errors import Reason
from tasks.ledger import Counts, ItemStatus

#: A progress artifact costs the server a write; more often than this nobody looks.
UPDATE_EVERY_S = 2.0


class Progress:
    """A progress bar in the UI: items ended, of those that were waiting when the run began."""

    def __init__(self, artifact_id: UUID, waiting: int) -> None:
        self._artifact_id = artifact_id
        self._waiting = waiting
        self._began = time.monotonic()
        self._updated = 0.0

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
        update_progress_artifact(
            self._artifact_id,
            100.0 * min(summary.items / self._waiting, 1.0) if self._waiting else 100.0,
            description=f"{summary.items:,} of {self._waiting:,}, {pace:.1f} pictures/s{eta}",
        )


def tag_run(*tags: str) -> None:
    """Let the current flow run be found in the UI by these tags, beside those that it has."""
    with get_client(sync_client=True) as client:
        client.update_flow_run(flow_run.id, tags={*flow_run.tags, *tags})


def show_counts(counts: Counts, *, key: str) -> None:
    """Put the counts by status and reason into the UI as a table."""
    rows: list[dict[str, object]] = [
        {"status": status.value, "reason": "", "items": counts.items[status]}
        for status in ItemStatus
        if counts.items.get(status)
    ]
    rows += [
        {"status": "", "reason": reason.value, "items": number}
        for reason, number in _most_first(counts.reasons)
    ]
    create_table_artifact(rows, key=key, description=f"{counts.scans:,} scans known")


def show_report(link: str, summary_line: str) -> None:
    """Put a link to the report into the UI."""
    create_markdown_artifact(f"{summary_line}\n\n[Open the report]({link})", key="report")


def _most_first(reasons: Mapping[Reason, int]) -> list[tuple[Reason, int]]:
    return sorted(reasons.items(), key=lambda pair: -pair[1])

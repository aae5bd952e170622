"""How the command line speaks: data on stdout, talk on stderr, errors in one line."""

import enum
import json
import sys

from rich.console import Console
from rich.table import Table

from tasks.errors import Reason
from tasks.ledger import Counts

stderr = Console(stderr=True, highlight=False)
stdout = Console(highlight=False, soft_wrap=True)


class ExitCode(enum.IntEnum):
    """What the shell is told."""

    CLEAN = 0
    ABORTED = 1
    USAGE = 2
    FINISHED_WITH_FAULTS = 3


def say(message: str) -> None:
    """Talk to the person, on stderr."""
    stderr.print(message, markup=False, soft_wrap=True)


def print_json(data: object) -> None:
    """Give data to the next program, on stdout."""
    sys.stdout.write(json.dumps(data, indent=2, default=str, ensure_ascii=False) + "\n")


def counts_as_dict(counts: Counts) -> dict[str, object]:
    """The form that `status --json` prints."""
    return {"scans": counts.scans, "items": dict(counts.items), "reasons": dict(counts.reasons)}


def print_counts(counts: Counts) -> None:
    """Show the counts by status and by reason, on stdout."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("status")
    table.add_column("items", justify="right")
    for status, number in counts.items.items():
        if number:
            table.add_row(str(status), f"{number:,}")
    table.add_row("total", f"{sum(counts.items.values()):,}", style="bold", end_section=True)
    stdout.print(table)
    if not counts.reasons:
        return
    reasons = Table(box=None, pad_edge=False, header_style="bold")
    reasons.add_column("reason")
    reasons.add_column("items", justify="right")
    reasons.add_column("leads to")
    for reason, number in sorted(counts.reasons.items(), key=lambda pair: -pair[1]):
        reasons.add_row(str(reason), f"{number:,}", Reason(reason).verdict.value)
    stdout.print()
    stdout.print(reasons)

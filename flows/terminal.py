"""How the command line speaks: data on stdout, talk on stderr, errors in one line.

Names of files, titles and what libraries say are not ours: no text that goes through here is taken
for markup, and none reaches the terminal with control characters in it.
"""

from __future__ import annotations

import enum
import io
import json
import logging
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from tasks.errors import Reason, UsageError

if TYPE_CHECKING:
    from tasks.ledger import Counts

# Control characters but tab and newline, marks that turn the direction of writing, halves of pairs.
_UNSHOWN = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    r"""Write what a terminal would obey, or could not show, as escapes such as `\x1b`."""
    return _UNSHOWN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class _Terminal(Console):
    """A console to which all text is text: no markup, no names of emoji, no control characters."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401  as the base class has them
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401  as above
        """Make text of a string: whatever is printed, tables' cells too, comes through here."""
        return super().render_str(visible(text), **options)


class LogFormatter(logging.Formatter):
    """Log records for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the record's text without control characters."""
        return visible(super().format(record))


stderr = _Terminal(stderr=True)
stdout = _Terminal(soft_wrap=True)


class ExitCode(enum.IntEnum):
    """What the shell is told."""

    CLEAN = 0
    ABORTED = 1
    USAGE = 2
    FINISHED_WITH_FAULTS = 3


def say(message: str) -> None:
    """Talk to the person, on stderr."""
    stderr.print(message, soft_wrap=True)


def print_json(data: object) -> None:
    """Give data to the next program, on stdout, in UTF-8 whatever the terminal's encoding."""
    write_data((json.dumps(data, indent=2, default=str, ensure_ascii=False) + "\n").encode())


def write_data(data: bytes) -> None:
    """Give a document to the next program, on stdout, byte for byte."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def show_all_text() -> None:
    """Let terminals of other encodings show escapes for characters that they do not have."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def read_file(path: Path) -> bytes:
    """Read a file that the person named.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read ({(error.strerror or str(error)).lower()}); name a file that "
            "is there and may be read"
        ) from error


def write_file(path: Path, parts: Iterable[bytes], *, is_new: bool = False) -> None:
    """Write a file that the person named.

    Args:
        path: The file; replaced if it exists.
        parts: Its content.
        is_new: Refuse to replace.

    Raises:
        UsageError: It cannot be written there, or exists and is not to be replaced.
    """
    try:
        with path.open("xb" if is_new else "wb") as file:
            file.writelines(parts)
    except FileExistsError:
        raise UsageError(f"{path} exists; name a file that does not") from None
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be written ({(error.strerror or str(error)).lower()}); name a file in "
            "a folder that exists, has room and may be written to"
        ) from error


def plain_table(*columns: str | Column) -> Table:
    """A table without lines."""
    return Table(*columns, box=None, pad_edge=False, header_style="bold")


def counts_as_dict(counts: Counts) -> dict[str, object]:
    """The form that `status --json` prints."""
    return {"scans": counts.scans, "items": dict(counts.items), "reasons": dict(counts.reasons)}


def print_counts(counts: Counts) -> None:
    """Show the counts by status and by reason, on stdout."""
    table = plain_table("status", Column("items", justify="right"))
    for status, number in counts.items.items():
        if number:
            table.add_row(str(status), f"{number:,}")
    table.add_row("total", f"{sum(counts.items.values()):,}", style="bold", end_section=True)
    stdout.print(table)
    if not counts.reasons:
        return
    reasons = plain_table("reason", Column("items", justify="right"), "leads to")
    for reason, number in sorted(counts.reasons.items(), key=lambda pair: -pair[1]):
        reasons.add_row(str(reason), f"{number:,}", Reason(reason).verdict.value)
    stdout.print()
    stdout.print(reasons)

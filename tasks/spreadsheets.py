"""Tables as spreadsheets write and read them: CSV in their encodings, with their separators."""

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from tasks.errors import UsageError

_MARKS = (  # the longer first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SEPARATORS = ",;\t|"
# As Excel writes and reads it, and as other programs save it again: in quotes, as one cell of many.
_SEPARATOR_LINE = re.compile(r"\A\"?sep=([^\r\n])\"?[,;\t|]*(\r\n|[\r\n])", re.IGNORECASE)
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_PROTECTED = re.compile(r"'+[=+\-@\t\r]")


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        number: Its line, from 1; the header is 1.
        cells: Text by column, stripped; columns that the row leaves out are empty.
        is_too_long: Whether it has more fields than the table has columns.
    """

    number: int
    cells: Mapping[str, str]
    is_too_long: bool


@dataclass(frozen=True)
class Table:
    """A table that was read: its columns, in their order, and its rows."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def read_table(
    content: bytes,
    *,
    name: str,
    column: Callable[[str], str] = str,
    encoding: str | None = None,
) -> Table:
    """Read a CSV file as spreadsheets of all countries save it.

    The separator is the one of comma, semicolon, tab and bar that parts the header best, or the one
    that a first line `sep=` names.

    Args:
        content: The file.
        name: Of the file, for messages.
        column: Gives a column's name for what the header says, stripped and in lower case.
        encoding: As Python calls it; none: by its byte order mark, else UTF-8.

    Raises:
        UsageError: It is not in that encoding, there is no such encoding, its quotes do not end, or
            columns of one name contradict each other.
    """
    text = _decoded(content, name, encoding)
    named = _SEPARATOR_LINE.match(text)
    body = text[named.end() :] if named else text
    separator = named[1] if named else _separator(body)
    # Any line ends, an old Macintosh's too, which csv takes for a character in the line.
    lines = io.StringIO(body, newline=None)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    offset = 1 if named else 0
    try:
        header = next((cells for cells in reader if any(map(str.strip, cells))), [])
        columns = tuple(column(cell.strip().lower()) for cell in header)
        found = ((reader.line_num + offset, cells) for cells in reader if any(cells))
        return Table(columns, tuple(_row(number, cells, columns) for number, cells in found))
    except csv.Error as error:
        line = reader.line_num + offset
        raise UsageError(f"{name}, line {line}: {error}; save the table as CSV again") from error


def write_rows(rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """Write rows as lines of CSV in which no cell is a formula, whoever chose its text."""
    for row in rows:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(protect(str(cell)) for cell in row)
        yield line.getvalue()


def protect(text: str) -> str:
    """Text that no spreadsheet takes for a formula: with an apostrophe before it, where needed.

    Reading a table takes the apostrophe away again.
    """
    return f"'{text}" if _FORMULA.match(text) else text


def _decoded(content: bytes, name: str, encoding: str | None) -> str:
    # Without a mark: letters of the header, each beside a NUL.
    unmarked = (
        {b"\0": "utf-16-be"}.get(content[:1], "utf-16-le") if b"\0" in content[:2] else "utf-8"
    )
    marked = next((found for mark, found in _MARKS if content.startswith(mark)), unmarked)
    chosen = encoding or marked
    try:
        return content.decode(chosen).lstrip("\ufeff")  # also where its encoding was named
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{name}: is not in {chosen}: byte {error.start:,} is {content[error.start]:#04x}; "
            "save it as “CSV UTF-8” or “Unicode text”, or name its encoding (cp1252 of Western "
            "European Windows, cp1250 of Central European): --encoding cp1252"
        ) from error
    except (LookupError, UnicodeError):
        raise UsageError(
            f"there is no encoding {chosen!r}; give utf-8, cp1252, mac-roman …"
        ) from None


def _separator(body: str) -> str:
    """The one that parts the header into most columns; names of columns hold none of them."""
    header = re.search(r".*\w.*", re.sub(r'"[^"]*"', "x", body.replace("\r", "\n")))
    return max(_SEPARATORS, key=header[0].count) if header else ","


def _row(number: int, cells: list[str], columns: tuple[str, ...]) -> Row:
    said = dict.fromkeys(columns, "")
    for name, cell in zip(columns, cells, strict=False):
        text = cell.strip(" \xa0")
        text = (text[1:] if _PROTECTED.match(text) else text).strip()
        if name and text and said[name] not in {"", text}:
            raise csv.Error(f"two columns {name!r} say {said[name]!r} and {text!r}")
        said[name] = said[name] or text
    return Row(number, said, is_too_long=any(cells[len(columns) :]))

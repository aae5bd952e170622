"""The report in its three forms: a page for people, a table for spreadsheets, JSON for programs."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from tasks.errors import Reason
from tasks.report.model import ItemCounts, RunReport
from tasks.report.needs import needs_of
from tasks.report.page import render_page
from tasks.report.reasons import REASON_HELP, STATUS_HELP
from tasks.storage.keys import safe_key

_NAMES = {"html": "index.html", "csv": "report.csv", "json": "report.json"}
_TYPES = {
    "html": "text/html; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
}


@dataclass(frozen=True)
class ReportFile:
    """One form of the report, ready to be put."""

    key: str
    content: bytes
    content_type: str


def report_key(run_name: str, run_id: int, form: str) -> str:
    """Where in the output store the report of a run is; *form* is "html", "csv" or "json".

    Runs may begin in the same second, and so have one name: the number tells them apart.
    """
    return safe_key(f"reports/{run_name.replace('/', '-')}-run{run_id}/{_NAMES[form]}")


def render_report(report: RunReport) -> tuple[ReportFile, ...]:
    """Render all forms. The page comes last: whoever finds it finds the others too."""
    contents = {
        "csv": render_csv(report),
        "json": render_json(report),
        "html": render_page(report),
    }
    return tuple(
        ReportFile(report_key(report.run.name, report.run.id, form), content.encode(), _TYPES[form])
        for form, content in contents.items()
    )


def render_csv(report: RunReport) -> str:
    """Render counts and examples as one table; opens in spreadsheets as UTF-8."""
    text = io.StringIO()
    text.write("\ufeff")  # or Excel reads Latin-1
    table = csv.writer(text)
    table.writerow(["kind", "status", "reason", "items", "new", "uri", "detail", "what to do"])
    for row in _rows(report):
        table.writerow([_cell(value) for value in row])
    return text.getvalue()


def render_json(report: RunReport) -> str:
    """Render everything but the pictures' bytes."""
    content = asdict(report)
    for picture in content["pictures"]:
        del picture["before"], picture["after"]
    content["without_item"] = report.without_item
    content["speed"]["pictures_per_s"] = report.speed.pictures_per_s
    content["confidence"]["drift"] = report.confidence.drift
    content["needs"] = [asdict(need) for need in needs_of(report)]
    return json.dumps(content, ensure_ascii=False, indent=2, default=str) + "\n"


def _rows(report: RunReport) -> Iterator[tuple[object, ...]]:
    yield "archive", "", "", report.scans, "", "", "scans known", ""
    if report.films.films:
        yield "archive", "", "", report.films.films, "", "", report.films.in_words(), ""
    for pattern, files in report.found.left_out.items():
        yield "left out", "", "", files, "", "", f"files left out by the pattern {pattern}", ""
    if report.found.incomplete:
        yield "not listed", "", "", "", "", "", report.found.incomplete, ""
    for outage in report.outages:
        yield "away", "", Reason.SOURCE_AWAY, outage.scans, "", outage.url, outage.why, ""
    yield from _count_rows("archive", report.archive)
    if report.without_item:
        yield "archive", "", "", report.without_item, "", "", "scans without an item", ""
    yield from _count_rows("this run", report.tonight)
    for trouble in report.troubles:
        where = ("trouble", trouble.status, trouble.reason)
        yield (*where, trouble.items, trouble.new, "", "", REASON_HELP[trouble.reason].do)
        for sample in trouble.samples:
            yield ("example", *where[1:], 1, "", sample.uri, sample.detail, "")
    for sample in report.noted:
        yield "noted", "", "", 1, "", sample.uri, sample.detail, ""


def _count_rows(kind: str, counted: ItemCounts) -> Iterator[tuple[object, ...]]:
    for status, items in counted.statuses.items():
        yield kind, status, "", items, "", "", STATUS_HELP[status].means, STATUS_HELP[status].do
    for reason, items in counted.reasons.items():
        yield kind, "", reason, items, "", "", REASON_HELP[reason].means, REASON_HELP[reason].do


def _cell(value: object) -> object:
    """Return *value* so that no spreadsheet takes it for a formula: file names are not ours."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value

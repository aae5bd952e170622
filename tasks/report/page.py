"""The report as one HTML page: self-contained, with nothing that runs, all foreign text escaped."""

import base64
import functools
from importlib.resources import files

from jinja2 import Template

from tasks import words
from tasks.errors import Reason
from tasks.report.model import COLOURED, WAITING, RunReport
from tasks.report.needs import needs_of
from tasks.report.reasons import REASON_HELP, STATUS_HELP
from tasks.report.templates import template_environment
from tasks.schema import ItemStatus

_MEDIA_TYPES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}
_STATUS_ORDER = (
    ItemStatus.PUBLISHED,
    ItemStatus.REVIEW,
    ItemStatus.SKIPPED,
    ItemStatus.PENDING,
    ItemStatus.CLAIMED,
    ItemStatus.FAILED,
    ItemStatus.QUARANTINED,
    ItemStatus.HELD,
    ItemStatus.REJECTED,
    ItemStatus.SUPERSEDED,
)


def render_page(report: RunReport) -> str:
    """Render the report as a self-contained page.

    Raises:
        ValueError: A picture is neither JPEG nor PNG.
    """
    return _template().render(
        report=report,
        needs=needs_of(report),
        statuses=[status for status in _STATUS_ORDER if _occurs(report, status)],
        reasons=_reasons(report),
        coloured=report.tonight.of(*COLOURED),
        in_trouble=report.archive.of(ItemStatus.FAILED, ItemStatus.QUARANTINED),
        new_trouble=sum(trouble.new for trouble in report.troubles),
        waiting=report.archive.of(*WAITING),
        count=words.count,
        opens=_opens,
        ItemStatus=ItemStatus,
        STATUS_HELP=STATUS_HELP,
        REASON_HELP=REASON_HELP,
    )


@functools.cache
def _template() -> Template:
    environment = template_environment()
    environment.filters |= {"data_uri": _data_uri, "rate": words.rate, "signed": words.signed}
    source = files("tasks.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source)


def _occurs(report: RunReport, status: ItemStatus) -> bool:
    return bool(report.archive.statuses.get(status) or report.tonight.statuses.get(status))


def _reasons(report: RunReport) -> list[Reason]:
    """Return the reasons that occur, the most frequent first."""
    now, tonight = report.archive.reasons, report.tonight.reasons
    found = {reason for counts in (now, tonight) for reason, items in counts.items() if items}
    return sorted(found, key=lambda reason: (-now.get(reason, 0), reason))


def _opens(link: str) -> bool:
    """Whether *link* may stand in the page: a file or a web address, never a script."""
    return link.startswith(("https://", "http://", "file:///"))


def _data_uri(picture: bytes) -> str:
    for magic, media_type in _MEDIA_TYPES.items():
        if picture.startswith(magic):
            return f"data:{media_type};base64,{base64.b64encode(picture).decode()}"
    raise ValueError(f"a picture of the report begins with {picture[:8]!r}: not JPEG, not PNG")

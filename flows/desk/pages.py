"""Pages: templates, and what all of them show. What is foreign is escaped, and shown as text."""

import functools
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from jinja2 import Environment, PackageLoader
from starlette.responses import HTMLResponse, Response

from flows.desk.identity import desk_of, visitor_of
from flows.desk.static import asset
from tasks.ledger.people import Role
from tasks.ledger.uris import split_page, uri_of
from tasks.report.reasons import REASON_HELP, STATUS_HELP
from tasks.report.templates import template_environment
from tasks.words import bytes_in_words, count, moment, playing_time

#: The pages that everybody finds at the top, with the role that they are for.
NAVIGATION = (
    ("/review", "Review", Role.LOOK),
    ("/wall", "Wall", Role.LOOK),
    ("/archive", "Archive", Role.LOOK),
    ("/models", "Models", Role.LOOK),
    ("/references", "References", Role.LOOK),
    ("/pace", "Pace", Role.LOOK),
)


def wants_page(request: Request) -> bool:
    """Whether a person reads the answer, and not a program or a script."""
    is_api = request.url.path.startswith(("/api/", "/iiif/", "/static/"))
    return not is_api and "text/html" in request.headers.get("accept", "")


def render(
    request: Request,
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **context: Any,  # noqa: ANN401  whatever the template shows
) -> Response:
    """Answer with a page."""
    visitor = visitor_of(request)
    known = {
        "request": request,
        "path": request.url.path,
        "visitor": visitor,
        "status": status,
        "navigation": [
            (path, name) for path, name, role in NAVIGATION if visitor and visitor.may(role)
        ],
        "form_token": visitor.form_token if visitor else "",
        "must_agree": desk_of(request).settings.desk_agreement,
    }
    html = environment().get_template(template).render(known | context)
    return HTMLResponse(html, status, headers=dict(headers or {}))


@functools.cache
def environment() -> Environment:
    """The templates' environment."""
    made = template_environment(PackageLoader("flows.desk"))
    made.filters |= {
        "bytes": bytes_in_words,
        "file_of": lambda uri: split_page(uri)[0],
        "moment": lambda when: moment(when.astimezone()),
        "playing_time": playing_time,
        "name": lambda uri: PurePosixPath(uri).name,
        "query": lambda values: urlencode({k: v for k, v in values.items() if v not in ("", None)}),
    }
    made.globals |= {
        "asset": asset,
        "count": count,
        "uri_of": uri_of,
        "REASON_HELP": REASON_HELP,
        "STATUS_HELP": STATUS_HELP,
        "Role": Role,
    }
    return made

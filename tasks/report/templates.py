"""How pages are made of templates: what names may hold is shown, nothing in them is markup."""

import re

from jinja2 import BaseLoader, Environment, StrictUndefined
from markupsafe import Markup, escape

from tasks import words
from tasks.storage.keys import shown


def template_environment(loader: BaseLoader | None = None) -> Environment:
    """Templates that escape what they are given, and fail where something is missing."""
    made = Environment(
        loader=loader,
        autoescape=True,
        finalize=_printable,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"commands": _commands, "duration": words.duration, "moment": words.moment}
    return made


def _printable(value: object) -> object:
    """Show what cannot be printed, in whatever a template puts out: names may hold anything."""
    return shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _commands(text: str) -> Markup:
    """Escape *text*, and set what stands in backticks as code."""
    safe = str(escape(shown(text)))  # as Markup, it would escape what is put in
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", safe))  # noqa: S704 - escaped

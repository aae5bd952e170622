"""`autochrome`: every group of commands, and the options before them.

A module holds the commands of one group, each with all that it does. What a command needs is
imported within it, so that help and usage errors come at once, and `status` waits for no torch.
"""

import logging
import sys
from typing import Annotated

import typer
from rich.logging import RichHandler

from flows.cli import (
    audit,
    backfill,
    correct,
    database,
    decisions,
    desk,
    doctor,
    finetune,
    models,
    options,
    orders,
    references,
    review,
    running,
    serving,
    status,
)
from flows.terminal import ExitCode, LogFormatter, say, show_all_text, stderr
from tasks.errors import AutochromeError, UsageError

app = typer.Typer(
    help="Colourizes the scanned greyscale photographs of an archive.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # in the other one, "[default: …]" is markup
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (running, doctor, serving, audit, database, status, decisions, finetune, models):
    app.add_typer(group.app)  # its commands have no word before them
app.add_typer(backfill.app, rich_help_panel=options.OPERATE)
app.add_typer(orders.app, rich_help_panel=options.OPERATE)
app.add_typer(correct.app)
app.add_typer(desk.app, rich_help_panel=options.CURATE)
app.add_typer(review.app, rich_help_panel=options.CURATE)
app.add_typer(references.app, rich_help_panel=options.MODEL)


def _print_version(asked: bool) -> None:
    from importlib.metadata import version

    if asked:
        typer.echo(f"autochrome {version('autochrome')}")
        raise typer.Exit


@app.callback()
def common(
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Tell more; tracebacks.")
    ] = False,
    version: Annotated[  # noqa: ARG001  its callback ends the process
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Take the options that come before the command."""
    handler = RichHandler(console=stderr, show_path=False, show_time=verbose)
    handler.setFormatter(LogFormatter("%(message)s"))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.WARNING, handlers=[handler])
    for chatty in ("botocore", "boto3", "urllib3", "httpcore", "httpx", "pyvips", "PIL"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def main() -> None:
    """Run the command line; every foreseen error is one line with a remedy."""
    show_all_text()
    try:
        app()
    except (AutochromeError, OSError) as error:
        if logging.getLogger().isEnabledFor(logging.DEBUG):
            stderr.print_exception()
        say(f"autochrome: {_in_one_line(error)}")
        sys.exit(ExitCode.USAGE if isinstance(error, UsageError) else ExitCode.ABORTED)


def _in_one_line(error: AutochromeError | OSError) -> str:
    """What a person reads of an error: the system's own say nothing of a remedy."""
    if isinstance(error, AutochromeError):
        return str(error)
    what = f"{error.filename}: " if error.filename else ""
    return (
        f"{what}{(error.strerror or str(error)).lower()}; look whether it exists and "
        "may be used by this account, or run again with -v to see what was being done"
    )

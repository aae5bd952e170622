"""`autochrome`: every command, its arguments and its help.

What a command does is in the module that it calls. Modules that load torch or Prefect are imported
by their command alone, so that `autochrome status` answers at once.
"""

import logging
import sys
from collections.abc import Sequence
from copy import copy
from importlib.metadata import version
from typing import Annotated

import typer
from rich.logging import RichHandler
from typer.main import get_command_name
from typer.models import CommandInfo

from flows.cli.app_archive import app as archive
from flows.cli.app_audit import app as audit
from flows.cli.app_backfill import app as backfill
from flows.cli.app_models import app as models
from flows.cli.app_references import app as references
from flows.cli.app_review import app as review
from flows.cli.app_running import app as running
from flows.cli.talk import ExitCode, LogFormatter, say, show_all_text, stderr
from tasks.errors import AutochromeError, UsageError

app = typer.Typer(
    help="Colourizes the scanned greyscale photographs of an archive.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_PARTS = (running, archive, audit, models)  # whose commands have no word before them
for part in _PARTS:
    app.add_typer(part)
app.add_typer(references, name="references")
app.add_typer(review, name="review")
app.add_typer(backfill, name="backfill")


@app.callback()
def common(
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Tell more; tracebacks.")
    ] = False,
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True)
    ] = False,
) -> None:
    """Take the options that come before the command."""
    if show_version:
        typer.echo(f"autochrome {version('autochrome')}")
        raise typer.Exit
    handler = RichHandler(console=stderr, show_path=False, show_time=verbose)
    handler.setFormatter(LogFormatter("%(message)s"))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.WARNING, handlers=[handler])
    for chatty in ("botocore", "boto3", "urllib3", "httpcore", "httpx", "pyvips", "PIL"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _with_named_alone(arguments: Sequence[str]) -> typer.Typer:
    """The application with the command that the arguments name; with all, if they name none.

    Typer reads the signatures of all commands before it runs one: as long as a command takes that
    asks the ledger.
    """
    name = next((one for one in arguments if not one.startswith("-")), None)
    parts = [app, *_PARTS]
    commands = [one for part in parts for one in part.registered_commands if _name_of(one) == name]
    groups = [one for part in parts for one in part.registered_groups if one.name == name]
    if not commands and not groups:
        return app
    alone = copy(app)
    alone.registered_commands, alone.registered_groups = commands, groups
    return alone


def _name_of(command: CommandInfo) -> str | None:
    return command.name or (command.callback and get_command_name(command.callback.__name__))


def main() -> None:
    """Run the command line; every foreseen error is one line with a remedy."""
    show_all_text()
    try:
        _with_named_alone(sys.argv[1:])()
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

"""`autochrome review`: its commands, their arguments and their help."""

from getpass import getuser
from pathlib import Path
from typing import Annotated

import typer

from flows.cli import archive, options
from tasks.settings import load_settings

app = typer.Typer(help="Reviews as CSV files, out and in.", no_args_is_help=True)


@app.command("export")
def export(
    path: Annotated[
        Path | None, typer.Argument(help="CSV file to write.  [default: stdout]")
    ] = None,
    reasons: options.Reasons = None,
    collection: options.Collection = None,
    database: options.Database = None,
) -> None:
    """Write what waits for review as CSV: fill in `decision`, and import it."""
    from flows.cli import review as command  # noqa: PLC0415  as in `app`

    chosen = archive.item_filter(
        uris=None,
        statuses=["review"],
        reasons=reasons,
        collection=collection,
        older_than_hours=None,
        everything=False,
    )
    settings = load_settings(database_url=database)
    raise typer.Exit(command.export(settings, path, chosen[0]))


@app.command("import")
def carry_out(
    path: Annotated[Path, typer.Argument(help="CSV: item, decision, reason, note, reviewer.")],
    who: options.Who = None,
    encoding: Annotated[
        str | None,
        typer.Option(
            "--encoding",
            metavar="NAME",
            help="Of the file, such as cp1252.  [default: by its first bytes, else UTF-8]",
            show_default=False,
        ),
    ] = None,
    dry_run: options.DryRun = False,
    database: options.Database = None,
    as_json: options.AsJson = False,
) -> None:
    """Approve and reject what a CSV file says; each row names its reviewer.

    Exit code 3: some items no longer waited for review.
    """
    from flows.cli import review as command  # noqa: PLC0415  as in `app`

    settings = load_settings(database_url=database)
    raise typer.Exit(
        command.carry_out_file(
            settings,
            path,
            who=who or getuser(),
            encoding=encoding,
            dry_run=dry_run,
            as_json=as_json,
        )
    )

"""`autochrome`: the commands that read what is stored, and compare it with the record."""

from getpass import getuser
from typing import Annotated

import typer

from flows.cli import options
from tasks.settings import load_settings

app = typer.Typer()


@app.command()
def audit(
    what: Annotated[
        str, typer.Argument(metavar="[WHAT]", help="all, derivatives or sources.")
    ] = "all",
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", help="Read so many files at most.")
    ] = None,
    older_than_days: Annotated[
        float | None,
        typer.Option(
            "--older-than",
            metavar="DAYS",
            help="Only files that were not read for so long; 0: all.  [default: 30]",
        ),
    ] = None,
    mb_per_s: Annotated[
        float | None,
        typer.Option("--mb-per-s", metavar="N", help="Read no faster.  [default: as it goes]"),
    ] = None,
    redo_damaged: Annotated[
        bool, typer.Option("--redo", help="Let damaged derivatives be made anew by the next run.")
    ] = False,
    collection: options.Collection = None,
    who: options.Who = None,
    out: options.Output = None,
    database: options.Database = None,
    as_json: options.AsJson = False,
) -> None:
    """Read derivatives and scans again, and compare them with the digests on record.

    Broken off, it goes on where it stopped. Exit code 3: a file does not match, is missing or
    cannot be read.
    """
    from flows.cli import audit as command  # noqa: PLC0415  as in `app`

    settings = load_settings(
        database_url=database,
        output=out,
        audit_older_than_days=older_than_days,
        audit_mb_per_s=mb_per_s,
    )
    plan = command.plan_of(settings, what, limit=limit, collection=collection)
    redo_as = (who or getuser()) if redo_damaged else ""
    raise typer.Exit(command.audit(settings, plan, redo_as=redo_as, as_json=as_json))


@app.command()
def verify(
    derivatives: Annotated[
        list[str], typer.Argument(help="Derivatives, by URI, by path in the output, or by key.")
    ],
    out: options.Output = None,
    database: options.Database = None,
    as_json: options.AsJson = False,
) -> None:
    """Read single derivatives again. Exit code 3: one does not match its record."""
    from flows.cli import audit as command  # noqa: PLC0415  as in `app`

    settings = load_settings(database_url=database, output=out)
    raise typer.Exit(command.verify_named(settings, derivatives, as_json=as_json))

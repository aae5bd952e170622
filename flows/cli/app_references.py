"""`autochrome references`: its commands, their arguments and their help."""

from getpass import getuser
from pathlib import Path
from typing import Annotated

import typer

from flows.cli import options
from tasks.settings import load_settings

app = typer.Typer(help="Colour pictures that the network learns from.", no_args_is_help=True)


@app.command("add")
def add(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders, s3://bucket/prefix, or CSV manifests (column `file`)."
        ),
    ],
    kind: Annotated[
        str | None,
        typer.Option("--class", help="period, pair, correction or hand_tinted."),
    ] = None,
    rights: Annotated[str | None, typer.Option("--rights", help="Under which terms.")] = None,
    citation: Annotated[str | None, typer.Option("--citation", help="How to cite it.")] = None,
    date: Annotated[str | None, typer.Option("--date", help="When it was taken.")] = None,
    place: Annotated[str | None, typer.Option("--place", help="Where it was taken.")] = None,
    curator: Annotated[str | None, typer.Option("--curator", help="Who vouches for it.")] = None,
    certainty: Annotated[
        str | None, typer.Option("--certainty", help="certain, probable or doubtful.")
    ] = None,
    note: Annotated[str | None, typer.Option("--note", help="Anything else.")] = None,
    scan: Annotated[
        str | None, typer.Option("--scan", metavar="URI", help="The scan it is the colour of.")
    ] = None,
    corrects: Annotated[
        str | None,
        typer.Option("--corrects", metavar="ITEM", help="The item whose colours it corrects."),
    ] = None,
    vouch: Annotated[
        bool, typer.Option("--vouch", help="The colours are right though they look changed.")
    ] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow",
            metavar="PLACE",
            help="A folder or prefix whose files a manifest may name, besides those beside it.",
        ),
    ] = None,
    collection: options.IntoCollection = None,
    who: options.Who = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check.")] = False,
    out: options.Output = None,
    database: options.Database = None,
    as_json: options.AsJson = False,
) -> None:
    """Check colour pictures and take them in: some to learn from, some held out to judge on.

    Options describe all of them; a manifest's columns each one. Exit code 3: some were refused.
    """
    from flows.cli import references as command  # noqa: PLC0415  as in `app`

    said = {
        "kind": kind,
        "rights": rights,
        "citation": citation,
        "date": date,
        "place": place,
        "curator": curator,
        "certainty": certainty,
        "note": note,
        "scan": scan,
        "corrects": corrects,
    }
    addition = command.Addition(
        paths=paths,
        allowed=allow or (),
        said={name: text for name, text in said.items() if text},
        who=who or getuser(),
        vouched=vouch,
        dry_run=dry_run,
    )
    settings = load_settings(database_url=database, output=out, collection=collection)
    raise typer.Exit(command.add(settings, addition, as_json=as_json))


@app.command("list")
def show(
    withdrawn: Annotated[
        bool, typer.Option("--withdrawn", help="Those that were withdrawn, too.")
    ] = False,
    collection: options.Collection = None,
    database: options.Database = None,
    as_json: options.AsJson = False,
) -> None:
    """List the references, and what each is for."""
    from flows.cli import references as command  # noqa: PLC0415  as in `app`

    settings = load_settings(database_url=database, collection=collection)
    raise typer.Exit(command.show(settings, withdrawn=withdrawn, as_json=as_json))


@app.command("withdraw")
def withdraw(
    named: Annotated[list[str], typer.Argument(help="Numbers, or beginnings of digests.")],
    why: options.Why,
    who: options.Who = None,
    database: options.Database = None,
    as_json: options.AsJson = False,
) -> None:
    """Use references no more, and say which checkpoints saw them."""
    from flows.cli import references as command  # noqa: PLC0415  as in `app`

    settings = load_settings(database_url=database)
    raise typer.Exit(
        command.withdraw(settings, named, who=who or getuser(), why=why, as_json=as_json)
    )


@app.command("export")
def export(
    path: Annotated[
        Path | None, typer.Argument(help="CSV file to write.  [default: stdout]")
    ] = None,
    database: options.Database = None,
) -> None:
    """Write all references as a CSV manifest."""
    from flows.cli import references as command  # noqa: PLC0415  as in `app`

    raise typer.Exit(command.export(load_settings(database_url=database), path))

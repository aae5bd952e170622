"""`autochrome`: the commands that only ask or change the ledger."""

from getpass import getuser
from pathlib import Path
from typing import Annotated

import typer

from flows.cli import archive, options
from tasks.settings import load_settings

app = typer.Typer()
db = typer.Typer(help="The ledger's database.", no_args_is_help=True)
app.add_typer(db, name="db")


@app.command()
def discover(
    sources: Annotated[
        list[str], typer.Argument(help="s3://bucket/prefix, file:///folder or a path.")
    ],
    database: options.Database = None,
    collection: options.IntoCollection = None,
    include: options.Include = None,
    exclude: options.Exclude = None,
    accept_missing: Annotated[
        bool,
        typer.Option(
            "--accept-missing", help="Scans that are not there were taken away on purpose."
        ),
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """List sources and record what is new, changed or gone.

    Exit code 3: not all could be listed, or more is missing than is believed.
    """
    settings = load_settings(
        sources=tuple(sources),
        database_url=database,
        collection=collection,
        include=include,
        exclude=exclude,
    )
    raise typer.Exit(archive.discover(settings, accept_missing=accept_missing, as_json=as_json))


@app.command()
def status(database: options.Database = None, as_json: options.AsJson = False) -> None:
    """Count the items by status and reason, for the recipe in service."""
    raise typer.Exit(archive.status(load_settings(database_url=database), as_json=as_json))


@app.command()
def item(
    uri: Annotated[str, typer.Argument(help="The scan's URI or path, as reports show it.")],
    database: options.Database = None,
    as_json: options.AsJson = False,
    as_premis: options.AsPremis = False,
) -> None:
    """Tell the whole story of a scan: attempts, derivatives, decisions."""
    settings = load_settings(database_url=database)
    if as_premis:
        raise typer.Exit(archive.item_as_premis(settings, uri))
    raise typer.Exit(archive.item(settings, uri, as_json=as_json))


@app.command()
def report(
    name: Annotated[
        str | None, typer.Argument(help="The run's name or number.  [default: the last]")
    ] = None,
    out: options.Output = None,
    database: options.Database = None,
    as_json: options.AsJson = False,
    as_premis: options.AsPremis = False,
    again: Annotated[
        bool, typer.Option("--again", help="Make it anew, from what the ledger remembers.")
    ] = False,
) -> None:
    """Print where the report of a run is, or the report itself as JSON."""
    settings = load_settings(database_url=database, output=out)
    if as_premis:
        raise typer.Exit(archive.run_as_premis(settings, name))
    raise typer.Exit(archive.report(settings, name, as_json=as_json, again=again))


@app.command()
def restore(
    derivative: Annotated[Path, typer.Argument(help="A spliced JPEG.")],
    original: Annotated[Path, typer.Argument(help="File to write; must not exist.")],
) -> None:
    """Give back the scan that a spliced JPEG was made from, byte for byte."""
    raise typer.Exit(archive.restore(derivative, original))


def _add_decision(name: str, help_text: str) -> None:
    """Add a command that moves items, chosen by URI or by filter."""

    @app.command(name, help=help_text)
    def decide(
        uris: Annotated[
            list[str] | None,
            typer.Argument(help="URIs (* and ? stand for many), or numbers of items."),
        ] = None,
        statuses: options.Statuses = None,
        reasons: options.Reasons = None,
        collection: options.Collection = None,
        older_than_hours: options.OlderThan = None,
        recipe: options.RecipeDigest = None,
        everything: options.Everything = False,
        who: options.Who = None,
        why: options.Why = "",
        dry_run: options.DryRun = False,
        database: options.Database = None,
        as_json: options.AsJson = False,
    ) -> None:
        chosen = archive.item_filter(
            uris=uris,
            statuses=statuses,
            reasons=reasons,
            collection=collection,
            older_than_hours=older_than_hours,
            everything=everything or recipe is not None,
        )
        decision = archive.Decision(name, who=who or getuser(), why=why, dry_run=dry_run)
        settings = load_settings(database_url=database)
        raise typer.Exit(archive.decide(settings, decision, chosen, recipe=recipe, as_json=as_json))


_add_decision("retry", "Let failed and quarantined items be tried again.")
_add_decision("hold", "Keep items from being worked on: rights, sensitivity.")
_add_decision("release", "End a hold.")
_add_decision("approve", "Publish items that wait for review.")
_add_decision("reject", "Turn down items that wait for review.")
_add_decision("redo", "Make derivatives anew, under the same recipe: damaged ones.")
_add_decision("supersede", "Take published items and those in review out of use.")


@app.command()
def sweep(
    workers: Annotated[
        list[str] | None,
        typer.Option("--worker", metavar="NAME", help="A worker that is known to be gone."),
    ] = None,
    dry_run: options.DryRun = False,
    database: options.Database = None,
    as_json: options.AsJson = False,
) -> None:
    """Take back what workers that are gone still hold; every claim does so after their lease."""
    settings = load_settings(database_url=database)
    raise typer.Exit(archive.sweep(settings, workers or (), dry_run=dry_run, as_json=as_json))


@db.command("upgrade")
def upgrade(database: options.Database = None) -> None:
    """Create the ledger's tables, or bring them up to this version."""
    raise typer.Exit(archive.upgrade(load_settings(database_url=database)))


@db.command("downgrade")
def downgrade(
    revision: Annotated[str, typer.Argument(help="A revision, or `base` for an empty database.")],
    database: options.Database = None,
) -> None:
    """Take the ledger's tables back to an older revision; what it cannot hold is lost."""
    raise typer.Exit(archive.downgrade(load_settings(database_url=database), revision))


@db.command("current")
def current(database: options.Database = None) -> None:
    """Print the revision of the ledger's tables."""
    raise typer.Exit(archive.current(load_settings(database_url=database)))

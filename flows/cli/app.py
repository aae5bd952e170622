"""`autochrome`: every command, its arguments and its help.

What a command does is in the module that it calls. Modules that load torch or Prefect are imported
by their command alone, so that `autochrome status` answers at once.
"""

import logging
import sys
from collections.abc import Sequence
from contextlib import closing
from copy import copy
from getpass import getuser
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.logging import RichHandler
from typer.main import get_command_name
from typer.models import CommandInfo

from flows.cli import archive, options
from flows.cli.app_backfill import app as backfill
from flows.cli.app_models import app as models
from flows.cli.app_references import app as references
from flows.cli.app_review import app as review
from flows.cli.talk import ExitCode, say, stderr
from tasks.errors import AutochromeError, UsageError
from tasks.loading import importing
from tasks.settings import load_settings

app = typer.Typer(
    help="Colourizes the scanned greyscale photographs of an archive.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
db = typer.Typer(help="The ledger's database.", no_args_is_help=True)
app.add_typer(db, name="db")
app.add_typer(models)
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
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING,
        format="%(message)s",
        handlers=[handler],
    )
    for chatty in ("botocore", "boto3", "urllib3", "httpcore", "httpx", "pyvips", "PIL"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


@app.command()
def demo(
    folder: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Where everything is kept.")
    ] = Path("var/demo"),
) -> None:
    """Make a small archive and run the nightly flow on it."""
    from flows.cli import demo as command  # noqa: PLC0415  see the module's docstring

    raise typer.Exit(command.demo(folder))


@app.command()
def run(
    source: Annotated[str, typer.Argument(help="s3://bucket/prefix, file:///folder or a path.")],
    out: options.Output = None,
    database: options.Database = None,
    collection: options.IntoCollection = None,
    checkpoint: options.CheckpointFile = None,
    device: options.Device = None,
    publish: Annotated[
        bool | None,
        typer.Option(
            "--publish/--review", help="Publish what is confident, or leave all to a curator."
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Discover, colourize and report in this process.

    Exit code 0: all is well. 3: some scans failed or are quarantined. 1: the run was stopped.
    """
    from tasks.pool import open_pool  # noqa: PLC0415  see the module's docstring

    settings = load_settings(
        sources=(source,),
        output=out,
        database_url=database,
        collection=collection,
        checkpoint=checkpoint,
        device=device,
        publish_directly=publish,
    )
    with closing(open_pool(settings)) as pixels:
        pixels.start()  # its children load their libraries while this process loads torch
        with importing():
            from flows.cli import run as command  # noqa: PLC0415  see the module's docstring

        raise typer.Exit(command.run(settings, as_json=as_json, pixels=pixels))


@app.command()
def discover(
    sources: Annotated[
        list[str], typer.Argument(help="s3://bucket/prefix, file:///folder or a path.")
    ],
    database: options.Database = None,
    collection: options.IntoCollection = None,
    as_json: options.AsJson = False,
) -> None:
    """List sources and record what is new, changed or gone."""
    settings = load_settings(sources=tuple(sources), database_url=database, collection=collection)
    raise typer.Exit(archive.discover(settings, as_json=as_json))


@app.command()
def status(database: options.Database = None, as_json: options.AsJson = False) -> None:
    """Count the items by status and reason, for the recipe in service."""
    raise typer.Exit(archive.status(load_settings(database_url=database), as_json=as_json))


@app.command()
def item(
    uri: Annotated[str, typer.Argument(help="The scan's URI or path, as reports show it.")],
    database: options.Database = None,
    as_json: options.AsJson = False,
    as_premis: Annotated[
        bool, typer.Option("--premis", help="Print PREMIS 3 XML, for a preservation system.")
    ] = False,
) -> None:
    """Tell the whole story of a scan: attempts, derivatives, decisions."""
    settings = load_settings(database_url=database)
    if as_premis:
        raise typer.Exit(archive.item_as_premis(settings, uri))
    raise typer.Exit(archive.item(settings, uri, as_json=as_json))


@app.command()
def report(
    name: Annotated[str | None, typer.Argument(help="The run's name.  [default: the last]")] = None,
    out: options.Output = None,
    database: options.Database = None,
    as_json: options.AsJson = False,
    as_premis: Annotated[
        bool, typer.Option("--premis", help="Print PREMIS 3 XML, for a preservation system.")
    ] = False,
) -> None:
    """Print where the report of a run is, or the report itself as JSON."""
    settings = load_settings(database_url=database, output=out)
    if as_premis:
        raise typer.Exit(archive.run_as_premis(settings, name))
    raise typer.Exit(archive.report(settings, name, as_json=as_json))


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
    from flows.cli import audit as command  # noqa: PLC0415  see the module's docstring

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
    from flows.cli import audit as command  # noqa: PLC0415  see the module's docstring

    settings = load_settings(database_url=database, output=out)
    raise typer.Exit(command.verify_named(settings, derivatives, as_json=as_json))


@app.command()
def serve(
    source: Annotated[
        list[str] | None,
        typer.Argument(help="s3://bucket/prefix, file:///folder or a path.", show_default=False),
    ] = None,
    out: options.Output = None,
    database: options.Database = None,
    collection: options.IntoCollection = None,
    host: Annotated[str | None, typer.Option(help="Address to serve at.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of Prefect's UI and API.")] = None,
    web_port: Annotated[int | None, typer.Option(help="Port of metrics and reports.")] = None,
    home: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the server's database and logs are.")
    ] = None,
    gpus: Annotated[bool, typer.Option("--gpus", help="A worker for each GPU.")] = False,
    gpu: Annotated[
        list[int] | None,
        typer.Option(metavar="N", help="A worker for this GPU; may be given several times."),
    ] = None,
) -> None:
    """Run an archive on this machine: Prefect's server and UI, schedules, workers, metrics.

    Ctrl-C drains: what was begun is finished, the rest given back. Run again, it goes on.
    """
    settings = load_settings(
        sources=tuple(source) if source else None,
        output=out,
        database_url=database,
        collection=collection,
        host=host,
        port=port,
        web_port=web_port,
        home=home,
    )
    from flows.serving import ServeOptions  # noqa: PLC0415  see the module's docstring
    from flows.serving import serve as command  # noqa: PLC0415  see the module's docstring

    chosen: tuple[int, ...] = ()
    if gpus or gpu:
        from flows.serving.gpus import choose_gpus  # noqa: PLC0415  torch

        chosen = choose_gpus(gpu)
    raise typer.Exit(command(settings, ServeOptions(gpus=chosen)))


@app.command()
def deploy() -> None:
    """Put work pools, deployments and automations onto the server of PREFECT_API_URL.

    Again and again without harm. Work pools that exist stay as they are.
    """
    settings = load_settings()
    from flows.cli import deploy as command  # noqa: PLC0415  see the module's docstring

    raise typer.Exit(command.deploy(settings))


@app.command()
def metrics(
    database: options.Database = None,
    host: Annotated[str | None, typer.Option(help="Address to serve at.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to serve at.  [default: 4201]")] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Print the figures and end: for the textfile collector.")
    ] = False,
) -> None:
    """Serve the figures of the ledger to Prometheus, at /metrics."""
    from flows.cli import metrics as command  # noqa: PLC0415  see the module's docstring

    settings = load_settings(database_url=database, host=host, web_port=port)
    raise typer.Exit(command.once(settings) if once else command.serve_metrics(settings))


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


def _with_named_alone(arguments: Sequence[str]) -> typer.Typer:
    """The application with the command that the arguments name; with all, if they name none.

    Typer reads the signatures of all commands before it runs one: as long as a command takes that
    asks the ledger.
    """
    name = next((one for one in arguments if not one.startswith("-")), None)
    commands = [one for one in app.registered_commands if _name_of(one) == name]
    groups = [one for one in app.registered_groups if one.name == name]
    if not commands and not groups:
        return app
    alone = copy(app)
    alone.registered_commands, alone.registered_groups = commands, groups
    return alone


def _name_of(command: CommandInfo) -> str | None:
    return command.name or (command.callback and get_command_name(command.callback.__name__))


def main() -> None:
    """Run the command line; every foreseen error is one line with a remedy."""
    try:
        _with_named_alone(sys.argv[1:])()
    except AutochromeError as error:
        if logging.getLogger().isEnabledFor(logging.DEBUG):
            stderr.print_exception()
        say(f"autochrome: {error}")
        sys.exit(ExitCode.USAGE if isinstance(error, UsageError) else ExitCode.ABORTED)

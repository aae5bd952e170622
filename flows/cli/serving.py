"""`autochrome serve`, `login`, `deploy`, `metrics`: a machine, or a server, kept at it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli import options
from flows.terminal import say, stdout, write_data
from tasks.errors import DatabaseUnavailable, RunAborted, UsageError

if TYPE_CHECKING:
    from tasks.settings import Settings

app = typer.Typer()


@app.command(rich_help_panel=options.OPERATE)
def serve(
    source: Annotated[
        list[str] | None,
        typer.Argument(help="s3://bucket/prefix, file:///folder or a path.", show_default=False),
    ] = None,
    out: options.Output = None,
    database: options.Database = None,
    collection: options.IntoCollection = None,
    include: options.Include = None,
    exclude: options.Exclude = None,
    host: Annotated[str | None, typer.Option(help="Address to serve at.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of Prefect's UI and API.")] = None,
    web_port: Annotated[
        int | None, typer.Option(help="Port of the curators' desk, metrics and reports.")
    ] = None,
    home: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the server's database and logs are.")
    ] = None,
    gpus: Annotated[bool, typer.Option("--gpus", help="A worker for each GPU.")] = False,
    gpu: Annotated[
        list[int] | None,
        typer.Option(metavar="N", help="A worker for this GPU; may be given several times."),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="So many workers that colour.  [default: one, or one a GPU]"
        ),
    ] = 0,
) -> None:
    """Run an archive on this machine: Prefect's server and UI, schedules, workers, metrics.

    Ctrl-C drains: what was begun is finished, the rest given back. Run again, it goes on.
    """
    from tasks.settings import load_settings

    settings = load_settings(
        sources=tuple(source) if source else None,
        output=out,
        database_url=database,
        collection=collection,
        include=include,
        exclude=exclude,
        host=host,
        port=port,
        web_port=web_port,
        home=home,
    )
    from flows.serving.serve import ServeOptions
    from flows.serving.serve import serve as serve_here

    chosen: tuple[int, ...] = ()
    if gpus or gpu:
        from flows.serving.gpus import choose_gpus

        chosen = choose_gpus(gpu)
    raise typer.Exit(serve_here(settings, ServeOptions(gpus=chosen, workers=workers)))


@app.command(rich_help_panel=options.OPERATE)
def login(
    home: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where `serve` keeps its database and logs.")
    ] = None,
) -> None:
    """Print a link that logs a browser in to what `serve` serves. Whoever has it is let in."""
    from flows.serving.environment import read_login
    from tasks.settings import load_settings

    typer.echo(read_login(load_settings(home=home)))


@app.command(rich_help_panel=options.OPERATE)
def deploy() -> None:
    """Put work pools, deployments and automations onto the server of PREFECT_API_URL.

    Again and again without harm. Work pools that exist stay as they are.
    """
    import httpx
    from prefect.settings import get_current_settings

    from flows.deploying import deploy as deploy_to_server
    from tasks.settings import load_settings

    api_url = get_current_settings().api.url
    if not api_url:
        raise UsageError(
            "which server? Set PREFECT_API_URL, such as http://127.0.0.1:4200/api, and "
            "PREFECT_API_AUTH_STRING if it has a password"
        )
    try:
        import asyncio

        deployed = asyncio.run(deploy_to_server(load_settings()))
    except httpx.TransportError as error:
        raise RunAborted(
            f"Prefect's server at {api_url} does not answer ({error}); start it, or set "
            "PREFECT_API_URL to where it is"
        ) from error
    _print_names("deployments", deployed.deployments)
    _print_names("automations", deployed.automations)
    say("start workers with `prefect worker start --pool autochrome-gpu --limit 1` and the like")


@app.command(rich_help_panel=options.OPERATE)
def metrics(
    database: options.Database = None,
    host: Annotated[str | None, typer.Option(help="Address to serve at.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to serve at.  [default: 4201]")] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Print the figures and end: for the textfile collector.")
    ] = False,
) -> None:
    """Serve the figures of the ledger to Prometheus, at /metrics."""
    from tasks.settings import load_settings

    settings = load_settings(database_url=database, host=host, web_port=port)
    if once:
        _print_metrics(settings)
    else:
        _serve_metrics(settings)


def _print_metrics(settings: Settings) -> None:
    """Print the figures, for the node exporter's textfile collector."""
    from tasks.ledger.opening import open_ledger
    from tasks.report.metrics import exposition

    with open_ledger(settings) as ledger:
        text = exposition(ledger)
    if b"autochrome_ledger_up 1" not in text:
        raise DatabaseUnavailable("the ledger's database does not answer; nothing is printed")
    write_data(text)


def _serve_metrics(settings: Settings) -> None:
    """Serve the figures, and nothing else, until SIGINT or SIGTERM."""
    from flows.desk.figures import metrics_app
    from flows.serving.password import NAME, password_file, with_password
    from flows.web.server import WebServer
    from tasks.ledger.opening import open_ledger

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    locked = with_password(settings)
    with open_ledger(locked) as ledger, WebServer(locked, metrics_app(locked, ledger)) as web:
        say(f"metrics at {web.url}/metrics; Ctrl-C ends this")
        if settings.api_auth is None:
            say(f"the name is {NAME}, the password in {password_file(settings)}")
        stop.wait()


def _print_names(heading: str, names: Sequence[str]) -> None:
    for name in names:
        stdout.print(f"{heading}: {name}")

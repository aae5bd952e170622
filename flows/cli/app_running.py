"""`autochrome`: the commands that colour, or keep a machine at it."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from flows.cli import options
from tasks.batch.loading import importing
from tasks.settings import load_settings

app = typer.Typer()


@app.command()
def demo(
    folder: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Where everything is kept.")
    ] = Path("var/demo"),
) -> None:
    """Make a small archive and run the nightly flow on it."""
    from flows.cli import demo as command  # noqa: PLC0415  as in `app`

    raise typer.Exit(command.demo(folder))


@app.command()
def run(
    source: Annotated[str, typer.Argument(help="s3://bucket/prefix, file:///folder or a path.")],
    out: options.Output = None,
    database: options.Database = None,
    collection: options.IntoCollection = None,
    include: options.Include = None,
    exclude: options.Exclude = None,
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

    Exit code 0: all is well. 3: some scans failed or are quarantined, or not all of the source
    could be listed. 1: the run was stopped.
    """
    from tasks.batch.pool import open_pool  # noqa: PLC0415  as in `app`

    settings = load_settings(
        sources=(source,),
        output=out,
        database_url=database,
        collection=collection,
        include=include,
        exclude=exclude,
        checkpoint=checkpoint,
        device=device,
        publish_directly=publish,
    )
    with closing(open_pool(settings)) as pixels:
        pixels.start()  # its children load their libraries while this process loads torch
        with importing():
            from flows.cli import run as command  # noqa: PLC0415  as in `app`

        raise typer.Exit(command.run(settings, as_json=as_json, pixels=pixels))


@app.command()
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
        include=include,
        exclude=exclude,
        host=host,
        port=port,
        web_port=web_port,
        home=home,
    )
    from flows.serving.serve import ServeOptions  # noqa: PLC0415  as in `app`
    from flows.serving.serve import serve as command  # noqa: PLC0415  as in `app`

    chosen: tuple[int, ...] = ()
    if gpus or gpu:
        from flows.serving.gpus import choose_gpus  # noqa: PLC0415  torch

        chosen = choose_gpus(gpu)
    raise typer.Exit(command(settings, ServeOptions(gpus=chosen)))


@app.command()
def login(
    home: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where `serve` keeps its database and logs.")
    ] = None,
) -> None:
    """Print a link that logs a browser in to what `serve` serves. Whoever has it is let in."""
    from flows.serving.environment import read_login  # noqa: PLC0415  as in `app`

    typer.echo(read_login(load_settings(home=home)))


@app.command()
def deploy() -> None:
    """Put work pools, deployments and automations onto the server of PREFECT_API_URL.

    Again and again without harm. Work pools that exist stay as they are.
    """
    settings = load_settings()
    from flows.cli import deploy as command  # noqa: PLC0415  as in `app`

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
    from flows.cli import metrics as command  # noqa: PLC0415  as in `app`

    settings = load_settings(database_url=database, host=host, web_port=port)
    raise typer.Exit(command.once(settings) if once else command.serve_metrics(settings))

"""Which checkpoint is in service: the commands, their arguments and their help."""

from getpass import getuser
from pathlib import Path
from typing import Annotated

import typer

from flows.cli import options
from tasks.settings import load_settings

#: Without a name: `autochrome promote`, not `autochrome models promote`.
app = typer.Typer()


@app.command()
def models(database: options.Database = None, as_json: options.AsJson = False) -> None:
    """List the checkpoints, and how the champion came to be it."""
    from flows.cli import models as command  # noqa: PLC0415  as in `app`

    raise typer.Exit(command.models(load_settings(database_url=database), as_json=as_json))


@app.command()
def promote(
    checkpoint: Annotated[
        str, typer.Argument(help="The beginning of its digest, or a .safetensors file.")
    ],
    why: Annotated[
        str, typer.Option("--why", metavar="TEXT", help="The evidence, for the record.")
    ],
    who: options.Who = None,
    out: options.Output = None,
    database: options.Database = None,
) -> None:
    """Make a checkpoint the champion: new scans are coloured by it from now on."""
    from flows.cli import models as command  # noqa: PLC0415  as in `app`

    settings = load_settings(database_url=database, output=out)
    raise typer.Exit(
        command.promote_checkpoint(settings, checkpoint, who=who or getuser(), why=why)
    )


@app.command()
def rollback(
    why: options.Why,
    who: options.Who = None,
    database: options.Database = None,
) -> None:
    """Make the champion before the present one the champion again."""
    from flows.cli import models as command  # noqa: PLC0415  as in `app`

    settings = load_settings(database_url=database)
    raise typer.Exit(command.roll_back_champion(settings, who=who or getuser(), why=why))


@app.command()
def finetune(
    force: Annotated[
        bool, typer.Option("--force", help="Train though too few references are new.")
    ] = False,
    base_photos: Annotated[
        Path | None,
        typer.Option(
            "--base-photos",
            metavar="DIR",
            help="train.csv, train-*.tar to replay; val.csv, val-*.tar to judge on.",
        ),
    ] = None,
    who: options.Who = None,
    device: options.Device = None,
    out: options.Output = None,
    database: options.Database = None,
    as_json: options.AsJson = False,
) -> None:
    """Learn from the references, judge, and promote on evidence; in this process.

    Killed, it goes on where it was when it is run again.
    """
    from flows.cli import finetune as course  # noqa: PLC0415  it loads torch

    settings = load_settings(
        database_url=database, output=out, device=device, base_photos=base_photos
    )
    raise typer.Exit(course.finetune(settings, force=force, who=who or getuser(), as_json=as_json))

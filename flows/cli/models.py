"""`autochrome models`, `promote`, `rollback`: which networks there are, and which is in service."""

from __future__ import annotations

from dataclasses import asdict
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli import options
from flows.cli.opening import ledger_at
from flows.terminal import plain_table, print_json, say, stdout

if TYPE_CHECKING:
    from tasks.ledger.checkpoints import CheckpointRow
    from tasks.settings import Settings

app = typer.Typer()
models = typer.Typer(name="models", invoke_without_command=True)
app.add_typer(models, rich_help_panel=options.MODEL)


@models.callback()
def list_models(
    context: typer.Context, database: options.Database = None, as_json: options.AsJson = False
) -> None:
    """List the checkpoints, and how the champion came to be it."""
    from tasks.settings import load_settings

    if context.invoked_subcommand is None:
        _list(load_settings(database_url=database), as_json=as_json)


@models.command()
def add(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.onnx", help="Weights beside it are taken in.")
    ],
    terms: Annotated[
        str, typer.Option("--terms", metavar="TEXT", help="Whose the weights are, and from where.")
    ],
    licence: Annotated[
        str,
        typer.Option(
            "--licence", "--license", metavar="SPDX", help="Under which you may use them."
        ),
    ],
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile",
            metavar="NAME|FILE.toml",
            help="What it takes and gives: ddcolor, deoldify, deoldify-255, zhang, or your own.  "
            "[default: FILE.toml beside it]",
        ),
    ] = None,
    name: Annotated[
        str, typer.Option("--name", help="For provenance.  [default: the profile's title]")
    ] = "",
    version: Annotated[
        str, typer.Option("--version", help="For provenance.  [default: of the file's digest]")
    ] = "",
    description: Annotated[str, typer.Option("--description", help="For its card.")] = "",
    who: options.Who = None,
    out: options.Output = None,
    database: options.Database = None,
    as_json: options.AsJson = False,
) -> None:
    """Take in a network that was made elsewhere: tried on photographs, stored, registered.

    It colours nothing until it is promoted.
    """
    from colormodel.onnx_import import OPPOSITE, Origin
    from tasks.checkpoints import add_onnx
    from tasks.ledger.opening import open_ledger
    from tasks.scratch import scratch_folder
    from tasks.settings import load_settings

    settings = load_settings(database_url=database, output=out)
    origin = Origin(terms, licence, name=name, version=version, description=description)
    with open_ledger(settings) as ledger, scratch_folder(settings) as scratch:
        row, figures = add_onnx(
            settings,
            ledger,
            file,
            profile=profile or str(file.with_suffix(".toml")),
            origin=origin,
            scratch=scratch,
            who=who or getuser(),
        )
    if figures.likeness < OPPOSITE:
        say(
            f"its colours of photographs are the opposite of our own network's (likeness "
            f"{figures.likeness:.2f} of -1 to 1): if it gives BGR, or a* and b* of another sign, "
            "export it with red, green and blue, or a* and b*, in this order, as CIE Lab has them"
        )
    if as_json:
        print_json(asdict(row) | {"tried": figures._asdict()})
        return
    say(
        f"{row.name} ({row.digest[:12]}): on three photographs its colours are "
        f"{figures.chroma:.1f} a*b* units from grey, its score {figures.confidence:.2f}; "
        f"`autochrome promote {row.digest[:12]} --why …` puts it in service"
    )
    stdout.print(row.digest)


@models.command()
def export(
    checkpoint: Annotated[
        str,
        typer.Argument(help="champion, the beginning of a digest, or a .safetensors file."),
    ],
    file: Annotated[
        Path, typer.Argument(metavar="FILE.onnx", help="To be written; FILE.toml beside it, too.")
    ],
    out: options.Output = None,
    database: options.Database = None,
) -> None:
    """Write a checkpoint's network as ONNX, for other programs, and its profile beside it."""
    from tasks.checkpoints import export_checkpoint
    from tasks.ledger.opening import open_ledger
    from tasks.scratch import scratch_folder
    from tasks.settings import load_settings

    settings = load_settings(database_url=database, output=out)
    with open_ledger(settings) as ledger, scratch_folder(settings) as scratch:
        beside = export_checkpoint(settings, ledger, checkpoint, file, scratch=scratch)
    stdout.print(file)
    stdout.print(beside)


@app.command(rich_help_panel=options.MODEL)
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
    from tasks.ledger.checkpoints import promote as promote_checkpoint
    from tasks.ledger.opening import open_ledger
    from tasks.settings import load_settings

    settings = load_settings(database_url=database, output=out)
    with open_ledger(settings) as ledger:
        digest = checkpoint
        if Path(checkpoint).suffix == ".safetensors":
            from tasks.checkpoints import register_file

            digest = register_file(settings, ledger, Path(checkpoint), who=who or getuser()).digest
        _tell(promote_checkpoint(ledger, digest, who=who or getuser(), why=why))


@app.command(rich_help_panel=options.MODEL)
def rollback(
    why: options.Why,
    who: options.Who = None,
    database: options.Database = None,
) -> None:
    """Make the champion before the present one the champion again."""
    from tasks.ledger.checkpoints import roll_back

    with ledger_at(database) as ledger:
        _tell(roll_back(ledger, who=who or getuser(), why=why))


def _list(settings: Settings, *, as_json: bool) -> None:
    """Print every registered checkpoint, and how the champion came to be it."""
    from tasks.ledger.checkpoints import champion_checkpoint, history, list_checkpoints, recipes_of
    from tasks.ledger.opening import open_ledger
    from tasks.ledger.trainings import list_trainings

    with open_ledger(settings) as ledger:
        known = list_checkpoints(ledger)
        champion = champion_checkpoint(ledger)
        moves = history(ledger)
        trainings = list_trainings(ledger)
        recipes = {row.digest: recipes_of(ledger, row.digest) for row in known}
    if as_json:
        print_json(
            {
                "champion": champion.digest if champion else None,
                "checkpoints": [
                    asdict(row) | {"recipes": [one.digest for one in recipes[row.digest]]}
                    for row in known
                ],
                "trainings": [asdict(row) for row in trainings],
                "history": [asdict(move) for move in moves],
            }
        )
        return
    table = plain_table("", "checkpoint", "name", "from", "recipes", "registered", "where")
    parents = {row.challenger: row.parent[:12] for row in trainings if row.challenger}
    for row in known:
        mark = "champion" if champion and row.id == champion.id else ""
        used = ", ".join(one.digest[:12] for one in recipes[row.digest])
        parent = parents.get(row.digest, "")
        when = f"{row.registered_at:%Y-%m-%d}"
        table.add_row(mark, row.digest[:12], row.name, parent, used, when, row.url)
    stdout.print(table)
    for move in moves:
        stdout.print(
            f"{move.decided_at:%Y-%m-%d %H:%M} {move.kind} {move.checkpoint.digest[:12]} by "
            f"{move.who}: {move.why}"
        )
    for training in reversed(trainings):
        stdout.print(
            f"{training.started_at:%Y-%m-%d %H:%M} training {training.id} of "
            f"{training.parent[:12]} on set {training.set_digest[:12]}: "
            f"{training.verdict or 'under way, or interrupted'}"
            + (f", {training.challenger[:12]}" if training.challenger else "")
            + (f": {training.why}" if training.why else "")
        )


def _tell(champion: CheckpointRow) -> None:
    say(
        f"{champion.name} ({champion.digest[:12]}) is the champion; what is coloured already stays "
        "as it is"
    )

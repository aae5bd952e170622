"""The commands about checkpoints: which there are, which is in service, and who said so."""

from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from flows.cli.talk import ExitCode, print_json, say, stdout
from tasks.ledger.checkpoints import (
    CheckpointRow,
    champion_checkpoint,
    history,
    list_checkpoints,
    promote,
    recipes_of,
    roll_back,
)
from tasks.ledger.opening import open_ledger
from tasks.ledger.trainings import list_trainings
from tasks.settings import Settings


def models(settings: Settings, *, as_json: bool) -> ExitCode:
    """Print every registered checkpoint, and how the champion came to be it."""
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
        return ExitCode.CLEAN
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "checkpoint", "name", "from", "recipes", "registered", "where"):
        table.add_column(heading)
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
    return ExitCode.CLEAN


def promote_checkpoint(settings: Settings, named: str, *, who: str, why: str) -> ExitCode:
    """Make a checkpoint the champion: by the beginning of its digest, or by its file."""
    with open_ledger(settings) as ledger:
        digest = named
        if Path(named).suffix == ".safetensors":
            from tasks.checkpoints import register_file  # noqa: PLC0415  torch, for files only

            digest = register_file(settings, ledger, Path(named), who=who).digest
        _tell(promote(ledger, digest, who=who, why=why))
    return ExitCode.CLEAN


def roll_back_champion(settings: Settings, *, who: str, why: str) -> ExitCode:
    """Make the champion before the present one the champion again."""
    with open_ledger(settings) as ledger:
        _tell(roll_back(ledger, who=who, why=why))
    return ExitCode.CLEAN


def _tell(champion: CheckpointRow) -> None:
    say(
        f"{champion.name} ({champion.digest[:12]}) is the champion; what is coloured already stays "
        "as it is"
    )

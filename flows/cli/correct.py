"""`autochrome correct`: a person says what colours of a scan are, and it is coloured by that."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli import options
from flows.cli.orders import Here, go_on
from flows.terminal import ExitCode, print_json, say, stdout
from tasks.errors import UsageError

if TYPE_CHECKING:
    from colormodel.correction import Correction
    from tasks.ledger import CorrectionRow, Ledger
    from tasks.settings import Settings

app = typer.Typer()


@dataclass(frozen=True)
class Choices:
    """What the command line says beside the scan."""

    correction: Correction | None  #: None: nothing is said, something is taken back or taught
    frame: int | None
    withdraw: bool
    teach: bool
    who: str
    why: str
    here: bool | None
    as_json: bool


@app.command(rich_help_panel=options.CURATE)
def correct(
    uri: Annotated[str, typer.Argument(help="The scan's URI or path, as reports show it.")],
    hints: Annotated[
        Path | None,
        typer.Option(
            "--hints",
            metavar="FILE.json",
            help='A list of {"x": 0..1, "y": 0..1, "rgb": [r, g, b]}; {"hints", "strength", '
            '"masks"} as the desk keeps them.',
        ),
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(
            "--strength", metavar="S", help="Of the network's own colours: 0 none, 1 as they are."
        ),
    ] = None,
    frame: Annotated[
        int | None,
        typer.Option("--frame", metavar="N", help="Of a film: which frame is meant, from 0."),
    ] = None,
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Take the latest correction back.")
    ] = False,
    teach: Annotated[
        bool,
        typer.Option("--teach", help="Learn from the corrected picture: make a reference of it."),
    ] = False,
    why: options.Why = "",
    who: options.Who = None,
    here: Here = None,
    out: options.Output = None,
    database: options.Database = None,
    as_json: options.AsJson = False,
) -> None:
    """Say what colours of a scan are, and have it coloured by that, gate and all.

    It counts for these bytes from now on, under every later network too. The network's own result
    stays on record. Exit codes as for `run`.
    """
    from tasks.ledger.opening import open_ledger
    from tasks.ledger.uris import uri_given
    from tasks.settings import load_settings

    said = _said(hints, strength)
    if (said is not None) + withdraw + teach != 1:
        raise UsageError("say one thing: --hints or --strength, --withdraw, or --teach")
    choices = Choices(said, frame, withdraw, teach, who or getuser(), why, here, as_json)
    settings = load_settings(database_url=database, output=out)
    with open_ledger(settings) as ledger:
        raise typer.Exit(_carry_out(settings, ledger, uri_given(uri), choices))


def _said(hints: Path | None, strength: float | None) -> Correction | None:
    from colormodel.correction import MAX_STRENGTH, Correction, read_correction
    from colormodel.hints import HintError

    if hints is None and strength is None:
        return None
    if strength is not None and not 0 <= strength <= MAX_STRENGTH:
        raise UsageError(f"--strength {strength:g} is not from 0 to {MAX_STRENGTH:g}")
    try:
        said = Correction() if hints is None else read_correction(hints)
    except HintError as error:
        raise UsageError(str(error)) from error
    return said if strength is None else replace(said, strength=strength)


def _carry_out(settings: Settings, ledger: Ledger, uri: str, choices: Choices) -> ExitCode:
    from tasks.corrections.saving import order_corrected, save_correction, withdraw_correction

    who, why = choices.who, choices.why
    if choices.teach:
        return _teach(settings, ledger, uri, choices)
    if choices.withdraw:
        row = withdraw_correction(ledger, uri, who=who, why=why, frame=choices.frame)
        say(f"correction {row.id} is withdrawn")
    else:
        said = choices.correction or _nothing()
        row = save_correction(ledger, uri, said, who=who, note=why, frame=choices.frame)
        say(f"correction {row.id} is on record")
    order = order_corrected(settings, ledger, [uri], who=who, why=f"correction {row.id}")
    if not order.items:
        say("nothing is to be coloured: the scan is held, gone, or waits in another order")
        _tell(row, as_json=choices.as_json)
        return ExitCode.CLEAN
    return go_on(settings, ledger, order, here=choices.here, as_json=choices.as_json)


def _nothing() -> Correction:
    from colormodel.correction import Correction

    return Correction()


def _tell(row: CorrectionRow, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(row))


def _teach(settings: Settings, ledger: Ledger, uri: str, choices: Choices) -> ExitCode:
    from tasks.corrections.teaching import teach

    answer = teach(settings, ledger, uri, who=choices.who, note=choices.why)
    if answer.verdict is not None:
        raise UsageError(f"{uri} is not learnt from: {answer.verdict.detail}")
    if choices.as_json:
        print_json({"reference": answer.reference_id, "split": answer.split})
    else:
        stdout.print(f"reference {answer.reference_id}, for training alone")
    return ExitCode.CLEAN

"""`autochrome references`: colour pictures taken in, listed, withdrawn, exported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column

from flows.cli import options
from flows.cli.opening import ledger_at
from flows.terminal import (
    ExitCode,
    plain_table,
    print_json,
    say,
    stdout,
    write_data,
    write_file,
)
from tasks.errors import UsageError

if TYPE_CHECKING:
    from tasks.ledger.reference_records import ReferenceRow, Witness
    from tasks.settings import Settings

app = typer.Typer(
    name="references",
    help="Colour pictures that the network learns from.",
    no_args_is_help=True,
)


@dataclass(frozen=True)
class Addition:
    """What the options of `references add` say."""

    paths: Sequence[str]
    allowed: Sequence[str]
    said: dict[str, str]
    who: str
    vouched: bool
    dry_run: bool


@app.command()
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
    from tasks.settings import load_settings

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
    addition = Addition(
        paths=paths,
        allowed=allow or (),
        said={name: text for name, text in said.items() if text},
        who=who or getuser(),
        vouched=vouch,
        dry_run=dry_run,
    )
    settings = load_settings(database_url=database, output=out, collection=collection)
    raise typer.Exit(_add(settings, addition, as_json=as_json))


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
    from tasks.ledger.opening import open_ledger
    from tasks.ledger.references import list_references
    from tasks.settings import load_settings

    settings = load_settings(database_url=database, collection=collection)
    with open_ledger(settings) as ledger:
        rows = list_references(
            ledger, withdrawn=None if withdrawn else False, collection=settings.collection or None
        )
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    headings = ("id", "for", "class", "size", "digest", "rights", "origin", "")
    table = plain_table(*(Column(heading, overflow="fold") for heading in headings))
    for row in rows:
        table.add_row(*_cells(row))
    stdout.print(table)


@app.command()
def withdraw(
    named: Annotated[list[str], typer.Argument(help="Numbers, or beginnings of digests.")],
    why: options.Why,
    who: options.Who = None,
    database: options.Database = None,
    as_json: options.AsJson = False,
) -> None:
    """Use references no more, and say which checkpoints saw them."""
    from tasks.ledger.references import find_reference, withdraw_references, witnesses_of

    if not why:
        raise UsageError("why? The record needs a reason: --why TEXT")
    with ledger_at(database) as ledger:
        rows = [find_reference(ledger, name) for name in named]
        withdraw_references(ledger, [row.id for row in rows], who=who or getuser(), why=why)
        seen = {row.id: witnesses_of(ledger, row.id) for row in rows}
    if as_json:
        print_json([{"reference": id_, "seen_by": [asdict(w) for w in seen[id_]]} for id_ in seen])
        return
    for row in rows:
        stdout.print(f"reference {row.id} ({row.origin}) is withdrawn")
        _print_witnesses(seen[row.id])


@app.command()
def export(
    path: Annotated[
        Path | None, typer.Argument(help="CSV file to write.  [default: stdout]")
    ] = None,
    database: options.Database = None,
) -> None:
    """Write all references as a CSV manifest."""
    from tasks.ledger.references import list_references
    from tasks.references.exporting import to_manifest

    with ledger_at(database) as ledger:
        manifest = to_manifest(list_references(ledger, withdrawn=None)).encode()
    if path is None:
        write_data(manifest)
    else:
        write_file(path, [manifest])
        say(f"{path}: written")


def _add(settings: Settings, addition: Addition, *, as_json: bool) -> ExitCode:
    """Take references in, and say of each file what became of it."""
    from tasks.ledger.opening import open_ledger
    from tasks.ledger.reference_records import Description, Split
    from tasks.references.adding import Delivery, add_references
    from tasks.references.finding import Found, Search, find_files
    from tasks.references.manifest import describe

    described = describe(Description(curator=addition.who), addition.said)
    search = Search(settings, described, (*addition.allowed, *addition.paths))

    def found() -> Iterator[Found]:
        for path in addition.paths:
            yield from find_files(search, path)

    with open_ledger(settings, is_made=True) as ledger:
        answers = add_references(
            settings,
            ledger,
            Delivery(
                found=found(),
                collection=settings.collection or "references",
                who=addition.who,
                vouched=addition.vouched,
                dry_run=addition.dry_run,
            ),
        )
    refused = [answer for answer in answers if answer.verdict]
    if as_json:
        print_json([asdict(answer) for answer in answers])
    else:
        for answer in answers:
            if answer.verdict:
                said = f"refused, {answer.verdict.refusal}: {answer.verdict.detail}"
            else:
                number = "" if answer.reference_id is None else f", reference {answer.reference_id}"
                said = f"for {answer.split}{number}"
            stdout.print(f"{answer.origin}: {said}")
    counted = {split: sum(answer.split == split for answer in answers) for split in Split}
    would = "would be" if addition.dry_run else "were"
    say(
        f"{len(answers) - len(refused)} of {len(answers)} {would} taken in: "
        f"{counted[Split.TRAIN]} to learn from, {counted[Split.EVALUATION]} held out"
    )
    if not addition.said.get("rights") and len(refused) < len(answers):
        say("where the manifest names no rights, none are on record; --rights states them for all")
    return ExitCode.FINISHED_WITH_FAULTS if refused else ExitCode.CLEAN


def _cells(row: ReferenceRow) -> tuple[str, ...]:
    return (
        str(row.id),
        row.split,
        row.described.kind,
        f"{row.width} × {row.height}",
        row.sha256[:12],
        row.described.rights or "not stated",
        row.origin,
        "" if row.stands else f"withdrawn: {row.withdrawn_why}",
    )


def _print_witnesses(witnesses: Sequence[Witness]) -> None:
    from tasks.ledger.reference_records import Exposure

    exposed = {
        Exposure.LEARNT: "learnt from it",
        Exposure.INHERITED: "descends from one that learnt from it",
        Exposure.JUDGED: "was judged on it",
    }
    if not witnesses:
        stdout.print("  no checkpoint saw it")
    for one in witnesses:
        champion = ", which is the champion" if one.is_champion else ""
        stdout.print(
            f"  {one.name} {one.digest[:12]}{champion}, {exposed[one.exposure]} "
            f"(training {one.training_id})"
        )
    if any(one.is_champion and one.exposure is not Exposure.JUDGED for one in witnesses):
        say("`autochrome rollback` puts an earlier champion back; old ones stay loadable")

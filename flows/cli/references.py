"""The commands about references: taken in, listed, withdrawn, exported."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table

from flows.cli.talk import ExitCode, print_json, say, stdout, write_data, write_file
from tasks.errors import UsageError
from tasks.ledger import Ledger
from tasks.ledger.migrate import make_if_missing
from tasks.ledger.opening import open_ledger
from tasks.ledger.reference_records import Description, Exposure, ReferenceRow, Split, Witness
from tasks.ledger.references import (
    find_reference,
    list_references,
    withdraw_references,
    witnesses_of,
)
from tasks.settings import Settings

_EXPOSED = {
    Exposure.LEARNT: "learnt from it",
    Exposure.INHERITED: "descends from one that learnt from it",
    Exposure.JUDGED: "was judged on it",
}


@dataclass(frozen=True)
class Addition:
    """What the options of `references add` say."""

    paths: Sequence[str]
    allowed: Sequence[str]
    said: dict[str, str]
    who: str
    vouched: bool
    dry_run: bool


def add(settings: Settings, addition: Addition, *, as_json: bool) -> ExitCode:
    """Take references in, and say of each file what became of it."""
    from tasks.references.adding import Delivery, add_references  # noqa: PLC0415  brings torch
    from tasks.references.finding import Found, Search, find_files  # noqa: PLC0415  with it
    from tasks.references.manifest import describe  # noqa: PLC0415  with it

    described = describe(Description(curator=addition.who), addition.said)

    search = Search(settings, described, (*addition.allowed, *addition.paths))

    def found() -> Iterator[Found]:
        for path in addition.paths:
            yield from find_files(search, path)

    make_if_missing(settings.database_url.get_secret_value())
    with open_ledger(settings) as ledger:
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


def show(settings: Settings, *, withdrawn: bool, as_json: bool) -> ExitCode:
    """List references."""
    with open_ledger(settings) as ledger:
        rows = list_references(
            ledger, withdrawn=None if withdrawn else False, collection=settings.collection or None
        )
    if as_json:
        print_json([asdict(row) for row in rows])
        return ExitCode.CLEAN
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("id", "for", "class", "size", "digest", "rights", "origin", ""):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*_cells(row))
    stdout.print(table)
    return ExitCode.CLEAN


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


def withdraw(
    settings: Settings, named: Sequence[str], *, who: str, why: str, as_json: bool
) -> ExitCode:
    """Withdraw references, and say which checkpoints saw them."""
    if not why:
        raise UsageError("why? The record needs a reason: --why TEXT")
    with open_ledger(settings) as ledger:
        rows = [find_reference(ledger, name) for name in named]
        withdraw_references(ledger, [row.id for row in rows], who=who, why=why)
        seen = {row.id: witnesses_of(ledger, row.id) for row in rows}
    if as_json:
        print_json([{"reference": id_, "seen_by": [asdict(w) for w in seen[id_]]} for id_ in seen])
        return ExitCode.CLEAN
    for row in rows:
        stdout.print(f"reference {row.id} ({row.origin}) is withdrawn")
        _print_witnesses(seen[row.id])
    return ExitCode.CLEAN


def _print_witnesses(witnesses: Sequence[Witness]) -> None:
    if not witnesses:
        stdout.print("  no checkpoint saw it")
    for one in witnesses:
        champion = ", which is the champion" if one.is_champion else ""
        stdout.print(
            f"  {one.name} {one.digest[:12]}{champion}, {_EXPOSED[one.exposure]} "
            f"(training {one.training_id})"
        )
    if any(one.is_champion and one.exposure is not Exposure.JUDGED for one in witnesses):
        say("`autochrome rollback` puts an earlier champion back; old ones stay loadable")


def export(settings: Settings, path: Path | None) -> ExitCode:
    """Write the references as a manifest."""
    from tasks.references.exporting import to_manifest  # noqa: PLC0415  only here

    with open_ledger(settings) as ledger:
        manifest = to_manifest(_all(ledger)).encode()
    if path is None:
        write_data(manifest)
    else:
        write_file(path, [manifest])
        say(f"{path}: written")
    return ExitCode.CLEAN


def _all(ledger: Ledger) -> list[ReferenceRow]:
    return list_references(ledger, withdrawn=None)

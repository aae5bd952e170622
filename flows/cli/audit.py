"""`autochrome audit`, `verify`, `restore`: what is stored, against the record."""

from __future__ import annotations

import threading
from dataclasses import asdict
from datetime import datetime
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli import options
from flows.cli.stopping import stopping
from flows.terminal import ExitCode, print_json, read_file, say, stdout, write_file
from tasks.errors import UsageError
from tasks.words import count

if TYPE_CHECKING:
    from tasks.audit import AuditPlan, AuditSummary
    from tasks.settings import Settings

app = typer.Typer()


@app.command(rich_help_panel=options.OPERATE)
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
    from tasks.audit import run_audit
    from tasks.ledger.opening import open_ledger
    from tasks.runs import name_of_run
    from tasks.settings import load_settings

    settings = load_settings(
        database_url=database,
        output=out,
        audit_older_than_days=older_than_days,
        audit_mb_per_s=mb_per_s,
    )
    plan = _plan_of(settings, what, limit=limit, collection=collection)
    redo_as = (who or getuser()) if redo_damaged else ""
    stop = threading.Event()
    name = name_of_run(datetime.now().astimezone())
    resumable = "what was read is recorded; start it again, and it goes on"
    with open_ledger(settings) as ledger, stopping(stop, what=resumable):
        summary = run_audit(settings, ledger, plan, name=name, redo_as=redo_as, stop=stop)
    if as_json:
        print_json(_as_dict(summary))
    else:
        _print(summary)
    if stop.is_set():
        raise typer.Exit(ExitCode.ABORTED)
    if not summary.is_clean:
        raise typer.Exit(ExitCode.FINISHED_WITH_FAULTS)


@app.command(rich_help_panel=options.OPERATE)
def verify(
    derivatives: Annotated[
        list[str], typer.Argument(help="Derivatives, by URI, by path in the output, or by key.")
    ],
    out: options.Output = None,
    database: options.Database = None,
    as_json: options.AsJson = False,
) -> None:
    """Read single derivatives again. Exit code 3: one does not match its record."""
    from tasks.audit import verify as verify_derivatives
    from tasks.ledger.opening import open_ledger
    from tasks.settings import load_settings

    settings = load_settings(database_url=database, output=out)
    with open_ledger(settings) as ledger:
        found = verify_derivatives(settings, ledger, derivatives)
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        for one in found:
            stdout.print(f"{'ok' if one.is_match else 'NOT OK'}  {one.uri}")
            stdout.print(f"    {one.detail}")
    if not all(one.is_match for one in found):
        raise typer.Exit(ExitCode.FINISHED_WITH_FAULTS)


@app.command(rich_help_panel=options.OPERATE)
def restore(
    derivative: Annotated[Path, typer.Argument(help="A spliced JPEG, or a film's master.")],
    original: Annotated[Path, typer.Argument(help="File to write; must not exist.")],
) -> None:
    """Give back the scan that a spliced JPEG was made from, byte for byte.

    Of a film's master: the grey film, each frame's luminance as it was, with its sound.
    """
    from tasks.derivatives import restore_original
    from tasks.films.kinds import is_film
    from tasks.films.restore import restore_film

    if derivative.is_file() and is_film(derivative):
        write_file(original, [], is_new=True)
        try:
            frames = restore_film(derivative, original)
        except BaseException:
            original.unlink()
            raise
        say(f"{original}: {count(frames, 'frame')}, their luminance as it was")
        return
    restored = restore_original(read_file(derivative))
    write_file(original, [restored], is_new=True)
    say(f"{original}: {len(restored):,} bytes, as they were")


def _plan_of(
    settings: Settings, what: str, *, limit: int | None, collection: str | None
) -> AuditPlan:
    """The audit that the arguments mean.

    Raises:
        UsageError: *what* is nothing that can be audited.
    """
    from tasks.audit import AuditPlan
    from tasks.ledger.records import FixitySubject

    subjects = {
        "all": tuple(FixitySubject),
        "derivatives": (FixitySubject.DERIVATIVE,),
        "sources": (FixitySubject.SOURCE,),
    }
    if what not in subjects:
        raise UsageError(f"{what!r} cannot be audited; there are {', '.join(subjects)}")
    return AuditPlan(
        subjects=subjects[what],
        collections=(collection,) if collection else (),
        limit=limit,
        older_than_s=settings.audit_older_than_days * 86_400,
        bytes_per_s=settings.audit_mb_per_s * 1e6,
    )


def _as_dict(summary: AuditSummary) -> dict[str, object]:
    return {
        "files": summary.files,
        "size_bytes": summary.size_bytes,
        "outcomes": dict(summary.outcomes),
        "complete": summary.is_complete,
        "redone": summary.redone,
        "findings": [asdict(finding) for finding in summary.findings],
    }


def _print(summary: AuditSummary) -> None:
    from tasks.audit import FINDINGS_KEPT

    for finding in summary.findings:
        stdout.print(f"{finding.outcome}: {finding.uri}")
        stdout.print(f"    {finding.detail}")
        stdout.print(f"    {finding.remedy}")
    if not summary.is_clean and len(summary.findings) == FINDINGS_KEPT:
        say(f"only the first {FINDINGS_KEPT} are shown")
    if summary.redone:
        say(f"{count(summary.redone, 'item')} to be made anew")
    stdout.print(summary.in_words())

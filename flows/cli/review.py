"""`autochrome review`: reviews as CSV files, out and in."""

from __future__ import annotations

from dataclasses import asdict
from getpass import getuser
from pathlib import Path
from typing import Annotated

import typer

from flows.cli import options
from flows.cli.decisions import item_filter
from flows.cli.opening import ledger_at
from flows.terminal import ExitCode, print_json, read_file, say, stdout, write_data, write_file
from tasks.words import count

app = typer.Typer(
    name="review",
    help="Reviews as CSV files, out and in.",
    no_args_is_help=True,
)


@app.command()
def export(
    path: Annotated[
        Path | None, typer.Argument(help="CSV file to write.  [default: stdout]")
    ] = None,
    reasons: options.Reasons = None,
    collection: options.Collection = None,
    database: options.Database = None,
) -> None:
    """Write what waits for review as CSV: fill in `decision`, and import it."""
    from tasks.review import write_reviews

    chosen = item_filter(
        uris=None,
        statuses=["review"],
        reasons=reasons,
        collection=collection,
        older_than_hours=None,
        everything=False,
    )
    with ledger_at(database) as ledger:
        lines = (line.encode() for line in write_reviews(ledger, chosen[0]))
        if path is None:
            write_data(b"".join(lines))
        else:
            write_file(path, lines)
            say(f"{path}: written; fill in `decision`, then `autochrome review import {path}`")


@app.command("import")
def import_reviews(
    path: Annotated[Path, typer.Argument(help="CSV: item, decision, reason, note, reviewer.")],
    who: options.Who = None,
    encoding: Annotated[
        str | None,
        typer.Option(
            "--encoding",
            metavar="NAME",
            help="Of the file, such as cp1252.  [default: by its first bytes, else UTF-8]",
            show_default=False,
        ),
    ] = None,
    dry_run: options.DryRun = False,
    database: options.Database = None,
    as_json: options.AsJson = False,
) -> None:
    """Approve and reject what a CSV file says; each row names its reviewer.

    Exit code 3: some items no longer waited for review, or were coloured anew since the export.
    """
    from tasks.review import carry_out, read_reviews

    content = read_file(path)
    with ledger_at(database) as ledger:
        reviews, undecided = read_reviews(
            ledger, content, name=path.name, who=who or getuser(), encoding=encoding
        )
        if dry_run:
            stdout.print(
                f"{count(len(reviews), 'decision')}, {count(undecided, 'row')} without one"
            )
            return
        done = carry_out(ledger, reviews, undecided=undecided)
    if as_json:
        print_json(asdict(done))
    else:
        stdout.print(
            f"{done.approved} approved, {done.rejected} rejected, "
            f"{count(done.undecided, 'row')} without a decision, "
            f"{count(len(done.passed_over), 'item')} no longer waiting as exported"
        )
    if done.passed_over:
        raise typer.Exit(ExitCode.FINISHED_WITH_FAULTS)

"""The commands about reviews as CSV files."""

from dataclasses import asdict
from pathlib import Path

from flows.cli.talk import ExitCode, print_json, read_file, say, stdout, write_data, write_file
from tasks.ledger import ItemFilter
from tasks.ledger.opening import open_ledger
from tasks.review import carry_out, read_reviews, write_reviews
from tasks.settings import Settings


def export(settings: Settings, path: Path | None, chosen: ItemFilter) -> ExitCode:
    """Write what waits for review."""
    with open_ledger(settings) as ledger:
        lines = (line.encode() for line in write_reviews(ledger, chosen))
        if path is None:
            write_data(b"".join(lines))
        else:
            write_file(path, lines)
            say(f"{path}: written; fill in `decision`, then `autochrome review import {path}`")
    return ExitCode.CLEAN


def carry_out_file(  # noqa: PLR0913  an option each
    settings: Settings,
    path: Path,
    *,
    who: str,
    encoding: str | None,
    dry_run: bool,
    as_json: bool,
) -> ExitCode:
    """Do what a file of reviews says; nothing at all where it cannot be read to its end."""
    content = read_file(path)
    with open_ledger(settings) as ledger:
        reviews, undecided = read_reviews(
            ledger, content, name=path.name, who=who, encoding=encoding
        )
        if dry_run:
            stdout.print(f"{len(reviews)} decisions, {undecided} rows without one")
            return ExitCode.CLEAN
        done = carry_out(ledger, reviews, undecided=undecided)
    if as_json:
        print_json(asdict(done))
    else:
        stdout.print(
            f"{done.approved} approved, {done.rejected} rejected, {done.undecided} rows without a "
            f"decision, {len(done.passed_over)} items that no longer waited"
        )
    return ExitCode.FINISHED_WITH_FAULTS if done.passed_over else ExitCode.CLEAN

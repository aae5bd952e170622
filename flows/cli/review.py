"""The commands about reviews as CSV files."""

from dataclasses import asdict
from pathlib import Path

from flows.cli.talk import ExitCode, print_json, say, stdout
from tasks.errors import UsageError
from tasks.ledger import ItemFilter
from tasks.ledger.opening import open_ledger
from tasks.reviewing import carry_out, read_reviews, write_reviews
from tasks.settings import Settings


def export(settings: Settings, path: Path | None, chosen: ItemFilter) -> ExitCode:
    """Write what waits for review."""
    with open_ledger(settings) as ledger:
        lines = write_reviews(ledger, chosen)
        if path is None:
            stdout.file.writelines(lines)
        else:
            with path.open("w", encoding="utf-8", newline="") as file:
                file.writelines(lines)
            say(f"{path}: written; fill in `decision`, then `autochrome review import {path}`")
    return ExitCode.CLEAN


def carry_out_file(
    settings: Settings, path: Path, *, who: str, dry_run: bool, as_json: bool
) -> ExitCode:
    """Do what a file of reviews says; nothing at all where it cannot be read to its end."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({error}); save it as CSV UTF-8") from error
    with open_ledger(settings) as ledger:
        reviews, undecided = read_reviews(ledger, text, name=path.name, who=who)
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

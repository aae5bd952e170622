"""`autochrome db` and `sweep`: the ledger's tables, and what workers that are gone left in it."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli import options
from flows.cli.opening import ledger_at
from flows.terminal import print_json, say, stdout
from tasks.words import count

app = typer.Typer()
db = typer.Typer(name="db", help="The ledger's database.", no_args_is_help=True)
app.add_typer(db, rich_help_panel=options.OPERATE)


@app.command(rich_help_panel=options.OPERATE)
def sweep(
    workers: Annotated[
        list[str] | None,
        typer.Option("--worker", metavar="NAME", help="A worker that is known to be gone."),
    ] = None,
    dry_run: options.DryRun = False,
    database: options.Database = None,
    as_json: options.AsJson = False,
) -> None:
    """Take back what workers that are gone still hold; every claim does so after their lease."""
    from tasks.processes import has_ended

    with ledger_at(database) as ledger:
        ledger.end_lost_runs()
        of_this_host = (worker for worker in ledger.open_workers() if has_ended(worker))
        gone = {*(workers or ()), *of_this_host}
        swept = ledger.count_expired(gone)
        if not dry_run:
            ledger.expire_leases(gone)
            while ledger.sweep():
                pass
    if as_json:
        print_json({"command": "sweep", "items": swept, "dry_run": dry_run})
    else:
        stdout.print(f"sweep {'would take' if dry_run else 'took'} {count(swept, 'item')} back")


@db.command()
def upgrade(database: options.Database = None) -> None:
    """Create the ledger's tables, or bring them up to this version."""
    from tasks.ledger import migrate

    migrate.upgrade(_url(database))
    say("the ledger is up to date")


@db.command()
def downgrade(
    revision: Annotated[str, typer.Argument(help="A revision, or `base` for an empty database.")],
    database: options.Database = None,
) -> None:
    """Take the ledger's tables back to an older revision; what it cannot hold is lost."""
    from tasks.ledger import migrate

    migrate.downgrade(_url(database), revision)
    say(f"the ledger is at {revision}")


@db.command()
def current(database: options.Database = None) -> None:
    """Print the revision of the ledger's tables."""
    from tasks.ledger import migrate

    stdout.print(migrate.current(_url(database)) or "no ledger yet")


def _url(database: str | None) -> str:
    from tasks.settings import load_settings

    return load_settings(database_url=database).database_url.get_secret_value()

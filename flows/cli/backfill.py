"""`autochrome backfill`: orders many scans, or says what that would do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from getpass import getuser
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from flows.cli import options
from flows.cli.decisions import word_of
from flows.cli.orders import Here, MaxBytes, MaxHours, MaxItems, budget_of, go_on
from flows.cli.orders import app as steering
from flows.terminal import ExitCode, say
from tasks.errors import UsageError

if TYPE_CHECKING:
    from tasks.ledger.orders import Order
    from tasks.settings import Settings


@dataclass(frozen=True)
class Choices:
    """What the command line says beside the order itself."""

    sources: tuple[str, ...]
    dry_run: bool
    allow_large: bool
    here: bool | None  #: None: where no Prefect server is named
    as_json: bool


class _StartIsMeant(TyperGroup):
    """What names no command is given to `start`: `autochrome backfill SOURCE` reads best."""

    def parse_args(
        self,
        ctx: Any,  # noqa: ANN401 - click's context, which newer typers bring along themselves
        args: list[str],
    ) -> list[str]:
        """Put `start` where it is left out."""
        if args and args[0] not in {*self.commands, "-h", "--help"}:
            args = ["start", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="backfill",
    cls=_StartIsMeant,
    help="Colour many scans beside the nightly runs: all that is missing, or once more. "
    "`start` may be left out: `autochrome backfill s3://archive/box-7 --dry-run`.",
    no_args_is_help=True,
)
app.add_typer(steering, name="")  # its commands, too: list, show, pause, resume, cancel


@app.command()
def start(
    sources: Annotated[
        list[str] | None,
        typer.Argument(help="s3://bucket/prefix, file:///folder, a path, or a pattern of URIs."),
    ] = None,
    collections: Annotated[
        list[str] | None,
        typer.Option("--collection", metavar="NAME", help="Only this collection; may be repeated."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="The whole archive.")] = False,
    mode: Annotated[
        str,
        typer.Option(
            "--mode",
            metavar="MODE",
            help="missing: what no recipe has dealt with. failed. changed-recipe: what another "
            "recipe coloured. corrected: what a person corrected since. all: everything once more.",
        ),
    ] = "missing",
    changed_recipe: Annotated[
        bool, typer.Option("--changed-recipe", help="Short for --mode changed-recipe.")
    ] = False,
    low_confidence_below: Annotated[
        float | None,
        typer.Option(
            "--low-confidence-below",
            metavar="X",
            help="With changed-recipe: only what was coloured with less confidence.",
        ),
    ] = None,
    max_items: MaxItems = None,
    max_bytes: MaxBytes = None,
    max_hours: MaxHours = None,
    priority: Annotated[
        int, typer.Option("--priority", min=-100, max=100, help="Higher goes first.")
    ] = 0,
    allow_large: Annotated[
        bool, typer.Option("--allow-large", help="More scans than the limit are meant.")
    ] = False,
    dry_run: options.DryRun = False,
    here: Here = None,
    who: options.Who = None,
    out: options.Output = None,
    database: options.Database = None,
    as_json: options.AsJson = False,
) -> None:
    """Order a backfill, or with --dry-run say what it would do and take.

    A source that the ledger does not know yet is listed first; one that it knows is taken as it was
    listed last. Exit codes as for `run`.
    """
    from tasks.ledger.orders import Order, Scope
    from tasks.schema import OrderMode
    from tasks.settings import load_settings

    if not sources and not collections and not everything:
        raise UsageError("which scans? Name a source, --collection, or say --all")
    if changed_recipe:
        if mode not in {"missing", "changed-recipe"}:
            raise UsageError(f"--changed-recipe and --mode {mode} contradict each other")
        mode = "changed-recipe"
    if low_confidence_below is not None and mode != "changed-recipe":
        raise UsageError("--low-confidence-below goes with --mode changed-recipe")
    order = Order(
        mode=word_of(OrderMode, "mode", mode),
        scope=Scope(tuple(collections or ()), (), low_confidence_below),
        budget=budget_of(max_items, max_bytes, max_hours),
        priority=priority,
        who=who or getuser(),
    )
    choices = Choices(
        tuple(sources or ()), dry_run=dry_run, allow_large=allow_large, here=here, as_json=as_json
    )
    settings = load_settings(database_url=database, output=out)
    raise typer.Exit(_start(settings, order, choices))


def _start(settings: Settings, order: Order, choices: Choices) -> ExitCode:
    """Order a backfill, or only say what it would do."""
    from flows.cli.order_story import tell_forecast
    from tasks.ledger.opening import open_ledger
    from tasks.orders import planning
    from tasks.words import count

    with open_ledger(settings, is_made=True) as ledger:
        uris = planning.find_sources(settings, ledger, choices.sources)
        order = replace(order, scope=replace(order.scope, uris=uris))
        if choices.dry_run:
            forecast = planning.forecast(settings, ledger, order)
            tell_forecast(forecast, order, as_json=choices.as_json)
            return ExitCode.CLEAN
        row = planning.place_order(
            settings,
            ledger,
            order,
            name=f"backfill by {order.who}",
            allow_large=choices.allow_large,
        )
        resume_it = f"autochrome orders resume {row.id}"
        say(f"{row.name}: enqueueing; Ctrl-C leaves the rest to `{resume_it}`")
        row = planning.plan_order(ledger, row.id)
        say(f"{row.name}: {count(row.items, 'scan')} enqueued")
        return go_on(settings, ledger, row, here=choices.here, as_json=choices.as_json)

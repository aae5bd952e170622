"""`autochrome backfill`: its commands, their arguments and their help."""

from getpass import getuser
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from flows.cli import options
from tasks.errors import UsageError
from tasks.schema import BackfillMode
from tasks.settings import load_settings


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
    cls=_StartIsMeant,
    help="Colour many scans beside the nightly runs: all that is missing, or once more. "
    "`start` may be left out: `autochrome backfill s3://archive/box-7 --dry-run`.",
    no_args_is_help=True,
)

Number = Annotated[int, typer.Argument(metavar="NUMBER", help="As `backfill list` shows it.")]
Here = Annotated[
    bool | None,
    typer.Option(
        "--here/--server",
        help="Work it off in this process, or leave it to the Prefect server.  "
        "[default: the server if PREFECT_API_URL is set]",
        show_default=False,
    ),
]
MaxItems = Annotated[
    int | None, typer.Option("--max-items", metavar="N", min=1, help="At most so many scans.")
]
MaxBytes = Annotated[
    str | None,
    typer.Option("--max-bytes", metavar="SIZE", help="At most so many bytes of scans: 500GB."),
]
MaxHours = Annotated[
    float | None,
    typer.Option(
        "--max-hours", metavar="H", min=0.0, help="At most so many hours of workers, added up."
    ),
]


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
        BackfillMode,
        typer.Option(
            "--mode",
            help="missing: what no recipe has dealt with. failed. changed-recipe: what another "
            "recipe coloured. all: everything once more.",
        ),
    ] = BackfillMode.MISSING,
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
    from flows.cli import backfill as command  # noqa: PLC0415  as in `app`
    from tasks.ledger.backfills import Order, Scope  # noqa: PLC0415  with it

    if not sources and not collections and not everything:
        raise UsageError("which scans? Name a source, --collection, or say --all")
    if changed_recipe:
        if mode not in {BackfillMode.MISSING, BackfillMode.CHANGED_RECIPE}:
            raise UsageError(f"--changed-recipe and --mode {mode} contradict each other")
        mode = BackfillMode.CHANGED_RECIPE
    if low_confidence_below is not None and mode is not BackfillMode.CHANGED_RECIPE:
        raise UsageError("--low-confidence-below goes with --mode changed-recipe")
    order = Order(
        mode=mode,
        scope=Scope(tuple(collections or ()), (), low_confidence_below),
        budget=command.budget_of(max_items, max_bytes, max_hours),
        priority=priority,
        who=who or getuser(),
    )
    choices = command.Choices(
        tuple(sources or ()), dry_run=dry_run, allow_large=allow_large, here=here, as_json=as_json
    )
    settings = load_settings(database_url=database, output=out)
    raise typer.Exit(command.start(settings, order, choices))


@app.command("list")
def list_all(database: options.Database = None, as_json: options.AsJson = False) -> None:
    """List the latest backfills, and how far each is."""
    from flows.cli import backfill as command  # noqa: PLC0415  as in `app`

    raise typer.Exit(command.list_all(load_settings(database_url=database), as_json=as_json))


@app.command()
def show(
    number: Number, database: options.Database = None, as_json: options.AsJson = False
) -> None:
    """Tell how far a backfill is, its shares, and who decided what about it."""
    from flows.cli import backfill as command  # noqa: PLC0415  as in `app`

    settings = load_settings(database_url=database)
    raise typer.Exit(command.show(settings, number, as_json=as_json))


@app.command()
def pause(
    number: Number,
    why: options.Why = "",
    who: options.Who = None,
    database: options.Database = None,
    as_json: options.AsJson = False,
) -> None:
    """Begin nothing more of it; what is in work comes to its end, the rest waits."""
    from flows.cli import backfill as command  # noqa: PLC0415  as in `app`

    settings = load_settings(database_url=database)
    raise typer.Exit(
        command.pause(settings, number, who=who or getuser(), why=why, as_json=as_json)
    )


@app.command()
def resume(
    number: Number,
    max_items: MaxItems = None,
    max_bytes: MaxBytes = None,
    max_hours: MaxHours = None,
    here: Here = None,
    why: options.Why = "",
    who: options.Who = None,
    out: options.Output = None,
    database: options.Database = None,
    as_json: options.AsJson = False,
) -> None:
    """Go on where it was: paused, or left by a process that ended. A new budget is in all."""
    from flows.cli import backfill as command  # noqa: PLC0415  as in `app`

    raise typer.Exit(
        command.resume(
            load_settings(database_url=database, output=out),
            number,
            command.budget_of(max_items, max_bytes, max_hours),
            who=who or getuser(),
            why=why,
            here=here,
            as_json=as_json,
        )
    )


@app.command()
def cancel(
    number: Number,
    why: options.Why = "",
    who: options.Who = None,
    database: options.Database = None,
    as_json: options.AsJson = False,
) -> None:
    """End it: what was not begun is as it was before, what is done stays."""
    from flows.cli import backfill as command  # noqa: PLC0415  as in `app`

    settings = load_settings(database_url=database)
    raise typer.Exit(
        command.cancel(settings, number, who=who or getuser(), why=why, as_json=as_json)
    )

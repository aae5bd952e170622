"""`autochrome backfill`: orders, steers and shows backfills, and works them off where no server is.

Ordering loads the model's configuration; the other commands answer at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from getpass import getuser
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from flows.cli import options
from flows.cli.decisions import word_of
from flows.cli.talk import ExitCode, print_json, say
from tasks.errors import UsageError

if TYPE_CHECKING:
    from tasks.ledger.backfills import Backfills, Budget, Order
    from tasks.settings import Settings

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


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
        str,
        typer.Option(
            "--mode",
            metavar="MODE",
            help="missing: what no recipe has dealt with. failed. changed-recipe: what another "
            "recipe coloured. all: everything once more.",
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
    from tasks.ledger.backfills import Order, Scope
    from tasks.schema import BackfillMode
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
        mode=word_of(BackfillMode, "mode", mode),
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


@app.command("list")
def list_all(database: options.Database = None, as_json: options.AsJson = False) -> None:
    """List the latest backfills, and how far each is."""
    from flows.cli.backfill_story import print_list
    from tasks.ledger.opening import open_ledger
    from tasks.settings import load_settings

    with open_ledger(load_settings(database_url=database)) as ledger:
        print_list(ledger, as_json=as_json)


@app.command()
def show(
    number: Number, database: options.Database = None, as_json: options.AsJson = False
) -> None:
    """Tell how far a backfill is, its shares, and who decided what about it."""
    from flows.cli.backfill_story import print_story
    from tasks.ledger.opening import open_ledger
    from tasks.settings import load_settings

    with open_ledger(load_settings(database_url=database)) as ledger:
        print_story(ledger, number, as_json=as_json)


@app.command()
def pause(
    number: Number,
    why: options.Why = "",
    who: options.Who = None,
    database: options.Database = None,
    as_json: options.AsJson = False,
) -> None:
    """Begin nothing more of it; what is in work comes to its end, the rest waits."""
    from tasks.settings import load_settings

    settings = load_settings(database_url=database)
    who = who or getuser()
    _steer(settings, number, lambda b: b.pause(number, who=who, why=why), as_json=as_json)


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
    from flows.cli.backfill_here import work_here
    from flows.cli.backfill_story import tell
    from tasks.backfilling import plan_backfill
    from tasks.ledger.backfills import Backfills
    from tasks.ledger.opening import open_ledger
    from tasks.settings import load_settings

    settings = load_settings(database_url=database, output=out)
    with open_ledger(settings) as ledger:
        Backfills(ledger).resume(
            number, budget_of(max_items, max_bytes, max_hours), who=who or getuser(), why=why
        )
        row = plan_backfill(ledger, number)
        choices = Choices((), dry_run=False, allow_large=False, here=here, as_json=as_json)
        if _is_here(choices):
            raise typer.Exit(work_here(settings, ledger, row, as_json=as_json))
        say(_SERVER_GOES_ON)
        tell(ledger, row, as_json=as_json)


@app.command()
def cancel(
    number: Number,
    why: options.Why = "",
    who: options.Who = None,
    database: options.Database = None,
    as_json: options.AsJson = False,
) -> None:
    """End it: what was not begun is as it was before, what is done stays."""
    from tasks.report.words import count
    from tasks.settings import load_settings

    settings = load_settings(database_url=database)

    def work(backfills: Backfills) -> None:
        if backfills.get(number).ended_at is not None:
            raise UsageError(f"backfill {number} has ended; there is nothing to cancel")
        told = backfills.cancel(number, who=who or getuser(), why=why)
        say(
            f"{count(told.items, 'item')} taken back: {told.removed:,} removed, "
            f"{told.restored:,} as they were before, {told.kept:,} begun before and left to the "
            "nightly run"
        )
        if left := backfills.progress(number).left:
            say(f"{count(left, 'item')} in work: what is begun is finished, the rest taken back")

    _steer(settings, number, work, as_json=as_json)


# --- ordering ------------------------------------------------------------------------------------


def budget_of(max_items: int | None, max_bytes: str | None, max_hours: float | None) -> Budget:
    """What the options say that a backfill may take on.

    Raises:
        UsageError: *max_bytes* is no size.
    """
    from tasks.ledger.backfills import Budget

    return Budget(
        max_items,
        None if max_bytes is None else _bytes(max_bytes),
        None if max_hours is None else max_hours * 3600,
    )


def _bytes(text: str) -> int:
    """Read "500GB"; units are powers of ten."""
    number = text.rstrip("BKMGTbkmgt").strip()
    unit = text[len(number) :].strip().upper()
    try:
        return int(float(number) * _UNITS[unit])
    except (KeyError, ValueError):
        raise UsageError(f"{text!r} is no size; write 500GB, 20MB or a number of bytes") from None


def _start(settings: Settings, order: Order, choices: Choices) -> ExitCode:
    """Order a backfill, or only say what it would do."""
    from flows.cli.backfill_here import work_here
    from flows.cli.backfill_story import as_dict, tell_forecast
    from tasks import backfilling
    from tasks.ledger.migrate import make_if_missing
    from tasks.ledger.opening import open_ledger
    from tasks.report.words import count
    from tasks.scope import find_sources

    make_if_missing(settings.database_url.get_secret_value())
    with open_ledger(settings) as ledger:
        scope = type(order.scope)(
            order.scope.collections,
            find_sources(settings, ledger, choices.sources),
            order.scope.confidence_below,
        )
        order = type(order)(order.mode, scope, order.budget, order.priority, order.who)
        if choices.dry_run:
            forecast = backfilling.forecast(settings, ledger, order)
            tell_forecast(forecast, order, as_json=choices.as_json)
            return ExitCode.CLEAN
        here = _is_here(choices)
        row = backfilling.order_backfill(
            settings,
            ledger,
            order,
            name=f"backfill by {order.who}",
            allow_large=choices.allow_large,
        )
        resume_it = f"autochrome backfill resume {row.id}"
        say(f"backfill {row.id}: enqueueing; Ctrl-C leaves the rest to `{resume_it}`")
        row = backfilling.plan_backfill(ledger, row.id)
        say(f"backfill {row.id}: {count(row.items, 'scan')} enqueued")
        if here:
            return work_here(settings, ledger, row, as_json=choices.as_json)
        say(f"{_SERVER_GOES_ON}; `autochrome backfill show {row.id}` tells how far it is")
        if choices.as_json:
            print_json(as_dict(ledger, row))
    return ExitCode.CLEAN


_SERVER_GOES_ON = "the flow keep_backfills_going of the Prefect server has it coloured"


def _is_here(choices: Choices) -> bool:
    if choices.here is not None:
        return choices.here
    return not os.environ.get("PREFECT_API_URL")


# --- steering ------------------------------------------------------------------------------------


def _steer(
    settings: Settings, number: int, move: Callable[[Backfills], object], *, as_json: bool
) -> None:
    from flows.cli.backfill_story import tell
    from tasks.ledger.backfills import Backfills
    from tasks.ledger.opening import open_ledger

    with open_ledger(settings) as ledger:
        move(Backfills(ledger))
        tell(ledger, Backfills(ledger).settle(number), as_json=as_json)

"""`autochrome orders`: all that is ordered, how far it is, and how it is steered.

`autochrome backfill` has the same commands beside its own.
"""

from __future__ import annotations

import os
import threading
from getpass import getuser
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli import options
from flows.cli.opening import ledger_at
from flows.terminal import ExitCode, print_json, say
from tasks.errors import UsageError

if TYPE_CHECKING:
    from tasks.ledger import Ledger
    from tasks.ledger.orders import Budget, OrderRow
    from tasks.settings import Settings

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}

app = typer.Typer(
    name="orders",
    help="Nights, requests, retries and backfills: how far each is, and to steer them.",
    no_args_is_help=True,
)

Number = Annotated[int, typer.Argument(metavar="NUMBER", help="As `orders list` shows it.")]
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


@app.command("list")
def list_all(database: options.Database = None, as_json: options.AsJson = False) -> None:
    """List the latest orders, and how far each is."""
    from flows.cli.order_story import print_list

    with ledger_at(database) as ledger:
        print_list(ledger, as_json=as_json)


@app.command()
def show(
    number: Number, database: options.Database = None, as_json: options.AsJson = False
) -> None:
    """Tell how far an order is, its shares, and who decided what about it."""
    from flows.cli.order_story import print_story

    with ledger_at(database) as ledger:
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
    from flows.cli.order_story import tell
    from tasks.ledger import orders

    with ledger_at(database) as ledger:
        if orders.get(ledger, number).ended_at is not None:
            raise UsageError(f"order {number} has ended; there is nothing to pause")
        orders.pause(ledger, number, who=who or getuser(), why=why)
        tell(ledger, orders.settle(ledger, number), as_json=as_json)


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
    from tasks.ledger import orders
    from tasks.ledger.opening import open_ledger
    from tasks.orders.planning import plan_order
    from tasks.settings import load_settings

    settings = load_settings(database_url=database, output=out)
    budget = budget_of(max_items, max_bytes, max_hours)
    with open_ledger(settings) as ledger:
        orders.resume(ledger, number, budget, who=who or getuser(), why=why)
        row = plan_order(ledger, number)
        raise typer.Exit(go_on(settings, ledger, row, here=here, as_json=as_json))


@app.command()
def cancel(
    number: Number,
    why: options.Why = "",
    who: options.Who = None,
    database: options.Database = None,
    as_json: options.AsJson = False,
) -> None:
    """End it: what was not begun is as it was before, what is done stays."""
    from flows.cli.order_story import tell
    from tasks.ledger import orders
    from tasks.words import count

    with ledger_at(database) as ledger:
        if orders.get(ledger, number).ended_at is not None:
            raise UsageError(f"order {number} has ended; there is nothing to cancel")
        withdrawal = orders.cancel(ledger, number, who=who or getuser(), why=why)
        say(
            f"{count(withdrawal.items, 'item')} taken back: {withdrawal.removed:,} removed, "
            f"{withdrawal.restored:,} as they were before, {withdrawal.kept:,} begun before and "
            "left to the next night"
        )
        if left := orders.progress(ledger, number).left:
            say(f"{count(left, 'item')} in work: what is begun is finished, the rest taken back")
        tell(ledger, orders.settle(ledger, number), as_json=as_json)


# --- what they share -----------------------------------------------------------------------------


def budget_of(max_items: int | None, max_bytes: str | None, max_hours: float | None) -> Budget:
    """What the options say that an order may take on.

    Raises:
        UsageError: *max_bytes* is no size.
    """
    from tasks.ledger.orders import Budget

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


def go_on(
    settings: Settings, ledger: Ledger, row: OrderRow, *, here: bool | None, as_json: bool
) -> ExitCode:
    """Work a planned order off here, or let the server's workers know of it."""
    from flows.cli.order_story import as_dict

    if here or (here is None and not os.environ.get("PREFECT_API_URL")):
        return _work_off(settings, ledger, row, as_json=as_json)
    from flows.keeping import keep_if_served

    if keep_if_served(settings, ledger):
        say(f"the server's workers do it; `autochrome orders show {row.id}` tells how far it is")
    else:
        say("no server answers; once one does, its workers begin within the hour")
    if as_json:
        print_json(as_dict(ledger, row))
    return ExitCode.CLEAN


def _work_off(settings: Settings, ledger: Ledger, row: OrderRow, *, as_json: bool) -> ExitCode:
    """Work an order off in this process; Ctrl-C drains, and `resume` goes on."""
    from flows.cli.order_story import tell
    from flows.cli.stopping import exit_code, order_bar, stopping
    from tasks.ledger import orders
    from tasks.ledger.orders import OrderState
    from tasks.orders.working import work_here

    stop = threading.Event()
    with stopping(stop), order_bar(row.name) as show:
        aborted = work_here(settings, ledger, row.id, stop=stop, on_progress=show)
    row = orders.settle(ledger, row.id)
    tell(ledger, row, as_json=as_json)
    if aborted:
        say(f"autochrome: {aborted}")
    if row.state is OrderState.RUNNING:
        say(
            f"`autochrome orders resume {row.id}` goes on, `autochrome orders cancel {row.id}` "
            "takes the rest back"
        )
    is_stopped = stop.is_set() or bool(aborted) or is_ended_by_a_person(ledger, row)
    return ExitCode.ABORTED if is_stopped else exit_code(orders.progress(ledger, row.id).statuses)


def is_ended_by_a_person(ledger: Ledger, row: OrderRow) -> bool:
    """Whether an order was cancelled or paused while there was something to do, and a budget left.

    A process that worked at it has not done what it was asked to.
    """
    from tasks.ledger import orders
    from tasks.ledger.orders import OrderState

    if row.state is OrderState.PAUSED:
        return not orders.spent_budget(row, orders.progress(ledger, row.id))
    return row.state in {OrderState.CANCELLING, OrderState.CANCELLED}

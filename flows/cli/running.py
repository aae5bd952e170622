"""`autochrome demo`, `run`, `discover`: work in this process, and at once."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from dataclasses import asdict
from datetime import datetime
from functools import partial
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli import options
from flows.cli.orders import is_ended_by_a_person
from flows.cli.stopping import exit_code, order_bar, stopping
from flows.terminal import (
    ExitCode,
    counts_as_dict,
    print_counts,
    print_json,
    say,
    stdout,
)
from tasks.words import count

if TYPE_CHECKING:
    from tasks.batch.children import PixelPool
    from tasks.ledger import Ledger
    from tasks.ledger.orders import OrderRow
    from tasks.settings import Settings

app = typer.Typer()


@app.command(rich_help_panel=options.START)
def demo(
    folder: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Where everything is kept.")
    ] = Path("var/demo"),
) -> None:
    """Make a small archive and run the nightly flow on it."""
    from flows.prefect_home import use_local_prefect
    from tasks.demo_archive import make_demo_archive
    from tasks.ledger.opening import open_ledger
    from tasks.settings import load_settings, settings_in_force

    folder = folder.absolute()
    files = make_demo_archive(folder / "archive")
    say(f"{count(files, 'file')} in {folder / 'archive'}; the nightly flow runs over them …")
    use_local_prefect(folder / "prefect")
    from flows.nightly import nightly  # Prefect reads its settings when imported

    settings = load_settings(
        database_url=f"sqlite:///{folder / 'autochrome.db'}",
        sources=(str(folder / "archive"),),
        output=str(folder / "colour"),
    )
    began = time.monotonic()
    with settings_in_force(settings):
        night = nightly()
    seconds = time.monotonic() - began
    with open_ledger(settings) as ledger:
        print_counts(ledger.counts())
    ended = count(sum(night.statuses.values()), "item")
    say(f"{ended} ended in {seconds:.0f} s, Prefect's start included.")
    say(f"Report: {night.report}")


@app.command(rich_help_panel=options.START)
def run(
    source: Annotated[str, typer.Argument(help="s3://bucket/prefix, file:///folder or a path.")],
    out: options.Output = None,
    database: options.Database = None,
    collection: options.IntoCollection = None,
    include: options.Include = None,
    exclude: options.Exclude = None,
    checkpoint: options.CheckpointFile = None,
    device: options.Device = None,
    publish: Annotated[
        bool | None,
        typer.Option(
            "--publish/--review", help="Publish what is confident, or leave all to a curator."
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Discover, colourize and report in this process.

    Exit code 0: all is well. 3: some scans failed or are quarantined, not all of the source could
    be listed, or it is away and its scans wait. 1: the run was stopped.
    """
    from tasks.batch.pool import open_pool
    from tasks.settings import load_settings

    settings = load_settings(
        sources=(source,),
        output=out,
        database_url=database,
        collection=collection,
        include=include,
        exclude=exclude,
        checkpoint=checkpoint,
        device=device,
        publish_directly=publish,
    )
    with closing(open_pool(settings)) as pixels:
        pixels.start()  # its children load their libraries while this process loads torch
        raise typer.Exit(run_here(settings, as_json=as_json, pixels=pixels))


@app.command(rich_help_panel=options.OPERATE)
def discover(
    sources: Annotated[
        list[str], typer.Argument(help="s3://bucket/prefix, file:///folder or a path.")
    ],
    database: options.Database = None,
    collection: options.IntoCollection = None,
    include: options.Include = None,
    exclude: options.Exclude = None,
    accept_missing: Annotated[
        bool,
        typer.Option(
            "--accept-missing", help="Scans that are not there were taken away on purpose."
        ),
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """List sources and record what is new, changed or gone.

    Exit code 3: not all could be listed, or more is missing than is believed.
    """
    from tasks.discovery.listing import record_source
    from tasks.ledger.opening import open_ledger
    from tasks.settings import load_settings

    settings = load_settings(
        sources=tuple(sources),
        database_url=database,
        collection=collection,
        include=include,
        exclude=exclude,
    )
    is_complete = True
    with open_ledger(settings, is_made=True) as ledger:
        for source in settings.sources:
            listing = record_source(settings, ledger, source, accept_missing=accept_missing)
            is_complete = is_complete and not listing.incomplete
            if as_json:
                gaps = {"incomplete": listing.incomplete, "left_out_by": listing.left_out}
                print_json({"source": source, **asdict(listing.discovered), **gaps})
            else:
                stdout.print(f"{source}: {listing.in_words()}")
    if not is_complete:
        raise typer.Exit(ExitCode.FINISHED_WITH_FAULTS)


def run_here(settings: Settings, *, as_json: bool, pixels: PixelPool | None = None) -> ExitCode:
    """Discover, colourize and report; Ctrl-C lets what was begun end, a second one does not.

    Args:
        settings: Of the whole run.
        as_json: Whether the counts are printed for programs.
        pixels: A pool whose children are being started already, and that its owner closes.
    """
    from tasks.batch.worker import check_device
    from tasks.orders.run import (
        begin_run,
        end_orders_of_the_dead,
        order_of_process,
    )
    from tasks.report.gathering import make_report, write_report
    from tasks.runs import name_of_run

    check_device(settings)
    began = time.monotonic()
    stop = threading.Event()
    name = name_of_run(datetime.now().astimezone())
    with begin_run(settings, kind="run", name=name) as current, stopping(stop):
        end_orders_of_the_dead(current.ledger)
        order = current.order(order_of_process(getuser()))
        for source in settings.sources:
            say(f"{source}: {current.discover(source).in_words()}")
        current.plan(order.id)
        aborted = _work(settings, current.ledger, order, stop=stop, pixels=pixels)
        steered = _end(current.ledger, order, aborted)
        summary = current.count()
        summary.aborted = aborted
        is_stopped = stop.is_set() or bool(steered)
        ending = summary.ending(stopped=is_stopped)
        current.end(ending, detail=aborted)
        make = partial(make_report, current, summary, ending=ending, pixels=pixels)
        report = write_report(make, current)
        outages = current.ledger.list_outages()
    seconds = time.monotonic() - began
    if as_json:
        data = counts_as_dict(report.counts)
        print_json(data | {"seconds": round(seconds, 1), "report": report.link})
    else:
        print_counts(report.counts)
        say(f"{count(summary.items, 'item')} ended in {seconds:.0f} s.")
    if report.failure:
        say(f"autochrome: there is no report: {report.failure}")
    elif not as_json:
        say(f"Report: {report.link}")
    if why := summary.aborted or steered:
        say(f"autochrome: {why}")
    if summary.aborted or is_stopped:
        return ExitCode.ABORTED
    for outage in outages:
        say(f"autochrome: {outage.in_words()}")
    is_whole = not current.figures.incomplete and not outages
    return exit_code(report.counts.items) if is_whole else ExitCode.FINISHED_WITH_FAULTS


def _end(ledger: Ledger, order: OrderRow, aborted: str) -> str:
    """End the order of a process that leaves it; returns what a person did with it, or nothing."""
    from tasks.ledger import RunEnding, orders
    from tasks.ledger.orders import OrderState

    order = orders.settle(ledger, order.id)
    if is_ended_by_a_person(ledger, order):
        is_paused = order.state is OrderState.PAUSED
        resume = f"; `autochrome orders resume {order.id}` goes on" if is_paused else ""
        return f"{order.name} is {order.state}: {order.detail}{resume}"
    if order.ended_at is None:
        ending = RunEnding.ABORTED if aborted else RunEnding.CANCELLED
        orders.stop(ledger, order.id, ending, why=aborted or "its process was asked to end")
    return ""


def _work(
    settings: Settings,
    ledger: Ledger,
    order: OrderRow,
    *,
    stop: threading.Event,
    pixels: PixelPool | None,
) -> str:
    """Work an order off, then those of other processes; returns why it could not go on."""
    from tasks.ledger import orders
    from tasks.orders.dispatch import in_this_process
    from tasks.orders.run import in_work_elsewhere
    from tasks.orders.working import work_here

    open_fanout = partial(in_this_process, pixels=pixels)
    mine: OrderRow | None = order
    while mine is not None:
        with order_bar("colourizing") as show:
            aborted = work_here(
                settings, ledger, mine.id, stop=stop, open_fanout=open_fanout, on_progress=show
            )
        if aborted or stop.is_set() or is_ended_by_a_person(ledger, orders.get(ledger, mine.id)):
            return aborted
        mine = in_work_elsewhere(ledger, order.recipe_id)
        if mine is not None:
            say(f"{mine.name}, asked for by {mine.who}, is in work: this process joins in")
    return ""

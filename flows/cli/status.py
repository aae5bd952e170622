"""`autochrome status`, `item`, `report`: what became of scans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli import options
from flows.cli.opening import ledger_at
from flows.terminal import (
    counts_as_dict,
    print_counts,
    print_json,
    stdout,
    write_data,
)
from tasks.errors import UsageError
from tasks.words import count, playing_time

if TYPE_CHECKING:
    from tasks.ledger import CorrectionRow, ItemStory, Ledger, RunRow
    from tasks.ledger.records import ItemHistory, ScanRow, ShotRow

app = typer.Typer()

_REPORTED = ("nightly", "run")  # the kinds of runs that write a report


@app.command(rich_help_panel=options.LOOK)
def status(database: options.Database = None, as_json: options.AsJson = False) -> None:
    """Count the items by status and reason, for the recipe in service."""
    from tasks.batch.loading import importing

    with importing():
        from tasks.ledger.film_figures import frames_of_archive

    with ledger_at(database) as ledger:
        recipe = ledger.current_recipe()
        counts = ledger.counts(recipe.id if recipe else None)
        outages = ledger.list_outages()
        frames = frames_of_archive(ledger, recipe.id if recipe else None)
    if as_json:
        rows = [asdict(outage) | {"url": outage.url} for outage in outages]
        more: dict[str, object] = {"outages": rows} if rows else {}
        if frames.films:
            more["films"] = asdict(frames)
        print_json(counts_as_dict(counts) | more)
    else:
        stdout.print(f"{count(counts.scans, 'scan')} known")
        if frames.films:
            stdout.print(frames.in_words())
        print_counts(counts)
        for outage in outages:
            stdout.print(outage.in_words())


@app.command(rich_help_panel=options.LOOK)
def item(
    uri: Annotated[str, typer.Argument(help="The scan's URI or path, as reports show it.")],
    database: options.Database = None,
    as_json: options.AsJson = False,
    as_premis: options.AsPremis = False,
) -> None:
    """Tell the whole story of a scan: attempts, derivatives, decisions."""
    from tasks.ledger.uris import uri_given

    with ledger_at(database) as ledger:
        story = ledger.get_story(uri_given(uri))
    if as_premis:
        from tasks.provenance import this_program
        from tasks.provenance.premis import export_premis

        write_data(export_premis([story], software=this_program()) + b"\n")
    elif as_json:
        print_json(asdict(story))
    else:
        print_story(story)


@app.command(rich_help_panel=options.LOOK)
def report(
    name: Annotated[
        str | None, typer.Argument(help="The run's name or number.  [default: the last]")
    ] = None,
    out: options.Output = None,
    database: options.Database = None,
    as_json: options.AsJson = False,
    as_premis: options.AsPremis = False,
    again: Annotated[
        bool, typer.Option("--again", help="Make it anew, from what the ledger remembers.")
    ] = False,
) -> None:
    """Print where the report of a run is, or the report itself as JSON."""
    from tasks.ledger.opening import open_ledger, open_output
    from tasks.settings import load_settings

    settings = load_settings(database_url=database, output=out)
    if as_premis:
        with open_ledger(settings) as ledger:
            write_data(_run_as_premis(ledger, name))
        return

    from tasks.report import report_key

    with open_ledger(settings) as ledger:
        chosen = _chosen_run(ledger, name, kinds=_REPORTED)
        if again:
            from tasks.report.gathering import make_report_again

            make_report_again(settings, ledger, chosen)
        output = open_output(settings, ledger)  # as its writer, whose role may get, but not list
    if output.stat(report_key(chosen.name, chosen.id, "html")) is None:
        raise UsageError(
            f"{output.url} holds no report of the run {chosen.name!r}; name the output that it "
            "wrote to with --out, or make the report there with --again"
        )
    if as_json:
        stdout.print(output.read(report_key(chosen.name, chosen.id, "json")).decode())
    else:
        stdout.print(output.link(report_key(chosen.name, chosen.id, "html")))


def _run_as_premis(ledger: Ledger, name: str | None) -> bytes:
    """What a run did, as PREMIS 3."""
    from tasks.provenance import this_program
    from tasks.provenance.premis import export_premis

    run = _chosen_run(ledger, name)
    stories = [ledger.get_story(uri) for uri in ledger.uris_of_run(run.id)]
    if not stories:
        raise UsageError(
            f"the run {run.name!r} worked on no scan, and PREMIS has no empty document"
        )
    return export_premis(stories, software=this_program(), run=run) + b"\n"


def _chosen_run(ledger: Ledger, name: str | None, *, kinds: Sequence[str] | None = None) -> RunRow:
    """The run of that name or number, or the last; of these kinds only, where some are given.

    Raises:
        UsageError: There is none, or the name is that of several.
    """
    latest = ledger.list_runs(limit=200)
    if name is not None and name.isdecimal():
        latest = [run for run in (ledger.get_run(int(name)),) if run is not None] or latest
    runs = [run for run in latest if kinds is None or run.kind in kinds]
    if not runs:
        raise UsageError("there is no run yet; `autochrome run SOURCE` makes one, and its report")
    chosen = [run for run in runs if name in {None, run.name, str(run.id)}]
    if not chosen:
        raise UsageError(f"there is no run named {name!r}; the last is {runs[0].name!r}")
    if name is not None and len(chosen) > 1:
        numbers = ", ".join(str(run.id) for run in chosen)
        raise UsageError(f"{len(chosen)} runs are named {name!r}; say which by number: {numbers}")
    return chosen[0]


def print_story(story: ItemStory) -> None:
    """Print what a scan is and was, and all that happened to its items."""
    _print_scan(story.scan)
    for revision in story.revisions:
        _line(f"was revision {revision.revision} until {revision.replaced_at:%Y-%m-%d %H:%M}", 1)
    for said in story.corrections:
        if not said.is_withdrawal:  # said of what it is about
            _print_correction(said)
    for history in story.items:
        _print_history(history)


def _line(text: str, indent: int = 0) -> None:
    stdout.print("  " * indent + text)


def _print_scan(scan: ScanRow) -> None:
    _line(scan.uri)
    size = f"{scan.width} × {scan.height}, {scan.bits} bit" if scan.width else "not read yet"
    if scan.frames is not None:
        size = f"film of {scan.frames:,} frames, {playing_time(scan.film_s or 0.0)}, {size}"
    _line(f"{size}, {scan.size_bytes:,} bytes, collection {scan.collection}", 1)
    _line(f"sha256 {scan.sha256 or 'not known yet'}, revision {scan.revision}", 1)
    if scan.vanished_at:
        _line(f"not in its source's listing since {scan.vanished_at:%Y-%m-%d %H:%M}", 1)


def _print_correction(said: CorrectionRow) -> None:
    from tasks.provenance.corrections import corrected

    _line(f"correction {said.id}: {corrected(said).in_words()}", 1)
    if said.note:
        _line(said.note, 2)
    if said.withdrawn_at is not None:
        _line(f"withdrawn by {said.withdrawn_by}, {said.withdrawn_at:%Y-%m-%d %H:%M}", 2)


def _print_shots(shots: Sequence[ShotRow]) -> None:
    from tasks.schema import ShotStatus

    done = [shot for shot in shots if shot.status is ShotStatus.DONE]
    if shots:
        of = f"{sum(shot.frames for shot in done):,} of {sum(shot.frames for shot in shots):,}"
        _line(f"{len(done)} of {count(len(shots), 'shot')}, {of} frames", 2)
    for shot in shots:
        remarks = [str(shot.verdict)] if shot.verdict else []
        remarks += ["kept grey"] if shot.is_grey else []
        remarks += [f"{shot.reason}: {shot.detail}"] if shot.reason else []
        if remarks or shot.status is ShotStatus.CLAIMED:
            state = f"shot {shot.number}, from frame {shot.first:,}: {shot.status}"
            by = f", by {shot.worker}" if shot.worker else ""
            _line(", ".join([state, *remarks]) + by, 3)


def _print_history(history: ItemHistory) -> None:
    from tasks.ledger.uris import uri_of

    item, recipe = history.item, history.recipe
    why = f" ({item.reason})" if item.reason else ""
    _line(f"item {item.id}: {item.status}{why}, recipe {recipe.digest[:12]}", 1)
    if item.confidence is not None:
        _line(f"confidence {item.confidence:.2f}", 2)
    for note in item.notes:
        _line(f"note: {note}", 2)
    for attempt in history.attempts:
        ended = attempt.reason or attempt.status
        seconds = f" after {attempt.seconds:.1f} s" if attempt.seconds is not None else ""
        _line(
            f"attempt {attempt.number}, {attempt.claimed_at:%Y-%m-%d %H:%M:%S}: "
            f"{attempt.ending or 'under way'}, {ended}{seconds}, by {attempt.worker}",
            2,
        )
        if attempt.detail:
            _line(attempt.detail, 3)
    _print_shots(history.shots)
    for derivative in history.derivatives:
        by_hand = f", by correction {derivative.correction_id}" if derivative.correction_id else ""
        gate = "" if derivative.max_delta_l is None else f", |ΔL*| ≤ {derivative.max_delta_l:.3f}"
        luma = ", luma identical" if derivative.luma_identical else ""
        where = uri_of(derivative.store, derivative.key)
        _line(f"{derivative.kind}: {where}{gate}{luma}{by_hand}", 2)
    for decision in history.decisions:
        _line(
            f"{decision.kind} by {decision.who}, {decision.decided_at:%Y-%m-%d %H:%M}: "
            f"{decision.was} → {decision.became}" + (f" ({decision.why})" if decision.why else ""),
            2,
        )

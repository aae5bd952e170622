"""The commands that only ask or change the ledger: at once, without torch or Prefect."""

import enum
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

from flows.cli.story import print_story
from flows.cli.talk import (
    ExitCode,
    counts_as_dict,
    print_counts,
    print_json,
    read_file,
    say,
    stdout,
    write_data,
    write_file,
)
from tasks.discovery.listing import record_source
from tasks.errors import Reason, UsageError
from tasks.ledger import ItemFilter, ItemStatus, Ledger, RunRow, migrate
from tasks.ledger.opening import open_ledger
from tasks.ledger.uris import uri_given
from tasks.processes import has_ended
from tasks.settings import Settings
from tasks.storage import open_store

Word = TypeVar("Word", bound=enum.StrEnum)


@dataclass(frozen=True)
class Decision:
    """Which way items are to be moved, and who says so."""

    kind: str
    who: str
    why: str
    dry_run: bool


def discover(settings: Settings, *, accept_missing: bool, as_json: bool) -> ExitCode:
    """List the sources and record what is there; the exit code tells whether that was all."""
    migrate.make_if_missing(settings.database_url.get_secret_value())
    is_complete = True
    with open_ledger(settings) as ledger:
        for source in settings.sources:
            listing = record_source(settings, ledger, source, accept_missing=accept_missing)
            is_complete = is_complete and not listing.incomplete
            if as_json:
                told = {"incomplete": listing.incomplete, "left_out_by": listing.left_out}
                print_json({"source": source, **asdict(listing.discovered), **told})
            else:
                stdout.print(f"{source}: {listing.in_words()}")
    return ExitCode.CLEAN if is_complete else ExitCode.FINISHED_WITH_FAULTS


def status(settings: Settings, *, as_json: bool) -> ExitCode:
    """Print the counts under the recipe in service."""
    with open_ledger(settings) as ledger:
        recipe = ledger.current_recipe()
        counts = ledger.counts(recipe.id if recipe else None)
    if as_json:
        print_json(counts_as_dict(counts))
    else:
        stdout.print(f"{counts.scans:,} scans known")
        print_counts(counts)
    return ExitCode.CLEAN


def item(settings: Settings, uri: str, *, as_json: bool) -> ExitCode:
    """Print the whole story of a scan."""
    with open_ledger(settings) as ledger:
        story = ledger.story(uri_given(uri))
    if as_json:
        print_json(asdict(story))
    else:
        print_story(story)
    return ExitCode.CLEAN


def item_as_premis(settings: Settings, uri: str) -> ExitCode:
    """Print a scan's story as PREMIS 3."""
    from tasks.provenance import this_program  # noqa: PLC0415  brings NumPy along
    from tasks.provenance.premis import premis_item  # noqa: PLC0415  as above

    with open_ledger(settings) as ledger:
        story = ledger.story(uri_given(uri))
    document = premis_item([story], software=this_program())
    write_data(document + b"\n")
    return ExitCode.CLEAN


def item_filter(  # noqa: PLR0913  an option each
    *,
    uris: Sequence[str] | None,
    statuses: Sequence[str] | None,
    reasons: Sequence[str] | None,
    collection: str | None,
    older_than_hours: float | None,
    everything: bool,
) -> list[ItemFilter]:
    """The filters that the options mean: one for each URI, or one for all.

    Raises:
        UsageError: A status or reason does not exist, or nothing says which items are meant.
    """
    common = ItemFilter(
        statuses=tuple(_word(ItemStatus, "status", text) for text in statuses or ()),
        reasons=tuple(_word(Reason, "reason", text) for text in reasons or ()),
        collections=(collection,) if collection else (),
        older_than_s=None if older_than_hours is None else older_than_hours * 3600,
    )
    if uris:
        ids = [int(uri) for uri in uris if uri.isdecimal()]
        by_id = [ItemFilter(**(vars(common) | {"ids": ids}))] if ids else []
        places = [uri_given(uri) for uri in uris if not uri.isdecimal()]
        return by_id + [ItemFilter(**(vars(common) | {"uri": place})) for place in places]
    if common == ItemFilter() and not everything:
        raise UsageError(
            "which items? Name URIs, --reason, --status, --collection, --recipe, or say --all"
        )
    return [common]


def _word(kind: type[Word], name: str, text: str) -> Word:
    try:
        return kind(text)
    except ValueError:
        known = ", ".join(kind)
        raise UsageError(f"there is no {name} {text!r}; there are {known}") from None


def decide(
    settings: Settings,
    decision: Decision,
    chosen: Sequence[ItemFilter],
    *,
    recipe: str | None,
    as_json: bool,
) -> ExitCode:
    """Move items, under any recipe or one, and say how many; where none is moved, why not."""
    if decision.kind == "hold" and not decision.dry_run:  # it stands, before anything is found
        migrate.make_if_missing(settings.database_url.get_secret_value())
    with open_ledger(settings) as ledger:
        move = _move(ledger, decision.kind)
        if recipe:
            found = ledger.find_recipe(recipe)
            chosen = [replace(one, recipe_id=found.id) for one in chosen]
        moved = sum(
            move(one, who=decision.who, why=decision.why, dry_run=decision.dry_run)
            for one in chosen
        )
        if not moved:
            say(_why_nothing(ledger, decision.kind, chosen))
    if as_json:
        print_json({"command": decision.kind, "items": moved, "dry_run": decision.dry_run})
    else:
        would = "would move" if decision.dry_run else "moved"
        what = "scans" if decision.kind in {"hold", "release"} else "items"
        stdout.print(f"{decision.kind} {would} {moved:,} {what}")
    return ExitCode.CLEAN if moved else ExitCode.FINISHED_WITH_FAULTS


def _why_nothing(ledger: Ledger, kind: str, chosen: Sequence[ItemFilter]) -> str:
    """Say where the items stand that a decision could not move."""
    places = {one.uri for one in chosen} & {*ledger.held_places()}
    if kind == "hold" and places:
        named = ", ".join(sorted(map(str, places)))
        return f"hold moved nothing now: it stands for what is discovered at {named}"
    stand = Counter[ItemStatus]()
    for one in chosen:
        stand.update(ledger.count_by_status(one))
    there = ", ".join(f"{number:,} {status}" for status, number in stand.items())
    return f"{kind} moved nothing: " + (
        f"it moves none of what is there ({there}); `autochrome item URI` shows more"
        if there
        else "there are no such items; `autochrome discover` finds scans, `run` colours them"
    )


def sweep(settings: Settings, workers: Sequence[str], *, dry_run: bool, as_json: bool) -> ExitCode:
    """Take back what workers that are gone still hold: named ones, and processes of this host."""
    with open_ledger(settings) as ledger:
        ledger.end_lost_runs()
        gone = {*workers, *(worker for worker in ledger.open_workers() if has_ended(worker))}
        swept = ledger.count_expired(gone)
        if not dry_run:
            ledger.expire_leases(gone)
            while ledger.sweep():
                pass
    if as_json:
        print_json({"command": "sweep", "items": swept, "dry_run": dry_run})
    else:
        stdout.print(f"sweep {'would take' if dry_run else 'took'} {swept:,} items back")
    return ExitCode.CLEAN


def _move(ledger: Ledger, kind: str) -> Callable[..., int]:
    return {
        "retry": ledger.retry,
        "hold": ledger.hold,
        "release": ledger.release,
        "approve": ledger.approve,
        "reject": ledger.reject,
        "redo": ledger.redo,
        "supersede": ledger.supersede,
    }[kind]


def report(settings: Settings, name: str | None, *, as_json: bool, again: bool) -> ExitCode:
    """Print where a run's report is, or the report as JSON; make it anew before, if asked to."""
    from tasks.report import report_key  # noqa: PLC0415  brings the page's templates along

    with open_ledger(settings) as ledger:
        chosen = _chosen_run(ledger, name, kinds=_REPORTED)
        if again:
            from tasks.report.gathering import make_report_again  # noqa: PLC0415  brings torch along

            make_report_again(settings, ledger, chosen)
    # As its writer: the role that writes the output may get, but not list.
    output = open_store(settings.output, settings=settings, writable=True)
    if output.stat(report_key(chosen.name, chosen.id, "html")) is None:
        raise UsageError(
            f"{output.url} holds no report of the run {chosen.name!r}; name the output that it "
            "wrote to with --out, or make the report there with --again"
        )
    if as_json:
        stdout.print(output.read(report_key(chosen.name, chosen.id, "json")).decode())
    else:
        stdout.print(output.link(report_key(chosen.name, chosen.id, "html")))
    return ExitCode.CLEAN


def run_as_premis(settings: Settings, name: str | None) -> ExitCode:
    """Print what a run did as PREMIS 3."""
    from tasks.provenance import this_program  # noqa: PLC0415  brings NumPy along
    from tasks.provenance.premis import premis_run  # noqa: PLC0415  as above

    with open_ledger(settings) as ledger:
        run = _chosen_run(ledger, name)
        stories = [ledger.story(uri) for uri in ledger.uris_of_run(run.id)]
    if not stories:
        raise UsageError(
            f"the run {run.name!r} worked on no scan, and PREMIS has no empty document"
        )
    document = premis_run(run, stories, software=this_program())
    write_data(document + b"\n")
    return ExitCode.CLEAN


_REPORTED = ("nightly", "run")  # the kinds of runs that write a report


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


def restore(derivative: Path, original: Path) -> ExitCode:
    """Write the scan that a spliced JPEG was made from."""
    from tasks.derivatives import restore_original  # noqa: PLC0415  only here

    restored = restore_original(read_file(derivative))
    write_file(original, [restored], is_new=True)
    say(f"{original}: {len(restored):,} bytes, as they were")
    return ExitCode.CLEAN


def upgrade(settings: Settings) -> ExitCode:
    """Create or upgrade the ledger's tables."""
    migrate.upgrade(settings.database_url.get_secret_value())
    say("the ledger is up to date")
    return ExitCode.CLEAN


def downgrade(settings: Settings, revision: str) -> ExitCode:
    """Take the ledger's tables back."""
    migrate.downgrade(settings.database_url.get_secret_value(), revision)
    say(f"the ledger is at {revision}")
    return ExitCode.CLEAN


def current(settings: Settings) -> ExitCode:
    """Print the revision of the ledger's tables."""
    stdout.print(migrate.current(settings.database_url.get_secret_value()) or "no ledger yet")
    return ExitCode.CLEAN

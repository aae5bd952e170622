"""`autochrome approve`, `reject`, `hold` and the like: a person moves items."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from getpass import getuser
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from flows.cli import options
from flows.terminal import ExitCode, print_json, say, stdout
from tasks.errors import Reason, UsageError
from tasks.words import count

if TYPE_CHECKING:
    from tasks.ledger import ItemFilter, Ledger
    from tasks.settings import Settings

Word = TypeVar("Word", bound=enum.StrEnum)

app = typer.Typer()


@dataclass(frozen=True)
class Decision:
    """Which way items are to be moved, and who says so."""

    kind: str
    who: str
    why: str
    dry_run: bool


def _add_decision(name: str, help_text: str, *, panel: str = options.CURATE) -> None:
    """Add a command that moves items, chosen by URI or by filter."""

    @app.command(name, help=help_text, rich_help_panel=panel)
    def decide(
        uris: Annotated[
            list[str] | None,
            typer.Argument(help="URIs (* and ? stand for many), or numbers of items."),
        ] = None,
        statuses: options.Statuses = None,
        reasons: options.Reasons = None,
        collection: options.Collection = None,
        older_than_hours: options.OlderThan = None,
        recipe: options.RecipeDigest = None,
        everything: options.Everything = False,
        who: options.Who = None,
        why: options.Why = "",
        dry_run: options.DryRun = False,
        database: options.Database = None,
        as_json: options.AsJson = False,
    ) -> None:
        from tasks.settings import load_settings

        chosen = item_filter(
            uris=uris,
            statuses=statuses,
            reasons=reasons,
            collection=collection,
            older_than_hours=older_than_hours,
            everything=everything or recipe is not None,
        )
        decision = Decision(name, who=who or getuser(), why=why, dry_run=dry_run)
        settings = load_settings(database_url=database)
        raise typer.Exit(_decide(settings, decision, chosen, recipe=recipe, as_json=as_json))


_add_decision("approve", "Publish items that wait for review.")
_add_decision("reject", "Turn down items that wait for review.")
_add_decision("hold", "Keep items from being worked on: rights, sensitivity.")
_add_decision("release", "End a hold.")
_add_decision("redo", "Make derivatives anew, under the same recipe: damaged ones.")
_add_decision("supersede", "Take published items and those in review out of use.")
_add_decision("retry", "Let failed and quarantined items be tried again.", panel=options.OPERATE)


def item_filter(
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
    from tasks.ledger import ItemFilter, ItemStatus
    from tasks.ledger.uris import uri_given

    common = ItemFilter(
        statuses=tuple(word_of(ItemStatus, "status", text) for text in statuses or ()),
        reasons=tuple(word_of(Reason, "reason", text) for text in reasons or ()),
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


def word_of(kind: type[Word], name: str, text: str) -> Word:
    """The word of a closed list that *text* is.

    Raises:
        UsageError: It is none of them.
    """
    try:
        return kind(text)
    except ValueError:
        known = ", ".join(kind)
        raise UsageError(f"there is no {name} {text!r}; there are {known}") from None


def _decide(
    settings: Settings,
    decision: Decision,
    chosen: Sequence[ItemFilter],
    *,
    recipe: str | None,
    as_json: bool,
) -> ExitCode:
    """Move items, under any recipe or one, and say how many; where none is moved, why not.

    A no to a file that nobody has read is about the bytes that it holds now: it is read at once,
    unless these are very many.
    """
    from tasks.discovery.comparison import AT_ONCE_S, read_refused
    from tasks.ledger.opening import open_ledger
    from tasks.schema import DecisionKind

    kind = DecisionKind(decision.kind)
    # A hold stands before anything is found.
    is_made = kind is DecisionKind.HOLD and not decision.dry_run
    with open_ledger(settings, is_made=is_made) as ledger:
        if recipe:
            found = ledger.find_recipe(recipe)
            chosen = [replace(one, recipe_id=found.id) for one in chosen]
        moved = sum(
            ledger.decide(kind, one, who=decision.who, why=decision.why, dry_run=decision.dry_run)
            for one in chosen
        )
        if not moved:
            say(_why_nothing(ledger, decision.kind, chosen))
        if as_json:
            print_json({"command": decision.kind, "items": moved, "dry_run": decision.dry_run})
        else:
            would = "would move" if decision.dry_run else "moved"
            stdout.print(f"{decision.kind} {would} {count(moved, 'scan')}")
        is_no = moved and decision.kind in {"hold", "reject"} and not decision.dry_run
        if is_no and not read_refused(settings, ledger, within_s=AT_ONCE_S):
            say("not all of these could be read now; the next discovery reads the rest")
    return ExitCode.CLEAN if moved else ExitCode.FINISHED_WITH_FAULTS


def _why_nothing(ledger: Ledger, kind: str, chosen: Sequence[ItemFilter]) -> str:
    """Say where the items stand that a decision could not move."""
    from tasks.ledger import ItemStatus

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

"""What needs a person this morning, the most urgent first."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from tasks.ledger.records import RunEnding
from tasks.report.model import RunReport, Trouble
from tasks.report.reasons import REASON_HELP
from tasks.schema import ItemStatus
from tasks.words import count

_DRIFT = 0.05  # in the mean of a night's scores; below this it moves with the subjects


class Urgency(enum.StrEnum):
    """How soon a person should look."""

    NOW = "now"  #: The work stands still, or is not trusted.
    SOON = "soon"  #: Scans are left behind until someone acts.
    KNOW = "know"  #: Good to know.


@dataclass(frozen=True)
class Need:
    """One thing for a person to do: what is the matter, what to do, and the command for it."""

    urgency: Urgency
    what: str
    do: str
    command: str = ""


def needs_of(report: RunReport) -> tuple[Need, ...]:
    """List what needs a person, the most urgent first."""
    order = list(Urgency)
    return tuple(sorted(_needs(report), key=lambda need: order.index(need.urgency)))


def _needs(report: RunReport) -> Iterator[Need]:
    yield from _of_the_run(report)
    for trouble in report.troubles:
        yield _of_a_trouble(trouble)
    yield from _of_the_results(report)


def _of_the_run(report: RunReport) -> Iterator[Need]:
    if report.run.ending is RunEnding.ABORTED:
        cause = report.run.detail or "No cause was recorded."
        yield Need(Urgency.NOW, "The run stopped before its work was done", cause)
    if report.run.ending is RunEnding.LOST:
        yield Need(
            Urgency.SOON,
            "The run was lost: its process or its machine went without a word",
            "What was left waits for the next run. Find out why: look at its machine and memory.",
        )
    if report.run.ending is RunEnding.CANCELLED:
        yield Need(Urgency.KNOW, "The run was ended early", "What was left waits for the next run.")
    if report.without_item < 0:
        yield Need(
            Urgency.NOW,
            f"The counts do not reconcile: {count(report.scans, 'scan')}, "
            f"{count(report.archive.items, 'item')}",
            "This must never be. Keep the database as it is, and tell the developers.",
        )
    if report.found.incomplete:
        yield Need(Urgency.SOON, "Part of the source could not be listed", report.found.incomplete)
    for outage in report.outages:
        verb = "waits" if outage.scans == 1 else "wait"
        yield Need(
            Urgency.SOON,
            f"{count(outage.scans, 'scan')} {verb} for {outage.url}, of which nothing can be read",
            f"{outage.why}. The next look at it takes them up.",
        )
    if report.found.vanished:
        scans = count(report.found.vanished, "scan has", "scans have")
        yield Need(
            Urgency.SOON,
            f"{scans} vanished from the source",
            "If they were not moved on purpose, look for them now; they are marked, not deleted.",
        )


def _of_a_trouble(trouble: Trouble) -> Need:
    new = "all new" if trouble.new == trouble.items else f"{trouble.new:,} new"
    stand = "failed" if trouble.status is ItemStatus.FAILED else "quarantined"
    return Need(
        Urgency.SOON if trouble.new else Urgency.KNOW,
        f"{count(trouble.items, 'scan')} {stand}, "
        f"{new if trouble.new else 'none of them new'}: {trouble.reason}",
        REASON_HELP[trouble.reason].do,
        f"autochrome retry --status {trouble.status} --reason {trouble.reason}",
    )


def _of_the_results(report: RunReport) -> Iterator[Need]:
    if waiting := report.archive.of(ItemStatus.REVIEW):
        verb = "waits" if waiting == 1 else "wait"
        yield Need(
            Urgency.SOON,
            f"{count(waiting, 'coloured picture')} {verb} for a curator",
            "Users see them once they are approved.",
            "autochrome approve URI…",
        )
    drift = report.confidence.drift
    if drift is not None and abs(drift) >= _DRIFT:
        moved = "fell" if drift < 0 else "rose"
        yield Need(
            Urgency.SOON if drift < 0 else Urgency.KNOW,
            f"Mean confidence {moved} by {abs(drift):.2f} since the run before",
            "Other subjects, other scanners or another checkpoint: look at the pictures below "
            "before you approve.",
        )

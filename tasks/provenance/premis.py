"""PREMIS 3 exports: what the ledger knows of items, as preservation systems read it.

Each derivative is an object with its source and its creation, digest, fixity and validation events;
each attempt that made none is the event that failed; each decision of a person is an appraisal;
what was odd about the scan is a validation that ends with a warning.
"""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tasks.errors import Reason, Verdict
from tasks.filetypes import media_type_of
from tasks.ledger.records import (
    AttemptRow,
    CorrectionRow,
    DecisionRow,
    DerivativeRow,
    ItemHistory,
    ItemStory,
    RunRow,
    ScanRow,
)
from tasks.provenance import terms
from tasks.provenance.corrections import corrected, made_with
from tasks.provenance.premisxml import Agent, Event, File, Link, premis_document
from tasks.provenance.terms import Term
from tasks.schema import AttemptEnding, DecisionKind

_EVENTS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:autochrome:premis")
_PEOPLE = {DecisionKind.APPROVE, DecisionKind.REJECT, DecisionKind.HOLD, DecisionKind.RELEASE}


@dataclass(frozen=True)
class _EventDraft:
    """One event of an item, before the item's agents and objects are put to it."""

    name: str
    kind: Term
    at: datetime
    detail: str
    outcome: Term = terms.SUCCESS
    note: str = ""
    attempt: AttemptRow | None = None
    made: DerivativeRow | None = None
    who: str = ""


def export_premis(
    stories: Iterable[ItemStory], *, software: str, run: RunRow | None = None
) -> bytes:
    """Export what is known of some scans and their items.

    Args:
        stories: Their stories.
        software: This program and its version.
        run: What this run alone did to them: its attempts, and the derivatives made in them.

    Returns:
        A PREMIS 3 document in UTF-8.

    Raises:
        ValueError: There is no story: PREMIS knows no empty document.
    """
    files: dict[str, File] = {}
    agents: dict[str, Agent] = {}
    events: list[Event] = []
    for story in stories:
        scan = _scan_file(story.scan)
        files[scan.identifier] = scan
        for history in story.items:
            known = [_software(software), _network(history)]
            said = [one for one in _said(story, history) if _is_of(run, one)]
            for one in said:
                events.append(_event(one, history, scan, known))
                if one.made is not None and one.kind is terms.CREATION:
                    file = _derivative_file(one.made, scan, events[-1])
                    files[file.identifier] = file
                if one.who:
                    known.append(Agent(f"person:{one.who}", one.who, terms.PERSON))
            if said:
                agents.update((agent.identifier, agent) for agent in known)
    return premis_document(files.values(), events, agents.values())


def _said(story: ItemStory, history: ItemHistory) -> Iterator[_EventDraft]:
    """All events of an item; those of a time are neighbours, but the whole is not sorted."""
    scan = story.scan
    for derivative in history.derivatives:
        attempt = _attempt_of(derivative, history.attempts)
        yield from _of_derivative(derivative, attempt)
        for said in made_with(story.corrections, derivative.correction_id):
            yield _of_correction(said, derivative, attempt)
    for attempt in history.attempts:
        if attempt.ending is AttemptEnding.EXPIRED:
            detail = "colourizing the scan; the worker's lease ran out"
            yield _failure(attempt, terms.CREATION, detail)
        elif attempt.ending is AttemptEnding.FINISHED:
            if scan.sha256 and attempt.revision == scan.revision:
                yield _EventDraft(
                    f"attempt {attempt.number} read",
                    terms.DIGEST_CALCULATION,
                    attempt.claimed_at,
                    "SHA-256 of the scan, as fetched",
                    note=scan.sha256,
                    attempt=attempt,
                )
            if attempt.reason is not None and attempt.reason.verdict is not Verdict.REVIEW:
                yield _failure(attempt, *_failed_step(attempt.reason))
    yield from _of_notes(history)
    for decision in history.decisions:
        if decision.kind in _PEOPLE:
            yield _of_decision(decision)


def _attempt_of(row: DerivativeRow, attempts: Sequence[AttemptRow]) -> AttemptRow | None:
    """The attempt that a derivative was made in: both were recorded together, at its end."""
    ended = [attempt for attempt in attempts if attempt.ended_at is not None]
    return min(
        ended,
        key=lambda attempt: abs((attempt.ended_at or row.written_at) - row.written_at),
        default=None,
    )


def _of_derivative(row: DerivativeRow, attempt: AttemptRow | None) -> Iterator[_EventDraft]:
    def said(name: str, kind: Term, detail: str, note: str = "") -> _EventDraft:
        name = f"derivative {row.id} {name}"
        return _EventDraft(name, kind, row.written_at, detail, note=note, attempt=attempt, made=row)

    what = "in colour" if row.content_type.startswith(("image/", "video/")) else "written"
    yield said("made", terms.CREATION, f"{row.kind} {what}")
    yield said("digest", terms.DIGEST_CALCULATION, "SHA-256 as written", row.sha256)
    detail = "SHA-256 of the stored file, read back, is that of the file written"
    yield said("fixity", terms.FIXITY_CHECK, detail, row.sha256)
    if row.luma_identical and row.max_delta_l is None:
        detail = "tone gate: every frame of the film, decoded, has the Y′ of the film's own"
        yield said("tone", terms.VALIDATION, detail, "luminance (Y′) identical to the film's")
        return
    if row.max_delta_l is None:
        return  # of another size, or no picture: made from a file that was compared
    note = f"max |ΔL*| {row.max_delta_l:.4f}"
    if row.luma_identical:
        note += "; luminance (Y) identical to the scan's"
    detail = "tone gate: size, depth and lightness, through ICC profiles, are the scan's"
    yield said("tone", terms.VALIDATION, detail, note)


def _of_correction(
    said: CorrectionRow, row: DerivativeRow, attempt: AttemptRow | None
) -> _EventDraft:
    words = corrected(said).in_words()
    return _EventDraft(
        f"derivative {row.id} corrected" + ("" if said.frame is None else f" {said.frame}"),
        terms.MODIFICATION,
        said.made_at,
        f"a person said what colours are (correction {said.id})",
        note="; ".join(filter(None, (words, said.note))),
        attempt=attempt,
        made=row,
        who=said.who,
    )


def _failed_step(reason: Reason) -> tuple[Term, str]:
    """Which step an attempt with this reason ended at."""
    if reason is Reason.FIXITY_MISMATCH:
        return terms.FIXITY_CHECK, "SHA-256 of the scan, as fetched, is the recorded one"
    if reason is Reason.WRITE_UNVERIFIED:
        return (
            terms.FIXITY_CHECK,
            "SHA-256 of the stored file, read back, is that of the file written",
        )
    if reason is Reason.TONE_GATE:
        return terms.VALIDATION, "tone gate: lightness of the derivative is the scan's"
    if reason.verdict in {Verdict.SKIP, Verdict.QUARANTINE}:
        return terms.VALIDATION, "the scan is a sound greyscale photograph"
    return terms.CREATION, "colourizing the scan"


def _failure(attempt: AttemptRow, kind: Term, detail: str) -> _EventDraft:
    parts = filter(
        None, (attempt.status.value, attempt.reason and attempt.reason.value, attempt.detail)
    )
    return _EventDraft(
        f"attempt {attempt.number} failed",
        kind,
        attempt.ended_at or attempt.claimed_at,
        detail,
        outcome=terms.FAIL,
        note=": ".join(parts),
        attempt=attempt,
    )


def _of_notes(history: ItemHistory) -> Iterator[_EventDraft]:
    """What the last attempt that came to an end noted of the scan."""
    ended = [one for one in history.attempts if one.ending is AttemptEnding.FINISHED]
    if history.item.notes and ended:
        yield _EventDraft(
            f"attempt {ended[-1].number} notes",
            terms.VALIDATION,
            ended[-1].ended_at or ended[-1].claimed_at,
            "structure and metadata of the scan's file",
            outcome=terms.WARNING,
            note="\n".join(history.item.notes),
            attempt=ended[-1],
        )


def _of_decision(row: DecisionRow) -> _EventDraft:
    name = f"decision {row.id}"
    return _EventDraft(
        name, terms.APPRAISAL, row.decided_at, row.kind.value, note=row.why, who=row.who
    )


def _is_of(run: RunRow | None, said: _EventDraft) -> bool:
    """Whether an event happened in an attempt that belongs to *run*."""
    return run is None or (said.attempt is not None and said.attempt.run_id == run.id)


def _event(said: _EventDraft, history: ItemHistory, scan: File, known: list[Agent]) -> Event:
    role = terms.AUTHORIZER if said.who else terms.EXECUTING_PROGRAM
    acting = [f"person:{said.who}"] if said.who else [agent.identifier for agent in known[:2]]
    objects = [Link(scan.identifier, terms.SOURCE)]
    if said.made is not None:
        made = Link(_stored_at(said.made), terms.OUTCOME)
        # The scan is what a derivative was made from; its digest and tone are the derivative's own.
        objects = [*objects, made] if said.kind is terms.CREATION else [made]
    return Event(
        identifier=str(uuid.uuid5(_EVENTS, f"{scan.identifier}\n{history.item.id}\n{said.name}")),
        kind=said.kind,
        at=said.at if said.at.tzinfo else said.at.replace(tzinfo=UTC),
        detail=said.detail,
        outcome=said.outcome,
        note=said.note,
        agents=tuple(Link(agent, role) for agent in acting),
        objects=tuple(objects),
    )


def _scan_file(row: ScanRow) -> File:
    return File(row.uri, row.key, row.sha256, row.size_bytes, media_type_of(row.key))


def _derivative_file(row: DerivativeRow, scan: File, event: Event) -> File:
    at = _stored_at(row)
    return File(
        at,
        row.key,
        row.sha256,
        row.size_bytes,
        row.content_type,
        (scan.identifier, event.identifier),
    )


def _stored_at(row: DerivativeRow) -> str:
    return f"{row.store.rstrip('/')}/{row.key}"


def _software(software: str) -> Agent:
    name, _, version = software.rpartition(" ")
    return Agent(f"software:{software}", name or software, terms.SOFTWARE, version if name else "")


def _network(history: ItemHistory) -> Agent:
    digest = history.recipe.checkpoint_digest
    return Agent(f"sha256:{digest}", "Colourization network", terms.SOFTWARE, f"sha256:{digest}")

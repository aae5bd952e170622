"""Corrections as the ledger keeps them, for those who colour and those who tell of it."""

from collections.abc import Collection, Sequence

from colormodel.correction import Correction
from colormodel.hints import HintError
from tasks.errors import UsageError
from tasks.ledger.corrections import of_frames
from tasks.ledger.records import CorrectionRow
from tasks.provenance.model import CorrectionStatement


def read_said(row: CorrectionRow) -> Correction:
    """What a person said.

    Raises:
        UsageError: This version cannot read it; a later one has written it.
    """
    try:
        return Correction.from_json(row.said, f"correction {row.id}")
    except HintError as error:
        raise UsageError(
            f"{error}; it was kept by another version of Autochrome: work with that"
        ) from error


def corrected(row: CorrectionRow) -> CorrectionStatement:
    """What a derivative's provenance says of it."""
    said = read_said(row)
    return CorrectionStatement(
        number=row.id,
        who=row.who,
        made_at=row.made_at,
        hints=len(said.hints),
        masks=len(said.masks),
        strength=said.strength,
        note=row.note,
        frame=row.frame,
    )


def corrected_film(rows: Collection[CorrectionRow], number: int) -> CorrectionStatement | None:
    """The same of a film, whose frames several people may have corrected.

    Args:
        rows: What counts of its frames, one each.
        number: Of the latest change.

    Returns:
        None where nothing counts.
    """
    if not rows:
        return None
    said = [corrected(row) for row in sorted(rows, key=lambda row: row.frame or 0)]
    return CorrectionStatement(
        number=number,
        who=", ".join(dict.fromkeys(one.who for one in said)),
        made_at=max(one.made_at for one in said),
        hints=sum(one.hints for one in said),
        masks=sum(one.masks for one in said),
        strength=1.0,
        note="; ".join(dict.fromkeys(one.note for one in said if one.note)),
        parts=tuple(said),
    )


def made_with(rows: Sequence[CorrectionRow], number: int) -> list[CorrectionRow]:
    """What a derivative was made with: one correction of a scan, or one of each frame of a film.

    Args:
        rows: All that was said of its bytes, the latest last.
        number: That is on record with it.
    """
    named = next((row for row in rows if row.id == number), None)
    if named is None or named.frame is None:
        return [] if named is None else [named]
    return [*of_frames(rows, number).values()]

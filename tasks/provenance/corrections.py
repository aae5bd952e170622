"""Corrections as the ledger keeps them, for those who colour and those who tell of it."""

from colormodel.correction import Correction
from colormodel.hints import HintError
from tasks.errors import UsageError
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
    )

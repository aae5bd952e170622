"""Provenance: what every derivative says of its origin, and PREMIS exports."""

from tasks.provenance.model import (
    DIGITAL_SOURCE_TYPE,
    NOTE,
    CorrectionStatement,
    Provenance,
    this_program,
)
from tasks.provenance.xmp import build_xmp, compose_xmp

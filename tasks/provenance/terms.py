"""The terms of PREMIS 3's controlled vocabularies that exports use, as id.loc.gov has them."""

from dataclasses import dataclass

_VOCABULARIES = "http://id.loc.gov/vocabulary/preservation/"


@dataclass(frozen=True)
class Term:
    """A term: its vocabulary, code and label."""

    vocabulary: str
    code: str
    label: str

    @property
    def attributes(self) -> dict[str, str]:
        """The attributes with which PREMIS elements name a term's authority."""
        return {
            "authority": self.vocabulary,
            "authorityURI": f"{_VOCABULARIES}{self.vocabulary}",
            "valueURI": f"{_VOCABULARIES}{self.vocabulary}/{self.code}",
        }


CREATION = Term("eventType", "cre", "creation")
FIXITY_CHECK = Term("eventType", "fix", "fixity check")
DIGEST_CALCULATION = Term("eventType", "mes", "message digest calculation")
VALIDATION = Term("eventType", "val", "validation")
MODIFICATION = Term("eventType", "mod", "modification")
APPRAISAL = Term("eventType", "app", "appraisal")

SUCCESS = Term("eventOutcome", "suc", "success")
FAIL = Term("eventOutcome", "fai", "fail")
WARNING = Term("eventOutcome", "war", "warning")

SOURCE = Term("eventRelatedObjectRole", "sou", "source")
OUTCOME = Term("eventRelatedObjectRole", "out", "outcome")

EXECUTING_PROGRAM = Term("eventRelatedAgentRole", "exe", "executing program")
AUTHORIZER = Term("eventRelatedAgentRole", "aut", "authorizer")

SOFTWARE = Term("agentType", "sof", "software")
PERSON = Term("agentType", "per", "person")

DERIVATION = Term("relationshipType", "der", "derivation")
HAS_SOURCE = Term("relationshipSubType", "hss", "has source")

SHA256 = Term("cryptographicHashFunctions", "sha256", "SHA-256")

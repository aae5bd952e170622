"""PREMIS 3: what the ledger knows, in the order and the terms that the standard wants."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest

from tasks.errors import Reason
from tasks.ledger.records import (
    AttemptRow,
    DecisionRow,
    DerivativeRow,
    ItemHistory,
    ItemRow,
    ItemStory,
    RecipeRow,
    RunFigures,
    RunRow,
    ScanRow,
)
from tasks.provenance.premis import export_premis
from tasks.schema import AttemptEnding, DecisionKind, ItemStatus

NIGHT = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
P = "{http://www.loc.gov/premis/v3}"
VOCABULARY = "http://id.loc.gov/vocabulary/preservation"

# The sequences of premis.xsd 3.0, as far as exports use them.
ORDER = {
    "premis": ["object", "event", "agent"],
    "object": ["objectIdentifier", "objectCharacteristics", "originalName", "relationship"],
    "objectCharacteristics": ["fixity", "size", "format"],
    "fixity": ["messageDigestAlgorithm", "messageDigest"],
    "relationship": [
        "relationshipType",
        "relationshipSubType",
        "relatedObjectIdentifier",
        "relatedEventIdentifier",
    ],
    "event": [
        "eventIdentifier",
        "eventType",
        "eventDateTime",
        "eventDetailInformation",
        "eventOutcomeInformation",
        "linkingAgentIdentifier",
        "linkingObjectIdentifier",
    ],
    "eventOutcomeInformation": ["eventOutcome", "eventOutcomeDetail"],
    "linkingAgentIdentifier": [
        "linkingAgentIdentifierType",
        "linkingAgentIdentifierValue",
        "linkingAgentRole",
    ],
    "agent": ["agentIdentifier", "agentName", "agentType", "agentVersion"],
}


def after(minutes: float) -> datetime:
    """A time of that night."""
    return NIGHT + timedelta(minutes=minutes)


SCAN = ScanRow(
    id=1, uri="file:///archive/a.tif", source="file:///archive", key="a.tif", page=0,
    collection="default", size_bytes=1000, etag="e", version=None, modified_at=NIGHT, revision=1,
    run_id=7, found_at=NIGHT, vanished_at=None, sha256="5c" * 32, width=10, height=10, bits=16,
    pages=1,
)  # fmt: skip
ITEM = ItemRow(
    id=11, scan_id=1, recipe_id=3, uri=SCAN.uri, page=0, collection="default", revision=1,
    status=ItemStatus.PUBLISHED, reason=None, detail="", attempts=2, confidence=0.6,
    not_before=NIGHT, changed_at=NIGHT,
)  # fmt: skip
RECIPE = RecipeRow(3, "7e" * 32, "c4" * 32, {}, NIGHT, NIGHT)
MADE = AttemptRow(
    number=2, revision=1, worker="w", run_id=8, claimed_at=after(60), ended_at=after(61),
    ending=AttemptEnding.FINISHED, status=ItemStatus.REVIEW, reason=None, detail="", seconds=3.0,
)  # fmt: skip
FAILED = replace(
    MADE, number=1, run_id=7, claimed_at=after(1), ended_at=after(2), status=ItemStatus.PENDING,
    reason=Reason.STORAGE_UNAVAILABLE, detail="no answer <from> the store\x00",
)  # fmt: skip
MASTER = DerivativeRow(
    id=21, item_id=11, recipe_id=3, scan_uri=SCAN.uri, revision=1, kind="master",
    store="s3://colour", key="7e/master/a.tif",
    content_type="image/tiff", size_bytes=3000, sha256="ab" * 32, max_delta_l=0.0312,
    mean_delta_l=0.01, luma_identical=None, written_at=after(61.001),  # a moment after the attempt
)  # fmt: skip
APPROVED = DecisionRow(31, DecisionKind.APPROVE, "Ada Ng", "sky & sea", after(600))
STORY = ItemStory(SCAN, (), (ItemHistory(ITEM, RECIPE, (FAILED, MADE), (MASTER,), (APPROVED,)),))
RUN = RunRow(
    id=8, kind="nightly", name="calm-owl", flow_run_id=None, recipe_id=3, started_at=after(50),
    seen_at=after(70), ended_at=after(70), ending=None, detail="", figures=RunFigures(),
)  # fmt: skip


def parsed(document: bytes) -> ET.Element:
    """The document's root."""
    return ET.fromstring(document)  # noqa: S314 -- our own output


def events(root: ET.Element) -> list[tuple[str, str, str]]:
    """Type and outcome of each event, by the codes of their URIs, and the note."""
    found = []
    for event in root.iter(f"{P}event"):
        kind, outcome = event.find(f"{P}eventType"), next(event.iter(f"{P}eventOutcome"))
        note = next((note.text for note in event.iter(f"{P}eventOutcomeDetailNote")), "")
        assert kind.get("valueURI").startswith(f"{VOCABULARY}/eventType/")
        assert outcome.get("valueURI").startswith(f"{VOCABULARY}/eventOutcome/")
        codes = (term.get("valueURI").rpartition("/")[2] for term in (kind, outcome))
        found.append((*codes, note))
    return found


def test_what_was_not_compared_with_the_scan_is_not_said_to_be_valid() -> None:
    """A thumbnail has its creation, digest and fixity; the tone gate was its master's."""
    small = replace(MASTER, id=22, kind="thumbnail", key="7e/thumbnail/a.jpg", max_delta_l=None)
    (history,) = STORY.items
    story = replace(STORY, items=(replace(history, derivatives=(MASTER, small)),))
    root = parsed(export_premis([story], software="Autochrome 1.2.3"))
    of_small = [
        event.find(f"{P}eventType").text
        for event in root.iter(f"{P}event")
        if any(
            value.text.endswith(small.key)
            for value in event.iter(f"{P}linkingObjectIdentifierValue")
        )
    ]
    assert sorted(of_small) == ["creation", "fixity check", "message digest calculation"]


def test_item_tells_its_whole_story() -> None:
    """A failed attempt, the derivative's four events, and the curator's decision."""
    root = parsed(export_premis([STORY], software="Autochrome 1.2.3"))
    assert sorted(events(root)) == sorted(
        [
            ("cre", "suc", ""),
            ("mes", "suc", "ab" * 32),
            ("fix", "suc", "ab" * 32),
            ("val", "suc", "max |ΔL*| 0.0312"),
            ("mes", "suc", "5c" * 32),
            ("mes", "suc", "5c" * 32),
            ("cre", "fai", "pending: storage_unavailable: no answer <from> the store"),
            ("app", "suc", "sky & sea"),
        ]
    )
    objects = {value.text for value in root.iter(f"{P}objectIdentifierValue")}
    assert objects == {"file:///archive/a.tif", "s3://colour/7e/master/a.tif"}
    assert {name.text for name in root.iter(f"{P}agentName")} == {
        "Autochrome",
        "Colourization network",
        "Ada Ng",
    }
    related = next(root.iter(f"{P}relationship"))
    assert [text.text for text in related.iter() if not len(text)][:4] == [
        "derivation",
        "has source",
        "URI",
        "file:///archive/a.tif",
    ]


def test_run_tells_its_own_part() -> None:
    """Only the attempt of that run, and what was made in it."""
    root = parsed(export_premis([STORY], software="Autochrome 1.2.3", run=RUN))
    assert [kind for kind, _, _ in events(root)].count("mes") == 2
    assert all(outcome == "suc" for _, outcome, _ in events(root))
    first = parsed(export_premis([STORY], software="Autochrome 1.2.3", run=replace(RUN, id=7)))
    assert [(kind, outcome) for kind, outcome, _ in events(first)] == [
        ("mes", "suc"),
        ("cre", "fai"),
    ]
    assert len(list(first.iter(f"{P}object"))) == 1


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (Reason.UNREADABLE, "val"),
        (Reason.ALREADY_COLOUR, "val"),
        (Reason.TONE_GATE, "val"),
        (Reason.FIXITY_MISMATCH, "fix"),
        (Reason.WRITE_UNVERIFIED, "fix"),
        (Reason.TIMEOUT, "cre"),
    ],
)
def test_failures_name_the_step_that_failed(reason: Reason, kind: str) -> None:
    """By the reason's verdict."""
    attempt = replace(MADE, reason=reason)
    story = replace(STORY, items=(ItemHistory(ITEM, RECIPE, (attempt,), (), ()),))
    (failure,) = [
        e for e in events(parsed(export_premis([story], software="A 1"))) if e[1] != "suc"
    ]
    assert failure[:2] == (kind, "fai")


def test_notes_are_a_validation_that_warns() -> None:
    """What was odd about the scan is told with the attempt that saw it, and only there."""
    (history,) = STORY.items
    noted = replace(history, item=replace(ITEM, notes=("Orientation 9", "XMP <ends> early")))
    story = replace(STORY, items=(noted,))
    root = parsed(export_premis([story], software="Autochrome 1.2.3"))
    (warning,) = [event for event in events(root) if event[1] == "war"]
    assert warning == ("val", "war", "Orientation 9\nXMP <ends> early")
    first = export_premis([story], software="Autochrome 1.2.3", run=replace(RUN, id=7))
    assert all(outcome != "war" for _, outcome, _ in events(parsed(first)))


def test_order_is_the_schemas() -> None:
    """Children stand in the order that premis.xsd demands, identifiers are unique and linked."""
    root = parsed(export_premis([STORY], software="Autochrome 1.2.3"))
    assert root.get("version") == "3.0"
    for element in root.iter():
        order = ORDER.get(element.tag.removeprefix(P))
        if order:
            places = [order.index(child.tag.removeprefix(P)) for child in element]
            assert places == sorted(places)
    identifiers = [value.text for value in root.iter(f"{P}eventIdentifierValue")]
    assert len(set(identifiers)) == len(identifiers)
    agents = {value.text for value in root.iter(f"{P}agentIdentifierValue")}
    assert {value.text for value in root.iter(f"{P}linkingAgentIdentifierValue")} <= agents
    objects = {value.text for value in root.iter(f"{P}objectIdentifierValue")}
    assert {value.text for value in root.iter(f"{P}linkingObjectIdentifierValue")} <= objects
    assert {value.text for value in root.iter(f"{P}relatedEventIdentifierValue")} <= {*identifiers}


def test_the_same_story_gives_the_same_document() -> None:
    """Exporting twice gives the same bytes; exporting nothing is refused."""
    once = export_premis([STORY], software="Autochrome 1.2.3")
    assert once == export_premis([STORY], software="Autochrome 1.2.3")
    with pytest.raises(ValueError, match="at least one object"):
        export_premis([], software="Autochrome 1.2.3")

"""PREMIS 3 as XML, after the Library of Congress's schema premis.xsd, version 3.0."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from xml.etree import ElementTree as ET

from tasks.provenance import terms
from tasks.provenance.packet import write_element
from tasks.provenance.terms import Term

PREMIS = "http://www.loc.gov/premis/v3"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_NAMES = {PREMIS: "premis", _XSI: "xsi"}


@dataclass(frozen=True)
class Link:
    """What an event says of an agent or an object: which one, and its part in it."""

    identifier: str
    role: Term


@dataclass(frozen=True)
class File:
    """An object of category file; *source* names the file and the event that it comes from."""

    identifier: str
    name: str
    sha256: str | None
    size_bytes: int
    content_type: str
    source: tuple[str, str] | None = None


@dataclass(frozen=True)
class Event:
    """Something that was done, and how it went."""

    identifier: str
    kind: Term
    at: datetime
    detail: str
    outcome: Term
    note: str
    agents: tuple[Link, ...]
    objects: tuple[Link, ...]


@dataclass(frozen=True)
class Agent:
    """Who or what did it."""

    identifier: str
    name: str
    kind: Term
    version: str = ""


def premis_document(
    files: Iterable[File], events: Iterable[Event], agents: Iterable[Agent]
) -> bytes:
    """Write a PREMIS 3 document in UTF-8.

    Raises:
        ValueError: There is no file: the schema wants at least one object.
    """
    parts = [_file(file) for file in files]
    if not parts:
        raise ValueError(
            "a PREMIS document needs at least one object; name a scan or a run with items"
        )
    parts += [_event(event) for event in events]
    parts += [_agent(agent) for agent in agents]
    body = "".join(write_element(part, _NAMES, " ") for part in parts)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<premis:premis xmlns:premis="{PREMIS}" xmlns:xsi="{_XSI}" xsi:schemaLocation="{PREMIS} '
        f'https://www.loc.gov/standards/premis/premis.xsd" version="3.0">\n{body}</premis:premis>\n'
    ).encode()


def _file(file: File) -> ET.Element:
    element = ET.Element(_tag("object"), {f"{{{_XSI}}}type": "premis:file"})
    _identify(element, "object", "URI", file.identifier)
    characteristics = _sub(element, "objectCharacteristics")
    if file.sha256:
        fixity = _sub(characteristics, "fixity")
        _named(fixity, "messageDigestAlgorithm", terms.SHA256)
        _sub(fixity, "messageDigest", file.sha256)
    _sub(characteristics, "size", str(file.size_bytes))
    designation = _sub(_sub(characteristics, "format"), "formatDesignation")
    _sub(designation, "formatName", file.content_type)
    _sub(element, "originalName", file.name)
    if file.source is not None:
        relationship = _sub(element, "relationship")
        _named(relationship, "relationshipType", terms.DERIVATION)
        _named(relationship, "relationshipSubType", terms.HAS_SOURCE)
        _identify(relationship, "relatedObject", "URI", file.source[0])
        _identify(relationship, "relatedEvent", "UUID", file.source[1])
    return element


def _event(event: Event) -> ET.Element:
    element = ET.Element(_tag("event"))
    _identify(element, "event", "UUID", event.identifier)
    _named(element, "eventType", event.kind)
    _sub(element, "eventDateTime", event.at.isoformat(timespec="seconds"))
    _sub(_sub(element, "eventDetailInformation"), "eventDetail", event.detail)
    outcome = _sub(element, "eventOutcomeInformation")
    _named(outcome, "eventOutcome", event.outcome)
    if event.note:
        _sub(_sub(outcome, "eventOutcomeDetail"), "eventOutcomeDetailNote", event.note)
    for link in event.agents:
        linked = _identify(element, "linkingAgent", "local", link.identifier)
        _named(linked, "linkingAgentRole", link.role)
    for link in event.objects:
        linked = _identify(element, "linkingObject", "URI", link.identifier)
        _named(linked, "linkingObjectRole", link.role)
    return element


def _agent(agent: Agent) -> ET.Element:
    element = ET.Element(_tag("agent"))
    _identify(element, "agent", "local", agent.identifier)
    _sub(element, "agentName", agent.name)
    _named(element, "agentType", agent.kind)
    if agent.version:
        _sub(element, "agentVersion", agent.version)
    return element


def _identify(parent: ET.Element, what: str, kind: str, value: str) -> ET.Element:
    identifier = _sub(parent, f"{what}Identifier")
    _sub(identifier, f"{what}IdentifierType", kind)
    _sub(identifier, f"{what}IdentifierValue", value)
    return identifier


def _named(parent: ET.Element, name: str, term: Term) -> None:
    _sub(parent, name, term.label).attrib.update(term.attributes)


def _sub(parent: ET.Element, name: str, text: str = "") -> ET.Element:
    element = ET.SubElement(parent, _tag(name))
    element.text = text
    return element


def _tag(name: str) -> str:
    return f"{{{PREMIS}}}{name}"

"""XMP: all that must be said is said, any text is safe, and nothing of the scan's own is lost."""

import json
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from xml.dom import minidom

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tasks.provenance import DIGITAL_SOURCE_TYPE, NOTE, Provenance, build_xmp
from tasks.scans.descriptive import Descriptive
from tasks.scans.metadata.dates import iso_date
from tasks.scans.metadata.packet import clean_text, parse_packet
from tests.packets import read_xmp

PLAIN = Provenance(
    scan_uri="s3://archive/box 12/8a28768.tif",
    scan_sha256="5c" * 32,
    checkpoint_digest="c4" * 32,
    recipe_digest="7e" * 32,
    model_name="unet",
    software="Autochrome 1.2.3",
    created_at=datetime(2026, 11, 22, 3, 4, 5, tzinfo=UTC),
    confidence=0.625,
    descriptive=Descriptive(
        title="Toll bridge",
        description="Cars at the toll bridge <Ohio & beyond>",
        artist="Marion Post Wolcott",
        copyright="No known restrictions",
        credit="Library of Congress",
        identifier="8a28768",
        date="1940:07:04 12:30:00",
    ),
)
EXISTING = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"
  xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
  xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
  xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
  xmlns:shelf="http://archive.example/shelf#"
  xmpMM:DocumentID="uuid:before" xmpMM:OriginalDocumentID="uuid:first" shelf:mark="K 12"
  tiff:Orientation="6" photoshop:Instructions="Handle with care.">
 <dc:title><rdf:Alt><rdf:li xml:lang="x-default">Bridge</rdf:li>
  <rdf:li xml:lang="fr">Pont</rdf:li></rdf:Alt></dc:title>
 <dc:subject><rdf:Bag><rdf:li>bridges</rdf:li>
  <rdf:li>cars &amp; lorries</rdf:li></rdf:Bag></dc:subject>
 <xmpMM:History><rdf:Seq>
  <rdf:li stEvt:action="scanned" stEvt:when="2009-01-02"/></rdf:Seq></xmpMM:History>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>""".encode()


def one(found: dict[str, tuple[str, ...]], name: str) -> str:
    """The only text of a property."""
    (text,) = found[name]
    return text


def test_what_design_demands_is_there() -> None:
    """Digital source type, system, version with digest, source, and where it was derived from."""
    found = read_xmp(build_xmp(PLAIN))
    assert one(found, "Iptc4xmpExt:DigitalSourceType") == DIGITAL_SOURCE_TYPE
    assert DIGITAL_SOURCE_TYPE == (
        "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
    )
    assert "unet" in one(found, "Iptc4xmpExt:AISystemUsed")
    assert PLAIN.checkpoint_digest in one(found, "Iptc4xmpExt:AISystemVersionUsed")
    assert one(found, "dc:source") == PLAIN.scan_uri
    assert one(found, "xmpMM:DerivedFrom/stRef:filePath") == PLAIN.scan_uri
    assert one(found, "xmpMM:DerivedFrom/stRef:instanceID") == f"sha256:{PLAIN.scan_sha256}"
    assert one(found, "xmp:CreatorTool") == "Autochrome 1.2.3"
    assert one(found, "xmp:CreateDate") == "2026-11-22T03:04:05+00:00"
    assert one(found, "photoshop:Instructions") == NOTE
    assert one(found, "xmpMM:RenditionClass") == "default"


def test_description_is_carried_over() -> None:
    """Title, description, creator, rights, credit and date of the scan's file."""
    found = read_xmp(build_xmp(PLAIN, rights="Ask the reading room."))
    assert one(found, "dc:title") == "Toll bridge"
    assert one(found, "dc:description") == "Cars at the toll bridge <Ohio & beyond>"
    assert one(found, "dc:creator") == "Marion Post Wolcott"
    assert one(found, "dc:rights") == "No known restrictions"
    assert one(found, "xmpRights:UsageTerms") == "Ask the reading room."
    assert one(found, "photoshop:DateCreated") == "1940-07-04T12:30:00"
    unsigned = replace(PLAIN, descriptive=Descriptive(date="about 1940"))
    found = read_xmp(build_xmp(unsigned, rights="Ask the reading room."))
    assert one(found, "dc:rights") == "Ask the reading room."
    assert one(found, "dc:date") == "about 1940"


def test_existing_packet_is_merged() -> None:
    """All languages, keywords, private properties and the history stay; what became false goes."""
    found = read_xmp(build_xmp(PLAIN, existing=parse_packet(EXISTING)))
    assert found["dc:title"] == ("Bridge", "Pont")
    assert found["dc:subject"] == ("bridges", "cars & lorries")
    assert one(found, "http://archive.example/shelf#:mark") == "K 12"
    assert one(found, "xmpMM:OriginalDocumentID") == "uuid:first"
    assert one(found, "xmpMM:DocumentID") == PLAIN.document_id
    assert one(found, "photoshop:Instructions") == f"Handle with care.\n{NOTE}"
    assert one(found, "xmpMM:History/stEvt:action") == "derived"
    packet = build_xmp(PLAIN, existing=parse_packet(EXISTING))
    assert b'stEvt:action="scanned"' in packet
    assert b"xmlns:shelf=" in packet
    assert "tiff:Orientation" not in found


def test_merging_twice_changes_nothing_but_the_history() -> None:
    """A derivative's own packet as the existing one: no property doubles."""
    once = read_xmp(build_xmp(PLAIN, existing=parse_packet(EXISTING)))
    twice = read_xmp(
        build_xmp(PLAIN, existing=parse_packet(build_xmp(PLAIN, existing=parse_packet(EXISTING))))
    )
    assert {name for name in once if "History" not in name} == {
        name for name in twice if "History" not in name
    }


@given(st.text(), st.text(st.characters()), st.text(max_size=5))
def test_any_text_is_safe(uri: str, description: str, title: str) -> None:
    """Control characters, surrogates, markup: well-formed, and what XML can hold comes back."""
    said = Descriptive(description=description, title=title)
    packet = build_xmp(replace(PLAIN, scan_uri=uri, descriptive=said))
    minidom.parseString(packet)  # noqa: S318 -- our own output; raises if it is not well-formed
    found = read_xmp(packet)
    assert one(found, "dc:source") == clean_text(uri)
    if description:
        assert one(found, "dc:description") == clean_text(description)


@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_any_existing_bytes_are_survived(junk: bytes) -> None:
    """A packet that is none is left out; ours is written all the same."""
    found = read_xmp(build_xmp(PLAIN, existing=parse_packet(junk)))
    assert one(found, "dc:source") == PLAIN.scan_uri


@pytest.mark.parametrize(
    "hostile",
    [
        b'<!DOCTYPE x [<!ENTITY a "aaaa">]><x:xmpmeta xmlns:x="adobe:ns:meta/">&a;</x:xmpmeta>',
        EXISTING.replace(b"<x:xmpmeta", b"<!DOCTYPE r SYSTEM 'file:///etc/passwd'><x:xmpmeta", 1),
        b"<a>" * 5000 + b"</a>" * 5000,
        EXISTING + b" " * (9 << 20),
    ],
)
def test_hostile_packets_are_left_out(hostile: bytes) -> None:
    """Entities, foreign files, nesting, size: ignored, without harm."""
    assert read_xmp(hostile) == {}
    assert (
        one(read_xmp(build_xmp(PLAIN, existing=parse_packet(hostile))), "dc:title") == "Toll bridge"
    )


def test_names_of_files_are_stable_and_distinct() -> None:
    """One document for all files of an item; one instance for each."""
    assert PLAIN.document_id == replace(PLAIN, confidence=0.1).document_id
    assert PLAIN.document_id != replace(PLAIN, scan_uri=f"{PLAIN.scan_uri}#page=2").document_id
    assert PLAIN.instance_id("default") != PLAIN.instance_id("screen")
    access = read_xmp(build_xmp(PLAIN, kind="access"))
    assert one(access, "xmpMM:RenditionClass") == "screen"
    assert one(access, "xmpMM:DocumentID") == PLAIN.document_id


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("1940:07:04 12:30:00", "1940-07-04T12:30:00"),
        ("1940:07:04", "1940-07-04"),
        ("19400704", "1940-07-04"),
        ("1940", "1940"),
        ("1940-07-04T12:30:00Z", "1940-07-04T12:30:00Z"),
        ("1940:00:00 00:00:00", "1940"),
        ("19400700", "1940-07"),
        ("1940:07:  ", "1940-07"),
        ("1940-13-01", None),
        ("0000:00:00 00:00:00", None),
        ("July 1940", None),
        ("", None),
    ],
)
def test_dates(text: str, date: str | None) -> None:
    """Dates as EXIF, IPTC and XMP write them."""
    assert iso_date(text) == date


def test_exiftool_reads_it(tmp_path: Path) -> None:
    """An independent reader finds the properties in a file that carries the packet."""
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not installed")
    file = tmp_path / "derivative.tif"
    Image.new("RGB", (8, 8)).save(
        file, tiffinfo={700: build_xmp(PLAIN, existing=parse_packet(EXISTING))}
    )
    done = subprocess.run(
        ["exiftool", "-j", "-struct", "-warning", "-XMP:all", file], check=True, capture_output=True
    )
    (said,) = json.loads(done.stdout)
    assert "Warning" not in said
    assert said["Source"] == PLAIN.scan_uri
    assert said["DerivedFrom"]["FilePath"] == PLAIN.scan_uri
    assert said["Subject"] == ["bridges", "cars & lorries"]
    assert [event["Action"] for event in said["History"]] == ["scanned", "derived"]
    assert said["AISystemUsed"] == "Autochrome, network unet"

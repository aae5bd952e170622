"""What a scan's file says of subject and rights is in every derivative, as others read it."""

import json
import shutil
import subprocess
from pathlib import Path
from xml.dom import minidom

import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, IptcImagePlugin

from tasks.derivatives import WrittenFile
from tasks.derivatives.jpegfile import XMP_BYTES
from tasks.provenance import NOTE
from tasks.provenance.jpegxmp import split_packet
from tasks.scans.header import ReadLimits, read_structure
from tasks.scans.metadata.extended import join_extended
from tasks.scans.metadata.packet import parse_packet, tag
from tasks.scans.metadata.read import read_metadata
from tasks.scans.metadata.terms import texts_of
from tests import metadatafiles as made
from tests.metadatafiles import CAPTION, CREATOR, RIGHTS, iptc_records, xmp
from tests.tasks.derivatives.scanmaker import colour

CASES = Path("../shared/cases")
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XMP_TAG, IPTC_TAG, COPYRIGHT_TAG = 700, 33723, 33432


def packet_in(path: Path) -> str:
    """The main packet of XMP, as tifffile or Pillow finds it."""
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as opened:
            return bytes(opened.pages[0].tags[XMP_TAG].value).decode()
    with Image.open(path) as opened:
        return opened.info["xmp"].decode()


def listed(packet: str, name: str) -> list[str]:
    """The texts in a property's list, as the standard library's DOM reads them."""
    (element,) = minidom.parseString(packet).getElementsByTagName(name)  # noqa: S318 -- our own
    items = element.getElementsByTagNameNS(RDF, "li") or [element]
    return ["".join(node.data for node in item.childNodes if node.nodeType == 3) for item in items]


def iptc_in(path: Path) -> dict[tuple[int, int], object]:
    """IPTC's datasets, as Pillow reads them."""
    with Image.open(path) as opened:
        return IptcImagePlugin.getiptcinfo(opened) or {}


def copyright_in(path: Path) -> bytes:
    """The Copyright tag of TIFF or EXIF."""
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as opened:
            value = opened.pages[0].tags[COPYRIGHT_TAG].value
            return value if isinstance(value, bytes) else value.encode()
    with Image.open(path) as opened:
        found: str = opened.getexif()[COPYRIGHT_TAG]
        return found.encode("latin-1")


def all_of(path: Path, folder: Path, **policy: object) -> dict[str, WrittenFile]:
    """The pictures made of a scan, by kind."""
    return {file.kind: file for file in colour(path, folder / "out", thumbnail_px=40, **policy)}


MAKERS = {
    "TIFF": lambda folder: made.IPTC_PLACES["tag 33723 as UNDEFINED"](folder, iptc_records()),
    "TIFF, Photoshop": lambda folder: made.IPTC_PLACES["tag 34377"](folder, iptc_records()),
    "PNG": lambda folder: made.IPTC_PLACES["raw profile iptc"](folder, iptc_records()),
    "JP2": lambda folder: made.IPTC_PLACES["uuid box"](folder, iptc_records()),
    "JPEG, spliced": lambda folder: made.IPTC_PLACES["APP13 in two"](folder, iptc_records()),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_iptc_is_in_every_derivative(kind: str, tmp_path: Path) -> None:
    """As datasets, in XMP, and in the tags that everyone looks at."""
    files = all_of(MAKERS[kind](tmp_path), tmp_path)
    assert {"master", "thumbnail"} <= set(files)
    for file in files.values():
        packet = packet_in(file.path)
        assert listed(packet, "dc:rights") == [RIGHTS], file.kind
        assert listed(packet, "dc:creator") == [CREATOR]
        assert listed(packet, "dc:description") == [CAPTION]
        assert listed(packet, "photoshop:DateCreated") == ["1934-06-12"]
        assert iptc_in(file.path)[2, 116] == RIGHTS.encode()
        if not (kind == "JPEG, spliced" and file.kind == "master"):  # which has no EXIF of its own
            assert copyright_in(file.path).rstrip(b"\0") == RIGHTS.encode()


def test_rights_of_xmp_are_in_every_derivative(tmp_path: Path) -> None:
    """Terms, page and licensor; languages; the note of the machine's guess beside them."""
    for name in ("tag 700 as BYTE", "APP1", "iTXt", "uuid box"):
        scan = made.XMP_PLACES[name](tmp_path, xmp().encode("utf-8"))
        for file in all_of(scan, tmp_path, rights="House rules").values():
            packet = packet_in(file.path)
            assert listed(packet, "dc:rights") == [RIGHTS]
            assert listed(packet, "xmpRights:UsageTerms") == ["Reading room only"]
            assert listed(packet, "xmpRights:WebStatement") == ["https://archive.example/rights"]
            assert listed(packet, "plus:LicensorName") == ["Stadtarchiv"]
            assert listed(packet, "dc:description") == ["Hafen", CAPTION]
            assert listed(packet, "photoshop:Instructions") == [NOTE]


def test_both_parts_of_a_copyright_keep_their_tag(tmp_path: Path) -> None:
    """Photographer NUL editor, as EXIF has it, in master and copies."""
    both = b"Anna Koester\0Stadtarchiv\0"
    scan = made.tiff(tmp_path, (COPYRIGHT_TAG, 2, len(both), both, True))
    for file in all_of(scan, tmp_path).values():
        assert both.rstrip(b"\0") in file.path.read_bytes(), file.kind
        assert listed(packet_in(file.path), "dc:rights") == ["Anna Koester; Stadtarchiv"]


def test_a_large_packet_is_whole_in_every_derivative(tmp_path: Path) -> None:
    """Extended where a JPEG's segment is too small, the rights in the part that all read."""
    history = "".join(f"<rdf:li>step {n} of many that nobody reads</rdf:li>" for n in range(3000))
    more = f"<photoshop:History><rdf:Seq>{history}</rdf:Seq></photoshop:History>"
    scan = made.XMP_PLACES["tag 700 as BYTE"](tmp_path, xmp(more=more).encode())
    (grey := tmp_path / "jpeg").mkdir()
    segments = made.extended(xmp(xmpNote_HasExtendedXMP="{guid}"), xmp(more=more))
    for path in (scan, made.jpeg(grey, *segments)):
        for file in all_of(path, path.parent).values():
            assert listed(packet_in(file.path), "dc:rights") == [RIGHTS]
            structure = read_structure(file.path, page=0, limits=ReadLimits())
            found = read_metadata(structure)
            told = {one.tag: texts_of(one) for one in found.packet.properties}
            assert len(told[tag("photoshop:History")]) == 3000
            assert told[tag("xmpRights:UsageTerms")] == ("Reading room only",)
            assert found.unread == ()


@settings(max_examples=40)
@given(
    st.lists(st.text(max_size=300), max_size=30),
    st.integers(4_000, 9_000),
)
def test_a_split_packet_is_whole_again_when_joined(texts: list[str], limit: int) -> None:
    """Whatever the sizes: within the limit, and nothing is lost."""
    some = "".join(f"<dc:p{n}>{'x' * len(text) * 9}</dc:p{n}>" for n, text in enumerate(texts))
    packet = parse_packet(xmp(more=some).encode())
    main, more = split_packet(packet, limit)
    assert len(main) <= limit
    read = parse_packet(main)
    if more:
        (guid,) = (one.text for one in read.properties if one.tag == tag("xmpNote:HasExtendedXMP"))
        part = (guid or "").encode() + len(more).to_bytes(4, "big") + b"\0" * 4 + more
        joined, fault = join_extended([part], guid or "")
        assert (joined, fault) == (more, "")
        assert len(main) <= XMP_BYTES
    names = {one.tag for one in read.properties}
    names |= {one.tag for one in parse_packet(more).properties}
    assert {one.tag for one in packet.properties} <= names


@pytest.mark.skipif(not CASES.exists(), reason="no cases beside the checkout")
def test_cases_keep_rights_and_dates(tmp_path: Path) -> None:
    """In every derivative of every case; the scan file's own date is nowhere the photograph's."""
    folders = ("24-iptc-in-photoshop-block", "25-metadata-kept")
    for path in [path for folder in folders for path in sorted((CASES / folder / "in").iterdir())]:
        (folder := tmp_path / path.name).mkdir()
        for file in all_of(path, folder).values():
            packet = packet_in(file.path)
            rights = {"© Stadtarchiv 1934, no reuse", "All rights reserved", "? Stadtarchiv"}
            assert rights & {*listed(packet, "dc:rights")}
            assert "<photoshop:DateCreated>2009" not in packet
            if path.name[:1] in "bc" and "exif" in path.name:
                assert listed(packet, "photoshop:DateCreated") == ["1934-06-12T10:00:00"]
            if "xmp" in path.name:
                assert listed(packet, "xmpRights:UsageTerms") == ["Reading room only"]


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
def test_exiftool_finds_the_same(tmp_path: Path) -> None:
    """EXIF, IPTC and XMP of master and copy agree, and nothing is to grumble about."""
    records = iptc_records(n25="Hafen")
    history = "<photoshop:History>" + "x" * 80_000 + "</photoshop:History>"
    packet = xmp(more=history).encode()
    scan = made.tiff(
        tmp_path,
        (made.XMP_TAG, 1, len(packet), packet, True),
        (made.IPTC_TAG, 7, len(records), records, True),
    )
    for file in all_of(scan, tmp_path).values():
        command = ["exiftool", "-j", "-G1", "-struct", "-warning", "-all", str(file.path)]
        done = subprocess.run(command, check=True, capture_output=True)
        (told,) = json.loads(done.stdout)
        assert "ExifTool:Warning" not in told
        assert told["IFD0:Copyright"] == told["IPTC:CopyrightNotice"] == RIGHTS
        assert told["XMP-dc:Rights"] == RIGHTS
        assert told["XMP-plus:Licensor"] == [{"LicensorName": "Stadtarchiv"}]
        assert len(told["XMP-photoshop:History"]) == 80_000
        assert (told["IPTC:Keywords"], told["IPTC:DateCreated"]) == ("Hafen", "1934:06:12")


LOCATED = {
    "TIFF": made.located_tiff,
    "JPEG, spliced": lambda folder: made.jpeg(folder, exif=b"Exif\0\0" + made.located()),
    "PNG": lambda folder: made.png(folder, (b"eXIf", made.located())),
    "JP2": lambda folder: made.jp2(folder, (b"uuid", b"JpgTiffExif->JP2" + made.located())),
}


@pytest.mark.parametrize("kind", LOCATED)
def test_a_position_is_in_every_derivative(kind: str, tmp_path: Path) -> None:
    """In XMP's words, to the centimetre, as catalogues read it."""
    for file in all_of(LOCATED[kind](tmp_path), tmp_path).values():
        packet = packet_in(file.path)
        for name, text in {
            "GPSLatitude": "52,31.20833333N",
            "GPSLongitude": "13,23.88E",
            "GPSAltitude": "171/5",
            "GPSAltitudeRef": "0",
            "GPSImgDirection": "270/1",
            "GPSImgDirectionRef": "T",
            "GPSMapDatum": "WGS-84",
            "GPSTimeStamp": "2019-06-12T14:05:09Z",
        }.items():
            assert listed(packet, f"exif:{name}") == [text], (file.kind, name)


def test_maker_notes_are_named_where_they_are_not_carried(tmp_path: Path) -> None:
    """A spliced JPEG has the scan's EXIF as it is; no other file could hold them whole."""
    for kind in ("JPEG, spliced", "PNG"):
        scan = LOCATED[kind](tmp_path)
        notes = read_metadata(read_structure(scan, page=0, limits=ReadLimits())).notes
        assert any("maker notes, 206 bytes" in note for note in notes)
    (spliced,) = (
        file
        for file in colour(LOCATED["JPEG, spliced"](tmp_path), tmp_path / "out")
        if file.kind == "master"
    )
    assert made.MAKER_NOTES in spliced.path.read_bytes()


def changed(tag: int, *value: object) -> list[tuple[int, int, int, bytes]]:
    """The position with one tag of another value, or without it."""
    others = [one for one in made.GPS if one[0] != tag]
    return sorted([*others, (tag, *value)] if value else others)  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("gps", "told"),
    [
        (changed(2, 5, 3, made.rationals((0, 0), (0, 0), (0, 0))), ""),
        (changed(4), ""),
        (changed(2, 5, 3, made.rationals((99, 1), (0, 1), (0, 1))), "99 degrees N are nowhere"),
        (changed(1, 2, 2, b"?\0"), "52.5201 degrees ? are nowhere"),
        (changed(1), "of no side are nowhere"),
    ],
    ids=["none known", "half", "beyond the pole", "of an unknown side", "without its side"],
)
def test_half_a_position_is_none(
    gps: list[tuple[int, int, int, bytes]], told: str, tmp_path: Path
) -> None:
    """And one that cannot be is named: the derivative waits for a person."""
    scan = made.located_tiff(tmp_path, gps)
    found = read_metadata(read_structure(scan, page=0, limits=ReadLimits()))
    assert not any("GPS" in one.tag for one in found.packet.properties)
    assert (told in "".join(found.unread)) if told else not found.unread


def test_further_tags_of_gps_are_named(tmp_path: Path) -> None:
    """The speed of a car, say."""
    scan = made.located_tiff(tmp_path, changed(13, 5, 1, made.rationals((50, 1))))
    notes = read_metadata(read_structure(scan, page=0, limits=ReadLimits())).notes
    assert "of the position, EXIF's GPS tags 13 are not carried" in notes

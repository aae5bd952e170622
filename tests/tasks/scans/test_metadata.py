"""Metadata: every place that a standard allows, pieces joined, and what cannot be read named."""

import hashlib
import itertools
import struct
import time
import zlib
from pathlib import Path

import pytest
import tifffile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tasks.scans.descriptive import describe
from tasks.scans.formats.blocks import MAX_BLOCK_BYTES
from tasks.scans.formats.exif import read_exif_block
from tasks.scans.formats.markers import APP1, XMP
from tasks.scans.header import ReadLimits, ScanHeader, read_header, read_structure
from tasks.scans.metadata.dates import iso_date
from tasks.scans.metadata.iim import read_records, write_records
from tasks.scans.metadata.packet import MAX_NODES, parse_packet, tag
from tasks.scans.metadata.read import Metadata, read_metadata
from tasks.scans.metadata.terms import texts_of
from tests import metadatafiles as made
from tests.metadatafiles import CAPTION, CREATOR, RIGHTS, iptc_records, photoshop, resource, xmp
from tests.scanfiles import codes_of, photograph

CASES = Path("../shared/cases")
TERMS = {
    "xmpRights:UsageTerms": ("Reading room only",),
    "xmpRights:WebStatement": ("https://archive.example/rights",),
    "xmpRights:Marked": ("True",),
    "plus:Licensor": ("Stadtarchiv",),
}
SLOW = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def metadata_of(path: Path) -> Metadata:
    """All that is read of a file."""
    return read_metadata(read_structure(path, page=0, limits=ReadLimits()))


def header_of(path: Path) -> ScanHeader:
    """The first page's header."""
    return read_header(path, limits=ReadLimits())


def said(found: Metadata) -> dict[str, tuple[str, ...]]:
    """Texts of XMP's properties by their tags."""
    return {element.tag: texts_of(element) for element in found.packet.properties}


# Places ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", made.IPTC_PLACES)
def test_iptc_is_found_in_every_place(place: str, tmp_path: Path) -> None:
    """Rights, creator, caption, date and keywords; nothing to grumble about."""
    records = iptc_records(n25="Hafen")
    path = made.IPTC_PLACES[place](tmp_path, records)
    header, found = header_of(path), metadata_of(path)
    assert (header.descriptive.copyright, header.descriptive.artist) == (RIGHTS, CREATOR)
    assert (header.descriptive.description, header.descriptive.date) == (CAPTION, "1934-06-12")
    assert said(found)[tag("dc:subject")] == ("Hafen",)
    assert found.iptc == records
    assert (header.notes, header.unread) == ((), ())


@pytest.mark.parametrize("place", made.XMP_PLACES)
def test_xmp_is_found_in_every_place(place: str, tmp_path: Path) -> None:
    """Rights with their terms, page and licensor; of languages the default."""
    header = header_of(path := made.XMP_PLACES[place](tmp_path, xmp().encode()))
    assert (header.descriptive.copyright, header.descriptive.artist) == (RIGHTS, CREATOR)
    assert header.descriptive.description == CAPTION
    told = said(metadata_of(path))
    assert {name: told[tag(name)] for name in TERMS} == TERMS
    assert (header.notes, header.unread) == ((), ())


@pytest.mark.parametrize("mark", [b"", b"\x1b%G", b"\x1b%/Z"])
@pytest.mark.parametrize("coding", ["latin-1", "mac-roman", "shift-jis", "utf-8"])
def test_characters_that_nothing_tells_wait_for_a_person(
    coding: str, mark: bytes, tmp_path: Path
) -> None:
    """Windows' or a Macintosh's: either may be meant; the bytes are carried as they are."""
    creator = "東京" if coding == "shift-jis" else CREATOR
    records = iptc_records(mark=mark, coding=coding, n80=creator, n116="by leave")
    found = metadata_of(made.jpeg(tmp_path, *made.app13(photoshop(records))))
    assert found.iptc == records
    text = creator.encode(coding)
    exif = metadata_of(made.tiff(tmp_path, (33432, 2, len(text), text, True)))
    if coding == "utf-8":
        assert (found.unread, exif.unread) == ((), ())
        return
    fault = "announces utf-8" if mark == b"\x1b%G" else "does not say which characters"
    assert fault in found.unread[0]
    assert "Copyright does not say which characters" in exif.unread[0]


@pytest.mark.parametrize("code", [0xE2, 0xE4, 0xEC, 0xED, 0xEF])
def test_xmp_and_rights_are_found_in_any_segment(code: int, tmp_path: Path) -> None:
    """Programs put them under heads of their own; what is no RDF is named."""
    assert header_of(made.jpeg(tmp_path, (code, xmp().encode()))).descriptive.copyright == RIGHTS
    found = metadata_of(made.jpeg(tmp_path, (code, b"mine\0Copyright by the town")))
    assert found.unread == (f"text in segment APP{code - 0xE0} speaks of rights, and was not read",)


def test_what_photoshop_saves_for_the_web_is_read(tmp_path: Path) -> None:
    """Its own segment holds a comment and the copyright, in UTF-16."""
    body = b"Ducky\0\1\0\4\0\0\0\x50"
    for number, text in ((2, CAPTION), (3, RIGHTS)):
        data = struct.pack(">I", len(text)) + text.encode("utf-16-be")
        body += struct.pack(">HH", number, len(data)) + data
    told = said(metadata_of(made.jpeg(tmp_path, (0xEC, body + b"\0\0"))))
    assert told[tag("dc:rights")] == (RIGHTS,)
    assert told[tag("exif:UserComment")] == (CAPTION,)


def test_rdf_by_another_name_is_named(tmp_path: Path) -> None:
    """Of an old draft's namespace nothing is understood; an empty packet says nothing."""
    draft = xmp().replace("1999/02/22-rdf-syntax-ns#", "TR/1999/PR-rdf-syntax-19990105#")
    found = metadata_of(made.jpeg(tmp_path, (0xE1, made_head() + draft.encode())))
    assert "holds no RDF by the name" in found.unread[0]
    empty = '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/>'
    found = metadata_of(made.jpeg(tmp_path, (0xE1, made_head() + empty.encode())))
    assert found.unread == ()


def made_head() -> bytes:
    """What XMP's segment begins with."""
    return b"http://ns.adobe.com/xap/1.0/\0"


def test_other_tags_that_speak_of_rights_are_named(tmp_path: Path) -> None:
    """A page's name may hold them; a program's own are none of the scan's."""
    for number, text, is_named in (
        (285, RIGHTS, True),
        (316, "All rights reserved", True),
        (285, "Page 4", False),
        (305, "Scan 1.0, Copyright 1999", False),
    ):
        body = text.encode()
        found = metadata_of(made.tiff(tmp_path, (number, 2, len(body), body, True)))
        assert bool(found.unread) == is_named
    body = "Hafen".encode("utf-16-le")
    found = metadata_of(made.tiff(tmp_path, (0x9C9E, 1, len(body), body, True)))
    assert said(found)[tag("dc:subject")] == ("Hafen",)


@pytest.mark.parametrize("keyword", ["License", "Rights", "Usage"])
def test_png_text_of_other_keywords_is_named_where_it_speaks_of_rights(
    keyword: str, tmp_path: Path
) -> None:
    """What has no place in the derivative is not dropped without a word."""
    found = metadata_of(made.png(tmp_path, **{keyword: "no reuse, all rights reserved"}))
    assert "speaks of rights, and was not read" in "".join(found.unread)
    assert not metadata_of(made.png(tmp_path, Software="Scan 1.0, Copyright 1999")).unread
    assert not metadata_of(made.png(tmp_path, **{"icc:copyright": "Copyright Town"})).unread
    assert not metadata_of(made.png(tmp_path, Source="a negative")).unread


def test_xmp_and_rights_in_other_boxes_are_found(tmp_path: Path) -> None:
    """Under a UUID that no standard has for them."""
    name = bytes(range(16))
    path = made.jp2(tmp_path, (b"uuid", name + xmp().encode()))
    assert header_of(path).descriptive.copyright == RIGHTS
    found = metadata_of(made.jp2(tmp_path, (b"uuid", name + b"Copyright by the town")))
    assert "speaks of rights" in "".join(found.unread)


def test_a_copyright_sign_by_itself_is_read_for_sure(tmp_path: Path) -> None:
    """It has one number in nearly all codings; amid letters it is another."""
    for text, is_sure in ((b"\xa9 1934", True), (b"(\xa9)1934", True), (b"\xa9koda", False)):
        found = metadata_of(made.tiff(tmp_path, (33432, 2, len(text), text, True)))
        assert (found.unread == ()) == is_sure


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("text", ["utf-16-le", "utf-16-be", "utf-16"])
def test_a_user_comment_is_read_in_either_byte_order(text: str, order: str, tmp_path: Path) -> None:
    """The standard means EXIF's own; programs write the other as well."""
    body = b"UNICODE\0" + CAPTION.encode(text)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    head += struct.pack(f"{order}HHHIII", 1, 0x8769, 4, 1, 26, 0)
    head += struct.pack(f"{order}HHHIII", 1, 0x9286, 7, len(body), 44, 0)
    assert read_exif_block(head + body).texts[0x9286] == CAPTION


@SLOW
@given(cuts=st.lists(st.integers(0, len(photoshop(iptc_records()))), max_size=4))
@example(cuts=[len(photoshop(iptc_records())) - 25])
def test_segments_are_joined_wherever_they_were_cut(cuts: list[int], tmp_path: Path) -> None:
    """APP13 in any number of pieces says what it says in one."""
    path = made.jpeg(tmp_path, *made.app13(photoshop(iptc_records()), *cuts))
    header = header_of(path)
    assert (header.descriptive.copyright, header.unread) == (RIGHTS, ())


@pytest.mark.parametrize("parts", [1, 2, 7])
def test_extended_xmp_is_joined_by_its_digest(parts: int, tmp_path: Path) -> None:
    """Parts in any order; what the main packet says stands."""
    main = xmp("in the main packet", xmpNote_HasExtendedXMP="{guid}")
    more = xmp("in the other", more="<photoshop:Headline>Hafen</photoshop:Headline>")
    segments = made.extended(main, more, parts=parts)
    told = said(found := metadata_of(made.jpeg(tmp_path, *segments)))
    assert told[tag("dc:rights")] == ("in the main packet",)
    assert told[tag("photoshop:Headline")] == ("Hafen",)
    assert found.unread == ()
    if parts > 1:
        found = metadata_of(made.jpeg(tmp_path, *segments[:-1]))
        assert "extended XMP has" in found.unread[0]
        assert said(found)[tag("dc:rights")] == ("in the main packet",)


def test_png_text_and_photoshop_s_own_statements(tmp_path: Path) -> None:
    """Keywords of the specification; the copyright flag and URL of an old Photoshop file."""
    header = header_of(made.png(tmp_path, Copyright=RIGHTS, Author=CREATOR, Title="Hafen"))
    assert (header.descriptive.copyright, header.descriptive.artist) == (RIGHTS, CREATOR)
    for path in (
        made.jpeg(tmp_path, (0xFE, RIGHTS.encode()), (0xFE, "für C\0".encode("latin-1"))),
        made.png(tmp_path, Comment=f"{RIGHTS}\nfür C"),
    ):
        assert said(metadata_of(path))[tag("exif:UserComment")] == (f"{RIGHTS}\nfür C",)
    text = RIGHTS.encode("utf-16")
    path = made.tiff(tmp_path, (33432, 2, len(text), text, True))
    assert header_of(path).descriptive.copyright == RIGHTS
    block = resource(0x040A, b"\1") + resource(0x040B, b"https://archive.example/rights")
    path = made.tiff(tmp_path, (made.PHOTOSHOP_TAG, 1, len(block), block, True))
    told = said(metadata_of(path))
    assert told[tag("xmpRights:Marked")] == ("True",)
    assert told[tag("xmpRights:WebStatement")] == ("https://archive.example/rights",)


def test_exif_of_every_format(tmp_path: Path) -> None:
    """Texts, both parts of a copyright, and the photograph's date: not the file's."""
    inner_at = 8 + 2 + 12 * 3 + 4 + 22 + 20
    entries = [
        (0x0132, 2, 20, b"2009:03:02 11:22:33\0"),
        (0x8298, 2, 21, b"Koester\0Stadtarchiv\0\0"),
        (0x8769, 4, 1, struct.pack("<I", inner_at)),
    ]
    block = made.directory(entries)
    assert len(block) == inner_at
    date = struct.pack("<HHII", 0x9003, 2, 20, inner_at + 18) + b"\0" * 4
    block += struct.pack("<H", 1) + date + b"1934:06:12 10:00:00\0"
    for path in (
        made.jpeg(tmp_path, (0xE1, b"Exif\0\0" + block)),
        made.png(tmp_path, (b"eXIf", block)),
        made.png(tmp_path, made.raw_profile("exif", b"Exif\0\0" + block)),
        made.jp2(tmp_path, (b"uuid", b"JpgTiffExif->JP2" + block)),
        made.jp2(tmp_path, (b"uuid", b"JpgTiffExif->JP2Exif\0\0" + block)),
    ):
        header = header_of(path)
        assert header.descriptive.copyright == "Koester; Stadtarchiv"
        assert header.descriptive.date == "1934-06-12T10:00:00"
        assert (header.notes, header.unread) == ((), ())


def test_a_tiff_s_own_date_is_the_scan_file_s(tmp_path: Path) -> None:
    """DateTime says when the file was changed (TIFF 6.0): it is no date of the photograph."""
    path = made.tiff(tmp_path, (made.DATE_TAG, 2, 20, b"2009:03:02 11:22:33\0", True))
    assert header_of(path).descriptive.date == ""


def test_rights_that_the_first_page_states_hold_for_all(tmp_path: Path) -> None:
    """Tools write them once; a page that states its own keeps them, and captions are a page's."""
    path, codes = tmp_path / "pages.tif", codes_of(photograph(60, 80))
    packet = xmp().encode()
    other = codes_of(photograph(60, 80, seed=5))
    with tifffile.TiffWriter(path) as writer:
        options = {"photometric": "minisblack", "metadata": None}
        tags = [(700, 1, len(packet), packet, True)]
        writer.write(codes, extratags=tags, description="first", **options)
        writer.write(other, description="second", **options)
        tags = [(33432, 2, 0, b"by itself", True)]
        writer.write(codes[::-1].copy(), extratags=tags, **options)
    second, third = (read_header(path, page=page, limits=ReadLimits()) for page in (1, 2))
    assert (second.descriptive.copyright, second.descriptive.description) == (RIGHTS, "second")
    assert "first page" in second.notes[-1]
    assert third.descriptive.copyright == "by itself"
    found = read_metadata(read_structure(path, page=1, limits=ReadLimits()))
    told = said(found)
    assert {name: told[tag(name)] for name in TERMS} == TERMS
    assert tag("dc:creator") not in told


# Characters --------------------------------------------------------------------------------------


@pytest.mark.parametrize("lead", [b"", b"\0", b"\0\0\0", b"\r\n "])
@pytest.mark.parametrize("coding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("has_bom", [False, True])
def test_xmp_is_read_in_every_coding(coding: str, lead: bytes, *, has_bom: bool) -> None:
    """With a byte order mark or without, behind NUL or not, NUL behind it or not."""
    data = lead + ("\ufeff" * has_bom + xmp()).encode(coding) + b"\0" * 3
    found = parse_packet(data)
    assert describe(found).copyright == RIGHTS
    assert (found.mended, found.fault) == ("", "")


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("Smith & Sons", "Smith & Sons"),
        ("Smith &amp Sons", "Smith &amp Sons"),
        ("a &copy; b&nbsp;c &unheard; d", "a © b\xa0c &unheard; d"),
        ("bell \x07 and \x0b", "bell  and"),
        ("by reference &#7;&#x1f;.", "by reference ."),
        ("1 < 2", "1 < 2"),
    ],
)
def test_what_tools_have_always_got_wrong_is_mended(wrong: str, right: str) -> None:
    """The whole packet is read, and it is said that it had to be mended."""
    found = parse_packet(xmp(wrong).encode())
    assert describe(found).copyright == right
    assert describe(found).artist == CREATOR
    assert "not well-formed" in found.mended
    assert found.fault == ""


def test_prefixes_that_nobody_declared_are_those_that_everybody_means() -> None:
    """Namespaces that a tool dropped; Latin-1 where UTF-8 must be."""
    packet = xmp().replace(' xmlns:dc="http://purl.org/dc/elements/1.1/"', "")
    assert describe(parse_packet(packet.encode())).copyright == RIGHTS
    found = parse_packet(xmp().replace("\ufeff", "").encode("cp1252"))
    assert (describe(found).copyright, found.mended[:12]) == (RIGHTS, "is not UTF-8")


@pytest.mark.parametrize(
    ("mark", "coding", "noted"),
    [
        (b"\x1b%G", "utf-8", ""),
        (b"\x1b%/I", "utf-8", ""),
        (b"", "utf-8", "does not say"),
        (b"", "latin-1", "does not say"),
        (b"\x1b-A", "latin-1", ""),
        (b"\x1b%G", "latin-1", "announces utf-8"),
        (b"garbage", "utf-8", "does not say"),
    ],
)
def test_iptc_is_read_in_the_characters_that_it_is_in(mark: bytes, coding: str, noted: str) -> None:
    """By its mark; by its form where there is none, or a wrong one. Never mojibake."""
    records = read_records(iptc_records(mark=mark, coding=coding))
    assert (records.texts()[116], records.texts()[80]) == ((RIGHTS,), (CREATOR,))
    odd = records.notes if coding == "utf-8" else records.unread
    assert noted in "".join(odd)
    assert bool(odd) == bool(noted)
    greek = read_records(iptc_records(mark=b"\x1b-F", coding="iso8859-7", n80="Άννα", n116="ΠΝ"))
    assert greek.texts()[80] == ("Άννα",)


# Damage ------------------------------------------------------------------------------------------


@SLOW
@given(cut=st.integers(0, len(xmp().encode())), is_spoilt=st.booleans())
@example(cut=18, is_spoilt=True)  # within a character of the head
def test_never_half_a_rights_statement_of_xmp(cut: int, *, is_spoilt: bool) -> None:
    """Cut or spoilt anywhere: a property is there whole or not at all; what is lost is named."""
    whole = xmp().encode()
    data = whole[:cut] + (b"</nonsense>" + whole[cut:] if is_spoilt else b"")
    found = parse_packet(data)
    told = {element.tag: texts_of(element) for element in found.properties}
    assert told.get(tag("dc:rights"), (RIGHTS,)) == (RIGHTS,)
    assert (
        told.get(tag("xmpRights:WebStatement"), TERMS["xmpRights:WebStatement"])
        == (TERMS["xmpRights:WebStatement"])
    )
    is_said = tag("dc:rights") in told or not data.strip()
    assert is_said or found.fault


@SLOW
@given(cut=st.integers(1, len(photoshop(iptc_records())) - 1))
@example(cut=33)
def test_never_half_a_rights_statement_of_iptc(cut: int, tmp_path: Path) -> None:
    """Resources cut anywhere: the statement is whole, or it is said what was not read."""
    data = photoshop(iptc_records())[:cut]
    path = made.tiff(tmp_path, (made.PHOTOSHOP_TAG, 1, len(data), data, True))
    found = metadata_of(path)
    rights = describe(found.packet).copyright
    assert rights in {"", RIGHTS}
    is_within_iptc = 28 < cut < data.find(b"8BIM", 30) if data.count(b"8BIM") > 2 else cut > 28
    assert rights or found.unread or not is_within_iptc


def test_what_lies_beyond_the_file_is_named(tmp_path: Path) -> None:
    """A tag that points nowhere, a text chunk that does not inflate or fails its checksum."""
    bad = made.png(tmp_path, (b"zTXt", b"Copyright\0\0no zlib"))
    assert "chunk zTXt “copyright” cannot be decompressed" in header_of(bad).unread[0]
    path = made.png(tmp_path, (b"tEXt", b"Copyright\0All rights reserved"))
    data = path.read_bytes().replace(b"All rights", b"No  rights")
    path.write_bytes(data)
    assert header_of(path).descriptive.copyright == ""
    assert "fails its checksum" in header_of(path).unread[0]
    cut = made.png(tmp_path, made.raw_profile("iptc", iptc_records()))
    text = made.raw_profile("iptc", iptc_records())[1][:-9]
    cut = made.png(tmp_path, (b"tEXt", text))
    assert "is no whole profile" in header_of(cut).unread[0]
    box = made.jp2(tmp_path, (b"jp2i", b"<rights/>"))
    assert "property rights" in header_of(box).unread[0]


@pytest.mark.parametrize(
    "hostile",
    [
        b"<a>" * 80_000 + b"</a>" * 80_000,
        b"<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
        + b"<rdf:Description>" * 80_000,
        (xmp().replace("<dc:creator>", "<dc:creator>" + "<b>" * 80_000)).encode(),
        xmp(more="<a/>" * 900_000).encode(),
        xmp(more="<b " + " ".join(f"a{n}=''" for n in range(400_000)) + "/>").encode(),
        xmp("&" * 3_000_000).encode(),
        xmp("<" * 3_000_000).encode(),
        xmp("&#x;" * 1_000_000).encode(),
        xmp(
            more="<photoshop:DocumentAncestors><rdf:Bag>" + "<rdf:li>a</rdf:li>" * 300_000
        ).encode(),
        xmp("\x07" * 3_000_000).encode("utf-16"),
        b"<" * (9 << 20),
    ],
    ids=itertools.count(),
)
def test_hostile_packets_cost_little_time(hostile: bytes) -> None:
    """Depth, number, size and mending are bounded: seconds at most, on a slow and busy machine."""
    start = time.process_time()
    found = parse_packet(hostile)
    for element in found.properties:
        texts_of(element)
    assert time.process_time() - start < 30  # was 150 s; crowded processors count twice the time
    assert sum(1 for one in found.properties for _ in one.iter()) <= MAX_NODES
    assert describe(found).copyright in {RIGHTS, "", "&" * 3_000_000, "<" * 3_000_000} or (
        describe(found).copyright.startswith("&#x;")
    )


def test_document_types_are_refused_and_ancestors_passed_by() -> None:
    """No entity is expanded; Photoshop's thousands of ancestors do not hide what follows."""
    laughs = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
    found = parse_packet((laughs + xmp("&b;")).encode())
    assert "document type" in found.fault
    assert found.properties == ()
    bloat = "<rdf:li>x</rdf:li>" * (MAX_NODES + 1)
    inner = f"<photoshop:DocumentAncestors><rdf:Bag>{bloat}</rdf:Bag></photoshop:DocumentAncestors>"
    packet = xmp().replace("<dc:rights>", f"{inner}<dc:rights>", 1)
    found = parse_packet(packet.encode())
    assert (describe(found).copyright, found.fault) == (RIGHTS, "")
    assert tag("photoshop:DocumentAncestors") not in {one.tag for one in found.properties}


# EXIF: any type, any count -----------------------------------------------------------------------

_TAGS = [0x010E, 0x0112, 0x011A, 0x011B, 0x0128, 0x013B, 0x8298, 0x8769, 0x9C9B]
_VALUES = st.binary(max_size=24) | st.just(b"300/1\0") | st.just(b"\xff" * 8)


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(_TAGS),
            st.integers(0, 20) | st.sampled_from([129, 65535]),
            st.integers(0, 8) | st.sampled_from([1 << 20, 0x7FFFFFFF, 0xFFFFFFFF]),
            _VALUES,
        ),
        max_size=6,
    )
)
@example([(0x011A, 2, 6, b"300/1\0"), (0x011B, 2, 6, b"300/1\0")])
@example([(0x011A, 12, 1, struct.pack("<d", float("nan"))), (0x011B, 5, 1, b"\0" * 8)])
@example([(0x8769, 2, 8, b"8888888\0")])
@example([(0x8769, 12, 1, struct.pack("<d", 1e300))])
@example([(0x011A, 1, 1, b"\x01"), (0x011B, 16, 1, b"\xff" * 8)])
def test_no_value_of_exif_does_harm(entries: list[tuple[int, int, int, bytes]]) -> None:
    """Whatever a tag's type and count: an orientation that exists, a resolution that can be."""
    found = read_exif_block(made.directory(sorted(entries)))
    assert found.orientation in range(1, 9)
    assert found.resolution_ppcm is None or all(0 < side < 1e12 for side in found.resolution_ppcm)


@settings(max_examples=200)
@given(st.binary(max_size=120), st.sampled_from([b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b""]))
def test_no_block_of_exif_does_harm(junk: bytes, head: bytes) -> None:
    """Neither does a block that is none."""
    assert read_exif_block(head + junk).orientation in range(1, 9)


def test_rights_of_a_wrong_type_are_named(tmp_path: Path) -> None:
    """Numbers, types that nobody defined, and text of numbers where a number must be."""
    for kind in (3, 5, 77):
        block = made.directory([(0x8298, kind, 1, b"\1\0\0\0\1\0\0\0")])
        (unread,) = header_of(made.jpeg(tmp_path, (0xE1, b"Exif\0\0" + block))).unread
        assert unread.startswith("Copyright is no text")
    block = made.directory([(0x0112, 3, 1, b"\x09\0"), (0x011A, 2, 6, b"300/1\0")])
    header = header_of(made.jpeg(tmp_path, (0xE1, b"Exif\0\0" + block)))
    assert header.orientation == 1
    assert any("Orientation is 9" in note for note in header.notes)
    assert any("XResolution is stored as text" in note for note in header.notes)
    assert header.unread == ()


@settings(max_examples=150)
@given(st.binary(max_size=200), st.integers(0, 150))
def test_any_bytes_of_iptc_are_survived(junk: bytes, at: int) -> None:
    """Junk in records: what is read can be written, and is the same when read again."""
    data = iptc_records()
    records = read_records(data[:at] + junk + data[at:])
    assert read_records(write_records(records)).datasets == records.datasets


def test_a_caption_may_be_longer_than_a_dataset_s_size_can_say() -> None:
    """IIM's extended datasets: the size is written in more bytes."""
    records = read_records(b"\x1c\x02\x78\x80\x04" + struct.pack(">I", 40_000) + b"x" * 40_000)
    assert read_records(write_records(records)).texts() == {120: ("x" * 40_000,)}


# Where places disagree ---------------------------------------------------------------------------


def test_disagreement_is_noted_and_nothing_is_lost(tmp_path: Path) -> None:
    """XMP says it; IPTC and the tag keep their own words, and the story tells of it."""
    packet, records = xmp("by XMP").encode(), iptc_records(n116="by IPTC", n90="Paducah")
    path = made.tiff(
        tmp_path,
        (made.XMP_TAG, 1, len(packet), packet, True),
        (made.IPTC_TAG, 7, len(records), records, True),
        (made.COPYRIGHT_TAG, 2, 8, b"by TIFF\0", True),
    )
    found = metadata_of(path)
    assert describe(found.packet).copyright == "by XMP"
    assert said(found)[tag("photoshop:City")] == ("Paducah",)
    assert b"by IPTC" in (found.iptc or b"")
    assert found.exif[made.COPYRIGHT_TAG] == "by TIFF"
    told = "\n".join(found.notes)
    assert "IPTC gives rights otherwise: “by IPTC”" in told
    assert "EXIF gives rights otherwise: “by TIFF”" in told
    assert found.unread == ()


@pytest.mark.parametrize("is_newer", [False, True])
def test_iptc_counts_where_photoshop_s_digest_shows_it_newer(
    tmp_path: Path, *, is_newer: bool
) -> None:
    """The digest in the resources is that of IPTC when the packet was written."""
    records = iptc_records(n116="by IPTC")
    digest = hashlib.md5(b"before" if is_newer else records, usedforsecurity=False).digest()
    block = resource(0x0404, records) + resource(0x0425, digest)
    segment = (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp("by XMP").encode())
    header = header_of(made.jpeg(tmp_path, segment, *made.app13(block)))
    assert header.descriptive.copyright == ("by IPTC" if is_newer else "by XMP")


def test_poorer_words_for_the_same_are_no_disagreement(tmp_path: Path) -> None:
    """EXIF in seven bits, IPTC cut at its limit."""
    records = iptc_records(n116=RIGHTS[:20])
    block = made.directory([(0x8298, 2, 0, b""), (0x013B, 2, 12, b"Anna K?ster\0")])
    segments = [(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp().encode())]
    segments += [(0xE1, b"Exif\0\0" + block), *made.app13(photoshop(records))]
    assert header_of(made.jpeg(tmp_path, *segments)).notes == ()


def test_two_places_of_iptc_are_joined(tmp_path: Path) -> None:
    """What one lacks the other has; the records that come of it are one whole, in UTF-8."""
    one = iptc_records(mark=b"", coding="latin-1", n116=RIGHTS)
    two = b"\x1c\x02\x5a\x00\x07Paducah\x1c\x02\x74\x00\x05other"
    path = made.tiff(
        tmp_path,
        (made.IPTC_TAG, 7, len(one), one, True),
        (made.PHOTOSHOP_TAG, 1, len(photoshop(two)), photoshop(two), True),
    )
    found = metadata_of(path)
    records = read_records(found.iptc or b"")
    assert (records.coding, records.texts()[90]) == ("utf-8", ("Paducah",))
    assert records.texts()[116] == (RIGHTS,)
    assert any("“other”" in note for note in found.notes)


# Inputs from elsewhere ---------------------------------------------------------------------------


def _cases(folder: str) -> list[Path]:
    return sorted((CASES / folder / "in").glob("*"))


@pytest.mark.parametrize(
    ("exif", "iso"),
    [
        ("1934:  :     :  :  ", "1934"),
        ("1934:06:     :  :  ", "1934-06"),
        ("1934:06:12   :  :  ", "1934-06-12"),
        ("    :  :     :  :  ", None),
    ],
)
def test_what_exif_leaves_blank_of_a_date_is_left_out(exif: str, iso: str | None) -> None:
    """As EXIF writes what is not known: blanks between colons, of the time, too."""
    assert iso_date(exif) == iso


@pytest.mark.skipif(not CASES.exists(), reason="no cases beside the checkout")
def test_cases_of_iptc() -> None:
    """Rights, creator and caption wherever the file holds them."""
    for path in _cases("24-iptc-in-photoshop-block"):
        found = header_of(path).descriptive
        assert found.copyright == "© Stadtarchiv 1934, no reuse", path.name
        assert (found.artist, found.description) == ("Anna Köster", "Blick vom Turm auf den Hafen")
        assert (found.date, header_of(path).unread) == ("1934-06-12", ()), path.name


@pytest.mark.skipif(not CASES.exists(), reason="no cases beside the checkout")
def test_cases_of_dates_and_packets() -> None:
    """The date is the photograph's; rights survive every kind of packet."""
    for path in _cases("25-metadata-kept"):
        header = header_of(path)
        found = header.descriptive
        assert found.date in {"", "1934-06-12T10:00:00"}, path.name
        assert (found.date != "") == ("exif-in-" in path.name and path.suffix != ".tif")
        assert found.copyright in {"? Stadtarchiv", "All rights reserved"}, path.name
        assert header.unread == (), path.name
        if "xmp" in path.name:
            told = said(metadata_of(path))
            assert told[tag("xmpRights:WebStatement")] == ("https://archive.example/rights",)
            assert told[tag("xmpRights:UsageTerms")] == ("Reading room only",)


def test_hostile_iptc_costs_little_time(tmp_path: Path) -> None:
    """Of datasets and of places without end, as many are read as anyone ever wrote."""
    dataset = b"\x1c\x02\x19\0\1a"
    many = made.resource(0x0404, dataset * 10_001)
    start = time.process_time()
    for data in (many, made.resource(0x0404, dataset) * 20_000):
        scan = made.jpeg(tmp_path, *made.app13(data, *range(60_000, len(data), 60_000)))
        found = read_metadata(read_structure(scan, page=0, limits=ReadLimits()))
        assert any("over 10,000 datasets" in one or "16 were read" in one for one in found.unread)
    assert time.process_time() - start < 10  # was minutes


def test_hostile_blocks_cost_little(tmp_path: Path) -> None:
    """Of resources, packets and compressed text, as much is read as anyone ever wrote."""
    data = made.resource(0x03ED, b"") * 300_000
    many = made.jpeg(tmp_path, *made.app13(data, *range(60_000, len(data), 60_000)))
    start = time.process_time()
    assert any("over 10,000 resources" in one for one in header_of(many).unread)
    assert time.process_time() - start < 2  # was as long as the file
    packets = made.jpeg(tmp_path, *[(APP1, XMP + xmp().encode())] * 30)
    assert "XMP stands in 30 places; 16 were read" in header_of(packets).unread
    bomb = b"Comment\0\0" + zlib.compress(bytes(15 << 20))
    texts = read_structure(
        made.png(tmp_path, *[(b"zTXt", bomb)] * 20), page=0, limits=ReadLimits()
    ).blocks
    assert sum(len(one.data) for one in texts) <= MAX_BLOCK_BYTES  # was 300 MB of 300 KB
    assert [one.fault for one in texts[1:]] == ["cannot be decompressed"] * 19


RDF_RIGHTS = {  # forms that RDF allows, or that tools write
    "a text": f"<dc:rights>{RIGHTS}</dc:rights>",
    "a value": f'<dc:rights rdf:parseType="Resource"><rdf:value>{RIGHTS}</rdf:value></dc:rights>',
    "a node": "<dc:rights><rdf:Description>"
    f"<rdf:value>{RIGHTS}</rdf:value></rdf:Description></dc:rights>",
    "an address": f'<dc:rights rdf:resource="{RIGHTS}"/>',
    "an empty default": '<dc:rights><rdf:Alt><rdf:li xml:lang="x-default"/>'
    f'<rdf:li xml:lang="de">{RIGHTS}</rdf:li></rdf:Alt></dc:rights>',
}


@pytest.mark.parametrize("node", ["rdf:Description", "cc:Work"])
@pytest.mark.parametrize("form", RDF_RIGHTS)
def test_rights_are_read_in_every_form_of_rdf(form: str, node: str) -> None:
    """The node that describes may have a type for a name, and a text may be a structure."""
    packet = (
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:cc="http://web.resource.org/cc/">'
        f'<{node} rdf:about="">{RDF_RIGHTS[form]}</{node}></rdf:RDF>'
    )
    assert describe(parse_packet(packet.encode())).copyright == RIGHTS


def test_a_second_exif_of_other_words_is_named(tmp_path: Path) -> None:
    """The first counts; what the second says of rights is not lost unseen."""
    one, other = (
        b"Exif\0\0" + made.directory([(0x8298, 2, 6, text)]) for text in (b"first\0", b"other\0")
    )
    path = made.jpeg(tmp_path, (0xE1, one), (0xE1, other))
    assert "second time" in read_header(path, limits=ReadLimits()).unread[0]
    path = made.jpeg(tmp_path, (0xE1, one), (0xE1, one))
    assert not read_header(path, limits=ReadLimits()).unread


@pytest.mark.parametrize(("word", "is_named"), [("rights", True), ("featureMember", False)])
def test_xml_of_other_schemas_is_named_where_it_speaks_of_rights(
    word: str, tmp_path: Path, *, is_named: bool
) -> None:
    """Of a JP2's boxes only XMP is read; a map's coordinates are nobody's right."""
    path = made.jp2(tmp_path, (b"xml ", f"<record><{word}>ours</{word}></record>".encode()))
    assert bool(read_header(path, limits=ReadLimits()).unread) == is_named

"""What the header says: size, resolution, orientation, description and rights."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from tasks.scans.descriptive import Descriptive
from tasks.scans.header import ReadLimits, ScanHeader, read_header
from tests import scanfiles
from tests.scanfiles import codes_of, exif_block, photograph

XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
 xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/">
<rdf:Description rdf:about="" photoshop:Credit="Library of Congress">
 <dc:title><rdf:Alt><rdf:li xml:lang="x-default">Street in Milwaukee</rdf:li>
  <rdf:li xml:lang="de">Straße in Milwaukee</rdf:li></rdf:Alt></dc:title>
 <dc:creator><rdf:Seq><rdf:li>Carl Mydans</rdf:li><rdf:li>A helper</rdf:li></rdf:Seq></dc:creator>
 <dc:rights><rdf:Alt>
  <rdf:li xml:lang="x-default">No known restrictions</rdf:li></rdf:Alt></dc:rights>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""
BILLION_LAUGHS = """<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;">]>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:dc="http://purl.org/dc/elements/1.1/">
<rdf:Description dc:title="&d;"/></rdf:RDF></x:xmpmeta>"""


def header_of(path: Path) -> ScanHeader:
    """Read the first page's header."""
    return read_header(path, limits=ReadLimits())


def iptc(**texts: str) -> bytes:
    """Write IPTC-IIM records in UTF-8, wrapped as Photoshop wraps them."""
    datasets = {"title": 5, "artist": 80, "credit": 110, "copyright": 116, "description": 120}
    records = b"\x1c\x01\x5a\x00\x03\x1b%G"
    for name, text in texts.items():
        body = text.encode()
        records += struct.pack(">BBBH", 0x1C, 2, datasets[name], len(body)) + body
    resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(records)) + records
    return b"Photoshop 3.0\0" + resource + b"\0" * (len(records) % 2)


def with_segment(jpeg: bytes, marker: int, body: bytes) -> bytes:
    """Put a segment after a JPEG's first marker."""
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body + jpeg[2:]


def jpeg_with(folder: Path, *segments: tuple[int, bytes], **options: object) -> Path:
    """Write a small grey JPEG with further segments."""
    path = scanfiles.write_jpeg(folder / "scan.jpg", codes_of(photograph()), **options)
    data = path.read_bytes()
    for marker, body in segments:
        data = with_segment(data, marker, body)
    path.write_bytes(data)
    return path


def test_exif_tells_description_and_rights(tmp_path: Path) -> None:
    """What a scanner writes into a JPEG; its date is the scan's, and none of the photograph."""
    block = exif_block(description="Houses", artist="C. Mydans", copyright="LC", date="1936:04:01")
    found = header_of(jpeg_with(tmp_path, exif=block)).descriptive
    assert found == Descriptive(description="Houses", artist="C. Mydans", copyright="LC")


def test_xmp_wins_over_iptc_and_iptc_over_exif(tmp_path: Path) -> None:
    """The richest statement is taken for each field, the others fill what it leaves out."""
    records = iptc(title="by iptc", artist="by iptc", description="Über die Straße")
    path = jpeg_with(
        tmp_path,
        (0xED, records),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP.encode()),
        exif=exif_block(description="by exif", date="1936:04:01 10:00:00"),
    )
    assert header_of(path).descriptive == Descriptive(
        title="Street in Milwaukee",
        description="Über die Straße",
        artist="Carl Mydans; A helper",
        copyright="No known restrictions",
        credit="Library of Congress",
    )


@pytest.mark.parametrize("xmp", [BILLION_LAUGHS, "<not closed", "", "\0\0", "<a>&undefined;</a>"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_hostile_xmp_is_left_out(xmp: str, encoding: str, tmp_path: Path) -> None:
    """No entity is expanded, and a scan is never refused for its description."""
    body = b"http://ns.adobe.com/xap/1.0/\0" + xmp.encode(encoding)
    assert header_of(jpeg_with(tmp_path, (0xE1, body))).descriptive == Descriptive()


@pytest.mark.parametrize(
    "block",
    [
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
        b"Exif\0\0II",
    ],
)
def test_damaged_exif_is_left_out(block: bytes, tmp_path: Path) -> None:
    """A block that points nowhere says nothing."""
    header = header_of(jpeg_with(tmp_path, (0xE1, block)))
    assert header.descriptive == Descriptive()
    assert header.orientation == 1


def test_control_characters_never_leave_the_header(tmp_path: Path) -> None:
    """A description is text for people, and for XML."""
    block = exif_block(description="a\x1b[31mb\x07c")
    assert header_of(jpeg_with(tmp_path, exif=block)).descriptive.description == "a[31mbc"


def test_tiff_tags_tell_description_rights_and_resolution(tmp_path: Path) -> None:
    """The tags of TIFF 6.0, in the units that they give."""
    tags = [(269, 2, 0, "Glass plate 14", True), (33432, 2, 0, "Public domain", True)]
    path = scanfiles.write_tiff(
        tmp_path / "scan.tif",
        codes_of(photograph()),
        description="A house",
        resolution=(600, 300),
        resolutionunit="inch",
        extratags=tags,
    )
    header = header_of(path)
    assert header.descriptive == Descriptive(
        title="Glass plate 14", description="A house", copyright="Public domain"
    )
    assert header.resolution_ppcm == pytest.approx((600 / 2.54, 300 / 2.54))


def test_png_text_tells_description(tmp_path: Path) -> None:
    """All three kinds of text chunk, compressed or not, and XMP in one of them."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "Plate 14")
    info.add_text("Description", "long " * 100, zip=True)
    info.add_itxt("Author", "Zoë", lang="en", tkey="")
    info.add_itxt("XML:com.adobe.xmp", XMP)
    path = tmp_path / "scan.png"
    Image.fromarray(codes_of(photograph())).save(path, pnginfo=info, dpi=(254, 254))
    header = header_of(path)
    assert header.descriptive.title == "Street in Milwaukee"
    assert header.descriptive.description == ("long " * 100).strip()
    assert header.descriptive.credit == "Library of Congress"
    assert header.resolution_ppcm == pytest.approx((100, 100))


def _turned(folder: Path) -> Path:
    codes = codes_of(photograph(90, 140))
    path = folder / "turned.tif"
    tags = [(scanfiles.ORIENTATION_TAG, "H", 1, 6, True)]
    return scanfiles.write_tiff(path, codes, resolution=(600, 300), extratags=tags)


def _jfif(folder: Path) -> Path:
    return scanfiles.write_jpeg(folder / "a.jpg", codes_of(photograph(90, 140)), dpi=(600, 300))


@pytest.mark.parametrize(
    ("make", "size", "resolution"),
    [(_turned, (140, 90), (300, 600)), (_jfif, (90, 140), (600, 300))],
)
def test_size_and_resolution_turn_with_the_picture(
    make: Callable[[Path], Path],
    size: tuple[int, int],
    resolution: tuple[int, int],
    tmp_path: Path,
) -> None:
    """What is across in the file may be down in the picture."""
    header = header_of(make(tmp_path))
    assert (header.height, header.width) == size
    assert header.resolution_ppcm == pytest.approx([value / 2.54 for value in resolution])


@pytest.mark.parametrize(
    ("kind", "is_grey_jpeg"),
    [
        ("jpeg baseline", True),
        ("jpeg progressive", True),
        ("jpeg rgb that is grey", False),
        ("tiff jpeg", False),
        ("png 8-bit", False),
    ],
)
def test_only_a_grey_jpeg_is_fit_for_the_splice(
    kind: str, is_grey_jpeg: bool, tmp_path: Path
) -> None:
    """One component, eight bits, in a JPEG file of its own."""
    assert header_of(scanfiles.READABLE[kind](tmp_path).path).is_grey_jpeg is is_grey_jpeg

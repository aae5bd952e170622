"""What the files say of themselves, as an independent tool reads it."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tasks.derivatives import OutputPolicy, WrittenFile, write_derivatives
from tasks.provenance import DIGITAL_SOURCE_TYPE
from tasks.scans.reader import open_scan
from tests.tasks.derivatives.jpegs import make_grey_jpeg, make_picture
from tests.tasks.derivatives.scanmaker import make_map_for, make_provenance, make_tiff

EXIFTOOL = shutil.which("exiftool")
pytestmark = pytest.mark.skipif(EXIFTOOL is None, reason="exiftool is not installed")

#: IPTC-IIM in UTF-8: keywords, city, by-line.
IPTC = (
    b"\x1c\x01\x5a\x00\x03\x1b%G"
    b"\x1c\x02\x19\x00\x07bridges"
    b"\x1c\x02\x5a\x00\x07Paducah"
    b"\x1c\x02\x50\x00\x0dM\xc3\xa5ns \xc3\x96berg"
)


def told_by_exiftool(path: Path) -> dict[str, object]:
    """All tags, by group and name."""
    command = [str(EXIFTOOL), "-j", "-n", "-G1", "-struct", str(path)]
    done = subprocess.run(command, check=True, capture_output=True)
    (told,) = json.loads(done.stdout)
    return told


def write_all(path: Path, folder: Path) -> list[WrittenFile]:
    """Write master, access copy and thumbnail of a scan."""
    scan = open_scan(path)
    return write_derivatives(
        path,
        scan,
        make_map_for(scan),
        provenance=make_provenance(scan),
        policy=OutputPolicy(thumbnail_px=40, rights="Ask first."),
        folder=folder,
    )


def assert_provenance(told: dict[str, object]) -> None:
    """Every file says that its colours are a machine's guess, and of which scan."""
    assert told["XMP-iptcExt:DigitalSourceType"] == DIGITAL_SOURCE_TYPE
    assert "unet" in str(told["XMP-iptcExt:AISystemUsed"])
    assert "c4" * 32 in str(told["XMP-iptcExt:AISystemVersionUsed"])
    assert told["XMP-dc:Source"] == "s3://archive/box/scan.tif"
    assert "5c" * 32 in str(told["XMP-xmpMM:DerivedFrom"])
    assert told["XMP-xmpRights:UsageTerms"] == "Ask first."
    assert "RGB" in str(told["ICC-header:ColorSpaceData"])


def test_master_and_copies_of_a_tiff(tmp_path: Path) -> None:
    """Description, creator, rights, resolution; keywords of the scan's IPTC in the master."""
    path = make_tiff(
        tmp_path / "scan.tif",
        make_picture(60, 70),
        resolution=(300, 300),
        resolutionunit="INCH",
        extratags=[
            (270, "s", 0, "Bridge over the Ohio", True),
            (315, "s", 0, "Måns Öberg".encode(), True),
            (33432, "s", 0, "© Archive".encode(), True),
            (33723, "B", len(IPTC), IPTC, True),
        ],
    )
    master, access, thumbnail = (told_by_exiftool(file.path) for file in write_all(path, tmp_path))
    for told in (master, access, thumbnail):
        assert_provenance(told)
        assert told["XMP-dc:Description"] == "Bridge over the Ohio"
        assert told["XMP-dc:Creator"] == ["Måns Öberg"]
        assert told["XMP-dc:Rights"] == "© Archive"
        assert told["IFD0:ImageDescription"] == "Bridge over the Ohio"
    assert master["IFD0:Artist"] == "Måns Öberg"
    assert master["IFD0:Copyright"] == "© Archive"
    for told in (master, access):
        assert told["IFD0:ResolutionUnit"] == 3
        assert told["IFD0:XResolution"] == pytest.approx(300 / 2.54, rel=1e-4)
        assert told["IFD0:Software"] == "Autochrome 1.2.3"
    assert (master["IPTC:Keywords"], master["IPTC:City"]) == ("bridges", "Paducah")


def test_a_splice_keeps_what_the_scan_said(tmp_path: Path) -> None:
    """Its EXIF and resolution as they were, provenance beside them."""
    path = tmp_path / "scan.jpg"
    path.write_bytes(make_grey_jpeg(make_picture(60, 70), dpi=(300, 300), comment=b"box 12"))
    told = told_by_exiftool(write_all(path, tmp_path)[0].path)
    assert_provenance(told)
    assert (told["JFIF:ResolutionUnit"], told["JFIF:XResolution"]) == (1, 300)
    assert told["File:Comment"] == "box 12"
    assert told["File:ColorComponents"] == 3

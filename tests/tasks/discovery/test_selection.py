"""What is left out of a listing by name, and what never is."""

import pytest

from tasks.discovery.selection import NOT_INCLUDED, Selection
from tasks.errors import UsageError
from tasks.storage.keys import key_from_name

BESIDE_SCANS = [
    "a.tif.md5", "A.TIF.MD5", "MD5SUMS", "manifest-sha256.txt", "box.sha512", "a.xmp", "mets.xml",
    "alto/0001.xml", "list.csv", "._a.tif", "box/._a.tif", ".DS_Store", "Thumbs.db", "thumbs.db",
    "Desktop.ini", "Icon\r", ".~lock.list.ods#", "~$list.xlsx", ".#a.tif", "a.tif~",
    "a.tif.part", "a.tif.filepart", "upload.tmp", "a.tif.crdownload", ".a.tif.Xy12Ab",
    "@eaDir/a.tif/SYNOPHOTO_THUMB_S.jpg", "box/@eaDir/", "#recycle/a.tif", "@Recycle/a.tif",
    ".@__thumb/default1.jpg", ".snapshot/hourly.0/a.tif", "~snapshot/daily/a.tif",
    ".zfs/snapshot/x/a.tif", ".Trashes/501/a.tif", ".Trash-1000/files/a.tif",
    "$RECYCLE.BIN/S-1/a.tif", "System Volume Information/tracking.log", "lost+found/",
    "__MACOSX/box/._a.tif", ".AppleDouble/a.tif", ".thumbnails/normal/a.png", ".nfs000000000001",
    ".fuse_hidden0000000100000001", "a.tif.lock", "SYNOFILE_THUMB_XL.jpg", "SYNOPHOTO_THUMB_M.png",
    "a.tif@SynoEAStream", "a.tif:Zone.Identifier", "a.tif.Zone.Identifier", "~lock.list.ods#",
    "RECYCLER/S-1/a.tif", ".gitkeep", "checksums", "0001.mets", "a.tif.par2", "._sync_1.db-wal",
]  # fmt: skip

SCANS = [
    "a.tif", "a.TIFF", "0001", "scan", "scan.1", "a.tif.bak", "IMG.dat", ".hidden.tif", "~a.tif",
    "-rf.jpg", "*?.jpg", "   ", "#1.tif", "@home.tif", "$5 bill.tif", "Icon1", "icons.tif",
    "thumbs.tif", "thumbs/a.tif", "snapshot/a.tif", "recycle/a.tif", "box.tmp/a.tif",
    "letters.xml/1.jpg", "md5/a.tif", "a.md5.tif", "lost and found/a.tif", "tmp/a.tif",
    "CaptureOne/a.tif", "BOX~1/A.TIF", "a.pdf", "a.psd", "a.gif", "a\nb", "part", "mets",
    "Temporary Items/a.tif", "synopsis.jpg", "SYNOD 1934.tif", "recyclers/a.tif", "gitkeep",
]  # fmt: skip


@pytest.mark.parametrize("key", BESIDE_SCANS)
def test_what_lies_beside_scans_is_left_out(key: str) -> None:
    """Whatever the case of its letters, and wherever it lies."""
    assert Selection().left_out_by(key)
    assert Selection().left_out_by(f"deep/below/{key}")


@pytest.mark.parametrize("key", SCANS)
def test_no_picture_is_dropped(key: str) -> None:
    """What a file is, its content tells: unusual names, and kinds that are not read, are seen."""
    assert not Selection().left_out_by(key)
    assert not Selection().left_out_by(f"1934/{key}")


def test_patterns_add_and_take_back() -> None:
    """The last that matches decides, and "!" takes a default back."""
    selection = Selection(exclude=["drafts/", "*_work.tif", "!keep_work.tif", "!*.XMP", "/top.tif"])
    said = {
        "drafts/a.tif": "drafts/",
        "x/drafts/a.tif": "drafts/",
        "a_work.tif": "*_work.tif",
        "keep_work.tif": "",
        "a.XMP": "",
        "a.xmp": "*.xmp",
        "top.tif": "/top.tif",
        "x/top.tif": "",
    }
    assert {key: selection.left_out_by(key) for key in said} == said


def test_every_default_can_be_taken_back() -> None:
    """Folders, too; and in a folder that is left out nothing comes back by itself."""
    assert not any(map(Selection(exclude=["!*"]).left_out_by, BESIDE_SCANS))
    assert not Selection(exclude=["!@eaDir/"]).left_out_by("x/@eaDir/a.tif")
    assert Selection(exclude=["!a.tif"]).left_out_by("@eaDir/a.tif") == "@eadir/"


def test_only_what_is_included() -> None:
    """Where patterns include, the rest is left out, and counted as that."""
    selection = Selection(include=["*.tif", "1934/"], exclude=["draft*"])
    assert not selection.left_out_by("a.tif")
    assert not selection.left_out_by("1934/a.jpg")
    assert selection.left_out_by("a.jpg") == NOT_INCLUDED
    assert selection.left_out_by("draft.tif") == "draft*"
    assert not selection.left_out_by("box/"), "folders are entered: what is in them may be included"


def test_a_pattern_that_cannot_be_read() -> None:
    """Names its setting."""
    with pytest.raises(UsageError, match="AUTOCHROME_EXCLUDE"):
        Selection(exclude=["!"])
    with pytest.raises(UsageError, match="AUTOCHROME_INCLUDE"):
        Selection(include=["[[:alpha:]]*.tif"])  # which the library takes for something else


def test_patterns_are_typed_as_names_are() -> None:
    """With accents in either way, and with bytes that are no text."""
    for accent in ("\u00e9", "e\u0301"):
        selection = Selection(exclude=[f"{accent}/", "*\udce9*"])
        for key in ("\u00e9/a.tif", "e\u0301/a.tif"):
            assert selection.left_out_by(key) == "\u00e9/"
        assert selection.left_out_by(key_from_name(b"\xe9t\xe9.tif"))

"""Addresses: what people write, and outputs that lie in their source."""

import os
from pathlib import Path

import pytest

from tasks.errors import UsageError
from tasks.storage import check_apart
from tasks.storage.location import BucketLocation, FolderLocation, parse_location


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/scans/", "/scans"),
        ("/scans/a/../b", "/scans/b"),
        ("file:///scans/a%20b/%E5%86%99", "/scans/a b/写"),
        ("file://localhost/scans", "/scans"),
        ("FILE:///scans", "/scans"),
        ("file:///scans/100%25/x?y#z", "/scans/100%/x?y#z"),
        ("/odd:name/s3:", "/odd:name/s3:"),
    ],
)
def test_folders(url: str, path: str) -> None:
    """Paths and file URLs name folders."""
    assert parse_location(url) == FolderLocation(Path(path))


def test_a_relative_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger keeps addresses longer than a shell keeps its folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert parse_location("scans") == FolderLocation(tmp_path / "scans")
    assert parse_location("~/scans") == FolderLocation(tmp_path / "home" / "scans")


def test_bytes_in_a_file_url() -> None:
    """A folder whose name is not UTF-8 can be named."""
    location = parse_location("file:///scans/%FF")
    assert isinstance(location, FolderLocation)
    assert os.fsencode(location.path) == b"/scans/\xff"
    assert parse_location(location.path.as_uri()) == location


@pytest.mark.parametrize(
    ("url", "bucket", "prefix"),
    [
        ("s3://scans", "scans", ""),
        ("s3://scans/", "scans", ""),
        ("s3://scans/1934", "scans", "1934/"),
        ("S3://my.scans/a b/c%20d//", "my.scans", "a b/c%20d/"),
    ],
)
def test_buckets(url: str, bucket: str, prefix: str) -> None:
    """S3 addresses name a bucket and a prefix, which is taken as it is written."""
    assert parse_location(url) == BucketLocation(bucket, prefix)


@pytest.mark.parametrize(
    "url",
    ["", "  ", "ftp://host/x", "https://bucket.s3.amazonaws.com/x", "s3://", "s3:///x",
     "s3://ab:cd/x", "file://host/x", "file://relative", "/nul\0", "file:///nul%00"],
)  # fmt: skip
def test_what_is_no_address_is_refused(url: str) -> None:
    """One line, and what to write instead."""
    with pytest.raises(UsageError, match=r"s3://bucket|file:///folder") as caught:
        parse_location(url)
    assert "\n" not in str(caught.value)


def test_a_secret_in_an_address_is_not_repeated() -> None:
    """Nor kept: the ledger stores addresses."""
    with pytest.raises(UsageError, match="credentials do not belong") as caught:
        parse_location("s3://AKIA123:hunter2@scans/x")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(UsageError) as caught:
        parse_location("ftp://me:hunter2@host/x")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("/scans", "/scans"),
        ("/scans", "/scans/colour"),
        ("/scans", "file:///scans/a/b"),
        ("/scans/x", "/scans/y/../x/z"),
        ("s3://scans", "s3://scans"),
        ("s3://scans", "s3://scans/colour"),
        ("s3://scans/1934", "s3://scans/1934/colour"),
    ],
)
def test_an_output_in_its_source_is_refused(source: str, output: str) -> None:
    """Last night's derivatives would be tonight's scans."""
    with pytest.raises(UsageError, match="name an output beside the source"):
        check_apart(source, output)


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("/scans", "/scans-colour"),
        ("/all/scans", "/all"),
        ("/scans", "s3://scans"),
        ("s3://scans", "s3://colour"),
        ("s3://scans/1934", "s3://scans/1934-colour"),
    ],
)
def test_an_output_beside_its_source_is_fine(source: str, output: str) -> None:
    """Names that begin alike are not one in the other."""
    check_apart(source, output)


def test_a_link_to_itself_is_told_when_it_is_opened(tmp_path: Path) -> None:
    """Here it is beside the other, whatever it is."""
    (tmp_path / "circle").symlink_to("circle")
    check_apart(str(tmp_path / "circle"), str(tmp_path / "colour"))
    check_apart(str(tmp_path / "scans"), str(tmp_path / "circle"))


def test_a_link_does_not_hide_the_source(tmp_path: Path) -> None:
    """The folders are compared, not their names."""
    (tmp_path / "scans").mkdir()
    (tmp_path / "beside").symlink_to("scans")
    with pytest.raises(UsageError):
        check_apart(str(tmp_path / "scans"), str(tmp_path / "beside" / "colour"))

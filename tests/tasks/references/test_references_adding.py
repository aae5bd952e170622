"""Taking references in: from files, folders, manifests and S3; what is refused, and why."""

import csv
import hashlib
import io
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from tasks.batch.children import PixelPool
from tasks.errors import SourceNotFound, UsageError
from tasks.ledger.opening import open_ledger
from tasks.ledger.reference_records import Description, ReferenceKind, ReferenceRow, Split
from tasks.ledger.references import list_references, withdraw_references
from tasks.references.adding import Answer, Delivery, add_references
from tasks.references.exporting import to_manifest
from tasks.references.finding import Found
from tasks.references.manifest import read_manifest
from tasks.references.rules import Refusal, split_of
from tasks.settings import Settings
from tests.orders import enqueue
from tests.s3server import S3Bucket, settings_for
from tests.schools import bring as bring_with
from tests.tasks.ledger.building import Listed, recipe
from tests.tasks.references.colours import make_colour, write_both, write_colour, write_colours


@pytest.fixture
def settings(tmp_path: Path, sqlite_url: str) -> Settings:
    """An empty ledger, and an output."""
    return Settings.model_validate(
        {"database_url": sqlite_url, "output": str(tmp_path / "colour"), "device": "cpu"}
    )


Bring = Callable[..., list[Answer]]


@pytest.fixture
def bring(pixels: PixelPool) -> Bring:
    """Adds references, as `autochrome references add` does."""
    return partial(bring_with, pixels=pixels)


BringDescribed = Callable[[Settings, Path, Description], list[Answer]]


@pytest.fixture
def bring_described(pixels: PixelPool) -> BringDescribed:
    """Adds one file, with what is said of it."""

    def bring_one(settings: Settings, path: Path, said: Description) -> list[Answer]:
        delivery = Delivery([Found(str(path), said, path)], "c", "curator")
        with open_ledger(settings) as ledger:
            return add_references(settings, ledger, delivery, pixels=pixels)

    return bring_one


def refusals(answers: list[Answer]) -> dict[str, str]:
    """Why each refused file was, by its name."""
    return {
        Path(answer.origin).name: answer.verdict.refusal for answer in answers if answer.verdict
    }


def on_record(settings: Settings) -> list[ReferenceRow]:
    """Those that stand."""
    with open_ledger(settings) as ledger:
        return list_references(ledger)


def test_a_folder_is_taken_in_and_copied(settings: Settings, tmp_path: Path, bring: Bring) -> None:
    """Each with its digest, split and rights; a second time they are all known."""
    folder = tmp_path / "supplied"
    write_colours(folder, 5)
    (folder / "notes.txt").write_text("no picture")
    answers = bring(settings, folder)
    assert refusals(answers) == {}
    rows = on_record(settings)
    assert [row.id for row in rows] == [answer.reference_id for answer in answers]
    for row in rows:
        assert row.split is split_of(row.sha256)
        assert (tmp_path / "colour" / row.key).read_bytes() == Path(row.origin).read_bytes()
        assert (row.described.rights, row.added_by) == ("CC0", "curator")
    assert set(refusals(bring(settings, folder)).values()) == {Refusal.DUPLICATE}
    assert on_record(settings) == rows


def test_what_cannot_be_a_reference_is_refused_and_the_rest_is_taken(
    settings: Settings, tmp_path: Path, bring: Bring
) -> None:
    """One bad file never costs the others."""
    folder = tmp_path / "supplied"
    codes = make_colour(1)
    good = write_colour(folder / "good.jpg", codes)
    grey = np.repeat(codes.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    write_colour(folder / "grey.jpg", grey)
    write_colour(folder / "small.jpg", make_colour(2, height=100, width=100))
    write_colour(folder / "same.png", codes[:, ::-1])
    (folder / "cut.jpg").write_bytes(good.read_bytes()[:3000])
    (folder / "text.jpg").write_text("this is no picture")
    answers = bring(settings, folder)
    found = refusals(answers)
    twins = {Refusal.NEAR_DUPLICATE, Refusal.LEAKAGE}
    assert found.pop("same.png") in twins
    assert found == {
        "cut.jpg": Refusal.UNREADABLE,
        "grey.jpg": Refusal.NOT_COLOUR,
        "small.jpg": Refusal.TOO_SMALL,
        "text.jpg": Refusal.UNREADABLE,
    }
    assert [Path(row.origin).name for row in on_record(settings)] == ["good.jpg"]


@pytest.mark.parametrize("sector", [b"", None])
def test_a_jpeg_with_a_bad_sector_is_refused(
    settings: Settings, tmp_path: Path, sector: bytes | None, bring: Bring
) -> None:
    """Lost or overwritten: decoders go on through it with other colours, and say nothing."""
    folder = tmp_path / "supplied"
    draw = np.random.default_rng(7)
    for path in write_colours(folder, 5):
        data = bytearray(path.read_bytes())
        place = int(draw.integers(len(data) // 3, len(data) * 2 // 3))
        data[place : place + 512] = draw.bytes(512) if sector is None else sector
        path.write_bytes(data)
    found = refusals(bring(settings, folder))
    assert list(found.values()) == [Refusal.UNREADABLE] * 5


def test_a_twin_of_a_held_out_reference_is_not_learnt_from(
    settings: Settings, tmp_path: Path, bring: Bring
) -> None:
    """And the other way round: whichever side it would come to, it is refused."""
    paths = write_both(tmp_path / "supplied", train=2, held_out=2)
    bring(settings, tmp_path / "supplied")
    by_name = {Path(row.origin).stem: row.split for row in on_record(settings)}
    assert set(by_name.values()) == set(Split)
    for path in paths:
        for quality in (60, 70, 80):
            codes = make_colour(int(path.stem))
            write_colour(tmp_path / "twins" / f"{path.stem}-{quality}.jpg", codes, quality=quality)
    answers = bring(settings, tmp_path / "twins")
    assert len(refusals(answers)) == len(answers) == 12
    for answer in answers:
        path = Path(answer.origin)
        leaks = split_of(_sha256(path)) is not by_name[path.stem.partition("-")[0]]
        assert answer.verdict is not None
        assert answer.verdict.refusal is (Refusal.LEAKAGE if leaks else Refusal.NEAR_DUPLICATE)


def test_what_was_withdrawn_does_not_come_back(
    settings: Settings, tmp_path: Path, bring: Bring
) -> None:
    """Neither the file nor a version of it."""
    path = write_colour(tmp_path / "a" / "one.jpg", make_colour(1))
    bring(settings, path)
    with open_ledger(settings) as ledger:
        withdraw_references(ledger, [1], who="curator", why="no rights")
    twin = write_colour(tmp_path / "b" / "twin.jpg", make_colour(1), quality=70)
    assert refusals(bring(settings, path)) == {"one.jpg": Refusal.WITHDRAWN}
    assert refusals(bring(settings, twin)) == {"twin.jpg": Refusal.WITHDRAWN}


def test_a_dry_run_records_nothing(settings: Settings, tmp_path: Path, bring: Bring) -> None:
    """It says what would become of each."""
    write_colours(tmp_path / "supplied", 2)
    answers = bring(settings, tmp_path / "supplied", dry_run=True)
    assert all(answer.split and answer.reference_id is None for answer in answers)
    assert on_record(settings) == []
    assert not list((tmp_path / "colour").rglob("*.jpeg"))


def test_a_manifest_names_files_beside_it(settings: Settings, tmp_path: Path, bring: Bring) -> None:
    """A file that is not there and a row that makes no sense are refused by themselves."""
    write_colours(tmp_path / "supplied" / "box", 4)
    manifest = tmp_path / "supplied" / "list.csv"
    manifest.write_text(
        "file,class,rights,scan\nbox/000.jpg,hand-tinted,all reserved,\n"
        "box/001.jpg,,,s3://none/x.tif\nbox/none.jpg,,,\n"
        "box/002.jpg,Period photograph,,\nbox/003.jpg,periodical,,\n"
    )
    answers = bring(settings, manifest)
    assert refusals(answers) == {
        "001.jpg": Refusal.UNDESCRIBED,
        "003.jpg": Refusal.UNDESCRIBED,
        "none.jpg": Refusal.UNREADABLE,
    }
    tinted, period = on_record(settings)
    assert (tinted.described.kind, tinted.described.rights) == (
        ReferenceKind.HAND_TINTED, "all reserved"
    )  # fmt: skip
    assert period.described.kind is ReferenceKind.PERIOD


def test_a_row_that_names_what_no_file_system_can_is_refused_by_itself(
    settings: Settings, tmp_path: Path, bring: Bring
) -> None:
    """As a file and as a scan; and of a folder, what cannot be listed is named."""
    write_colours(tmp_path / "supplied", 2)
    manifest = tmp_path / "supplied" / "list.csv"
    long = "n" * 300
    manifest.write_text(f"file,scan\n{long}.jpg,\n000.jpg,{long}\n001.jpg,\n")
    answers = bring(settings, manifest, dry_run=True)
    assert [bool(one.verdict) for one in answers] == [True, True, False]
    with pytest.raises(SourceNotFound):
        bring(settings, tmp_path / long)
    (tmp_path / "supplied" / "box").symlink_to("box")
    answers = bring(settings, tmp_path / "supplied", dry_run=True)
    said = [one.verdict.detail if one.verdict else "" for one in answers]
    assert [one.startswith("cannot be listed") for one in said] == [False, False, True]


@pytest.mark.parametrize("named", ["1", "file:///archive/box/0.tif", "/archive/box/0.tif"])
def test_a_corrected_derivative_comes_back(
    settings: Settings, tmp_path: Path, named: str, bring_described: BringDescribed
) -> None:
    """Tied to its item and scan, however that is named; refused where there is no such item."""
    with open_ledger(settings) as ledger:
        objects = [Listed(f"box/{number}.tif") for number in range(2)]
        ledger.record_listing("file:///archive", objects, collection="photographs")
        enqueue(ledger, recipe(ledger))
    (path,) = write_colours(tmp_path / "supplied", 1)
    for wrong in ("99", "/archive/box/9.tif", "/elsewhere/0.tif"):
        answers = bring_described(settings, path, Description(corrects=wrong))
        assert refusals(answers) == {"000.jpg": Refusal.UNDESCRIBED}
    bring_described(settings, path, Description(corrects=named))
    (row,) = on_record(settings)
    assert row.described.kind is ReferenceKind.CORRECTION
    assert (row.corrects_item_id, row.scan_id) == (1, 1)
    (exported,) = csv.DictReader(io.StringIO(to_manifest([row])))
    assert (exported["kind"], exported["corrects"]) == ("correction", "1")
    assert exported["scan"] == "file:///archive/box/0.tif"


def test_a_pair_is_exported_with_its_scan(
    settings: Settings, tmp_path: Path, bring_described: BringDescribed
) -> None:
    """What was exported is a manifest that says the same again."""
    with open_ledger(settings) as ledger:
        objects = [Listed(f"box/{number}.tif") for number in range(2)]
        ledger.record_listing("file:///archive", objects, collection="photographs")
    (path,) = write_colours(tmp_path / "supplied", 1)
    uri = "file:///archive/box/1.tif"
    bring_described(settings, path, Description(kind=ReferenceKind.PAIR, scan=uri))
    (row,) = on_record(settings)
    (exported,) = csv.DictReader(io.StringIO(to_manifest([row])))
    assert (exported["kind"], exported["scan"], exported["corrects"]) == ("pair", uri, "")


def test_a_place_in_s3_is_taken_in(
    s3_bucket: S3Bucket, sqlite_url: str, tmp_path: Path, bring: Bring
) -> None:
    """A prefix, one object, and a manifest there that names its neighbours."""
    settings = settings_for(
        s3_bucket.endpoint, database_url=sqlite_url, output=str(tmp_path / "colour")
    )
    for path in write_colours(tmp_path / "supplied", 3):
        key = f"supplied/{path.name}"
        s3_bucket.client.put_object(Bucket=s3_bucket.name, Key=key, Body=path.read_bytes())
    manifest = b"file,rights\n000.jpg,all reserved\nnone.jpg,\n"
    s3_bucket.client.put_object(Bucket=s3_bucket.name, Key="supplied/list.csv", Body=manifest)
    one = bring(settings, f"{s3_bucket.url}/supplied/list.csv")
    assert refusals(one) == {"none.jpg": Refusal.UNREADABLE}
    rest = bring(settings, f"{s3_bucket.url}/supplied")
    assert refusals(rest) == {"000.jpg": Refusal.DUPLICATE}
    assert [row.origin for row in on_record(settings)] == [
        f"{s3_bucket.url}/supplied/00{number}.jpg" for number in range(3)
    ]
    assert on_record(settings)[0].described.rights == "all reserved"


def test_a_manifest_names_nothing_that_its_author_could_not_bring(
    settings: Settings, tmp_path: Path, bring: Bring
) -> None:
    """Neither by its path, nor upwards, nor by a link; unless the place is a source or allowed."""
    (elsewhere,) = write_colours(tmp_path / "private", 1)
    (beside,) = write_colours(tmp_path / "supplied", 1, first=1)
    (beside.parent / "link.jpg").symlink_to(elsewhere)
    named = [elsewhere, "../private/000.jpg", elsewhere.as_uri(), "link.jpg", beside, "001.jpg"]
    manifest = tmp_path / "supplied" / "list.csv"
    manifest.write_text("file\n" + "".join(f"{name}\n" for name in named))
    answers = bring(settings, manifest, dry_run=True)
    words = [one.verdict.detail if one.verdict else "taken" for one in answers]
    assert ["--allow PLACE" in one for one in words] == [True, True, True, True, False, False]
    assert words[4] == "taken"
    by_folder = bring(settings, manifest.parent, dry_run=True)
    assert ["--allow PLACE" in one.verdict.detail for one in by_folder if one.verdict] == [True]
    for open_to in (
        bring(settings, manifest, allowed=[str(elsewhere.parent)], dry_run=True),
        bring(settings.model_copy(update={"sources": (str(elsewhere.parent),)}), manifest,
              dry_run=True),
    ):  # fmt: skip
        assert open_to[0].verdict is None


def test_a_manifest_in_s3_names_no_file_of_this_machine(
    s3_bucket: S3Bucket, sqlite_url: str, tmp_path: Path, bring: Bring
) -> None:
    """Nor another prefix; a bucket that does not exist is that row's own trouble."""
    settings = settings_for(
        s3_bucket.endpoint, database_url=sqlite_url, output=str(tmp_path / "colour")
    )
    (local,) = write_colours(tmp_path / "private", 1)
    for key in ("supplied/0.jpg", "other/0.jpg"):
        s3_bucket.client.put_object(Bucket=s3_bucket.name, Key=key, Body=local.read_bytes())
    rows = f"file\n{local}\ns3://nosuch/x.jpg\n{s3_bucket.url}/other/0.jpg\n0.jpg\n"
    key = "supplied/list.csv"
    s3_bucket.client.put_object(Bucket=s3_bucket.name, Key=key, Body=rows.encode())
    place = f"{s3_bucket.url}/{key}"
    refused = [Refusal.UNDESCRIBED] * 3
    answers = bring(settings, place, dry_run=True)
    assert [one.verdict and one.verdict.refusal for one in answers] == [*refused, None]
    answers = bring(settings, place, allowed=["s3://nosuch"], dry_run=True)
    assert [one.verdict and one.verdict.refusal for one in answers] == [*refused, None]
    assert answers[1].verdict
    assert "no such bucket" in answers[1].verdict.detail


def test_any_name_of_a_file_is_taken_and_exported_harmlessly(
    settings: Settings, tmp_path: Path, bring: Bring
) -> None:
    """Latin-1, markup, a formula, a line break: each is a reference like any other."""
    names = [b"caf\xe9.jpg", b"[/x].jpg", b"=cmd|x.jpg", b"two\nlines.jpg", b"+1.jpg"]
    for path, name in zip(write_colours(tmp_path / "drawn", len(names)), names, strict=True):
        target = tmp_path / "supplied" / os.fsdecode(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    assert refusals(bring(settings, tmp_path / "supplied")) == {}
    url = ["--db", settings.database_url.get_secret_value()]
    listed = _run(["references", "list", *url], 0)
    assert "[/x" in listed
    exported = to_manifest(
        [replace(row, described=replace(row.described, note="=1+1")) for row in on_record(settings)]
    )
    cells = [cell for row in csv.reader(io.StringIO(exported)) for cell in row]
    assert "'=1+1" in cells
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    (again, *_) = read_manifest(exported.encode(), name="m.csv", default=Description())
    assert again.description.note == "=1+1"


def test_a_file_that_may_not_be_read_is_refused_alone(
    s3_bucket: S3Bucket, sqlite_url: str, tmp_path: Path, bring: Bring
) -> None:
    """What would end a run of colourization is one row's trouble here."""
    settings = settings_for(
        s3_bucket.endpoint, database_url=sqlite_url, output=str(tmp_path / "colour")
    )
    good, loop = write_colours(tmp_path / "supplied", 2)
    loop.unlink()
    loop.symlink_to(loop)
    manifest = tmp_path / "supplied" / "list.csv"
    manifest.write_text(f"file\n{loop.name}\n{good.name}\n")
    answers = bring(settings, manifest, dry_run=True)
    assert [one.verdict is None for one in answers] == [False, True]


def test_what_is_not_there_is_said(settings: Settings, tmp_path: Path, bring: Bring) -> None:
    """A folder without pictures, and a path to nothing."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no picture"):
        bring(settings, tmp_path / "empty")
    with pytest.raises(SourceNotFound, match="no such file or folder"):
        bring(settings, tmp_path / "none")


def test_the_commands_add_list_withdraw_and_export(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a curator types them; the exported manifest is one that `add` reads."""
    monkeypatch.chdir(tmp_path)
    write_colours(tmp_path / "supplied", 2)
    write_colour(tmp_path / "supplied" / "small.jpg", make_colour(9, height=50, width=50))
    url = ["--db", settings.database_url.get_secret_value()]
    run: Callable[..., str] = lambda *words, code=0: _run([*words], code)  # noqa: E731
    out = ["--out", settings.output]
    added = run("references", "add", "supplied", "--rights", "CC0", *url, *out, code=3)
    assert "refused, too_small" in added
    assert "000.jpg" in run("references", "list", "--json", *url)
    assert "260 × 200" in run("references", "list", *url)
    gone = run("references", "withdraw", "1", "--why", "no rights", *url)
    assert "no checkpoint saw it" in gone
    assert '"withdrawn_why": "no rights"' in run(
        "references", "list", "--withdrawn", "--json", *url
    )
    run("references", "export", "all.csv", *url)
    lines = (tmp_path / "all.csv").read_text().splitlines()
    assert lines[0].startswith("file,kind,rights,")
    assert len(lines) == 3


def _run(words: list[str], code: int) -> str:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == code, result.output
    return result.output


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

"""Films at the desk: played, judged shot by shot, and made anew as was said."""

import io
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from flows.desk.desk import open_desk
from tasks.batch.children import PixelPool
from tasks.ledger import ItemFilter, films
from tasks.ledger.curating import desk_item
from tasks.ledger.opening import open_ledger
from tasks.ledger.people import Role, add_person
from tasks.schema import DecisionKind, ItemStatus, ShotVerdict
from tasks.settings import Settings
from tests.browser import browsing, find_browser
from tests.desks import HTML, PASSWORD, House, serving, token_in
from tests.films import PLAYER_READY, SHOT_FRAMES, VIDEO, coloured_reel
from tests.workers import MakeSettings, colour_missing


@pytest.fixture
def coloured(make_settings: MakeSettings, tmp_path: Path, pixels: PixelPool) -> Settings:
    """A film of three shots that was coloured, and waits for a curator."""
    return coloured_reel(make_settings, tmp_path, pixels)


def test_film_is_played_piece_by_piece(house: House) -> None:
    """By range requests, from our own place alone; its pages show it, and hide nothing."""
    ann = house.signed_in("Ann")
    (number,) = house.ids()
    for path in (f"/items/{number}", f"/review?item={number}"):
        page = ann.client.get(path, headers=HTML)
        assert f'<video controls preload="metadata" playsinline src="/items/{number}/film.mp4"' in (
            page.text
        )
        assert "media-src 'self'" in page.headers["content-security-policy"]
        assert f"{3 * SHOT_FRAMES} frames" in page.text
    whole = ann.client.get(f"/items/{number}/film.mp4")
    assert (whole.status_code, whole.headers["content-type"]) == (200, "video/mp4")
    part = ann.client.get(f"/items/{number}/film.mp4", headers={"Range": "bytes=4-11"})
    assert (part.status_code, part.content) == (206, whole.content[4:12])
    assert part.headers["content-range"] == f"bytes 4-11/{len(whole.content)}"
    with av.open(io.BytesIO(whole.content), "r") as film:
        assert len([*film.decode(video=0)]) == 3 * SHOT_FRAMES
    assert house.client().get(f"/items/{number}/film.mp4").status_code in (303, 401)


def test_playing_a_film_writes_nothing(house: House, tmp_path: Path) -> None:
    """Nor is an output that is away made anew in its mountpoint."""
    ann = house.signed_in("Ann")
    (number,) = house.ids()
    # Another desk's output: this one's is opened once, as it starts.
    moved = house.settings.model_copy(update={"output": str(tmp_path / "elsewhere")})
    with open_ledger(moved) as ledger, open_desk(moved, ledger) as desk:
        other = replace(house, desk=desk, settings=moved).client()
        other.cookies.update(ann.client.cookies)
        colour_folder = tmp_path / "colour"
        before = {path: path.stat().st_mtime_ns for path in colour_folder.rglob("*")}
        for path in ("film.mp4", "shots/1.jpg"):
            assert other.get(f"/items/{number}/{path}").status_code == 200
        assert {path: path.stat().st_mtime_ns for path in colour_folder.rglob("*")} == before
        colour_folder.rename(tmp_path / "unmounted")
        for path in ("film.mp4", "shots/1.jpg"):
            assert other.get(f"/items/{number}/{path}").status_code >= 400
        assert not colour_folder.exists()


def test_shots_are_shown_before_and_after(house: House) -> None:
    """A picture each; the film's own picture in greys, where scans have theirs."""
    ann = house.signed_in("Ann")
    (number,) = house.ids()
    for shot in (1, 2, 3):
        answer = ann.client.get(f"/items/{number}/shots/{shot}.jpg")
        picture = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB")).astype(int)
        before, after = np.array_split(picture, 2, axis=1)
        assert np.ptp(before, axis=2).max() <= 12, "JPEG's chroma spills over the seam alone"
        assert before.shape == after.shape
    assert ann.client.get(f"/items/{number}/shots/4.jpg").status_code == 404
    told = ann.client.get(f"/api/items/{number}").json()
    grey = ann.client.get(f"{told['scan']}/full/max/0/default.jpg")
    pixels = np.asarray(Image.open(io.BytesIO(grey.content)).convert("RGB")).astype(int)
    assert np.ptp(pixels, axis=2).max() == 0
    assert ann.client.get(f"/items/{number}/doubt.png").status_code == 404


def test_shot_that_is_turned_down_is_grey_when_the_film_is_made_anew(
    house: House, coloured: Settings, pixels: PixelPool, tmp_path: Path
) -> None:
    """Till then the film cannot be approved; the other shots are taken from its master."""
    ann = house.signed_in("Ann")
    (number,) = house.ids()
    before = films.list_shots(house.ledger, number)
    page = ann.client.get(f"/items/{number}", headers=HTML)
    seen = page.text.partition('name="seen" value="')[2].partition('"')[0]
    form = {"csrf": token_in(page), "seen": seen, "page": "item"}
    said = ann.client.post(
        f"/items/{number}/shots", data={**form, "shot": 2, "verdict": "rejected"}
    )
    assert (said.status_code, said.headers["location"]) == (303, f"/items/{number}#shot-2")
    assert ann.decide(number, "approve").status_code == 409
    assert house.ledger.approve(ItemFilter(), who="Ann", why="all of it") == 0
    anew = ann.client.post(f"/items/{number}/anew", data=form)
    assert anew.status_code == 303
    assert house.ledger.list_items(ItemFilter(), limit=1)[0].status is ItemStatus.PENDING

    colour_missing(coloured, pixels)
    after = films.list_shots(house.ledger, number)
    assert [shot.is_grey for shot in after] == [False, True, False]
    for kept in (0, 2):
        assert after[kept].finished_at == before[kept].finished_at, "it was coloured once"
    with open_ledger(coloured) as ledger:
        one = desk_item(ledger, number)
    assert one is not None
    master = one.derivative("master")
    assert master is not None
    assert colourful_shots(tmp_path / "colour" / master.key) == [True, False, True]
    assert ann.decide(number, "approve").json()["status"] == "published"
    kinds = [made.kind for made in one.decisions]
    assert kinds == [DecisionKind.SHOT, DecisionKind.REDO]


def colourful_shots(master: Path) -> list[bool]:
    """Of each shot, whether any of its frames has chroma."""
    with av.open(str(master)) as film:
        frames = [frame.to_ndarray(format="yuv444p") for frame in film.decode(video=0)]
    middle = [bool((frame[1:] != 128).any()) for frame in frames]
    return [any(middle[at : at + SHOT_FRAMES]) for at in range(0, len(middle), SHOT_FRAMES)]


def test_what_is_said_of_a_shot_is_about_what_was_seen(house: House) -> None:
    """By the API, taken back too; by whoever may decide, about a shot that is there."""
    ann, eve = house.signed_in("Ann"), house.signed_in("Eve")
    (number,) = house.ids()
    seen = ann.client.get(f"/api/items/{number}").json()["seen"]
    path = f"/api/items/{number}/shots/3"
    told = ann.post(path, verdict="rejected", seen=seen).json()
    assert told["to_be_made_anew"] == [3]
    told = eve.post(path, verdict="", seen=seen).json()
    assert told["to_be_made_anew"] == []
    assert eve.post(path, verdict="approved", seen=seen).status_code == 200
    shots = films.list_shots(house.ledger, number)
    assert [shot.verdict for shot in shots] == [None, None, ShotVerdict.APPROVED]
    assert ann.post(path.replace("/3", "/9"), verdict="approved", seen=seen).status_code == 404
    assert ann.decide(number, "approve").status_code == 200
    assert ann.post(path, verdict="rejected", seen=seen).status_code == 409


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(find_browser() is None, reason="needs Chromium: apt-get install chromium")
@pytest.mark.parametrize("path", ["/items/1", "/review?item=1"])
def test_film_by_key(coloured: Settings, tmp_path: Path, path: str) -> None:
    """From shot to shot, frame by frame, before and after, and a word on the shot that is shown."""
    settings = coloured.model_copy(update={"host": "0.0.0.0"})  # noqa: S104
    with open_ledger(settings) as ledger:
        add_person(ledger, "Anna", Role.DECIDE, password=PASSWORD)
    (tmp_path / "browser").mkdir()
    with serving(settings) as url, browsing(tmp_path / "browser") as page:
        page.open(f"{url}{path}")
        page.wait_for("Sign in")
        for field, text in (("name", "Anna"), ("password", PASSWORD)):
            page.run(f"document.getElementById('{field}').focus()")
            page.write(text)
        page.press("Enter")
        page.wait_until(PLAYER_READY)
        assert page.run(f"{VIDEO}.duration") == pytest.approx(3 * SHOT_FRAMES / 25, abs=0.1)
        page.press("]")
        page.wait_until("document.querySelector('[data-shown]')?.dataset.shot === '2'")
        page.press(".")
        page.wait_until(f"Math.abs({VIDEO}.currentTime - {(SHOT_FRAMES + 1) / 25}) < 0.02")
        page.run("document.querySelector('label[for^=before]').click()")
        assert page.run(f"getComputedStyle({VIDEO}).filter") == "grayscale(1)"
        page.press("o")
        assert page.run(f"getComputedStyle({VIDEO}).filter") == "none", "let go of, it is after"
        page.press("g")
        page.wait_until("document.querySelector('#shot-2').dataset.verdict === 'rejected'")
        page.wait_for("Load the page again to have shots 2 made anew")
    with open_ledger(settings) as ledger:
        verdicts = [shot.verdict for shot in films.list_shots(ledger, 1)]
    assert verdicts == [None, ShotVerdict.REJECTED, None]

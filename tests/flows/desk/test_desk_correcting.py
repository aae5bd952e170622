"""Correcting at the desk: what is answered, kept, refused; and a person in a real browser."""

import base64
import io
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import skimage.data
from PIL import Image
from pydantic import SecretStr

from colormodel.checkpoint import DEFAULT_CHECKPOINT
from colormodel.hints import Stroke
from tasks.ledger import ItemFilter, orders
from tasks.ledger.opening import open_ledger
from tasks.ledger.people import Role
from tasks.ledger.references import list_references
from tasks.settings import Settings
from tests.browser import browsing, find_browser
from tests.corrections import ANSWERED, BLUE, CLICK, FREE, GREEN, RED, distances, in_use, path_of
from tests.desks import HTML, LOCAL, Curator, House, OpenHouse, serving
from tests.packets import read_xmp
from tests.ports import free_port
from tests.templates import Template
from tests.workers import settings_in

PLACES = ((0.35, 0.85), (0.8, 0.2), (0.62, 0.9))
STROKES = tuple(Stroke((at,), rgb) for at, rgb in zip(PLACES, (RED, BLUE, GREEN), strict=True))
SAID = {"hints": [{"points": [[0.35, 0.85]], "rgb": RED}]}


@pytest.fixture
def archive(correctable_template: Template) -> Path:
    """Two scans, after they were coloured by the bundled network."""
    return correctable_template.restore() / "archive"


@pytest.fixture
def coloured(archive: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings for them."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    return settings_in(
        archive.parent,
        checkpoint=DEFAULT_CHECKPOINT,
        publish_directly=True,
        web_port=free_port(),
        api_auth=SecretStr(":".join(LOCAL)),
    )


def item_of(house: House, name: str) -> int:
    """The number of a scan's item."""
    rows = house.ledger.list_items(ItemFilter(), limit=10)
    return next(row.id for row in rows if row.uri.endswith(name))


def pixels(answer: httpx.Response) -> np.ndarray:
    """What a picture shows."""
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB")).astype(int)


def wait_until_coloured(anna: Curator, item: int) -> None:
    """Until the derivative in use was made by what was said."""
    end = time.monotonic() + 150
    while not anna.client.get(f"/api/items/{item}/correction").json()["is_coloured"]:
        assert time.monotonic() < end
        time.sleep(0.2)


def test_what_is_said_is_shown_kept_and_taught(house: House) -> None:
    """From the first look to the reference: by the API alone, in this process, without a server."""
    anna, item = house.signed_in("Anna"), item_of(house, "deep.tif")
    before = pixels(anna.post(f"/api/items/{item}/colours"))
    place = anna.post(f"/api/items/{item}/likely", x=0.35, y=0.85).json()
    assert len(place["likely"]) >= 2
    assert before[int(0.85 * 288), int(0.35 * 288)] == pytest.approx(place["here"], abs=30)
    after = pixels(anna.post(f"/api/items/{item}/colours", said=SAID))
    red = after[int(0.85 * 288), int(0.35 * 288)]
    assert red[0] > red[1] + 40
    others = anna.post(f"/api/items/{item}/alternatives", said=SAID).json()
    assert len(others) >= 2
    for other in others:
        assert other["said"]["hints"][0]["points"] == [[0.35, 0.85]]
        assert base64.b64decode(other["jpeg"])[:2] == b"\xff\xd8"
    made = anna.post(f"/api/items/{item}/correction", said=SAID, note="a letter", seen=0).json()
    assert (made["who"], made["note"]) == ("Anna", "a letter")
    wait_until_coloured(anna, item)
    history = house.ledger.get_story(house.desk.item(item).row.uri).items[-1]  # type: ignore[union-attr]
    assert distances(path_of(in_use(history)), STROKES[:1])[0] < 3
    story = anna.client.get(f"/items/{item}", headers=HTML).text
    assert "corrected by a person" in story
    assert "by <bdi>enqueue</bdi>" not in story
    assert "corrections by Anna" in anna.client.get("/wall?status=published", headers=HTML).text
    assert orders.list_latest(house.ledger)[0].who == "Anna"
    assert anna.client.get(f"/api/items/{item}/correction").json()["taught"] == 0
    taught, again = (anna.post(f"/api/items/{item}/teach") for _ in range(2))
    assert taught.status_code == 200, taught.text
    assert again.json() == taught.json()
    assert anna.client.get(f"/api/items/{item}/correction").json()["taught"] == 1
    assert [one.id for one in list_references(house.ledger)] == [taught.json()["reference"]]
    number = taught.json()["reference"]
    picture = anna.client.get(f"/correct/references/{number}.jpg")
    assert pixels(picture).shape[2] == 3
    page = anna.client.get(f"/items/{item}", headers=HTML).text
    assert "1 hint" in page
    assert "a letter" in page
    back = anna.post(f"/api/items/{item}/correction/withdraw?why=a+mistake")
    assert back.json()["withdrawn_by"] == "Anna"
    wait_until_coloured(anna, item)
    # What it taught shows the scan: held, it is for those alone who may see that.
    rita, pictures = (
        house.signed_in("Rita", Role.RUN),
        (f"/references/{number}/picture", picture.url),
    )
    house.ledger.hold(ItemFilter(ids=[item]), who="Rita", why="rights")
    for who, status in ((anna, 404), (rita, 200)):
        assert [who.client.get(url).status_code for url in pictures] == [status, status]
        gallery = who.client.get("/references", headers=HTML).text
        assert (f"/references/{number}" in gallery) is (status == 200)


def test_two_people_and_those_who_only_look(house: House) -> None:
    """The second is told who was faster and what was said; who may only look corrects nothing."""
    anna, ben = house.signed_in("Anna"), house.signed_in("Ben <i>")
    item = item_of(house, "deep.tif")
    first = anna.post(f"/api/items/{item}/correction", said=SAID, seen=0).json()
    late = ben.post(f"/api/items/{item}/correction", said={"strength": 0.5}, seen=0)
    assert late.status_code == 409
    assert (late.json()["id"], late.json()["last"]["who"]) == (first["id"], "Anna")
    over = ben.post(f"/api/items/{item}/correction", said={"strength": 0.5}, seen=first["id"])
    assert over.status_code == 200
    # What Anna takes back is hers, which counts no more: not what Ben has said meanwhile.
    late = anna.post(f"/api/items/{item}/correction/withdraw?seen={first['id']}")
    assert (late.status_code, late.json()["id"]) == (409, over.json()["id"])
    page = anna.client.get(f"/items/{item}/correct", headers=HTML).text
    assert "Ben &lt;i&gt;" in page
    assert "<i>" not in page
    looks = house.signed_in("Zoe", Role.LOOK)
    assert looks.client.get(f"/items/{item}/correct", headers=HTML).status_code == 403
    assert looks.post(f"/api/items/{item}/colours").status_code == 403
    assert looks.client.get(f"/api/items/{item}/correction").json()["id"] == over.json()["id"]


def test_what_makes_no_sense_is_refused(house: House) -> None:
    """In words, and nothing is kept; so is a picture without a form's word."""
    anna, item = house.signed_in("Anna"), item_of(house, "deep.tif")
    wrong: tuple[tuple[dict[str, object], int], ...] = (
        ({"hints": [{"points": [], "rgb": RED}]}, 422),
        ({"hints": [{"points": [[2, 0]], "rgb": RED}]}, 422),
        ({"hints": [{"points": [[0, 0]], "rgb": [1, 2, 256]}]}, 422),
        ({"masks": [{"kind": "<b>", "points": [[0, 0]], "radius": 0.1}]}, 422),
        ({"strength": 9}, 422),
        ({"hints": [{"points": [[0.5, 0.5]], "rgb": RED}] * 201}, 422),
        ({"masks": [{"kind": "grey", "points": [[0, False]], "radius": 0.1}]}, 422),
        ({"hints": [{"points": [[0, 0]], "rgb": [True, 0, 0]}]}, 422),
        ({"hints": [{"points": [[0, 0]], "rgb": RED, "wide": 1}]}, 422),
        ({"strength": True}, 422),
        ({"strength": "1"}, 422),
        ({"hints": [{"points": [[0, 0], [1, 1]] * 1000, "rgb": RED}]}, 400),
        ({}, 422),
    )
    for said, status in wrong:
        answer = anna.post(f"/api/items/{item}/correction", said=said)
        assert answer.status_code == status, said
        assert answer.json()["detail"]
    for seen in (True, "0", -1):
        answer = anna.post(f"/api/items/{item}/correction", said=SAID, seen=seen)
        assert answer.status_code == 422, seen
    # There is nothing yet to be withdrawn, or taught.
    for act in ("correction/withdraw", "teach"):
        answer = anna.post(f"/api/items/{item}/{act}")
        assert (answer.status_code, "correct" in answer.text) == (409, True), act
    assert anna.client.post(f"/api/items/{item}/correction", json={"said": SAID}).status_code == 403
    assert anna.client.get(f"/api/items/{item}/correction").json()["history"] == []


# --- one picture ---------------------------------------------------------------------------------


def colorize(anna: Curator, content: bytes, query: str = "") -> httpx.Response:
    """Send a picture."""
    headers = {"X-CSRF-Token": anna.token, "Content-Type": "application/octet-stream"}
    return anna.client.post(f"/api/colorize{query}", content=content, headers=headers)


def test_one_picture_comes_back_coloured(house: House, archive: Path, tmp_path: Path) -> None:
    """A JPEG as a JPEG of the same luminance, a TIFF as either; hints hold; nothing is kept."""
    anna = house.signed_in("Anna")
    grey = (archive / "plain.jpg").read_bytes()
    answer = colorize(anna, grey, "?uri=https://catalogue.example.org/17")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/jpeg"
    assert 0 < float(answer.headers["x-confidence"]) <= 1
    with Image.open(io.BytesIO(answer.content)) as picture, Image.open(io.BytesIO(grey)) as scan:
        picture.draft("YCbCr", picture.size)  # as it is coded
        assert np.array_equal(np.asarray(picture)[..., 0], np.asarray(scan))
        told = read_xmp(picture.info["xmp"])
    assert told["dc:source"] == ("https://catalogue.example.org/17",)
    deep = (archive / "deep.tif").read_bytes()
    assert colorize(anna, deep).headers["content-type"] == "image/jpeg"
    master = colorize(anna, deep, "?answer=master&said=" + json.dumps(SAID))
    assert master.headers["content-type"] == "image/tiff"
    (tmp_path / "answer.tif").write_bytes(master.content)
    assert distances(tmp_path / "answer.tif", STROKES[:1])[0] < 3
    left = [path for path in house.desk.pictures.folder.iterdir() if path.is_dir()]
    assert left == []


def test_hostile_pictures_cost_themselves_only(open_house: OpenHouse, archive: Path) -> None:
    """Limits as the pipeline's: of bytes, of pixels, of kinds; each says why."""
    house = open_house(desk_upload_mb=1, max_pixels=100_000)
    anna = house.signed_in("Anna")
    jpeg = (archive / "plain.jpg").read_bytes()
    large = io.BytesIO()
    Image.new("L", (1000, 1000), 90).save(large, "PNG")
    colour = io.BytesIO()
    Image.fromarray(skimage.data.astronaut()[::2, ::2]).save(colour, "PNG")
    for content, status in (
        (b"", 422),
        (b"no picture", 422),
        (jpeg[: len(jpeg) // 2], 422),
        (colour.getvalue(), 422),
        (large.getvalue(), 413),
        (b"\xff\xd8" * (1 << 20), 413),
    ):
        answer = colorize(anna, content)
        assert answer.status_code == status, (content[:10], answer.text)
    assert "already_colour" in colorize(anna, colour.getvalue()).json()["detail"]
    assert colorize(anna, jpeg).status_code == 200
    refused = colorize(anna, jpeg, "?said=[5]")
    assert refused.status_code == 400
    assert refused.json()["detail"].startswith("said: hint 1")


def test_a_full_line_is_told_when_to_come_back(house: House, archive: Path) -> None:
    """No more are taken in than can be worked for; who was refused is served later."""
    anna = house.signed_in("Anna")
    line = house.desk.colours.line
    while not line.enter():
        pass
    jpeg = (archive / "plain.jpg").read_bytes()
    refused = colorize(anna, jpeg)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    for _ in range(8):
        line.leave()
    clients = [house.client() for _ in range(3)]
    together = threading.Barrier(3)

    def send(client: httpx.Client) -> int:
        together.wait()
        headers = {"X-CSRF-Token": anna.token, "Content-Type": "image/jpeg"}
        return client.post(
            "/api/colorize", content=jpeg, headers=headers, cookies=anna.client.cookies
        ).status_code

    with ThreadPoolExecutor(3) as executor:
        assert list(executor.map(send, clients)) == [200, 200, 200]


# --- a person ------------------------------------------------------------------------------------

BOX = "((one) => [one.clientWidth, one.clientHeight])"


@pytest.fixture
def browser_folder(tmp_path: Path) -> Path:
    """Where a browser may keep its profile."""
    if find_browser() is None:
        pytest.skip("no Chromium is installed")
    folder = tmp_path / "browser"
    folder.mkdir()
    return folder


def test_a_curator_corrects_in_a_browser(
    coloured: Settings, archive: Path, browser_folder: Path
) -> None:
    """Three hints by click and key, undo, save, teach; the TIFF has the hinted colours."""
    with open_ledger(coloured) as ledger:
        uri = (archive / "deep.tif").as_uri()
        item = ledger.get_story(uri).items[-1].item.id
        with serving(coloured) as url, browsing(browser_folder) as page:
            page.see(1400, 900)
            begin = url.replace("http://", f"http://{':'.join(LOCAL)}@")
            page.open(f"{begin}/items/{item}/correct")
            page.wait_until(ANSWERED)
            # A small scan is as large as the room for it; zoomed, places are where they are.
            box, room = (
                page.run(f"{BOX}(document.querySelector('[data-{name}]'))")
                for name in ("picture", "canvas")
            )
            assert box[0] > 288
            assert min(there - here for here, there in zip(box, room, strict=True)) < 1
            page.run("document.querySelector('[data-nearer]').click()")
            nearer = page.wait_until(f"{BOX}(document.querySelector('[data-picture]'))")
            assert nearer[0] == pytest.approx(1.5 * box[0], abs=1)
            for stroke in STROKES:
                page.run("document.querySelector('[data-likely]').replaceChildren()")
                page.run(f"{CLICK}({list(stroke.points[0])})")
                page.wait_until("document.querySelectorAll('.likely').length > 1")
                page.run(f"{FREE}('#{''.join(f'{int(v):02x}' for v in stroke.rgb)}')")
            page.wait_until(f"JSON.parse({ANSWERED}).hints.length == 3")
            page.run(f"{CLICK}({list(PLACES[0])})")  # the first mark: what became of its red
            there = "document.querySelector('[data-there]:not([hidden])')?.title"
            title = page.wait_until(there)
            red, green, blue = (int(title[at : at + 2], 16) for at in (1, 3, 5))
            assert red > max(green, blue) + 40
            page.run(f"{CLICK}([0.1, 0.1])")
            page.press("1")
            page.wait_until("document.querySelectorAll('.said-list li').length == 4")
            page.press("u")
            page.wait_until("document.querySelectorAll('.said-list li').length == 3")
            page.wait_until(f"JSON.parse({ANSWERED}).hints.length == 3")
            page.run("document.querySelector('[data-save]').click()")
            page.wait_for("The scan is coloured by what was said", seconds=150)
            page.run("document.querySelector('[data-teach]').click()")
            page.wait_for("It is reference 1 as it is")
            page.open(f"{begin}/items/{item}/correct")
            page.wait_for("It is reference 1 as it is")
            assert page.run("document.querySelector('[data-teach]').disabled")
        story = ledger.get_story(uri)
        for hint, stroke in zip(story.corrections[-1].said["hints"], STROKES, strict=True):
            assert hint["points"][0] == pytest.approx(stroke.points[0], abs=0.005)
            assert hint["rgb"] == list(stroke.rgb)
        assert max(distances(path_of(in_use(story.items[-1])), STROKES)) < 3
        assert len(list_references(ledger)) == 1

"""Hints on a frame of a film: said at the desk, carried through its shot, on record, taken back."""

import io
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import av
import httpx
import numpy as np
import pytest
from PIL import Image

from flows.desk.colours import Colours
from tasks.batch.children import PixelPool
from tasks.ledger import ItemFilter, films
from tasks.ledger.curating import desk_item
from tasks.ledger.opening import open_ledger
from tasks.ledger.people import Role
from tasks.provenance.premis import export_premis
from tasks.settings import Settings
from tests.browser import browsing, find_browser
from tests.corrections import ANSWERED, CLICK, FREE, RED
from tests.desks import HTML, LOCAL, Curator, House, serving
from tests.films import PLAYER_READY, SHOT_FRAMES, coloured_reel, lumas
from tests.packets import read_xmp
from tests.workers import MakeSettings


@pytest.fixture
def coloured(make_settings: MakeSettings, tmp_path: Path, pixels: PixelPool) -> Settings:
    """A film of three shots that was coloured, and waits for a curator."""
    return coloured_reel(make_settings, tmp_path, pixels)


def pixels_of(answer: httpx.Response) -> np.ndarray:
    """What a picture shows."""
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"))


#: In the middle of the second shot, of a thing that is there in all of it.
FRAME, PLACE = SHOT_FRAMES + 4, [0.5, 0.5]
SAID = {"hints": [{"points": [PLACE], "rgb": [*RED]}]}


def wait_until_coloured(ann: Curator, number: int, frame: int) -> None:
    """Until the film in use was made by what is said of a frame."""
    end = time.monotonic() + 150
    path = f"/api/items/{number}/correction?frame={frame}"
    while not ann.client.get(path).json()["is_coloured"]:
        assert time.monotonic() < end
        time.sleep(0.2)


def tint_at(path: Path, frame: int, place: Sequence[float]) -> np.ndarray:
    """Cr - Cb around a place of a frame, less of grey's: how red it is."""
    with av.open(str(path)) as film:
        shown = next(islice(film.decode(video=0), frame, None))
        planes = shown.to_ndarray(format="yuv444p").astype(float)
    y, x = int(place[1] * planes.shape[1]), int(place[0] * planes.shape[2])
    around = planes[1:, y - 1 : y + 2, x - 1 : x + 2].mean((1, 2)) - 128
    return np.asarray(around)


def test_a_frame_is_shown_as_a_scan_is(house: House, tmp_path: Path) -> None:
    """That very frame, in greys and under what is said; what is likely; from the film's page on."""
    ann, (number,) = house.signed_in("Ann"), house.ids()
    page = ann.client.get(f"/items/{number}/correct", headers=HTML)
    assert page.headers["location"] == f"/items/{number}/correct?frame={SHOT_FRAMES // 2}"
    page = ann.client.get(f"/items/{number}/correct?frame={FRAME}", headers=HTML)
    assert "of shot 2" in page.text
    grey = pixels_of(ann.client.get(f"/items/{number}/frames/{FRAME}.jpg"))
    assert np.ptp(grey, axis=2).max() == 0
    with av.open(str(tmp_path / "reels" / "newsreel.mkv")) as film:
        frames = [frame.to_ndarray(format="gray") for frame in film.decode(video=0)]
    apart = [np.abs(grey[..., 0].astype(int) - one).mean() for one in frames]
    assert int(np.argmin(apart)) == FRAME
    seen = pixels_of(ann.post(f"/api/items/{number}/colours?frame={FRAME}", said=SAID))
    middle = seen[seen.shape[0] // 2, seen.shape[1] // 2].astype(int)
    assert middle[0] > middle[1] + 40
    assert ann.post(f"/api/items/{number}/likely?frame={FRAME}", x=0.5, y=0.5).json()["likely"]


def test_a_hint_on_a_frame_colours_its_shot_anew(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a worker, shot by shot; the others stay; who gave it is told; all of it can go back."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    ann, (number,) = house.signed_in("Ann"), house.ids()
    first = desk_item(house.ledger, number)
    assert first is not None
    before = {one.kind: (tmp_path / "colour" / one.key) for one in first.derivatives}
    network_own = before["master"].read_bytes()
    path = f"/api/items/{number}/correction?frame={FRAME}"
    saved = ann.post(path, said=SAID, note="a letter", seen=0).json()
    wait_until_coloured(ann, number, FRAME)
    after = desk_item(house.ledger, number)
    assert after is not None
    kept = [
        one.finished_at == two.finished_at
        for one, two in zip(first.shots, after.shots, strict=True)
    ]
    assert kept == [True, False, True]
    made = {one.kind: (tmp_path / "colour" / one.key) for one in after.derivatives}
    red = tint_at(made["master"], FRAME, PLACE)
    assert red[1] > max(15, tint_at(before["master"], FRAME, PLACE)[1] + 10)
    for frame in (SHOT_FRAMES, 2 * SHOT_FRAMES - 1):
        assert tint_at(made["master"], frame, PLACE)[1] > 10, "carried through its shot"
    assert made["master"].name.endswith(f".correction-{saved['id']:04}.mkv")
    assert before["master"].read_bytes() == network_own
    assert lumas(made["master"]) == lumas(tmp_path / "reels" / "newsreel.mkv")
    told = read_xmp(made["xmp"].read_bytes())
    assert told["autochrome:CorrectedBy"] == ("Ann",)
    assert told["autochrome:CorrectedFrames"] == (str(FRAME),)
    assert f"1 hint on frame {FRAME} by Ann" in told["photoshop:Instructions"][0]
    story = house.ledger.get_story(after.row.uri)
    assert f"1 hint on frame {FRAME} by Ann" in " ".join(story.items[-1].item.notes)
    assert b"person:Ann" in export_premis([story], software="x")
    for page_path in (f"/items/{number}", f"/review?item={number}"):
        assert (
            f"1 hint on frame {FRAME}</a> by <bdi>Ann"
            in ann.client.get(page_path, headers=HTML).text
        )

    back = ann.post(f"/api/items/{number}/correction/withdraw?frame={FRAME}&why=a+mistake")
    assert back.json()["withdrawn_by"] == "Ann"
    wait_until_coloured(ann, number, FRAME)
    last = desk_item(house.ledger, number)
    assert last is not None
    again = last.derivative("master")
    assert again is not None
    assert tint_at(tmp_path / "colour" / again.key, FRAME, PLACE) == pytest.approx(
        tint_at(before["master"], FRAME, PLACE)
    )
    assert made["master"].is_file()
    xmp = last.derivative("xmp")
    assert xmp is not None
    assert "CorrectedBy" not in str(read_xmp((tmp_path / "colour" / xmp.key).read_bytes()))


def test_two_people_correct_one_film(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one frame, the second is told; of two, both count; each is taken back by itself."""
    monkeypatch.setattr(Colours, "saved", lambda *_: None)  # what counts is what is on record
    ann, ben, (number,) = house.signed_in("Ann"), house.signed_in("Ben"), house.ids()
    path = f"/api/items/{number}/correction"
    first = ann.post(f"{path}?frame={FRAME}", said=SAID, seen=0).json()
    late = ben.post(f"{path}?frame={FRAME}", said={"strength": 0.5}, seen=0)
    assert (late.status_code, late.json()["last"]["who"]) == (409, "Ann")
    other = ben.post(f"{path}?frame={FRAME + 1}", said={"strength": 0.5}, seen=0).json()
    page = ben.client.get(f"/items/{number}/correct?frame={FRAME + 1}", headers=HTML).text
    assert f"1 hint on frame {FRAME}" in page
    over = ben.post(f"{path}?frame={FRAME}", said={"strength": 0.5}, seen=first["id"]).json()
    stands = [ann.client.get(f"{path}?frame={at}").json() for at in (FRAME, FRAME + 1, 0)]
    assert [one["id"] for one in stands] == [over["id"], other["id"], 0]
    assert [len(one["history"]) for one in stands] == [2, 1, 0]
    ann.post(f"{path}/withdraw?frame={FRAME}")
    assert ann.client.get(f"{path}?frame={FRAME}").json()["id"] == first["id"], "Ann's again"
    ann.post(f"{path}/withdraw?frame={FRAME}")
    assert ann.post(f"{path}/withdraw?frame={FRAME}").status_code == 409
    assert ann.client.get(f"{path}?frame={FRAME + 1}").json()["id"] == other["id"]


def test_what_is_no_frame_is_refused(house: House) -> None:
    """In words that help, and nothing is kept."""
    ann, (number,) = house.signed_in("Ann"), house.ids()
    path, last = f"/api/items/{number}/correction", 3 * SHOT_FRAMES - 1
    for query, status in (("", 400), (f"?frame={last + 1}", 404), ("?frame=-1", 422)):
        answer = ann.post(f"{path}{query}", said=SAID)
        assert answer.status_code in (status, 400), answer.text
        assert ann.client.get(f"{path}{query}").status_code == status
        assert ann.client.get(f"{path}{query}").json()["detail"]
    assert ann.client.get(f"/items/{number}/frames/{last + 1}.jpg").status_code == 404
    keep = {"masks": [{"kind": "keep", "points": [[0.5, 0.5]], "radius": 0.1}]}
    assert ann.post(f"{path}?frame=0", said=keep).status_code == 400
    assert ann.post(f"/api/items/{number}/teach").status_code == 409
    assert ann.client.get(f"{path}?frame=0").json()["history"] == []
    looks = house.signed_in("Zoe", Role.LOOK)
    assert looks.client.get(f"/items/{number}/frames/0.jpg").status_code == 403
    assert looks.post(f"{path}?frame=0", said=SAID).status_code == 403


def test_a_frame_is_corrected_in_a_browser(
    coloured: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the film's page: the frame that is shown, a hint on it, saved, and its shot coloured."""
    if find_browser() is None:
        pytest.skip("no Chromium is installed")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    (tmp_path / "browser").mkdir()
    with (
        open_ledger(coloured) as ledger,
        serving(coloured) as url,
        browsing(tmp_path / "browser") as page,
    ):
        page.see(1400, 900)
        begin = url.replace("http://", f"http://{':'.join(LOCAL)}@")
        page.open(f"{begin}/items/1")
        page.wait_until(PLAYER_READY)
        page.press("]")
        page.press(".")
        chosen = "document.querySelector('#shot-2 [data-frame-at]')"
        page.wait_until(f"{chosen}.value === '{SHOT_FRAMES + 1}'")
        page.run(f"{chosen}.form.querySelector('button').click()")
        page.wait_until(ANSWERED)
        page.run(f"{CLICK}([0.5, 0.5])")
        page.run(f"{FREE}('#be2832')")
        page.wait_until("document.querySelectorAll('.said-list li').length == 1")
        page.run("document.querySelector('[data-save]').click()")
        page.wait_for("The shot is coloured by what was said", seconds=150)
        (said,) = ledger.get_story(
            next(iter(ledger.list_items(ItemFilter(), limit=1))).uri
        ).corrections
        assert (said.frame, said.said["hints"][0]["rgb"]) == (SHOT_FRAMES + 1, [*RED])  # type: ignore[index]
        shots = films.list_shots(ledger, 1)
        assert [shot.correction_id for shot in shots] == [said.id] * 3

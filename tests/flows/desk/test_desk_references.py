"""References: handed in file by file, checked together, shown, withdrawn."""

from pathlib import Path

import httpx

from tasks.ledger.people import Role
from tasks.ledger.references import list_references
from tests.desks import HTML, Curator, House
from tests.tasks.references.colours import make_colour, write_colour

TOKEN = "0123456789abcdef"
HOSTILE = '<img src=x onerror="alert(1)">.jpg'


def send(who: Curator, number: int, name: str, content: bytes) -> httpx.Response:
    """Send one file of a delivery."""
    return who.client.post(
        f"/references/deliveries/{TOKEN}/{number}",
        params={"name": name},
        content=content,
        headers={"X-CSRF-Token": who.token, "Content-Type": "application/octet-stream"},
    )


def hand_in(who: Curator, **said: str) -> httpx.Response:
    """Have what was sent checked."""
    headers = {"X-CSRF-Token": who.token}
    return who.client.post(f"/references/deliveries/{TOKEN}", data=said, headers=headers)


def colour_bytes(folder: Path, seed: int) -> bytes:
    """The file of a colour picture."""
    path = folder / f"{seed}.jpg"
    write_colour(path, make_colour(seed))
    return path.read_bytes()


def test_a_delivery_is_checked_and_taken_in(house: House, tmp_path: Path) -> None:
    """Each refusal with its reason; what stands is in the gallery, and in the output."""
    anna = house.signed_in("Anna")
    good = colour_bytes(tmp_path, 1)
    contents = [(HOSTILE, good), ("twice.jpg", good), ("größe 50%41.jpg", b"no picture at all")]
    for number, (name, content) in enumerate(contents):
        assert send(anna, number, name, content).status_code == 204
    told = hand_in(anna, rights="CC0", place="Vienna").json()
    assert [one["refusal"] for one in told] == [None, "duplicate", "unreadable"]
    assert [one["name"] for one in told] == [name for name, _ in contents]
    assert all(one["detail"] for one in told[1:])
    assert str(house.desk.pictures.folder) not in str(told)
    (row,) = list_references(house.ledger)
    assert (row.id, row.added_by, row.described.rights) == (told[0]["reference"], "Anna", "CC0")
    page = anna.client.get("/references", headers=HTML).text
    assert "&lt;img src=x" in page
    assert "<img src=x" not in page
    picture = anna.client.get(f"/references/{row.id}/picture")
    assert picture.content.startswith(b"\xff\xd8\xff")
    # It is kept in the output, not where it was sent to.
    assert house.desk.output.stat(row.key) is not None
    assert not list((house.desk.pictures.folder / "deliveries").rglob("*"))
    assert hand_in(anna).status_code == 400


def test_a_delivery_comes_by_a_plain_form_too(house: House, tmp_path: Path) -> None:
    """Without scripts: all at once, and what became of each is a page; cut off, it is refused."""
    anna = house.signed_in("Anna")
    page = anna.client.get("/references", headers=HTML).text
    assert 'enctype="multipart/form-data"' in page
    action = "/references/deliveries/by-form"
    files = [
        ("files", (HOSTILE, colour_bytes(tmp_path, 4), "image/jpeg")),
        ("files", ("größe 50%41.jpg", b"no picture\r\n\r\n--at all", "image/jpeg")),
    ]
    data = {"csrf": anna.token, "kind": "period", "certainty": "probable", "rights": "CC0 ü"}
    told = anna.client.post(action, data=data, files=files, headers=HTML)
    assert told.status_code == 200, told.text
    assert "1 of 2 pictures taken in" in told.text
    assert "Refused, unreadable" in told.text
    assert "größe 50%41.jpg" in told.text
    assert "&lt;img src=x" in told.text
    assert "<img src=x" not in told.text
    (row,) = list_references(house.ledger)
    assert (row.added_by, row.described.rights) == ("Anna", "CC0 ü")
    wrong = anna.client.post(action, data=data | {"csrf": "x"}, files=files, headers=HTML)
    assert wrong.status_code == 403
    assert anna.client.post(action, data=data, files=[("files", ("", b""))]).status_code == 400
    headers = {"Content-Type": "multipart/form-data; boundary=b", "X-CSRF-Token": anna.token}
    for body in (b"", b"--b", b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx'):
        assert anna.client.post(action, content=body, headers=headers).status_code == 400, body
    assert len(list_references(house.ledger)) == 1


def test_a_reference_is_withdrawn_with_a_reason(house: House, tmp_path: Path) -> None:
    """And is shown among those withdrawn."""
    anna = house.signed_in("Anna")
    send(anna, 0, "a.jpg", colour_bytes(tmp_path, 2))
    number = hand_in(anna).json()[0]["reference"]
    path = f"/references/{number}"
    assert "No network has seen it yet" in anna.client.get(path, headers=HTML).text
    bare = anna.client.post(f"{path}/withdraw", data={"csrf": anna.token}, headers=HTML)
    assert bare.status_code == 400
    given = {"csrf": anna.token, "why": "its dyes have faded"}
    assert anna.client.post(f"{path}/withdraw", data=given, headers=HTML).status_code == 303
    assert "its dyes have faded" in anna.client.get(path, headers=HTML).text
    assert path not in anna.client.get("/references", headers=HTML).text
    assert path in anna.client.get("/references?withdrawn=1", headers=HTML).text


def test_deliveries_are_bounded_and_ones_own(house: House, tmp_path: Path) -> None:
    """By number, by role, by person; a new one replaces what was never handed in."""
    anna, ben = house.signed_in("Anna"), house.signed_in("Ben")
    lou = house.signed_in("Lou", Role.LOOK)
    assert send(lou, 0, "a.jpg", b"x").status_code == 403
    assert "data-deliver" not in lou.client.get("/references", headers=HTML).text
    assert send(anna, 200, "a.jpg", b"x").status_code == 422
    assert send(anna, 0, "a.jpg", b"").status_code == 422
    content = colour_bytes(tmp_path, 3)
    assert send(anna, 0, "a.jpg", content).status_code == 204
    assert hand_in(ben).status_code == 400  # it is Anna's
    most = house.settings.desk_upload_mb << 20
    large = anna.client.post(
        f"/references/deliveries/{TOKEN}/1",
        params={"name": "b.jpg"},
        content=b"",
        headers={"X-CSRF-Token": anna.token, "Content-Length": str(most + 1)},
    )
    assert large.status_code == 413
    for token in ("..", "ABC", "0" * 17):
        answer = anna.client.post(
            f"/references/deliveries/{token}", headers={"X-CSRF-Token": anna.token}
        )
        assert answer.status_code in {404, 405, 422}
    assert len(hand_in(anna).json()) == 1

"""Server-sent events: what one decides leaves the queues of the others, wherever it was decided."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from flows.desk.identity import COOKIE
from tasks.batch.children import PixelPool
from tasks.ledger import ItemFilter
from tasks.ledger.opening import open_ledger
from tasks.ledger.people import Role, add_person, begin_session, find_person, remove_person
from tasks.settings import Settings
from tests.desks import LOCAL, PASSWORD, serving


@contextmanager
def listening(url: str, *, heard: int | None = None) -> Iterator[Iterator[dict[str, object]]]:
    """The events that a browser hears, as JSON; one that heard of a decision before."""
    headers = {} if heard is None else {"Last-Event-ID": f"{heard}"}

    def events(answer: httpx.Response) -> Iterator[dict[str, object]]:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))

    asked = {"auth": LOCAL, "timeout": 20, "headers": headers}
    with httpx.stream("GET", f"{url}/api/events", **asked) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        time.sleep(1.0)  # it is known by then what was decided before
        yield events(answer)


def test_whoever_asks_about_events_does_not_wait_for_them(
    coloured: Settings, pixels: PixelPool
) -> None:
    """HEAD ends, although what GET sends does not; the connection is good for the next request."""
    with serving(coloured, pixels) as url, httpx.Client(base_url=url, auth=LOCAL) as client:
        answer = client.head("/api/events")
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert client.get("/api/me").json()["name"]


@pytest.mark.parametrize("by", ["cookie", "password"])
def test_whoever_is_removed_hears_no_more(
    coloured: Settings, pixels: PixelPool, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """Nor whose session is over: the stream ends, and another one is refused."""
    monkeypatch.setattr("flows.desk.news._BEAT_EVERY_S", 0.3)
    monkeypatch.setattr("flows.desk.identity._REMEMBER_S", 0.0)
    with serving(coloured, pixels) as url, open_ledger(coloured) as ledger:
        add_person(ledger, "Anna", Role.LOOK, password=PASSWORD)
        anna = find_person(ledger, "Anna")
        assert anna is not None
        token = begin_session(ledger, anna, hours=1)
        shown: dict[str, Any] = {"cookies": {f"{COOKIE}-{coloured.web_port}": token}}
        if by == "password":
            shown = {"auth": ("Anna", PASSWORD)}
        with httpx.stream("GET", f"{url}/api/events", timeout=20, **shown) as answer:
            lines = answer.iter_lines()
            while "still here" not in next(lines):
                pass
            remove_person(ledger, "Anna")
            assert all("decided" not in line for line in lines), "it has an end"
        assert httpx.get(f"{url}/api/events", **shown).status_code == 401


@pytest.mark.parametrize("where", ["here", "command line"])
def test_what_is_decided_is_told(coloured: Settings, pixels: PixelPool, where: str) -> None:
    """Within a second or so, to whoever listens; with who, and what became of which item."""
    with (
        serving(coloured, pixels) as url,
        listening(url) as events,
        open_ledger(coloured) as ledger,
    ):
        (first, *_) = ledger.list_items(ItemFilter(), limit=1)
        began = time.monotonic()
        if where == "here":
            me = httpx.get(f"{url}/api/me", auth=LOCAL).json()
            seen = httpx.get(f"{url}/api/items/{first.id}", auth=LOCAL).json()["seen"]
            made = httpx.post(
                f"{url}/api/items/{first.id}/decision",
                json={"kind": "reject", "seen": seen},
                headers={"X-CSRF-Token": me["form_token"]},
                auth=LOCAL,
            )
            assert made.status_code == 200
        else:
            ledger.reject(ItemFilter(ids=[first.id]), who="a script", why="")
        told = next(events)
        assert time.monotonic() - began < 20
        assert told["items"] == {str(first.id): "rejected"}
        assert told["kind"] == "reject"
        assert told["whole"] is True
        if where != "here":
            assert told["who"] == "a script"


def test_who_was_away_is_told_what_was_decided_meanwhile(
    coloured: Settings, pixels: PixelPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, and nothing from before; where there is too much of it, to look anew."""
    with serving(coloured, pixels) as url, open_ledger(coloured) as ledger:
        ids = [row.id for row in ledger.list_items(ItemFilter(), limit=4)]

        def reject(number: int) -> dict[str, str]:
            assert ledger.reject(ItemFilter(ids=[ids[number]]), who="a script", why="") == 1
            return {str(ids[number]): "rejected"}

        reject(0)
        with listening(url) as events:
            reject(1)
            heard = next(events)["decision"]
        assert isinstance(heard, int)
        meanwhile = reject(2)
        with listening(url, heard=heard) as events:
            assert next(events)["items"] == meanwhile
            live = reject(3)
            assert next(events)["items"] == live
        monkeypatch.setattr("flows.desk.news._MOST_UNSENT", 1)
        with listening(url, heard=heard) as events:
            assert next(events) == {}
